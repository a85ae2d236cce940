// How large the operands of the measured kernels are.
package import Kernels

/// Sizes of operands.
package struct KernelSizes: Sendable {
    /// Tokens of prefill attention: queries and keys.
    package var attentionTokens: Int
    /// Rows of dense products.
    package var rows: Int
    /// Outputs and inputs of the largest dense product.
    package var largestProduct: Int
    /// What a kernel that is bound by memory reads or writes: larger than the caches.
    package var memoryBytes: Int
    /// Outputs of a model: the row of a log-likelihood.
    package var vocabulary: Int

    /// Sizes of real jobs; fewer tokens for the slower instruction sets.
    package init(isa: ISA) {
        attentionTokens =
            switch isa {
            case .scalar: 1024
            case .avx2: 4096
            case .avx512, .avx512bf16: 8192
            }
        rows = 1024
        largestProduct = isa == .scalar ? 1024 : 4096
        memoryBytes = 128 << 20
        vocabulary = 49152
    }

    /// Sizes with which every kernel runs in a moment: for tests that it runs at all.
    package static var tiny: KernelSizes {
        var sizes = KernelSizes(isa: .scalar)
        sizes.attentionTokens = 160
        sizes.rows = 32
        sizes.largestProduct = 256
        sizes.memoryBytes = 256 << 10
        sizes.vocabulary = 1000
        return sizes
    }
}
