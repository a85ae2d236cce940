// Instruction set levels: what this processor can do, and what a job may be pinned to.
internal import CLariatKernels

/// An instruction set level of the compute kernels.  Each level includes the ones before it.
public enum ISA: String, CaseIterable, Comparable, Sendable {
    /// Portable C, any processor.
    case scalar
    /// AVX2, FMA and F16C.
    case avx2
    /// AVX-512 F, BW, VL and DQ.
    case avx512
    /// AVX-512 with BF16 and VNNI.
    case avx512bf16

    /// The highest level that this processor and its operating system support.
    public static let best: ISA = {
        switch lariat_isa_best() {
        case LARIAT_ISA_AVX512BF16: .avx512bf16
        case LARIAT_ISA_AVX512: .avx512
        case LARIAT_ISA_AVX2: .avx2
        default: .scalar
        }
    }()

    /// The levels that this processor can run, in rising order.
    public static var available: [ISA] { allCases.filter { $0 <= best } }

    public static func < (a: ISA, b: ISA) -> Bool { a.c.rawValue < b.c.rawValue }

    /// The same level as the C kernels name it.
    package var level: UInt32 { c.rawValue }

    /// The same level as the C kernels name it.
    var c: lariat_isa {
        switch self {
        case .scalar: LARIAT_ISA_SCALAR
        case .avx2: LARIAT_ISA_AVX2
        case .avx512: LARIAT_ISA_AVX512
        case .avx512bf16: LARIAT_ISA_AVX512BF16
        }
    }
}
