// Small files of text: read up to a limit, written whole.

// Where Swift finds `stat` and its members depends on what else is imported.
import CoreFoundation
import Foundation
import Numerals
package import WholeFiles

/// Reads and writes small files of text.
package enum AtomicFile {
    package typealias Readers = OutputFile.Readers

    /// Writes a file whole: beside its place and then moved into it. A file that is there hands its owner, group and mode
    /// on, and what is no regular file (a device, a pipe) is written through (`OutputFile`).
    /// - Parameters:
    ///   - readers: Of a file that is new.
    ///   - replaces: Whether a file that is there is replaced; else it is an error.
    package static func write(
        _ text: String, to path: String, for readers: Readers = .everybody, replaces: Bool = true
    ) throws(Failure) {
        do throws(OutputError) {
            var file = try OutputFile(path, for: readers, present: replaces ? .replaced : .kept)
            try file.append(Array(text.utf8))
            try file.finish()
        } catch { throw Failure("\(error)") }
    }

    /// - Parameter limit: A larger file is an error.
    package static func read(_ path: String, limit: Int) throws(Failure) -> [UInt8] {
        let descriptor = Foundation.open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw unreadable(path) }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw unreadable(path) }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw Failure("\(path): is no file", exitCode: ExitStatus.unreadableInput)
        }
        guard status.st_size <= limit else {
            throw Failure(
                "\(path): has \(status.st_size.grouped) bytes; \(limit.grouped) at most are allowed",
                exitCode: ExitStatus.unreadableInput)
        }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        while bytes.count <= limit {
            let count = Foundation.read(descriptor, &buffer, buffer.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw unreadable(path) }
            if count == 0 { return bytes }
            bytes += buffer[..<count]
        }
        throw Failure("\(path): grows while it is read", exitCode: ExitStatus.unreadableInput)
    }

    package static func readText(_ path: String, limit: Int = 1 << 20) throws(Failure) -> String {
        guard let text = String(validating: try read(path, limit: limit), as: UTF8.self) else {
            throw Failure("\(path): is not UTF-8 text", exitCode: ExitStatus.unreadableInput)
        }
        return text
    }

    private static func unreadable(_ path: String) -> Failure {
        Failure(
            "\(path): cannot be read: \(String(cString: strerror(errno)))",
            exitCode: ExitStatus.unreadableInput)
    }
}
