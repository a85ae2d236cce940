// The extended model as a file: the same weights with LongRoPE factors that llama.cpp and Lariat both read.
public import GGUF
public import LongRoPE

/// Writes factors into a copy of a model file.
public struct ExtendedModel: Sendable {
    private let edit: GGUFEdit

    /// The attention factor and the two sets of factors are those that llama.cpp knows: the largest table's, and the
    /// smallest one's for contexts up to the trained length. All tables are beside them, for Lariat.
    ///
    /// `rope.scaling.factor`, its older name `rope.scale_linear` and YaRN's keys are removed: llama.cpp would divide
    /// positions by the factor as well.
    /// - Throws: `invalidRequest` without tables, or for a file that names no architecture; `GGUFError`.
    public init(_ source: GGUFFile, tables: [RotaryTable], originalContext: Int) throws {
        guard let first = tables.first, let last = tables.last else {
            throw ExtensionError(.invalidRequest, "there are no rotary tables to write")
        }
        let architecture = try source.string("general.architecture")
        let rope = "\(architecture).rope.scaling"
        let attentionFactor =
            last.attentionFactor
            ?? RotaryScaling.attentionFactor(originalContext: originalContext, maximumContext: last.window)
        var edit = GGUFEdit()
        edit.set("\(architecture).context_length", .uint32(UInt32(clamping: last.window)))
        edit.set("\(rope).type", .string("longrope"))
        edit.set("\(rope).original_context_length", .uint32(UInt32(clamping: originalContext)))
        edit.set("\(rope).attn_factor", .float32(Float(attentionFactor)))
        edit.remove("\(rope).factor")
        edit.remove("\(architecture).rope.scale_linear")
        for key in ["yarn_attn_factor", "yarn_beta_fast", "yarn_beta_slow", "yarn_ext_factor"] {
            edit.remove("\(rope).\(key)")
        }
        edit.removeTensor("rope_freqs.weight")
        edit.setTensor(
            "rope_factors_long.weight", dimensions: [last.factors.count], last.factors.map(Float.init))
        edit.setTensor(
            "rope_factors_short.weight", dimensions: [last.factors.count],
            first.window <= originalContext
                ? first.factors.map(Float.init) : Array(repeating: 1, count: last.factors.count))
        edit.set(RotaryKeys.windows, .uint32s(tables.map { UInt32(clamping: $0.window) }))
        edit.set(RotaryKeys.factors, .float64s(tables.flatMap(\.factors)))
        edit.set(
            RotaryKeys.attentionFactors,
            .float64s(
                tables.map {
                    $0.attentionFactor
                        ?? RotaryScaling.attentionFactor(
                            originalContext: originalContext, maximumContext: $0.window)
                }))
        edit.set(RotaryKeys.startTokens, .uint32s(tables.map { UInt32(clamping: $0.startTokens) }))
        self.edit = edit
    }

    /// - Throws: `GGUFError` when the file cannot be written; nothing half-written stays.
    public func write(_ source: GGUFFile, to path: String, overwrite: Bool) throws(GGUFError) {
        try source.writeCopy(to: path, edit: edit, overwrite: overwrite)
    }
}
