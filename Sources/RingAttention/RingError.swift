// What can go wrong in planning and running a ring, in words an operator can use.

/// Every error of this module. Errors that concern another worker name its rank.
public enum RingError: Error, Sendable, Equatable, CustomStringConvertible {
    /// A plan or an argument that makes no sense: our own fault or a bad plan from outside.
    case invalidPlan(String)
    /// The ranks together have room for fewer tokens than asked for.
    case insufficientCapacity(needed: Int, available: Int)
    /// The connection with this rank broke.
    case peer(rank: Int, what: String)
    /// This rank ended its part before the schedule did, which is a consequence of something else.
    case gaveUp(rank: Int, what: String)
    /// Nothing was heard from this rank, or it took nothing, for so long.
    case stalled(rank: Int, seconds: Double)
    /// This rank sent something else than the schedule says.
    case protocolViolation(rank: Int, what: String)
    /// The caller's own attention or merge failed.
    case attention(String)
    /// The ring was cancelled or closed on this rank.
    case cancelled

    public var description: String {
        switch self {
        case .invalidPlan(let what): "the plan cannot be used: \(what)"
        case .insufficientCapacity(let needed, let available):
            "\(needed) tokens do not fit: the workers have room for \(available); shorten the prompt or the "
                + "answer, add workers, or give the workers more KV memory"
        case .peer(let rank, let what): "rank \(rank) was lost: \(what)"
        case .gaveUp(let rank, let what): "rank \(rank) gave up: \(what)"
        case .stalled(let rank, let seconds):
            "rank \(rank) did not move for \(seconds) s; it hangs, is overloaded, or the stall limit is too short"
        case .protocolViolation(let rank, let what): "rank \(rank) broke the protocol: \(what)"
        case .attention(let what): "attention failed on this worker: \(what)"
        case .cancelled: "the ring was cancelled"
        }
    }

    /// The other rank this error is about, if any.
    public var rank: Int? {
        switch self {
        case .peer(let rank, _), .gaveUp(let rank, _), .stalled(let rank, _), .protocolViolation(let rank, _):
            rank
        default: nil
        }
    }

    /// What this rank has to complain of; nil when it was told to stop.
    /// - Parameter own: the rank that met this error.
    public func complaint(by own: Int) -> Complaint? {
        switch self {
        case .peer(let rank, _): Complaint(.broken, accused: rank)
        case .gaveUp(let rank, _): Complaint(.gaveUp, accused: rank)
        case .stalled(let rank, _): Complaint(.silent, accused: rank)
        case .protocolViolation(let rank, _): Complaint(.wrongBytes, accused: rank)
        case .cancelled: nil
        case .invalidPlan, .insufficientCapacity, .attention: Complaint(.own, accused: own)
        }
    }
}
