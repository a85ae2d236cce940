// In which number format dense products are computed.

/// The operands of dense matrix products. Sums, outputs and the residual are float32 in both.
public enum Precision: String, Sendable, CaseIterable {
    /// Reference mode: float32 operands.
    case f32
    /// Fast mode: bfloat16 operands, float32 accumulation. Needs AVX512-BF16; below it products run in
    /// float32.
    case bf16
}
