// What a copy of a GGUF file shall have otherwise than the file: other metadata, other small tensors.

/// The differences between a GGUF file and a copy of it that `GGUFFile.writeCopy` makes.
///
/// Of several changes to one name the last counts. Nothing is checked before the copy is written.
public struct GGUFEdit: Sendable {
    /// A metadata value, of exactly the type that the file gets: llama.cpp refuses a key of another integer or float
    /// type than it expects.
    public enum Value: Sendable, Equatable {
        case uint32(UInt32)
        case int32(Int32)
        case uint64(UInt64)
        case int64(Int64)
        case float32(Float)
        case float64(Double)
        case bool(Bool)
        case string(String)
        case uint32s([UInt32])
        case int32s([Int32])
        case uint64s([UInt64])
        case int64s([Int64])
        case float32s([Float])
        case float64s([Double])
        case bools([Bool])
        case strings([String])
    }

    /// A tensor of float32.
    struct Tensor {
        /// In ggml's order.
        var dimensions: [Int]
        var values: [Float]
    }

    private(set) var metadata = Changes<Value>()
    private(set) var tensors = Changes<Tensor>()

    /// No difference yet.
    public init() {}

    /// Gives a metadata key a value and its type. A key that the file has keeps its place, others follow at the end in
    /// the order of these calls.
    public mutating func set(_ key: String, _ value: Value) { metadata.change(key, to: .set(value)) }

    /// Leaves a metadata key out, where the file has it.
    public mutating func remove(_ key: String) { metadata.change(key, to: .remove) }

    /// Gives the copy a tensor of float32, in place of the file's tensor of that name or after all others.
    ///
    /// `dimensions` are one to four, in ggml's order: the one that varies fastest first. Their product is the number of
    /// values.
    public mutating func setTensor(_ name: String, dimensions: [Int], _ values: [Float]) {
        tensors.change(name, to: .set(Tensor(dimensions: dimensions, values: values)))
    }

    /// Leaves a tensor out, where the file has it.
    public mutating func removeTensor(_ name: String) { tensors.change(name, to: .remove) }
}

/// Changes by name, in the order in which the names came.
struct Changes<Thing: Sendable>: Sendable {
    enum Change: Sendable {
        case set(Thing)
        case remove
    }

    private(set) var names: [String] = []
    private var changes: [String: Change] = [:]

    subscript(name: String) -> Change? { changes[name] }

    mutating func change(_ name: String, to change: Change) {
        if changes.updateValue(change, forKey: name) == nil { names.append(name) }
    }

    /// The file's names and then the new ones, without those that are removed, each with what is set in its place.
    func applied(to old: [String]) -> [(name: String, new: Thing?)] {
        let known = Set(old)
        return (old + names.filter { !known.contains($0) }).compactMap { name in
            switch changes[name] {
            case nil: (name, nil)
            case .set(let thing)?: (name, thing)
            case .remove?: nil
            }
        }
    }
}
