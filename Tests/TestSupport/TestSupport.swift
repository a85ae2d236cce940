// Where tests find reference values and the real model. Values in Tests/Golden were made by other software.
public import Foundation

/// Reference values made by other software (Tests/Golden, its README says how).
public enum Golden {
    /// The path of a file in Tests/Golden.
    public static func path(_ name: String) -> String {
        URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appending(components: "Golden", name).path
    }

    /// The bytes of a file in Tests/Golden.
    public static func data(_ name: String) throws -> Data {
        try Data(contentsOf: URL(filePath: path(name)))
    }

    /// A JSON file of Tests/Golden, decoded.
    public static func json<T: Decodable>(_ name: String, as type: T.Type = T.self) throws -> T {
        try JSONDecoder().decode(type, from: data(name))
    }

    /// A two-dimensional little-endian float32 array in NumPy's `.npy` format, version 1: its shape and its
    /// elements in row-major order.
    public static func npy(_ name: String) throws -> (rows: Int, columns: Int, values: [Float]) {
        let data = try data(name)
        let headerLength = Int(data[8]) | Int(data[9]) << 8
        let header = String(decoding: data[10..<10 + headerLength], as: UTF8.self)
        guard header.contains("'descr': '<f4'"), header.contains("'fortran_order': False"),
            let open = header.range(of: "'shape': ("),
            let close = header[open.upperBound...].firstIndex(of: ")")
        else { throw CocoaError(.fileReadCorruptFile) }
        let shape = header[open.upperBound..<close].split(separator: ",").compactMap {
            Int($0.trimmingCharacters(in: .whitespaces))
        }
        let body = data[(10 + headerLength)...]
        let values: [Float] = body.withUnsafeBytes { bytes in
            (0..<bytes.count / 4).map { at in
                let bits = bytes.loadUnaligned(fromByteOffset: 4 * at, as: UInt32.self)
                return Float(bitPattern: UInt32(littleEndian: bits))
            }
        }
        guard shape.count == 2, shape[0] * shape[1] == values.count else {
            throw CocoaError(.fileReadCorruptFile)
        }
        return (shape[0], shape[1], values)
    }
}

/// Models that are too large for the repository.
public enum TestModel {
    /// SmolLM2-135M-Instruct.Q4_1.gguf: where `LARIAT_TEST_MODEL` says, or in the cache that `Ops/model` fills;
    /// nil when it is in neither place.
    public static var smolLM2: String? {
        let environment = ProcessInfo.processInfo.environment
        let cache = environment["XDG_CACHE_HOME"] ?? (environment["HOME"] ?? "/nonexistent") + "/.cache"
        let path =
            environment["LARIAT_TEST_MODEL"] ?? cache + "/lariat/models/SmolLM2-135M-Instruct.Q4_1.gguf"
        return FileManager.default.fileExists(atPath: path) ? path : nil
    }
}
