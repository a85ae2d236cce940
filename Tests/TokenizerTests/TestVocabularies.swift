// The vocabularies of these tests: SmolLM2's from its file, small ones for the other families, and chance.
import GGUF
import TestSupport
import Testing
import Tokenizer

/// The vocabulary of a GGUF file.
func vocabulary(_ path: String) throws -> Vocabulary {
    let file = try GGUFFile(path: path)
    return try Vocabulary(
        model: file.string("tokenizer.ggml.model"), preTokenizer: file.stringIfPresent("tokenizer.ggml.pre"),
        tokens: file.strings("tokenizer.ggml.tokens"),
        scores: file.floatsIfPresent("tokenizer.ggml.scores") ?? [],
        types: (file.integersIfPresent("tokenizer.ggml.token_type") ?? []).map(Int32.init),
        merges: file.stringsIfPresent("tokenizer.ggml.merges") ?? [],
        beginning: file.integerIfPresent("tokenizer.ggml.bos_token_id").map(TokenID.init),
        end: file.integerIfPresent("tokenizer.ggml.eos_token_id").map(TokenID.init),
        unknown: file.integerIfPresent("tokenizer.ggml.unknown_token_id").map(TokenID.init),
        addsBeginning: file.boolIfPresent("tokenizer.ggml.add_bos_token") ?? false,
        addsSpacePrefix: file.boolIfPresent("tokenizer.ggml.add_space_prefix") ?? false,
        chatTemplate: file.stringIfPresent("tokenizer.chat_template"))
}

/// SmolLM2's tokenizer; nil, with a known issue that says so, when its file is not in the cache.
func smolLM2() throws -> Tokenizer? {
    guard let path = TestModel.smolLM2 else {
        withKnownIssue("the SmolLM2 file is not in the cache (Ops/quickstart fetches it)") {
            Issue.record("SmolLM2 not found")
        }
        return nil
    }
    return try Tokenizer(vocabulary(path))
}

extension Small {
    /// The byte-level vocabulary: 256 characters in order of code point, merges, "Ġzebra" which no merge makes, then
    /// `special` tokens, of which those in `userDefined` are not control tokens.
    static func byteLevel(
        _ preTokenizer: String?, special: [String] = [], userDefined: [String] = [],
        chatTemplate: String? = nil,
        addsBeginning: Bool = false
    ) -> Vocabulary {
        let printable = Set(UInt32(0x21)...0x7E).union(0xA1...0xAC).union(0xAE...0xFF)
        let characters = printable.union(0x100...0x143).sorted().compactMap(Unicode.Scalar.init)
        let pairs = merges.split { $0 == "\n" || $0 == " " }.map(String.init)
        let joined = stride(from: 0, to: pairs.count, by: 2).map { pairs[$0] + pairs[$0 + 1] }
        let plain = characters.map { String(Character($0)) } + joined + ["Ġzebra"]
        func id(_ token: String) -> TokenID? {
            special.firstIndex(of: token).map { TokenID(plain.count + $0) }
        }
        return Vocabulary(
            model: "gpt2", preTokenizer: preTokenizer, tokens: (plain + special).map { Array($0.utf8) },
            types: plain.map { _ in 1 } + special.map { userDefined.contains($0) ? 4 : 3 },
            merges: stride(from: 0, to: pairs.count, by: 2).map {
                Array("\(pairs[$0]) \(pairs[$0 + 1])".utf8)
            },
            beginning: id("<|begin_of_text|>"), end: id("<|endoftext|>"), addsBeginning: addsBeginning,
            chatTemplate: chatTemplate)
    }

    /// The SentencePiece vocabulary: <unk>, <s>, </s>, 256 bytes, pieces, then `special` control tokens.
    static func sentencePiece(
        special: [String] = [], addsSpacePrefix: Bool = true, chatTemplate: String? = nil
    ) -> Vocabulary {
        let digits = Array("0123456789ABCDEF")
        let bytes = (0..<256).map { "<0x\(digits[$0 >> 4])\(digits[$0 & 15])>" }
        let tokens = ["<unk>", "<s>", "</s>"] + bytes + pieces.map(\.text) + special
        return Vocabulary(
            model: "llama", tokens: tokens.map { Array($0.utf8) },
            scores: [Float](repeating: 0, count: 259) + pieces.map(\.score) + special.map { _ in 0 },
            types: [2, 3, 3] + bytes.map { _ in 6 } + pieces.map { _ in 1 } + special.map { _ in 3 },
            beginning: 1, end: 2, unknown: 0, addsBeginning: true, addsSpacePrefix: addsSpacePrefix,
            chatTemplate: chatTemplate)
    }

    /// A tokenizer of each family.
    static func all() throws -> [(name: String, tokenizer: Tokenizer)] {
        let special = ["<|im_start|>", "<|im_end|>", "<tool>"]
        var all: [(String, Tokenizer)] = []
        for name in [nil, "gpt-2", "smollm", "llama-bpe", "qwen2"] {
            all.append(
                (name ?? "none", try Tokenizer(byteLevel(name, special: special, userDefined: ["<tool>"]))))
        }
        all.append(("llama", try Tokenizer(sentencePiece(special: special))))
        all.append(
            ("llama without prefix", try Tokenizer(sentencePiece(special: special, addsSpacePrefix: false))))
        return all
    }
}

/// A random number generator that gives the same numbers everywhere.
struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
        return z ^ z >> 31
    }

    /// A text of characters, marks, spaces, special tokens and bytes that are no UTF-8.
    mutating func text() -> [UInt8] {
        let parts = [
            "a", "the", " ", "  ", "\n", "\r\n", "'s", "1", "234", "ß", "上", "\u{2581}", "🙂", "\u{A0}", "<s>",
            "<|im_end|>", "<tool>", "</s>", "<0x41>", "worker", "\u{FFFD}", "\0",
        ]
        var text: [UInt8] = []
        for _ in 0..<Int.random(in: 0...40, using: &self) {
            if Int.random(in: 0..<4, using: &self) == 0 {
                text.append(.random(in: 0...255, using: &self))
            } else {
                text += Array((parts.randomElement(using: &self) ?? "").utf8)
            }
        }
        return text
    }
}
