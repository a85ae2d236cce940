// What a model file says about rotary positions.
import GGUF
import LongRoPE

extension Model {
    /// What the file says about rotary positions. Phi-3 files do not name their scaling: the factor tensors tell.
    static func scaling(
        _ find: TensorFinder, architecture: String, shape: ModelShape
    ) throws(ModelError) -> RotaryScaling {
        let file = find.file
        func factors(_ name: String) throws(ModelError) -> [Double]? {
            guard let tensor = file.tensors[name] else { return nil }
            guard tensor.columns <= RotaryProfile.largestRotaryDimension / 2, tensor.rows == 1 else {
                throw .unsupported(
                    "\(file.path): tensor \(name) is \(tensor.dimensions), not one factor a pair")
            }
            return try find.vector(name, count: tensor.columns).map(Double.init)
        }
        let rope = "\(architecture).rope"
        var scaling: RotaryScaling
        do throws(GGUFError) {
            scaling = RotaryScaling(
                theta: try file.realIfPresent("\(rope).freq_base") ?? 10000,
                rotaryDimension: try file.integerIfPresent("\(rope).dimension_count") ?? shape.headDimension,
                originalContext: try file.integerIfPresent("\(rope).scaling.original_context_length")
                    ?? shape.window,
                maximumContext: shape.window)
            scaling.type = try file.stringIfPresent("\(rope).scaling.type")
            scaling.attentionFactor = try file.realIfPresent("\(rope).scaling.attn_factor")
            scaling.linearFactor = try file.realIfPresent("\(rope).scaling.factor")
            // The key that older converters wrote.
            if scaling.linearFactor == nil {
                scaling.linearFactor = try file.realIfPresent("\(rope).scale_linear")
            }
            scaling.yarnAttentionFactor = try file.realIfPresent("\(rope).scaling.yarn_attn_factor")
            scaling.yarnBetaFast = try file.realIfPresent("\(rope).scaling.yarn_beta_fast")
            scaling.yarnBetaSlow = try file.realIfPresent("\(rope).scaling.yarn_beta_slow")
        } catch { throw .file(error) }
        let rotary = scaling.rotaryDimension
        guard rotary > 0, rotary <= shape.headDimension, rotary % 2 == 0 else {
            throw .unsupported(
                "\(file.path): \(rope).dimension_count is \(rotary); heads have \(shape.headDimension) dimensions"
            )
        }
        // In the llama family, rows of queries and keys are ordered for the rotation of whole heads.
        guard architecture != Llama.architecture || rotary == shape.headDimension else {
            throw .unsupported(
                "\(file.path): \(rope).dimension_count is \(rotary), but heads have \(shape.headDimension) dimensions; "
                    + "in the family \(architecture) all of them rotate")
        }
        scaling.shortFactors = try factors("rope_factors_short.weight")
        scaling.longFactors = try factors("rope_factors_long.weight")
        scaling.ropeFreqs = try factors("rope_freqs.weight")
        scaling.tables = try tables(of: file, pairs: rotary / 2)
        return scaling
    }

    /// What `lariat extend` writes beside the two sets of factors that other engines know: a table for each of several
    /// lengths.
    private static func tables(of file: GGUFFile, pairs: Int) throws(ModelError) -> LongRoPETables? {
        func doubles(_ key: String) -> [Double] {
            guard case .doubles(let values)? = file.metadata[key] else { return [] }
            return values
        }
        let windows: [Int64]
        let startTokens: [Int64]
        do throws(GGUFError) {
            let others = [RotaryKeys.factors, RotaryKeys.attentionFactors, RotaryKeys.startTokens]
            let found = try file.integersIfPresent(RotaryKeys.windows)
            guard found != nil || others.contains(where: { file.metadata[$0] != nil }) else { return nil }
            windows = found ?? []
            startTokens = try file.integersIfPresent(RotaryKeys.startTokens) ?? []
        } catch { throw .file(error) }
        let factors = doubles(RotaryKeys.factors)
        let attentionFactors = doubles(RotaryKeys.attentionFactors)
        guard windows.count <= LongRoPETables.largestCount, attentionFactors.count == windows.count,
            startTokens.count == windows.count, factors.count == windows.count * pairs
        else {
            throw .unsupported(
                "\(file.path): lariat.rope.* has \(factors.count) factors, \(attentionFactors.count) attention factors "
                    + "and \(startTokens.count) n-hats for \(windows.count) tables of \(pairs) pairs, "
                    + "\(LongRoPETables.largestCount) tables at most")
        }
        do throws(LongRoPEError) {
            return try LongRoPETables(
                tables: windows.indices.map { table in
                    RotaryTable(
                        window: Int(windows[table]),
                        factors: Array(factors[table * pairs..<(table + 1) * pairs]),
                        startTokens: Int(startTokens[table]), attentionFactor: attentionFactors[table])
                })
        } catch { throw .unsupported("\(file.path): lariat.rope.*: \(error)") }
    }
}
