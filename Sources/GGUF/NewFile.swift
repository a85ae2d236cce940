// A file in the making: under a temporary name until it is complete and on the disk, gone when it does not get there.
import Glibc

/// A new file of a size known from the start. What is not written of it is zero. It has its name after `finish()`;
/// when it is given up before that, nothing stays.
struct NewFile: ~Copyable {
    private let path: String
    private let folder: String
    private let temporary: String
    private let byteCount: Int
    private let overwrite: Bool
    /// -1 when closed.
    private var descriptor: CInt
    /// Whether there is a file under the temporary name.
    private var isTemporary = true

    /// Makes the file under a temporary name in the folder of `path`.
    ///
    /// `checkingSpace`: whether to ask first if the disk has room, so that a person need not wait for the answer.
    init(path: String, byteCount: Int, overwrite: Bool, checkingSpace: Bool) throws(GGUFError) {
        let slash = path.utf8.lastIndex(of: UInt8(ascii: "/"))
        let name = slash.map { path[path.utf8.index(after: $0)...] } ?? path[...]
        let folder = slash.map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        guard !name.isEmpty else {
            throw GGUFError(
                kind: .unwritable, path: path,
                problem: "is not the name of a file. Name a file in that folder")
        }
        try Self.checkTarget(path, overwrite: overwrite)
        if checkingSpace { try Self.checkSpace(path, folder: folder, byteCount: byteCount) }

        let digits = String(UInt64.random(in: .min ... .max), radix: 16)
        let suffix = ".partial-" + String(repeating: "0", count: 16 - digits.count) + digits
        // Cut so that it fits where `name` fits: names have at most 255 bytes.
        var start = name
        while start.utf8.count + suffix.utf8.count > Int(NAME_MAX) { start.removeLast() }
        let temporary = "\(folder)/\(start)\(suffix)"
        let descriptor = unsafe open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else { throw Self.failure(path, folder: folder, byteCount: byteCount, errno) }
        guard ftruncate(descriptor, off_t(byteCount)) == 0 else {
            let error = errno
            close(descriptor)
            unsafe unlink(temporary)
            throw Self.failure(path, folder: folder, byteCount: byteCount, error)
        }
        self.path = path
        self.folder = folder
        self.temporary = temporary
        self.byteCount = byteCount
        self.overwrite = overwrite
        self.descriptor = descriptor
    }

    deinit {
        if descriptor >= 0 { close(descriptor) }
        if isTemporary { unsafe unlink(temporary) }
    }

    /// Writes `bytes` at `offset`. When they are mapped from a file, `source` is its path.
    @unsafe mutating func write(
        _ bytes: UnsafeRawBufferPointer, at offset: Int, from source: String? = nil
    ) throws(GGUFError) {
        var done = 0
        while done < bytes.count {
            // In pieces, so that a signal need not wait for gigabytes.
            let piece = unsafe UnsafeRawBufferPointer(
                rebasing: bytes[done..<min(done + (4 << 20), bytes.count)])
            let count = unsafe pwrite(descriptor, piece.baseAddress, piece.count, off_t(offset + done))
            if count < 0 {
                let error = errno
                if error == EINTR { continue }
                // What the kernel says instead of SIGBUS when the pages of a mapped file are gone.
                if error == EFAULT, let source {
                    throw GGUFError(
                        kind: .unreadable, path: source,
                        problem:
                            "could not be read while it was copied: it became shorter, or its disk fails. "
                            + "Nothing was written to \(path)")
                }
                throw failure(error)
            }
            guard count > 0 else { throw failure(EIO) }
            done += count
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
        guard fsync(descriptor) == 0 else { throw failure(errno) }
        let closed = close(descriptor)
        descriptor = -1
        guard closed == 0 else { throw failure(errno) }
        try rename()
        // The name must reach the disk too. Some file systems cannot promise that; the file is whole in any case.
        let directory = unsafe open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        if directory >= 0 {
            fsync(directory)
            close(directory)
        }
    }

    private mutating func rename() throws(GGUFError) {
        // A link, unlike rename, never replaces a file, even one that came during the copy.
        if !overwrite {
            if unsafe link(temporary, path) == 0 {
                isTemporary = unsafe unlink(temporary) != 0
                return
            }
            let error = errno
            guard error != EEXIST else { throw Self.exists(path) }
            // Some file systems have no links: one look more is the best they allow.
            guard error == EPERM || error == EOPNOTSUPP || error == ENOSYS else { throw failure(error) }
            try Self.checkTarget(path, overwrite: false)
        }
        guard unsafe Glibc.rename(temporary, path) == 0 else { throw failure(errno) }
        isTemporary = false
    }
}

// MARK: What can go wrong

extension NewFile {
    private static func exists(_ path: String) -> GGUFError {
        GGUFError(
            kind: .unwritable, path: path,
            problem: "exists already and is kept. Name another file, or allow this one to be overwritten")
    }

    private static func checkTarget(_ path: String, overwrite: Bool) throws(GGUFError) {
        var status = stat()
        guard unsafe lstat(path, &status) == 0 else { return }
        // Rename would put the file in place of a device or pipe.
        guard [S_IFREG, S_IFLNK].contains(status.st_mode & S_IFMT) else {
            throw GGUFError(
                kind: .unwritable, path: path,
                problem: "exists and is not a regular file. Name another file")
        }
        guard overwrite else { throw exists(path) }
    }

    /// A look ahead only: others may use the space that is free now.
    private static func checkSpace(_ path: String, folder: String, byteCount: Int) throws(GGUFError) {
        var status = statvfs()
        guard unsafe statvfs(folder, &status) == 0 else {
            throw failure(path, folder: folder, byteCount: byteCount, errno)
        }
        // A file system without a size, such as some in memory or over a network, says 0 blocks.
        guard status.f_blocks > 0 else { return }
        let (free, overflow) = UInt(status.f_bavail).multipliedReportingOverflow(by: UInt(status.f_frsize))
        guard overflow || free >= UInt(byteCount) else {
            throw failure(path, folder: folder, byteCount: byteCount, ENOSPC, free: free)
        }
    }

    private func failure(_ error: CInt) -> GGUFError {
        Self.failure(path, folder: folder, byteCount: byteCount, error)
    }

    private static func failure(
        _ path: String, folder: String, byteCount: Int, _ error: CInt, free: UInt? = nil
    ) -> GGUFError {
        let reason = unsafe String(cString: strerror(error))
        let remedy =
            switch error {
            case ENOENT: ". The folder '\(folder)' does not exist: make it first"
            case ENOSPC, EDQUOT: ". Make room in '\(folder)', or name a file on another disk"
            case EACCES, EROFS: ". Name a file in a folder that you may write to"
            case EFBIG: ". Name a file on a file system that holds files of that size"
            default: ""
            }
        let room = free.map { ", \($0) are free" } ?? ""
        return GGUFError(
            kind: .unwritable, path: path,
            problem: "cannot be written (\(byteCount) bytes are needed\(room)): \(reason)\(remedy)")
    }
}
