// Small tokenizers that cut text as the real ones do: words with their blank in front, punctuation, digits, line ends.
import Evaluation
import Foundation
import Testing

/// What a small tokenizer does besides cutting words.
enum EncoderKind: String, CaseIterable, Sendable {
    /// As GPT-2: a blank belongs to the word or number behind it.
    case gpt2
    /// As Llama 3: a blank before digits is a token, digits come in threes, punctuation takes line ends with it.
    case llama3
    /// As Llama 2: a blank and a beginning token in front of every text, a token for each digit.
    case sentencePiece
}

final class SmallEncoder {
    private let kind: EncoderKind
    private var ids: [String: Int32] = [:]
    private var words: [String] = []
    private(set) var encodedBytes = 0

    init(_ kind: EncoderKind) { self.kind = kind }

    func encode(_ text: String) -> [Int32] {
        encodedBytes += text.utf8.count
        let pattern =
            switch kind {
            case .gpt2: #" ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]+|\s+(?!\S)|\s+"#
            case .llama3:
                #"[^\r\nA-Za-z0-9]?[A-Za-z]+|[0-9]{1,3}| ?[^\sA-Za-z0-9]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
            case .sentencePiece: #" ?[A-Za-z]+| ?[^\sA-Za-z0-9]+|[0-9]|\n| "#
            }
        let text = kind == .sentencePiece ? " " + text : text
        var tokens = kind == .sentencePiece ? [id("<s>")] : []
        var rest = Substring(text)
        while !rest.isEmpty, let range = rest.range(of: pattern, options: [.regularExpression, .anchored]) {
            // Long words have several tokens, so that sentences differ in length.
            let word = rest[range]
            let cut = word.index(word.startIndex, offsetBy: 5, limitedBy: word.endIndex) ?? word.endIndex
            for part in [word[..<cut], word[cut...]] where !part.isEmpty { tokens.append(id(String(part))) }
            rest = rest[range.upperBound...]
        }
        #expect(rest.isEmpty, "no token for \(rest.prefix(20))")
        return tokens
    }

    func text(_ tokens: some Sequence<Int32>) -> String { tokens.map { words[Int($0)] }.joined() }

    private func id(_ word: String) -> Int32 {
        if let id = ids[word] { return id }
        ids[word] = Int32(words.count)
        words.append(word)
        return Int32(words.count - 1)
    }
}
