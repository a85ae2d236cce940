// Where a path leads: to a regular file or to none, which is made beside its place, or to something that is written to.
import Glibc

/// The end of a path's symbolic links.
enum OutputPlace {
    /// A file of this path, or none yet, with its owner and mode.
    case file(target: String, old: FileOwner?)
    /// A device, a pipe, or a descriptor of this process (/dev/stdout, /proc/self/fd/3), opened for writing.
    case open(CInt)

    /// The longest wait for somebody who reads from a pipe.
    static let readerSeconds = 10
    private static let mostLinks = 40

    /// - Parameter follows: Whether to go where a symbolic link leads; else it counts as a file.
    init(_ path: String, follows: Bool) throws(OutputError) {
        guard !path.isEmpty, !path.hasSuffix("/") else { throw OutputError(path, .noName) }
        var current = path
        for _ in 0..<Self.mostLinks {
            if let number = Self.ownDescriptor(current) {
                let copy = fcntl(number, F_DUPFD_CLOEXEC, 3)
                guard copy >= 0 else { throw OutputError(path, .system(errno)) }
                self = .open(copy)
                return
            }
            var status = stat()
            guard unsafe lstat(current, &status) == 0 else {
                guard errno == ENOENT else { throw OutputError(path, .system(errno)) }
                self = .file(target: current, old: nil)
                return
            }
            switch status.st_mode & S_IFMT {
            case S_IFLNK where follows:
                guard let link = Self.link(current) else { throw OutputError(path, .system(errno)) }
                current = link.hasPrefix("/") ? link : Self.folder(of: current) + "/" + link
            case S_IFREG, S_IFLNK:
                self = .file(target: current, old: FileOwner(status))
                return
            case S_IFDIR: throw OutputError(path, .system(EISDIR))
            default:
                self = .open(try Self.open(current, named: path))
                return
            }
        }
        throw OutputError(path, .system(ELOOP))
    }

    static func name(of path: String) -> String {
        path.lastIndex(of: "/").map { String(path[path.index(after: $0)...]) } ?? path
    }

    static func folder(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    /// A copy of the descriptor writes where its other holders write on; the file's name would begin it anew.
    private static func ownDescriptor(_ path: String) -> CInt? {
        guard let number = CInt(name(of: path)), let folder = unsafe realpath(folder(of: path), nil) else {
            return nil
        }
        defer { unsafe free(folder) }
        let real = unsafe String(cString: folder)
        let isMine = real.hasPrefix("/proc/\(getpid())/") && real.hasSuffix("/fd")
        return isMine ? number : nil
    }

    private static func link(_ path: String) -> String? {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX) + 1)
        let count = unsafe readlink(path, &buffer, buffer.count)
        return count > 0
            ? String(validating: buffer[..<count].map(UInt8.init(bitPattern:)), as: UTF8.self) : nil
    }

    private static func open(_ target: String, named path: String) throws(OutputError) -> CInt {
        // A pipe without a reader opens for nobody: one may come in a moment.
        for _ in 0..<(readerSeconds * 20) {
            let descriptor = unsafe Glibc.open(target, O_WRONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
            if descriptor >= 0 { return descriptor }
            guard errno == ENXIO || errno == EINTR else { throw OutputError(path, .system(errno)) }
            usleep(50_000)
        }
        throw OutputError(path, .nobodyReads)
    }
}

/// Whose a file is, and what others may do with it.
struct FileOwner {
    private let user: uid_t
    private let group: gid_t
    private let mode: mode_t

    init(_ status: stat) { (user, group, mode) = (status.st_uid, status.st_gid, status.st_mode & 0o777) }

    /// Gives an open file the same owner, group and mode; false, with `errno`: that may not be.
    func isTaken(by descriptor: CInt) -> Bool {
        var new = stat()
        guard unsafe fstat(descriptor, &new) == 0 else { return false }
        let isOwned =
            (new.st_uid == user && new.st_gid == group) || fchown(descriptor, user, group) == 0
        return isOwned && fchmod(descriptor, mode) == 0
    }
}
