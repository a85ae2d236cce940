// Who is at fault when a ring stops: finding the rank that hangs behind the neighbour that somebody waits for.

/// Why one rank gave its part of a ring up, as it saw it.
public struct Complaint: Sendable, Equatable {
    public enum Kind: Sendable, Equatable {
        /// The accused ended its part before the schedule did: it has a reason of its own, which it tells itself.
        case gaveUp
        /// The connection for blocks with the accused broke.
        case broken
        /// The accused sent or took nothing for the stall limit.
        case silent
        /// No connection for blocks with the accused can be made.
        case unreachable
        /// The accused sent something else than the schedule says, or it arrived damaged.
        case wrongBytes
        /// The rank failed by itself; it is its own accused.
        case own
    }
    public var kind: Kind
    public var accused: Int

    public init(_ kind: Kind, accused: Int) {
        self.kind = kind
        self.accused = accused
    }
}

/// The complaints of one run, in the order in which they came, and what they come to.
///
/// When one rank hangs, every other rank soon waits in vain for its own neighbour, and whoever gives up first makes
/// the next one give up. So complaints form chains, and the rank at their end, which complains of nobody and waits for
/// nobody, is the one that hangs.
public struct Blame: Sendable {
    private var complaints: [(rank: Int, complaint: Complaint)] = []
    private var waits: [Int: Int] = [:]

    public init() {}

    public var isEmpty: Bool { complaints.isEmpty }

    /// A rank gave up. Only its first reason counts.
    public mutating func add(_ complaint: Complaint, by rank: Int) {
        if self.complaint(of: rank) == nil { complaints.append((rank, complaint)) }
    }

    /// What a rank that has not given up was seen waiting for; nil: it computes.
    public mutating func note(_ rank: Int, waitsFor other: Int?) { waits[rank] = other == rank ? nil : other }

    public func complaint(of rank: Int) -> Complaint? { complaints.first { $0.rank == rank }?.complaint }

    /// The rank at fault, and those that lead to it: each one complains of the next or waits for it.
    public struct Verdict: Sendable, Equatable {
        public var culprit: Int
        /// Witnesses in order; the culprit alone when it complains of itself.
        public var chain: [Int]

        public init(culprit: Int, chain: [Int]) {
            self.culprit = culprit
            self.chain = chain
        }
    }

    /// - Returns: nil while nobody has complained.
    public var verdict: Verdict? {
        // What a rank says about itself, then what a check has shown about another, needs no chain.
        for kind in [Complaint.Kind.own, .wrongBytes, .unreachable] {
            let found = complaints.filter { $0.complaint.kind == kind }
            if let accused = mostAccused(found) {
                let witness = found.first { $0.complaint.accused == accused }?.rank
                return Verdict(
                    culprit: accused, chain: witness.flatMap { $0 == accused ? nil : [$0] } ?? [accused])
            }
        }
        // A consequence starts no chain while anything else is there.
        let causes = complaints.filter { $0.complaint.kind != .gaveUp }
        let ends = (causes.isEmpty ? complaints : causes).map { follow(from: $0.rank) }
        let counts = Dictionary(grouping: ends, by: \.culprit).mapValues(\.count)
        let most = counts.values.max()
        return ends.first { counts[$0.culprit] == most }
    }

    /// The rank that most of these complain of; of several the one that complains of nobody by such means, then the first.
    private func mostAccused(_ found: [(rank: Int, complaint: Complaint)]) -> Int? {
        let counts = Dictionary(grouping: found, by: \.complaint.accused).mapValues(\.count)
        let most = counts.values.max()
        let candidates = found.map(\.complaint.accused).filter { counts[$0] == most }
        let accusers = Set(found.map(\.rank))
        return candidates.first { !accusers.contains($0) } ?? candidates.first
    }

    private func follow(from rank: Int) -> Verdict {
        var chain = [rank]
        while let last = chain.last, let next = next(after: last) {
            // Those that complain of each other in a circle: the first who did is believed.
            if chain.contains(next) {
                return Verdict(culprit: self.next(after: rank) ?? rank, chain: [rank])
            }
            chain.append(next)
        }
        let culprit = chain.removeLast()
        return Verdict(culprit: culprit, chain: chain.isEmpty ? [culprit] : chain)
    }

    private func next(after rank: Int) -> Int? { complaint(of: rank)?.accused ?? waits[rank] }
}
