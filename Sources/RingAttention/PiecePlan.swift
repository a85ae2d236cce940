// How each rank's keys and values are cut into the pieces that travel the ring.

/// A part of one rank's block: contiguous rows of its buffer.
public struct Piece: Sendable, Equatable {
    /// The rank whose shard it is cut from.
    public let rank: Int
    /// Its place in the order in which the rank sends its pieces, from 0.
    public let index: Int
    /// Rows of the rank's KV buffer.
    public let rows: Range<Int>
    /// Positions of these rows, in order.
    public let runs: [Range<Int>]
}

/// Every rank's pieces. A pure function of the plan, so every worker knows what to expect from every other.
///
/// A shard is cut into equal pieces (sizes differ by one row at most) of at most `pieceTokens` rows. They are *sent*
/// alternately from the early and the late half of the buffer: 0, h, 1, h+1, ... On early rows a high rank has twice
/// the work of a low one, on late rows none; sent in buffer order, ranks would wait for each other in one half and
/// again in the other. Alternating, the work of two rounds is even and few pieces of run-ahead suffice.
public struct PiecePlan: Sendable, Equatable {
    /// `pieces[rank][index]`, in sending order.
    public let pieces: [[Piece]]

    /// Most pieces of one rank, and of all ranks: each costs entries in the schedule of every rank.
    public static let maximumPieces = 16_384
    public static let maximumPiecesInAll = 262_144

    /// - Throws: `.invalidPlan` when `pieceTokens` is below 1 or would cut a shard into too many pieces.
    public init(plan: ShardPlan, pieceTokens: Int) throws(RingError) {
        guard pieceTokens >= 1 else {
            throw .invalidPlan("pieces of \(pieceTokens) tokens; at least 1 is needed")
        }
        var all: [[Piece]] = []
        var total = 0
        for rank in plan.runs.indices {
            let rows = plan.count(of: rank)
            let count = rows / pieceTokens + (rows % pieceTokens > 0 ? 1 : 0)
            total += count
            guard count <= Self.maximumPieces, total <= Self.maximumPiecesInAll else {
                throw .invalidPlan(
                    "pieces of \(pieceTokens) tokens cut the slab into more than \(Self.maximumPieces) pieces for "
                        + "one rank or \(Self.maximumPiecesInAll) for all; make them larger")
            }
            let half = (count + 1) / 2
            all.append(
                (0..<count).map { index in
                    let place = index % 2 == 0 ? index / 2 : half + index / 2
                    let range = rows * place / count..<rows * (place + 1) / count
                    return Piece(
                        rank: rank, index: index, rows: range,
                        runs: Self.positions(range, in: plan.runs[rank]))
                })
        }
        pieces = all
    }

    /// Number of pieces of each rank, as `RingSchedule` needs it.
    public var counts: [Int] { pieces.map(\.count) }

    /// Positions of these buffer rows.
    private static func positions(_ rows: Range<Int>, in runs: [Range<Int>]) -> [Range<Int>] {
        var result: [Range<Int>] = []
        var row = 0
        for run in runs {
            let shared = rows.clamped(to: row..<row + run.count)
            if !shared.isEmpty {
                let shift = run.lowerBound - row
                result.append(shared.lowerBound + shift..<shared.upperBound + shift)
            }
            row += run.count
        }
        return result
    }
}
