// A tensor of a GGUF file: its name, element type, shape, and its bytes where they lie in the file.

/// The element types Lariat reads, with ggml's numbers for them.
public enum GGUFTensorType: UInt32, CaseIterable, Sendable, CustomStringConvertible {
    case f32 = 0
    case f16 = 1
    case q4_0 = 2
    case q4_1 = 3
    case q5_0 = 6
    case q5_1 = 7
    case q8_0 = 8
    case q4_K = 12
    case q5_K = 13
    case q6_K = 14
    case bf16 = 30

    /// How many consecutive elements of a row share one block; 1 for the types that are not quantised.
    public var elementsPerBlock: Int {
        switch self {
        case .f32, .f16, .bf16: 1
        case .q4_0, .q4_1, .q5_0, .q5_1, .q8_0: 32
        case .q4_K, .q5_K, .q6_K: 256
        }
    }

    /// The size of a block in bytes.
    public var bytesPerBlock: Int {
        switch self {
        case .f32: 4
        case .f16, .bf16: 2
        case .q4_0: 2 + 16  // scale, 32 nibbles
        case .q4_1: 2 + 2 + 16  // scale, minimum, nibbles
        case .q5_0: 2 + 4 + 16  // scale, fifth bits, nibbles
        case .q5_1: 2 + 2 + 4 + 16
        case .q8_0: 2 + 32
        case .q4_K: 2 + 2 + 12 + 128  // scale, minimum, eight 6-bit pairs, nibbles
        case .q5_K: 2 + 2 + 12 + 32 + 128
        case .q6_K: 128 + 64 + 16 + 2  // low nibbles, high pairs, 16 scales, scale
        }
    }

    /// The name as llama.cpp prints it.
    public var name: String {
        switch self {
        case .f32: "F32"
        case .f16: "F16"
        case .bf16: "BF16"
        case .q4_0: "Q4_0"
        case .q4_1: "Q4_1"
        case .q5_0: "Q5_0"
        case .q5_1: "Q5_1"
        case .q8_0: "Q8_0"
        case .q4_K: "Q4_K"
        case .q5_K: "Q5_K"
        case .q6_K: "Q6_K"
        }
    }

    public var description: String { name }

    /// Names of the types that ggml has and Lariat does not read, by ggml's numbers (ggml.h). Those without a name
    /// there any more have the one they had.
    private static let unreadable: [UInt32: String] = [
        4: "Q4_2", 5: "Q4_3", 9: "Q8_1", 10: "Q2_K", 11: "Q3_K", 15: "Q8_K", 16: "IQ2_XXS", 17: "IQ2_XS",
        18: "IQ3_XXS", 19: "IQ1_S", 20: "IQ4_NL", 21: "IQ3_S", 22: "IQ2_S", 23: "IQ4_XS", 24: "I8", 25: "I16",
        26: "I32", 27: "I64", 28: "F64", 29: "IQ1_M", 31: "Q4_0_4_4", 32: "Q4_0_4_8", 33: "Q4_0_8_8",
        34: "TQ1_0", 35: "TQ2_0", 36: "IQ4_NL_4_4", 37: "IQ4_NL_4_8", 38: "IQ4_NL_8_8", 39: "MXFP4",
        40: "NVFP4", 41: "Q1_0", 42: "Q2_0",
    ]

    /// What people call the type of that number; nil for a number that ggml has not given to any.
    static func name(ofNumber number: UInt32) -> String? {
        GGUFTensorType(rawValue: number)?.name ?? unreadable[number]
    }
}

/// A tensor in a mapped GGUF file. A copy is cheap, and keeps the mapping alive.
public struct GGUFTensor: Sendable {
    public let name: String
    public let type: GGUFTensorType
    /// One to four dimensions in ggml's order: the one that varies fastest first.
    public let dimensions: [Int]
    let mapping: Mapping
    /// Where the elements lie in the file, in bytes from its start.
    let range: Range<Int>

    /// The product of all dimensions but the first.
    public var rows: Int { dimensions.dropFirst().reduce(1, *) }  // checked when the file was read
    /// The first dimension: the elements of a row.
    public var columns: Int { dimensions[0] }
    /// The size of all elements in bytes.
    public var byteCount: Int { range.count }
    /// The size of one row in bytes: a row is a whole number of blocks.
    public var bytesPerRow: Int { columns / type.elementsPerBlock * type.bytesPerBlock }

    /// Lends the elements, `rows` times `bytesPerRow` bytes in row-major order, as they lie in the file. The pointer is
    /// valid during the call only. It is aligned to the file's `general.alignment` (32 unless the file says otherwise).
    public func withUnsafeBytes<R, E: Error>(
        _ body: (UnsafeRawBufferPointer) throws(E) -> R
    ) throws(E) -> R {
        try unsafe mapping.withBytes(range, body)
    }
}
