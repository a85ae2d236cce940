// A folder on disk for one test, and what is told of it.
import Foundation
import KVCache
import Kernels
import Synchronization
import Testing

let identity = "model 1, bf16, avx2"

/// A folder of kept sequences, gone with the test.
final class DiskFolder {
    let path = FileManager.default.temporaryDirectory.appending(component: "kv-\(UUID().uuidString)").path
    let memory = KVMemory(limit: 1 << 22)
    let faults = Faults()

    final class Faults: Sendable {
        private let all = Mutex<[KVDiskFault]>([])
        func add(_ fault: KVDiskFault) { all.withLock { $0.append(fault) } }
        func take() -> [KVDiskFault] {
            all.withLock { all in
                defer { all = [] }
                return all
            }
        }
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func open(
        quota: Int = 1 << 22, identity: String = identity, shape: KVShape = smallShape,
        disk: any DiskCalls = SystemDisk()
    ) throws -> KVFolder {
        try KVFolder(
            path: path, identity: identity, shape: shape, quota: quota, disk: disk,
            report: { [faults] in faults.add($0) })
    }

    var names: [String] { get throws { try FileManager.default.contentsOfDirectory(atPath: path).sorted() } }
    func names(_ suffix: String) throws -> [String] { try names.filter { $0.hasSuffix(suffix) } }
    func at(_ name: String) -> String { path + "/" + name }
    func bytes(_ name: String) throws -> [UInt8] { Array(try Data(contentsOf: URL(filePath: at(name)))) }
    /// In the place of what is there, without a wait for the disk, which would be most of a test's time.
    func put(_ bytes: [UInt8], _ name: String) throws {
        unlink(at(name))
        let file = try #require(fopen(at(name), "w"))
        defer { fclose(file) }
        #expect(fwrite(bytes, 1, bytes.count, file) == bytes.count)
    }

    /// Bytes of all files.
    var size: Int { get throws { try names.reduce(0) { $0 + (try bytes($1).count) } } }

    /// Writes a new sequence of the given seed.
    @discardableResult
    func write(_ name: String, rows: Int, seed: Int, into folder: KVFolder) throws -> KVSequence {
        let rows = try sequence(rows: rows, seed: seed, shape: folder.shape, memory: memory)
        #expect(folder.write(try part(rows), as: name))
        return rows
    }
}
