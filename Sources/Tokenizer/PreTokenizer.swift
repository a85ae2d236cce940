// How byte-level BPE cuts text into words: the names that files have for it, and what else follows from the name.

/// A way of cutting text into words that byte-level BPE vocabularies were trained with.
///
/// The names are those of `tokenizer.ggml.pre` in llama.cpp (src/llama-vocab.cpp), which maps many onto one expression.
/// The expressions are those of the models' own tokenizers; llama.cpp writes some of them with approximations.
package struct PreTokenizer: Sendable {
    /// Each cuts the pieces that the one before has left.
    let stages: [WordExpression]
    /// Whether a word that is a token is never built from merges.
    let keepsWholeWords: Bool
    /// Whether texts begin with the beginning token when the file does not say.
    let addsBeginning: Bool

    private init(_ stages: [WordExpression], keepsWholeWords: Bool = false, addsBeginning: Bool = false) {
        self.stages = stages
        self.keepsWholeWords = keepsWholeWords
        self.addsBeginning = addsBeginning
    }

    private static let known: [(names: [String], PreTokenizer)] = [
        (
            [
                "gpt-2", "phi-2", "gigachat", "a.x-4.0", "mellum", "modern-bert", "jina-es", "jina-de",
                "jina-v1-en", "jina-v2-es", "jina-v2-de", "jina-v2-code", "roberta-bpe", "mpt", "olmo",
                "jais",
                "trillion", "granite-docling", "exaone4",
            ], PreTokenizer([.gpt2])
        ),
        (
            [
                "smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b", "mellum2",
            ], PreTokenizer([.eachNumber, .gpt2])
        ),
        (
            [
                "llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2",
                "jina-v5-nano",
            ], PreTokenizer([.llama3(digits: 3)], keepsWholeWords: true, addsBeginning: true)
        ),
        (["dbrx", "smaug-bpe", "chatglm-bpe"], PreTokenizer([.llama3(digits: 3)])),
        (["glm4", "glm5"], PreTokenizer([.llama3(digits: 3)], keepsWholeWords: true)),
        (
            [
                "qwen2", "deepseek-r1-qwen", "stablelm2", "kormo", "f2llmv2", "megrez", "hunyuan",
                "solar-open",
                "grok-2",
                // Written with other quantifiers, which match the same.
                "bailingmoe", "bailingmoe2", "llada-moe",
            ], PreTokenizer([.llama3(digits: 1)])
        ),
        (["qwen35"], PreTokenizer([.llama3(digits: 1, withMarks: true)])),
        (["seed-coder"], PreTokenizer([.llama3(digits: 1, withNewlines: false)])),
        (
            ["gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"],
            PreTokenizer([.cased(digits: 3, contractions: true)])
        ),
        (
            ["tekken"],
            PreTokenizer(
                [.cased(digits: 1, contractions: false)], keepsWholeWords: true, addsBeginning: true)
        ),
        (
            ["deepseek-llm"],
            PreTokenizer([
                .eachNewline, .spacedCasedLetters, .spacedASCIIPunctuation, .spaceAtEnd, .asianScripts,
                .numbers,
            ])
        ),
        (
            ["deepseek-coder"],
            PreTokenizer([.eachNewline, .spacedLetters, .spacedPunctuation, .asianScripts, .eachNumber])
        ),
        (
            ["deepseek-v3", "hunyuan-dense", "joyai-llm"],
            PreTokenizer([.numberGroups, .chineseAndKana, .deepSeek])
        ),
        (["falcon"], PreTokenizer([.falconPunctuation, .gpt2, .threeDigits])),
        (["superbpe"], PreTokenizer([.numbers, .threesFromTheRight])),
        (["poro-chat", "bloom", "gpt3-finnish"], PreTokenizer([.betweenPunctuation])),
        (["viking"], PreTokenizer([.betweenPunctuation, .eachNumber])),
        (["default"], PreTokenizer([.defaultPunctuation, .gpt2, .numbers, .threeDigits])),
    ]

    /// All names, for messages and tests.
    package static var names: [String] { known.flatMap(\.names) }

    /// The pre-tokenizer of that name; none means llama.cpp's `default`.
    package init(named name: String?) throws(TokenizerError) {
        let name = name ?? "default"
        guard let found = Self.known.first(where: { $0.names.contains(name) }) else {
            throw TokenizerError(
                kind: .unsupported,
                problem:
                    "The pre-tokenizer '\(name)' (tokenizer.ggml.pre) is not supported. Supported: "
                    + Self.names.joined(separator: ", "))
        }
        self = found.1
    }

    /// The longest word that is looked at as one. It bounds the memory for a text that is a single word.
    static let longestWord = 1 << 28
}

/// Cuts one stretch of text, which holds no special tokens, into words from its start on.
package struct WordCutter {
    private let stages: [WordExpression]
    /// Where the piece of each stage ends that the next word is in.
    private var pieceEnds: [Int]
    private var groups = DigitGroups()

    package init(_ preTokenizer: PreTokenizer) {
        stages = preTokenizer.stages
        pieceEnds = Array(repeating: 0, count: stages.count)
    }

    /// Where the word that begins at `start` ends; `start` is where the word before it ended, and below `end`, the end
    /// of the stretch.
    @inline(__always)
    package mutating func wordEnd(_ text: Span<UInt8>, from start: Int, to end: Int) -> Int {
        var end = min(end, start + PreTokenizer.longestWord)
        for stage in stages.indices {
            if pieceEnds[stage] <= start {
                // What an expression does not match is a piece as well.
                let match = stages[stage].next(text, from: start, to: end, &groups)
                pieceEnds[stage] = match.lowerBound > start ? match.lowerBound : match.upperBound
            }
            end = min(end, pieceEnds[stage])
        }
        return end
    }
}
