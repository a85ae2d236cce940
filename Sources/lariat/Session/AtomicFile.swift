// Files that are whole at every moment: written beside their place, with their mode from the start, and moved into it.

// Where Swift finds `stat` and its members depends on what else is imported.
import CoreFoundation
import Foundation

/// Reads and writes small files of text.
package enum AtomicFile {
    /// Who may read a new file. It is made so: at no moment may others read it.
    package enum Readers {
        /// Its owner: 0600.
        case owner
        /// Everybody whom the process's umask lets: 0644.
        case everybody

        var mode: mode_t {
            switch self {
            case .owner: 0o600
            case .everybody: 0o644
            }
        }
    }

    /// - Parameters:
    ///   - replaces: Whether a file that is there is replaced; else it is an error.
    package static func write(
        _ text: String, to path: String, for readers: Readers, replaces: Bool
    ) throws(Failure) {
        try write(text, to: path, mode: readers.mode, replaces: replaces, like: nil)
    }

    /// Replaces a file by one of the same owner, group and mode.
    package static func replace(_ path: String, with text: String) throws(Failure) {
        // What a symbolic link names is replaced, not the link.
        let target = URL(filePath: path).resolvingSymlinksInPath().path
        var old = stat()
        guard stat(target, &old) == 0 else { throw problem("cannot be written", path) }
        try write(text, to: target, mode: Readers.owner.mode, replaces: true, like: old)
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
                "\(path): has \(status.st_size) bytes; \(limit) at most are allowed",
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

    private static func write(
        _ text: String, to path: String, mode: mode_t, replaces: Bool, like old: stat?
    ) throws(Failure) {
        let temporary = "\(path).\(UInt64.random(in: .min ... .max)).new"
        let descriptor = Foundation.open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode)
        guard descriptor >= 0 else { throw problem("cannot be written", path) }
        var isInPlace = false
        defer {
            close(descriptor)
            if !isInPlace { unlink(temporary) }
        }
        if let old {
            // Nobody may read it who could not read it before.
            var new = stat()
            let isOwned =
                fstat(descriptor, &new) == 0
                && ((new.st_uid == old.st_uid && new.st_gid == old.st_gid)
                    || fchown(descriptor, old.st_uid, old.st_gid) == 0)
            guard isOwned, fchmod(descriptor, old.st_mode & 0o777) == 0 else {
                throw problem("its owner and group cannot be kept", path)
            }
        }
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Foundation.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw problem("cannot be written", path) }
            rest = rest.dropFirst(count)
        }
        guard fsync(descriptor) == 0 else { throw problem("cannot be written", path) }
        if replaces {
            guard rename(temporary, path) == 0 else { throw problem("cannot be written", path) }
            isInPlace = true
        } else {
            // Unlike a rename, a link never replaces what came there meanwhile.
            guard link(temporary, path) == 0 else { throw problem("cannot be written", path) }
        }
    }

    private static func unreadable(_ path: String) -> Failure {
        Failure(
            "\(path): cannot be read: \(String(cString: strerror(errno)))",
            exitCode: ExitStatus.unreadableInput)
    }

    private static func problem(_ what: String, _ path: String) -> Failure {
        Failure("\(path): \(what): \(String(cString: strerror(errno)))")
    }
}
