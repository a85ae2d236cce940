// A vocabulary as plain values, as GGUF metadata hold it. This target does not read files: another one fills this in.

import Numerals

/// The number of a token in its vocabulary.
public typealias TokenID = Int32

/// A tokenizer's vocabulary, with GGUF's names for where each value comes from.
public struct Vocabulary: Sendable {
    /// `tokenizer.ggml.model`: `gpt2` (byte-level BPE) or `llama` (SentencePiece-style).
    public var model: String
    /// `tokenizer.ggml.pre`: how byte-level BPE cuts text into words; nil: llama.cpp's `default`.
    public var preTokenizer: String?
    /// `tokenizer.ggml.tokens`.
    public var tokens: [[UInt8]]
    /// `tokenizer.ggml.scores`, one per token; needed by `llama`, else empty.
    public var scores: [Float]
    /// `tokenizer.ggml.token_type`, one per token (1 normal, 2 unknown, 3 control, 4 user defined, 5 unused, 6 byte);
    /// empty means that all are normal.
    public var types: [Int32]
    /// `tokenizer.ggml.merges`, the best first, each two tokens with a space between; needed by `gpt2`.
    public var merges: [[UInt8]]
    /// `tokenizer.ggml.bos_token_id`.
    public var beginning: TokenID?
    /// `tokenizer.ggml.eos_token_id`.
    public var end: TokenID?
    /// `tokenizer.ggml.unknown_token_id`.
    public var unknown: TokenID?
    /// `tokenizer.ggml.eot_token_id` and the like: further tokens that end an answer.
    public var extraEnds: [TokenID]
    /// `tokenizer.ggml.add_bos_token`; nil where the key is missing: true for `llama` and some pre-tokenizers.
    public var addsBeginning: Bool?
    /// `tokenizer.ggml.add_space_prefix`; when the key is missing, true for `llama`. It does nothing in `gpt2`.
    public var addsSpacePrefix: Bool
    /// Whether special tokens swallow the white space that follows them, as Phi-3's do. No key of a file says so.
    public var specialTokensTakeSpace: Bool
    /// `tokenizer.chat_template`, a Jinja program.
    public var chatTemplate: String?

    public init(
        model: String, preTokenizer: String? = nil, tokens: [[UInt8]], scores: [Float] = [],
        types: [Int32] = [],
        merges: [[UInt8]] = [], beginning: TokenID? = nil, end: TokenID? = nil, unknown: TokenID? = nil,
        extraEnds: [TokenID] = [], addsBeginning: Bool? = false, addsSpacePrefix: Bool = false,
        specialTokensTakeSpace: Bool = false, chatTemplate: String? = nil
    ) {
        self.model = model
        self.preTokenizer = preTokenizer
        self.tokens = tokens
        self.scores = scores
        self.types = types
        self.merges = merges
        self.beginning = beginning
        self.end = end
        self.unknown = unknown
        self.extraEnds = extraEnds
        self.addsBeginning = addsBeginning
        self.addsSpacePrefix = addsSpacePrefix
        self.specialTokensTakeSpace = specialTokensTakeSpace
        self.chatTemplate = chatTemplate
    }
}

/// GGUF's numbers for kinds of tokens.
enum TokenKind: Int32 {
    case normal = 1
    case unknown = 2
    case control = 3
    case userDefined = 4
    case unused = 5
    case byte = 6

    /// Whether text is never merged into such a token: it stands for itself.
    var isSpecial: Bool { self == .unknown || self == .control || self == .userDefined }
}

extension Vocabulary {
    /// The most tokens a vocabulary may have; real ones have up to some 260,000.
    static let maximumCount = 1 << 24
    /// The longest token in bytes; real ones are runs of some hundred spaces at most.
    static let maximumTokenLength = 1024

    /// Checks that lengths and ids agree, and gives the kind of each token.
    func checkedKinds() throws(TokenizerError) -> [TokenKind] {
        func refuse(_ problem: String) -> TokenizerError {
            TokenizerError(kind: .malformed, problem: "The vocabulary \(problem)")
        }
        guard !tokens.isEmpty, tokens.count <= Self.maximumCount else {
            throw refuse("has \(tokens.count.grouped) tokens; 1 to \(Self.maximumCount.grouped) are possible")
        }
        if let long = tokens.firstIndex(where: { $0.count > Self.maximumTokenLength }) {
            throw refuse(
                "has a token of \(tokens[long].count.grouped) bytes (number \(long)); \(Self.maximumTokenLength.grouped) are possible"
            )
        }
        guard types.isEmpty || types.count == tokens.count else {
            throw refuse("has \(tokens.count.grouped) tokens but \(types.count.grouped) token types")
        }
        guard scores.isEmpty || scores.count == tokens.count else {
            throw refuse("has \(tokens.count.grouped) tokens but \(scores.count.grouped) scores")
        }
        let named =
            [("beginning", beginning), ("end", end), ("unknown", unknown)] + extraEnds.map { ("end", $0) }
        for case (let name, let id?) in named where !tokens.indices.contains(Int(id)) {
            throw refuse("says that its \(name) token is \(id), but its tokens are 0 to \(tokens.count - 1)")
        }
        if addsBeginning == true, beginning == nil {
            throw refuse(
                "wants the beginning token before every text (add_bos_token) but names none (bos_token_id)")
        }
        var kinds: [TokenKind] = types.isEmpty ? Array(repeating: .normal, count: tokens.count) : []
        kinds.reserveCapacity(tokens.count)
        for (id, type) in types.enumerated() {
            // 0 is "undefined", which llama.cpp treats as normal.
            guard let kind = TokenKind(rawValue: type == 0 ? 1 : type) else {
                throw refuse("gives token \(id) the unknown type \(type)")
            }
            kinds.append(kind)
        }
        // The end of a turn that is a user's token could be written by any text.
        for id in AnswerEnds.tokens(of: self, kinds: kinds) { kinds[Int(id)] = .control }
        return kinds
    }
}
