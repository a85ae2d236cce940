// What the disk tier asks of the system: a few calls, so that tests can let each of them fail.
import Glibc

/// A call of the system that failed.
public struct DiskError: Error, Sendable, Equatable, CustomStringConvertible {
    public enum Call: String, Sendable, CaseIterable {
        case makeFolder, list, lock, create, open, size, write, read, syncData, rename, syncFolder, remove
    }

    public let call: Call
    /// The system's number (errno).
    public let number: Int32

    public init(_ call: Call, _ number: Int32) {
        self.call = call
        self.number = number
    }

    /// Whether nothing can be written before something goes.
    public var isFull: Bool { number == ENOSPC || number == EDQUOT }

    public var description: String { "\(call.words): \(String(cString: strerror(number)))" }
}

extension DiskError.Call {
    /// What failed, before a colon.
    fileprivate var words: String {
        switch self {
        case .makeFolder: "making the folder"
        case .list: "listing the folder"
        case .lock: "locking the folder"
        case .create: "making a file"
        case .open: "opening a file"
        case .size: "asking for a file's size"
        case .write: "writing"
        case .read: "reading"
        case .syncData: "waiting for a file to be on the disk"
        case .rename: "renaming a file"
        case .syncFolder: "waiting for the folder to be on the disk"
        case .remove: "deleting a file"
        }
    }
}

/// The system's calls on files of one folder. Descriptors are the system's numbers.
package protocol DiskCalls: Sendable {
    /// Makes a folder and those above it; one that is there is left as it is. It is its owner's alone (0700).
    func makeFolder(_ path: String) throws(DiskError)
    /// The names in a folder, at most `limit` of them.
    func list(_ path: String, limit: Int) throws(DiskError) -> [String]
    /// Opens the file, makes it where there is none, and locks it against every other process until it is closed; fails
    /// with EWOULDBLOCK at once where another has it.
    func lock(_ path: String) throws(DiskError) -> Int32
    /// Makes a file that was not there, for its owner only (0600).
    func create(_ path: String) throws(DiskError) -> Int32
    /// Opens a regular file to read it; never follows a link.
    func open(_ path: String) throws(DiskError) -> Int32
    /// Bytes of a file, and when it was last marked as used: seconds since 1970.
    func size(_ descriptor: Int32) throws(DiskError) -> (bytes: Int, used: Int)
    /// Writes some of the bytes; returns how many.
    func write(_ descriptor: Int32, _ bytes: UnsafeRawBufferPointer, at offset: Int) throws(DiskError) -> Int
    /// Reads some bytes; returns how many, 0 at the file's end.
    func read(
        _ descriptor: Int32, into bytes: UnsafeMutableRawBufferPointer, at offset: Int
    ) throws(DiskError) -> Int
    /// Waits until a file's bytes are on the disk.
    func syncData(_ descriptor: Int32) throws(DiskError)
    func close(_ descriptor: Int32)
    func rename(_ path: String, to new: String) throws(DiskError)
    /// Waits until a folder's names are on the disk.
    func syncFolder(_ path: String) throws(DiskError)
    func remove(_ path: String) throws(DiskError)
    /// Marks a file as used now, where that is possible.
    func touch(_ path: String)
}

extension DiskCalls {
    func writeAll(
        _ descriptor: Int32, _ bytes: UnsafeRawBufferPointer, at offset: Int
    ) throws(DiskError) {
        var done = 0
        while done < bytes.count {
            let count = try write(
                descriptor, UnsafeRawBufferPointer(rebasing: bytes[done...]), at: offset + done)
            guard count > 0 else { throw DiskError(.write, EIO) }
            done += count
        }
    }

    func writeAll(_ descriptor: Int32, _ bytes: [UInt8], at offset: Int) throws(DiskError) {
        try bytes.withUnsafeBufferPointer { bytes throws(DiskError) in
            try writeAll(descriptor, UnsafeRawBufferPointer(bytes), at: offset)
        }
    }

    /// So many bytes; nil: the file does not have them.
    /// - Precondition: the caller has compared the count with the file's size.
    func readAll(_ descriptor: Int32, count: Int, at offset: Int) throws(DiskError) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: count)
        let isWhole = try bytes.withUnsafeMutableBufferPointer { bytes throws(DiskError) in
            try readAll(descriptor, into: UnsafeMutableRawBufferPointer(bytes), at: offset)
        }
        return isWhole ? bytes : nil
    }

    /// - Returns: whether the file had so many bytes.
    func readAll(
        _ descriptor: Int32, into bytes: UnsafeMutableRawBufferPointer, at offset: Int
    ) throws(DiskError) -> Bool {
        var done = 0
        while done < bytes.count {
            let count = try read(
                descriptor, into: UnsafeMutableRawBufferPointer(rebasing: bytes[done...]), at: offset + done)
            guard count > 0 else { return false }
            done += count
        }
        return true
    }
}

/// The calls themselves.
package struct SystemDisk: DiskCalls {
    package init() {}

    package func makeFolder(_ path: String) throws(DiskError) {
        var prefix = path.hasPrefix("/") ? "/" : ""
        for part in path.split(separator: "/") {
            prefix += part
            guard mkdir(prefix, 0o700) == 0 || errno == EEXIST || isFolder(prefix) else {
                throw DiskError(.makeFolder, errno)
            }
            prefix += "/"
        }
        guard isFolder(path) else { throw DiskError(.makeFolder, ENOTDIR) }
    }

    /// Keeps `errno`.
    private func isFolder(_ path: String) -> Bool {
        let error = errno
        defer { errno = error }
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    package func list(_ path: String, limit: Int) throws(DiskError) -> [String] {
        guard let folder = opendir(path) else { throw DiskError(.list, errno) }
        defer { closedir(folder) }
        var names: [String] = []
        while true {
            errno = 0
            guard let entry = readdir(folder) else {
                guard errno == 0 else { throw DiskError(.list, errno) }
                return names
            }
            guard names.count < limit else { throw DiskError(.list, EOVERFLOW) }
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                String(validating: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if let name, name != ".", name != ".." { names.append(name) }
        }
    }

    package func lock(_ path: String) throws(DiskError) -> Int32 {
        let descriptor = Glibc.open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw DiskError(.lock, errno) }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            let error = errno
            Glibc.close(descriptor)
            throw DiskError(.lock, error)
        }
        return descriptor
    }

    package func create(_ path: String) throws(DiskError) -> Int32 {
        let descriptor = Glibc.open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw DiskError(.create, errno) }
        return descriptor
    }

    package func open(_ path: String) throws(DiskError) -> Int32 {
        let descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
        guard descriptor >= 0 else { throw DiskError(.open, errno) }
        return descriptor
    }

    package func size(_ descriptor: Int32) throws(DiskError) -> (bytes: Int, used: Int) {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw DiskError(.size, errno) }
        guard status.st_mode & S_IFMT == S_IFREG else { throw DiskError(.size, EINVAL) }
        return (Int(status.st_size), status.st_mtim.tv_sec)
    }

    package func write(
        _ descriptor: Int32, _ bytes: UnsafeRawBufferPointer, at offset: Int
    ) throws(DiskError) -> Int {
        while true {
            let count = pwrite(descriptor, bytes.baseAddress, bytes.count, off_t(offset))
            if count >= 0 { return count }
            guard errno == EINTR else { throw DiskError(.write, errno) }
        }
    }

    package func read(
        _ descriptor: Int32, into bytes: UnsafeMutableRawBufferPointer, at offset: Int
    ) throws(DiskError) -> Int {
        while true {
            let count = pread(descriptor, bytes.baseAddress, bytes.count, off_t(offset))
            if count >= 0 { return count }
            guard errno == EINTR else { throw DiskError(.read, errno) }
        }
    }

    package func syncData(_ descriptor: Int32) throws(DiskError) {
        guard fdatasync(descriptor) == 0 else { throw DiskError(.syncData, errno) }
    }

    package func close(_ descriptor: Int32) { Glibc.close(descriptor) }

    package func rename(_ path: String, to new: String) throws(DiskError) {
        guard Glibc.rename(path, new) == 0 else { throw DiskError(.rename, errno) }
    }

    package func syncFolder(_ path: String) throws(DiskError) {
        let descriptor = Glibc.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw DiskError(.syncFolder, errno) }
        defer { Glibc.close(descriptor) }
        // Some file systems cannot sync a folder and say so; there is nothing better to do on them.
        guard fsync(descriptor) == 0 || errno == EINVAL else { throw DiskError(.syncFolder, errno) }
    }

    package func remove(_ path: String) throws(DiskError) {
        guard unlink(path) == 0 || errno == ENOENT else { throw DiskError(.remove, errno) }
    }

    package func touch(_ path: String) { utimensat(AT_FDCWD, path, nil, AT_SYMLINK_NOFOLLOW) }
}
