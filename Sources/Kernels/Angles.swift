// Fills the tables of cosines and sines of a shard, in parallel.
public import LongRoPE

extension Compute {
    /// Writes cos and sin (times the attention factor) of the positions in `runs`, one row a position in buffer order.
    /// `cosine` and `sine` are [positions, pairs] with exactly as many rows as `runs` has positions.
    public func fillAngles(_ table: AngleTable, at runs: [Range<Int>], cosine: Matrix, sine: Matrix) {
        let total = runs.reduce(0) { $0 + $1.count }
        precondition(
            cosine.rows == total && sine.rows == total && cosine.columns == table.pairs
                && sine.columns == table.pairs)
        var chunks: [(row: Int, positions: Range<Int>)] = []
        var row = 0
        for run in runs {
            var start = run.lowerBound
            while start < run.upperBound {
                let end = min(start + 1024, run.upperBound)
                chunks.append((row, start..<end))
                row += end - start
                start = end
            }
        }
        forEach(chunks.count) { item, _ in
            let chunk = chunks[item]
            let rows = chunk.row..<chunk.row + chunk.positions.count
            cosine.rows(rows).withMutableSpan { cosine in
                sine.rows(rows).withMutableSpan { sine in
                    table.fill(positions: chunk.positions, cosine: &cosine, sine: &sine)
                }
            }
        }
    }
}
