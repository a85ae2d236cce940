// The journal's folder and files: prompts and answers are in them, so they are the owner's alone.
import Foundation

#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#endif

enum JournalFiles {
    static let database = "journal.sqlite"
    static let lock = "lock"
    /// SQLite gives the files that it makes beside the database the database's own mode.
    private static let all = [database, database + "-wal", database + "-shm", lock]

    /// Makes the folder, for the owner alone, where there is none. One that is there keeps its mode.
    static func makeFolder(_ path: String) throws(CoordinatorError) {
        let parent = URL(filePath: path).deletingLastPathComponent().path
        do {
            try FileManager.default.createDirectory(atPath: parent, withIntermediateDirectories: true)
        } catch { throw failure(path, "cannot be created: \(error)") }
        guard mkdir(path, 0o700) != 0 else { return }
        let code = errno
        var isFolder: ObjCBool = false
        guard code == EEXIST, FileManager.default.fileExists(atPath: path, isDirectory: &isFolder),
            isFolder.boolValue
        else { throw failure(path, "cannot be created: \(String(cString: strerror(code)))") }
    }

    /// Makes the database's file if there is none, and takes all files from everybody but the owner, those of earlier
    /// versions too.
    static func protect(_ folder: String) throws(CoordinatorError) {
        let path = folder + "/" + database
        let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            throw failure(folder, "is not writable: \(String(cString: strerror(errno)))")
        }
        close(descriptor)
        for name in all {
            var status = stat()
            let file = folder + "/" + name
            guard stat(file, &status) == 0, status.st_mode & 0o077 != 0 else { continue }
            guard chmod(file, status.st_mode & 0o700) == 0 else {
                throw failure(
                    folder, "has \(name), which everybody may read: \(String(cString: strerror(errno)))")
            }
        }
    }

    private static func failure(_ folder: String, _ what: String) -> CoordinatorError {
        CoordinatorError(.unavailable, "the data directory \(folder) \(what)")
    }
}

/// Holds a lock file as long as it lives, so that two coordinators never share a directory. The kernel lets go
/// when the process ends, however it ends.
final class DirectoryLock: Sendable {
    private let descriptor: CInt

    init(directory: String) throws(CoordinatorError) {
        let path = directory + "/" + JournalFiles.lock
        descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            throw CoordinatorError(
                .unavailable,
                "the data directory \(directory) is not writable: \(String(cString: strerror(errno)))")
        }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            close(descriptor)
            throw CoordinatorError(
                .notPossible,
                "another coordinator uses the data directory \(directory); stop it, or give this one another "
                    + "--data directory")
        }
    }

    deinit { close(descriptor) }
}
