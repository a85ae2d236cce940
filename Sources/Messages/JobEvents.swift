// What a job has produced, event by event, as clients follow it and the journal keeps it.
// The meaning of each field stands in Proto/lariat.proto.

public import Protobuf

/// Something that happened to a job. Numbered from 1 within the job, without gaps.
///
/// On the wire and in journals it is a kind and all fields of which the kind says which count; that form is kept, so that
/// journals of earlier versions can be read.
public struct JobEvent: Sendable, Equatable {
    /// What happened, with all that belongs to it.
    public enum Content: Sendable, Equatable {
        case state(JobRecord)
        /// Not kept for replay: the number is the last kept event's.
        case progress(JobRecord)
        case tokens(AnswerPart)
        case scores(Scores)
        /// The job in its last state; the stream ends.
        case end(JobRecord)
    }

    public var number: UInt64
    /// nil: of a kind that this version does not know.
    public var content: Content?

    /// - Parameter number: 0 until the journal gives one.
    public init(number: UInt64 = 0, _ content: Content?) {
        self.number = number
        self.content = content
    }

    /// The record that a state, progress or end carries.
    public var job: JobRecord? {
        switch content {
        case .state(let job), .progress(let job), .end(let job): job
        case .tokens, .scores, nil: nil
        }
    }

    /// The job's last event.
    public var isEnd: Bool { if case .end = content { true } else { false } }

    /// The same event with its record changed, if it carries one.
    public func mapJob(_ change: (JobRecord) -> JobRecord) -> JobEvent {
        var event = self
        switch content {
        case .state(let job): event.content = .state(change(job))
        case .progress(let job): event.content = .progress(change(job))
        case .end(let job): event.content = .end(change(job))
        case .tokens, .scores, nil: break
        }
        return event
    }
}

/// A part of the answer.
public struct AnswerPart: Sendable, Equatable {
    /// Whole UTF-8 characters only.
    public var text: [UInt8]
    public var tokens: [UInt32]
    /// One per token, where the job asks for them; natural logarithms.
    public var logProbabilities: [Float]
    /// Likewise.
    public var likely: [LikelyTokens]

    public init(
        text: [UInt8], tokens: [UInt32], logProbabilities: [Float] = [], likely: [LikelyTokens] = []
    ) {
        self.text = text
        self.tokens = tokens
        self.logProbabilities = logProbabilities
        self.likely = likely
    }
}

/// The likeliest tokens at one place, likeliest first.
public struct LikelyTokens: BridgedMessage {
    public var tokens: [UInt32] = []
    /// Natural logarithms, one per token.
    public var logProbabilities: [Float] = []

    public init() {}

    package static let schema = MessageSchema("lariat.v1.LikelyTokens", in: .lariat)
    package static let fields: [WireField<LikelyTokens>] = [
        .uint32s(1, \.tokens), .floats(2, \.logProbabilities),
    ]
}

extension JobEvent: PackedMessage {
    package static let schema = MessageSchema("lariat.v1.JobEvent", in: .lariat)
    package static let numbers = Flat.numbers

    package init(from reader: MessageReader) throws(MessageError) {
        let flat = try Flat(from: reader)
        number = flat.number
        content =
            switch flat.kind {
            case .state: .state(flat.job ?? JobRecord())
            case .progress: .progress(flat.job ?? JobRecord())
            case .tokens:
                .tokens(
                    AnswerPart(
                        text: flat.text, tokens: flat.tokens, logProbabilities: flat.logProbabilities,
                        likely: flat.likely))
            case .scores: .scores(Scores(firstPosition: flat.firstPosition, nll: flat.nll))
            case .end: .end(flat.job ?? JobRecord())
            case .unspecified: nil
            }
    }

    package func write(to builder: MessageBuilder) throws(MessageError) { try flat.write(to: builder) }

    private var flat: Flat {
        .with {
            $0.number = number
            switch content {
            case .state(let job): ($0.kind, $0.job) = (.state, job)
            case .progress(let job): ($0.kind, $0.job) = (.progress, job)
            case .tokens(let part):
                $0.kind = .tokens
                $0.text = part.text
                $0.tokens = part.tokens
                $0.logProbabilities = part.logProbabilities
                $0.likely = part.likely
            case .scores(let scores):
                $0.kind = .scores
                $0.firstPosition = scores.firstPosition
                $0.nll = scores.nll
            case .end(let job): ($0.kind, $0.job) = (.end, job)
            case nil: break
            }
        }
    }

    /// The fields as they travel.
    private struct Flat: BridgedMessage {
        enum Kind: UInt32, WireEnumeration {
            case unspecified = 0
            case state = 1
            case progress = 2
            case tokens = 3
            case scores = 4
            case end = 5
        }

        var number: UInt64 = 0
        var kind: Kind = .unspecified
        var job: JobRecord?
        var text: [UInt8] = []
        var tokens: [UInt32] = []
        var firstPosition: UInt64 = 0
        var nll: [Float] = []
        var logProbabilities: [Float] = []
        var likely: [LikelyTokens] = []

        static let schema = JobEvent.schema
        static let fields: [WireField<Flat>] = [
            .uint64(1, \.number), .enumeration(2, \.kind), .message(3, \.job), .bytes(4, \.text),
            .uint32s(5, \.tokens), .uint64(6, \.firstPosition), .floats(7, \.nll),
            .floats(8, \.logProbabilities), .messages(9, \.likely),
        ]
    }
}
