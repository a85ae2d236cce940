// A new GGUF file of a size known from the start: room is asked for first, and errors say how much is needed.
import Glibc
import Numerals
import WholeFiles

/// What is not written of it is zero. It has its name after `finish()`; when it is given up before that, nothing stays.
struct NewFile: ~Copyable {
    private let path: String
    private let byteCount: Int
    private var output: OutputFile

    /// `checkingSpace`: whether to ask first if the disk has room, so that a person need not wait for the answer.
    init(path: String, byteCount: Int, overwrite: Bool, checkingSpace: Bool) throws(GGUFError) {
        var output = try Self.begin(path, byteCount, overwrite: overwrite)
        if checkingSpace, let folder = output.folder { try Self.checkSpace(path, folder, byteCount) }
        try Self.reserve(&output, byteCount)
        self.path = path
        self.byteCount = byteCount
        self.output = output
    }

    private static func begin(
        _ path: String, _ byteCount: Int, overwrite: Bool
    ) throws(GGUFError) -> OutputFile {
        do throws(OutputError) {
            return try OutputFile(path, present: overwrite ? .replaced : .kept)
        } catch { throw failure(error, byteCount: byteCount) }
    }

    private static func reserve(_ output: inout OutputFile, _ byteCount: Int) throws(GGUFError) {
        do throws(OutputError) { try output.reserve(byteCount) } catch {
            throw failure(error, byteCount: byteCount)
        }
    }

    /// Writes `bytes` at `offset`. When they are mapped from a file, `source` is its path.
    @unsafe mutating func write(
        _ bytes: UnsafeRawBufferPointer, at offset: Int, from source: String? = nil
    ) throws(GGUFError) {
        do throws(OutputError) { try unsafe output.write(bytes, at: offset) } catch {
            // What the kernel says instead of SIGBUS when the pages of a mapped file are gone.
            if error.reason == .system(EFAULT), let source {
                throw GGUFError(
                    kind: .unreadable, path: source,
                    problem:
                        "could not be read while it was copied: it became shorter, or its disk fails. "
                        + "Nothing was written to \(path)")
            }
            throw failure(error)
        }
    }

    /// Writes `bytes` at `offset`.
    mutating func write(_ bytes: [UInt8], at offset: Int) throws(GGUFError) {
        try unsafe bytes.withUnsafeBufferPointer { bytes throws(GGUFError) in
            try unsafe write(UnsafeRawBufferPointer(bytes), at: offset)
        }
    }

    /// Waits for the disk, then gives the file its name.
    consuming func finish() throws(GGUFError) {
        let byteCount = byteCount
        do throws(OutputError) { try output.finish() } catch {
            throw Self.failure(error, byteCount: byteCount)
        }
    }

    /// A look ahead only: others may use the space that is free now.
    private static func checkSpace(_ path: String, _ folder: String, _ byteCount: Int) throws(GGUFError) {
        var status = statvfs()
        // A file system without a size, such as some in memory or over a network, says 0 blocks.
        guard unsafe statvfs(folder, &status) == 0, status.f_blocks > 0 else { return }
        let (free, overflow) = UInt(status.f_bavail).multipliedReportingOverflow(by: UInt(status.f_frsize))
        guard overflow || free >= UInt(byteCount) else {
            throw GGUFError(
                kind: .unwritable, path: path,
                problem:
                    "cannot be written (\(byteCount.grouped) bytes are needed, \(free.grouped) are free): \(OutputError.words(ENOSPC)). "
                    + "Make room in '\(folder)', or name a file on another disk")
        }
    }

    private func failure(_ error: OutputError) -> GGUFError { Self.failure(error, byteCount: byteCount) }

    private static func failure(_ error: OutputError, byteCount: Int) -> GGUFError {
        var problem = error.problem
        if case .system(let number) = error.reason {
            problem =
                "cannot be written (\(byteCount.grouped) bytes are needed): \(OutputError.words(number))\(error.remedy)"
        }
        return GGUFError(kind: .unwritable, path: error.path, problem: problem)
    }
}
