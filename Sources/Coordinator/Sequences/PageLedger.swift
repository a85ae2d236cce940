// How much memory kept sequences take on each worker, where several of them share their beginnings.
import RingAttention

/// Tokens of kept sequences by worker. What a run has computed is one piece; sequences that continue it share the piece up
/// to where they leave it, and the rest of it goes with the last one that needs it.
struct PageLedger: Sendable {
    /// Tells sequences apart.
    typealias Handle = Int

    private struct Piece: Sendable {
        /// Its first position.
        let start: Int
        let layout: Layout
        /// By rank.
        let workers: [String]
        /// By rank: what it takes beyond its tokens, as long as any of it is needed.
        let extra: [Int]
        /// How far each sequence needs it.
        var ends: [Handle: Int]

        func tokens(of rank: Int, upTo end: Int) -> Int {
            guard end > start else { return 0 }
            return layout.count(of: rank, in: end) - layout.count(of: rank, in: start) + extra[rank]
        }
    }

    private var pieces: [Int: Piece] = [:]
    private var next = 0
    /// In order of position.
    private var piecesOf: [Handle: [Int]] = [:]
    private var taken: [String: Int] = [:]

    /// Tokens on a worker, of all sequences.
    func tokens(on worker: String) -> Int { taken[worker] ?? 0 }

    /// Tokens on all workers.
    var all: Int { taken.values.reduce(0, +) }

    /// Tokens on each worker of these sequences alone.
    func tokens(of handles: some Sequence<Handle>) -> [String: Int] {
        var ends: [Int: Int] = [:]
        for handle in handles {
            for piece in piecesOf[handle] ?? [] {
                ends[piece] = max(ends[piece] ?? 0, pieces[piece]?.ends[handle] ?? 0)
            }
        }
        var sums: [String: Int] = [:]
        for (number, end) in ends {
            guard let piece = pieces[number] else { continue }
            for (rank, worker) in piece.workers.enumerated() {
                sums[worker, default: 0] += piece.tokens(of: rank, upTo: end)
            }
        }
        return sums
    }

    /// - Parameters:
    ///   - past: the sequence that it continues, and from where.
    ///   - tokens: of the whole sequence.
    ///   - held: by rank, for how many tokens its worker has taken memory; fewer than it has do not count.
    mutating func add(
        _ handle: Handle, past: (handle: Handle, tokens: Int)?, tokens: Int, held: [Int] = [],
        layout: Layout, workers: [String]
    ) {
        var own: [Int] = []
        var end = 0
        if let past {
            for number in piecesOf[past.handle] ?? [] {
                guard let piece = pieces[number], piece.start < past.tokens else { break }
                let reach = min(past.tokens, piece.ends[past.handle] ?? 0)
                change(number) { $0.ends[handle] = reach }
                own.append(number)
                end = reach
            }
        }
        if tokens > end {
            let extra = workers.indices.map { rank in
                held.indices.contains(rank) ? max(0, held[rank] - layout.count(of: rank, in: tokens)) : 0
            }
            pieces[next] = Piece(start: end, layout: layout, workers: workers, extra: extra, ends: [:])
            change(next) { $0.ends[handle] = tokens }
            own.append(next)
            next += 1
        }
        piecesOf[handle] = own
    }

    mutating func remove(_ handle: Handle) {
        for number in piecesOf.removeValue(forKey: handle) ?? [] {
            change(number) { $0.ends[handle] = nil }
            if pieces[number]?.ends.isEmpty == true { pieces[number] = nil }
        }
    }

    /// Keeps the sums right.
    private mutating func change(_ number: Int, _ body: (inout Piece) -> Void) {
        guard var piece = pieces[number] else { return }
        let before = piece.ends.values.max() ?? piece.start
        body(&piece)
        pieces[number] = piece
        let after = piece.ends.values.max() ?? piece.start
        guard before != after else { return }
        for (rank, worker) in piece.workers.enumerated() {
            let sum =
                (taken[worker] ?? 0) + piece.tokens(of: rank, upTo: after)
                - piece.tokens(of: rank, upTo: before)
            taken[worker] = sum == 0 ? nil : sum
        }
    }
}
