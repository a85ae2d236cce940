// The values of GGUF metadata, with arrays kept compact: a vocabulary has more than a hundred thousand entries.

/// A metadata value. The sizes that integers and floats have in the file are not kept.
public enum GGUFValue: Sendable, Equatable {
    case uint(UInt64)
    case int(Int64)
    case float(Double)
    case bool(Bool)
    /// The bytes of a string; GGUF says UTF-8, files in the wild do not always obey.
    case string([UInt8])
    /// An array of integers of any size.
    case integers([Int64])
    /// An array of float32.
    case floats([Float])
    /// An array of float64.
    case doubles([Double])
    case bools([Bool])
    case strings([[UInt8]])

    /// What a person calls a value of this kind.
    public var kindName: String {
        switch self {
        case .uint, .int: "an integer"
        case .float: "a float"
        case .bool: "a bool"
        case .string: "a string"
        case .integers: "an array of integers"
        case .floats, .doubles: "an array of floats"
        case .bools: "an array of bools"
        case .strings: "an array of strings"
        }
    }
}

/// GGUF's numbers for value types.
enum GGUFValueType: UInt32 {
    case uint8 = 0
    case int8 = 1
    case uint16 = 2
    case int16 = 3
    case uint32 = 4
    case int32 = 5
    case float32 = 6
    case bool = 7
    case string = 8
    case array = 9
    case uint64 = 10
    case int64 = 11
    case float64 = 12

    /// The bytes that a value takes at least.
    var minimumByteCount: Int {
        switch self {
        case .uint8, .int8, .bool: 1
        case .uint16, .int16: 2
        case .uint32, .int32, .float32: 4
        case .uint64, .int64, .float64, .string: 8
        case .array: 12
        }
    }
}
