// A file mapped into memory, read only. The only place here that owns an operating system resource.
import Glibc

/// A whole file mapped into memory, read only, unmapped when the last tensor that uses it is gone.
///
/// The mapping shows the file as it is on disk. Cutting the file short while it is mapped ends the process with
/// SIGBUS, as with every mapped file: replace model files by renaming, never by writing over them.
@safe final class Mapping: @unchecked Sendable {
    // Unchecked because of the pointer; the memory is never written and the pointer never changes.
    private let bytes: UnsafeRawBufferPointer
    /// Which file is mapped; nil for memory that stands in place of a file.
    let identity: FileIdentity?

    var count: Int { unsafe bytes.count }

    /// Maps the file at `path`, which must be a regular file that is not empty.
    init(path: String) throws(GGUFError) {
        func refuse(_ problem: String) -> GGUFError {
            GGUFError(kind: .unreadable, path: path, problem: problem)
        }
        // O_NONBLOCK: opening a pipe by mistake must not wait for its writer.
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else {
            throw refuse("cannot be opened: \(unsafe String(cString: strerror(errno)))")
        }
        defer { close(descriptor) }
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0 else {
            throw refuse("cannot be examined: \(unsafe String(cString: strerror(errno)))")
        }
        guard status.st_mode & S_IFMT == S_IFREG else { throw refuse("is not a regular file") }
        guard status.st_size > 0 else { throw refuse("is empty") }
        let size = Int(status.st_size)
        guard let start = unsafe mmap(nil, size, PROT_READ, MAP_PRIVATE, descriptor, 0),
            unsafe start != MAP_FAILED
        else {
            throw refuse("cannot be mapped: \(unsafe String(cString: strerror(errno)))")
        }
        unsafe bytes = UnsafeRawBufferPointer(start: start, count: size)
        identity = FileIdentity(status)
    }

    /// Memory with a copy of `contents`, which must not be empty, in place of a file.
    init(copying contents: [UInt8], path: String) throws(GGUFError) {
        let start = unsafe mmap(
            nil, contents.count, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        guard let start = unsafe start, unsafe start != MAP_FAILED else {
            throw GGUFError(
                kind: .unreadable, path: path,
                problem: "cannot be held in memory: \(unsafe String(cString: strerror(errno)))")
        }
        let memory = unsafe UnsafeMutableRawBufferPointer(start: start, count: contents.count)
        unsafe memory.copyBytes(from: contents)
        unsafe bytes = UnsafeRawBufferPointer(memory)
        identity = nil
    }

    deinit {
        unsafe munmap(UnsafeMutableRawPointer(mutating: bytes.baseAddress), bytes.count)
    }

    /// Lends the bytes of `range`, which must lie inside the file.
    func withBytes<R, E: Error>(
        _ range: Range<Int>, _ body: (UnsafeRawBufferPointer) throws(E) -> R
    ) throws(E) -> R {
        precondition(range.lowerBound >= 0 && range.upperBound <= count)
        defer { withExtendedLifetime(self) {} }
        return try unsafe body(UnsafeRawBufferPointer(rebasing: bytes[range]))
    }
}

/// What tells two files apart whatever they are called.
struct FileIdentity: Equatable {
    private let device: dev_t
    private let inode: ino_t

    init(_ status: stat) {
        device = status.st_dev
        inode = status.st_ino
    }

    /// The file that `path` leads to, or nil when there is none.
    init?(path: String) {
        var status = stat()
        guard unsafe stat(path, &status) == 0 else { return nil }
        self.init(status)
    }
}
