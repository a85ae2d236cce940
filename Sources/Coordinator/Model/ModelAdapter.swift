// A model file as the coordinator sees it: its tokenizer, sizes and rotary scaling; weights are only mapped.
import Jinja
import Kernels
import LongRoPE
public import Messages
import Numerals
import Protobuf
public import Tokenizer
public import Transformer

/// `ModelDescription` of an opened model file.
public struct ModelAdapter: ModelDescription {
    private let model: Model
    private var tokenizer: Tokenizer
    private let element: KVElement
    private let template: ChatTemplate?

    /// - Parameters:
    ///   - precision: "bf16" or "f32"; decides the size of keys and values.
    ///   - template: writes conversations instead of the model file's chat template.
    /// - Throws: `CoordinatorError` for another precision.
    public init(
        _ model: Model, precision: String, template: ChatTemplate? = nil
    ) throws(CoordinatorError) {
        guard let element = KVElement(rawValue: precision) else {
            throw CoordinatorError(
                .invalid, "the precision \"\(precision.prefix(20))\" is neither bf16 nor f32")
        }
        self.model = model
        tokenizer = model.tokenizer
        self.element = element
        self.template = template
    }

    public var name: String { model.name }
    public var fingerprint: String { model.fingerprint }
    public var vocabulary: Int { model.shape.vocabulary }
    public var longestToken: Int { tokenizer.longestToken }
    public var layers: Int { model.shape.layers }
    public var window: Int { max(model.shape.window, model.scaling.maximumContext) }
    public var slidingWindow: Int? { model.shape.slidingWindow }
    public var kvBytesPerToken: Int { model.shape.kvBytesPerToken(element) }
    public var activationBytesPerToken: Int {
        let shape = model.shape
        let rows = 2 * shape.hidden + shape.heads * shape.headDimension
        // Of each query head what attention carries from tile to tile: the output, the maximum and the sum in lanes.
        return 4 * rows + 4 * shape.heads * (shape.headDimension + 32)
    }
    public var denseOperations: Double { model.shape.work.denseOperations }
    public var attentionOperations: Double { model.shape.work.attentionOperations }
    public var weightBytes: Int { model.weightBytes }
    public var outputOperations: Double { 2 * Double(model.shape.hidden) * Double(model.shape.vocabulary) }

    public func abandoned(when check: @escaping @Sendable () -> Bool) -> any ModelDescription {
        var copy = self
        copy.tokenizer = tokenizer.abandoned(when: check)
        return copy
    }

    public func encode(_ text: String, literal: Bool) throws -> [UInt32] {
        tokenizer.encode(text, parsingSpecialTokens: !literal).map { UInt32(bitPattern: $0) }
    }

    public func encodeContinuation(_ text: String, literal: Bool) throws -> [UInt32] {
        tokenizer.encode(text, parsingSpecialTokens: !literal, addingBeginning: false).map {
            UInt32(bitPattern: $0)
        }
    }

    public var hasChatTemplate: Bool { template != nil || tokenizer.chatTemplate != nil }

    public func encodeChat(
        _ turns: [ConversationTurn], template: String, wallMicroseconds: UInt64
    ) throws -> [UInt32] {
        try tokenizer.encodeChat(
            turns.map(ChatMessage.init), template: ChatTemplate.chosen(template) ?? self.template,
            options: Self.options(wallMicroseconds)
        ).map { UInt32(bitPattern: $0) }
    }

    public func encodeChat(
        _ turns: [ConversationTurn], _ part: ConversationPart, marker: String, template: String,
        wallMicroseconds: UInt64
    ) throws -> [UInt32] {
        try tokenizer.encodeChat(
            turns.map(ChatMessage.init), part == .before ? .before : .behind, marker: marker,
            template: ChatTemplate.chosen(template) ?? self.template, options: Self.options(wallMicroseconds)
        ).map { UInt32(bitPattern: $0) }
    }

    private static func options(_ wallMicroseconds: UInt64) -> ChatOptions {
        ChatOptions(now: JinjaMoment(secondsSince1970: Int(clamping: wallMicroseconds / 1_000_000)))
    }

    public func bytes(of token: UInt32) -> [UInt8] {
        guard token < UInt32(vocabulary) else { return [] }
        return tokenizer.decode([TokenID(bitPattern: token)], showingSpecialTokens: true)
    }

    public func textStream(after last: UInt32?) -> any TokenTextStream {
        TextStream(stream: tokenizer.stream(after: last.map { TokenID(bitPattern: $0) }))
    }

    public func profile(
        promptTokens: Int, reservedTokens: Int, method message: RotaryMethodMessage?
    ) throws -> (profile: ProfileMessage, note: String) {
        let method = try message.map { try $0.method }
        let profile = try model.scaling.profile(
            promptTokens: promptTokens, reservedTokens: reservedTokens, method: method
        ).with(
            gap: message?.gap.map {
                PositionGap(every: Int(clamping: $0.every), length: Int(clamping: $0.length))
            })
        let alone = try? model.scaling.profile(promptTokens: promptTokens, reservedTokens: 0, method: method)
        var note = ""
        if let alone, alone.name != profile.name {
            note =
                "the prompt alone would take the rotary table \"\(alone.name)\" (window \(alone.window.grouped)); with "
                + "\(reservedTokens.grouped) tokens reserved for the answer it takes \"\(profile.name)\" from the start, "
                + "since no sequence changes its table. To keep to \"\(alone.name)\", reserve "
                + "\(max(0, alone.window - promptTokens + 1)) or less with --max-tokens"
        }
        return (Self.message(profile), note)
    }

    private static func message(_ profile: RotaryProfile) -> ProfileMessage {
        ProfileMessage.with {
            $0.name = profile.name
            $0.theta = profile.theta
            $0.rotaryDimension = UInt32(profile.rotaryDimension)
            $0.factors = profile.factors
            $0.startTokens = UInt64(profile.startTokens)
            $0.attentionFactor = profile.attentionFactor
            $0.window = UInt64(profile.window)
            $0.identity = profile.identity
            $0.gap = profile.gap.map { gap in
                PositionGapMessage.with {
                    $0.every = UInt64(gap.every)
                    $0.length = UInt64(gap.length)
                }
            }
        }
    }

    private struct TextStream: TokenTextStream {
        var stream: Tokenizer.Stream

        mutating func push(_ token: UInt32) -> String { stream.append(TokenID(bitPattern: token)) }
        mutating func finish() -> String { stream.finish() }
    }
}

extension ChatMessage {
    fileprivate init(_ turn: ConversationTurn) {
        let role: ChatMessage.Role =
            switch turn.role {
            case .system: .system
            case .user: .user
            case .assistant: .assistant
            }
        self.init(role: role, content: turn.content)
    }
}

extension RotaryMethodMessage {
    /// - Throws: `LongRoPEError` that says what is wrong.
    fileprivate var method: any RotaryMethod {
        get throws(LongRoPEError) {
            guard name.isEmpty else { return try RotaryMethodName.parse(name) }
            return try LongRoPETables(
                tables: tables.map {
                    RotaryTable(
                        name: $0.name, window: Int(clamping: $0.window), factors: $0.factors,
                        startTokens: Int(clamping: $0.startTokens),
                        attentionFactor: $0.attentionFactor == 0 ? nil : $0.attentionFactor)
                })
        }
    }
}
