// Who is at fault when a ring stops: finding the rank that really hangs behind the neighbour one waits for.

/// When one rank hangs, every other rank soon waits in vain for its own neighbour. So a rank waits four fifths of the
/// stall limit, then tells the others whom it waited for, listens for the rest of the limit, and follows the
/// accusations it heard to their end: the rank that accuses nobody is the one that hangs.
struct Blame: Sendable {
    let peer: any RingPeer
    let rank: Int
    let stall: Duration

    /// A deadline for one call to the transport that starts now.
    var deadline: ContinuousClock.Instant { .now + stall * 4 / 5 }

    /// Spreads the accusation, and returns the error about the rank that is really at fault.
    /// - Parameter listen: waits until the time given, or shorter if waiting has lost its purpose.
    func settle(_ error: RingError, listen: (ContinuousClock.Instant) -> Void) -> RingError {
        guard let suspect = error.rank else { return error }
        peer.accuse(suspect)
        switch error {
        case .stalled: listen(.now + stall / 5)
        case .peer: break
        default: return error
        }
        var seen: Set<Int> = [rank]
        var culprit = suspect
        while seen.insert(culprit).inserted, let next = peer.accused(by: culprit), !seen.contains(next) {
            culprit = next
        }
        if case .stalled = error {
            return .stalled(rank: culprit, seconds: stall / .seconds(1))
        }
        return error.about(culprit)
    }
}
