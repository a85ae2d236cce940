// From text to tokens and back.

/// A tokenizer made from a model's vocabulary. It is a value without state: many tasks may use it at once.
///
/// Text is bytes; it need not be UTF-8. `decode(encode(x)) == x` for all bytes, except those in `bytesWithoutToken`
/// and, in vocabularies whose special tokens take it, white space behind special tokens.
public struct Tokenizer: Sendable {
    private enum Model {
        case byteLevel(ByteLevel)
        case pieces(Pieces)
    }

    private let model: Model
    private let kinds: [TokenKind]
    /// What each token decodes to, one behind the other; token i is `bytes[offsets[i]..<offsets[i + 1]]`.
    private let bytes: [UInt8]
    private let offsets: [Int]
    /// Tokens of the kind control, unknown or user defined, which are found in text that may hold special tokens.
    private let special: SpecialTokens
    /// Only those that the user defined, which are found in any text.
    private let userDefined: SpecialTokens
    /// Whether a token that follows the beginning or a special token has a space that is not part of the text.
    private let addsSpacePrefix: Bool
    let isSentencePiece: Bool
    let addsBeginning: Bool
    private var isAbandoned: (@Sendable () -> Bool)?
    /// The end of a sequence and the unknown token, which chat templates name.
    let end: TokenID?
    let unknown: TokenID?

    /// The token that begins a sequence, if the vocabulary has one.
    public let beginning: TokenID?
    /// The tokens that end an answer: those the vocabulary names by keys, and those that llama.cpp knows by their texts
    /// (`<|im_end|>`, `<|eot_id|>`, `</s>`, ...; `AnswerEnds`).
    public let ends: Set<TokenID>
    /// The model file's chat template.
    public let chatTemplate: ChatTemplate?
    /// Whether the vocabulary needs a pre-tokenizer and names none, so that it may have been trained with another.
    public let lacksPreTokenizer: Bool
    /// Bytes the vocabulary cannot write, in ascending order: each becomes U+FFFD (or, if the vocabulary cannot write that,
    /// the unknown token). Empty for most; SmolLM2 lacks some control characters and bytes that occur in no UTF-8 text.
    public let bytesWithoutToken: [UInt8]

    /// Most bytes of text that one token stands for; at least 1. So a text of n bytes has n / `longestToken` tokens or
    /// more, which is known without tokenising it.
    public let longestToken: Int

    /// Checks the vocabulary and builds the tables. Takes some 100 ms for 150,000 tokens.
    public init(_ vocabulary: Vocabulary) throws(TokenizerError) {
        let kinds = try vocabulary.checkedKinds()
        switch vocabulary.model {
        case "gpt2":
            let model = try ByteLevel(vocabulary, kinds: kinds)
            bytesWithoutToken = model.bytesWithoutToken
            addsBeginning = vocabulary.addsBeginning ?? (model.addsBeginning && vocabulary.beginning != nil)
            lacksPreTokenizer = vocabulary.preTokenizer == nil
            self.model = .byteLevel(model)
            isSentencePiece = false
        case "llama":
            model = try .pieces(Pieces(vocabulary, kinds: kinds))
            bytesWithoutToken = []
            addsBeginning = vocabulary.addsBeginning ?? (vocabulary.beginning != nil)
            lacksPreTokenizer = false
            isSentencePiece = true
        default:
            throw TokenizerError(
                kind: .unsupported,
                problem:
                    "The tokenizer model '\(vocabulary.model)' (tokenizer.ggml.model) is not supported. "
                    + "Supported: gpt2, llama")
        }
        var bytes: [UInt8] = []
        var offsets = [0]
        offsets.reserveCapacity(kinds.count + 1)
        var special = SpecialTokens()
        var userDefined = SpecialTokens()
        let ends = AnswerEnds.tokens(of: vocabulary, kinds: kinds)
            .union(vocabulary.extraEnds + (vocabulary.end.map { [$0] } ?? []))
        for (id, token) in vocabulary.tokens.enumerated() {
            bytes += Self.text(of: token, kind: kinds[id], isSentencePiece: isSentencePiece)
            offsets.append(bytes.count)
            let takesSpace =
                vocabulary.specialTokensTakeSpace
                && !["<unk>", "<s>", "<|endoftext|>"].contains(String(decoding: token, as: UTF8.self))
            if kinds[id].isSpecial { special.add(token, TokenID(id), takesSpace: takesSpace) }
            if kinds[id] == .userDefined { userDefined.add(token, TokenID(id), takesSpace: takesSpace) }
        }
        self.kinds = kinds
        self.bytes = bytes
        self.offsets = offsets
        longestToken = max(1, zip(offsets, offsets.dropFirst()).lazy.map { $1 - $0 }.max() ?? 1)
        self.special = special
        self.userDefined = userDefined
        self.ends = ends
        beginning = vocabulary.beginning
        end = vocabulary.end
        addsSpacePrefix = isSentencePiece && vocabulary.addsSpacePrefix
        unknown = vocabulary.unknown
        chatTemplate = vocabulary.chatTemplate.map {
            ChatTemplate($0, from: "the model file's chat template")
        }
    }

    /// This tokenizer for a text that somebody may stop waiting for: `check` is asked every few thousand steps, and once
    /// it says true, encoding soon ends with tokens that mean nothing.
    public func abandoned(when check: @escaping @Sendable () -> Bool) -> Tokenizer {
        var copy = self
        copy.isAbandoned = check
        return copy
    }

    /// The number of tokens; ids are 0 to `count - 1`.
    public var count: Int { kinds.count }

    /// Whether the token is one that steers the model and is not text: control or unknown.
    public func isControl(_ token: TokenID) -> Bool {
        kinds.indices.contains(Int(token)) && (kinds[Int(token)] == .control || kinds[Int(token)] == .unknown)
    }

    private static func text(of token: [UInt8], kind: TokenKind, isSentencePiece: Bool) -> [UInt8] {
        switch kind {
        case .control, .unknown, .userDefined: return token
        case .byte: return Pieces.byte(named: token).map { [$0] } ?? token
        case .normal, .unused:
            guard isSentencePiece else { return ByteAlphabet.bytes(of: token) }
            var text: [UInt8] = []
            var at = 0
            while at < token.count {
                if token[at...].starts(with: [0xE2, 0x96, 0x81]) {  // U+2581
                    text.append(0x20)
                    at += 3
                } else {
                    text.append(token[at])
                    at += 1
                }
            }
            return text
        }
    }
}

// MARK: Encoding

extension Tokenizer {
    /// The tokens of a text. Time and memory grow as n log n at worst; a text of real words takes linear time.
    ///
    /// - Parameters:
    ///   - parsingSpecialTokens: whether `<|im_end|>` in the text means the control token. Leave it false for text that
    ///     comes from outside.
    ///   - addingBeginning: whether the beginning token comes first (if there is one); nil: as the model wants it. A
    ///     text that has it first already (as a special token) does not get another.
    public func encode(
        _ text: String, parsingSpecialTokens: Bool = false, addingBeginning: Bool? = nil
    ) -> [TokenID] {
        encode(text.utf8.span, parsingSpecialTokens: parsingSpecialTokens, addingBeginning: addingBeginning)
    }

    /// The tokens of any bytes, see above.
    public func encode(
        _ bytes: some Sequence<UInt8>, parsingSpecialTokens: Bool = false, addingBeginning: Bool? = nil
    ) -> [TokenID] {
        encode(
            Array(bytes).span, parsingSpecialTokens: parsingSpecialTokens, addingBeginning: addingBeginning)
    }

    /// The tokens of any bytes, see above.
    public func encode(
        _ text: Span<UInt8>, parsingSpecialTokens: Bool = false, addingBeginning: Bool? = nil
    ) -> [TokenID] {
        var output: [TokenID] = []
        output.reserveCapacity(text.count / 4 + 2)
        var work = EncoderWork(textLength: text.count)
        let found = parsingSpecialTokens ? special : userDefined
        if addingBeginning ?? addsBeginning, let beginning,
            found.longest(text, 0, text.count, { _, _ in true })?.token != beginning
        {
            output.append(beginning)
        }
        appendTokens(text, of: found, to: &output, &work) { _, _ in true }
        return output
    }

    /// Appends a text's tokens, with those special tokens that `accepts` takes: it is given a token and where it stands.
    func appendTokens(
        _ text: Span<UInt8>, of found: SpecialTokens? = nil, to output: inout [TokenID],
        _ work: inout EncoderWork, _ accepts: (TokenID, Range<Int>) -> Bool
    ) {
        let found = found ?? special
        var at = 0
        while let (token, range) = found.next(text, from: at, to: text.count, accepts) {
            encodePlain(text, at..<range.lowerBound, &work, &output)
            output.append(token)
            at = range.upperBound
        }
        encodePlain(text, at..<text.count, &work, &output)
    }

    /// Appends the tokens of a range in which nothing is special.
    func encodePlain(
        _ text: Span<UInt8>, _ range: Range<Int>, _ work: inout EncoderWork, _ output: inout [TokenID]
    ) {
        work.merger.patience.isAbandoned = isAbandoned
        switch model {
        case .byteLevel(let model): model.encode(text, range, &work, &output)
        case .pieces(let model): model.encode(text, range, &work, &output)
        }
    }

    /// The name of a special token, as it stands in text.
    func specialText(_ token: TokenID) -> String {
        guard kinds.indices.contains(Int(token)) else { return "" }
        return String(decoding: bytes[offsets[Int(token)]..<offsets[Int(token) + 1]], as: UTF8.self)
    }

    func isUserDefined(_ token: TokenID) -> Bool {
        kinds.indices.contains(Int(token)) && kinds[Int(token)] == .userDefined
    }
}

// MARK: Decoding

extension Tokenizer {
    /// The bytes that the tokens stand for. Control tokens give their names if `showingSpecialTokens`, else nothing; ids
    /// that are not in the vocabulary give nothing.
    public func decode(_ tokens: some Sequence<TokenID>, showingSpecialTokens: Bool = false) -> [UInt8] {
        var result: [UInt8] = []
        var startsText = true
        for token in tokens {
            append(token, to: &result, startsText: &startsText, showingSpecialTokens: showingSpecialTokens)
        }
        return result
    }

    /// Appends the bytes of one token. `startsText` says whether the token stands at the start or behind a special token,
    /// where a vocabulary with a space prefix has one space more than the text.
    private func append(
        _ token: TokenID, to result: inout [UInt8], startsText: inout Bool, showingSpecialTokens: Bool
    ) {
        guard kinds.indices.contains(Int(token)) else { return }
        let index = Int(token)
        var range = offsets[index]..<offsets[index + 1]
        if kinds[index].isSpecial {
            startsText = true
            if kinds[index] != .userDefined && !showingSpecialTokens { return }
        } else if !range.isEmpty {
            if startsText, addsSpacePrefix, bytes[range.lowerBound] == 0x20 { range = range.dropFirst() }
            startsText = false
        }
        result += bytes[range]
    }

    /// Decodes tokens as they come and gives text only in whole UTF-8 characters.
    public struct Stream: Sendable {
        private let tokenizer: Tokenizer
        private let showingSpecialTokens: Bool
        private var startsText: Bool
        /// The beginning of a character that is not complete: up to 3 bytes.
        private var pending: [UInt8] = []

        fileprivate init(_ tokenizer: Tokenizer, showingSpecialTokens: Bool, startsText: Bool) {
            self.tokenizer = tokenizer
            self.showingSpecialTokens = showingSpecialTokens
            self.startsText = startsText
        }

        /// The text that the token completes, often empty. Bytes that cannot become UTF-8 any more are shown as U+FFFD.
        public mutating func append(_ token: TokenID) -> String {
            tokenizer.append(
                token, to: &pending, startsText: &startsText, showingSpecialTokens: showingSpecialTokens)
            let complete = pending.count - incompleteSuffixLength(pending)
            let text = String(decoding: pending[..<complete], as: UTF8.self)
            pending.removeFirst(complete)
            return text
        }

        /// What is left at the end: U+FFFD for a character that was never completed.
        public mutating func finish() -> String {
            defer { pending.removeAll() }
            return String(decoding: pending, as: UTF8.self)
        }
    }

    /// A decoder for tokens that come one by one.
    ///
    /// - Parameter previous: the last token before them, that is the last one of the prompt. Vocabularies with a space
    ///   prefix need it: behind a special token (or nothing) the first space is dropped, in the middle of a text it is not.
    public func stream(showingSpecialTokens: Bool = false, after previous: TokenID? = nil) -> Stream {
        let index = previous.map { Int($0) }
        let startsText = index.map { kinds.indices.contains($0) ? kinds[$0].isSpecial : true } ?? true
        return Stream(self, showingSpecialTokens: showingSpecialTokens, startsText: startsText)
    }
}
