// What goes wrong with the disk tier, as values.
import Numerals

/// Why a folder cannot be used.
public enum KVFolderError: Error, Sendable, Equatable, CustomStringConvertible {
    /// Another process uses it.
    case locked(path: String)
    case system(path: String, DiskError)

    public var description: String {
        switch self {
        case .locked(let path):
            "\(path) is in use by another worker; stop that one, or give this one another folder or another name"
        case .system(let path, let error):
            "\(path) cannot hold keys and values (\(error)); make it a folder that this process may write to, or "
                + "name another"
        }
    }
}

/// Something that cost a copy, never a run. Sequences are named as the coordinator names them.
public enum KVDiskFault: Error, Sendable, Equatable, CustomStringConvertible {
    /// A sequence was not written.
    case notWritten(sequence: String, DiskError)
    /// A sequence was written, but a loss of power may still take the copy away.
    case notSafe(sequence: String, DiskError)
    /// It alone is larger than the limit.
    case tooLarge(sequence: String, bytes: Int, quota: Int)
    /// What takes the room cannot be deleted, is being read, or belongs to a newer program. Bytes that it needs.
    case noRoom(sequence: String, bytes: Int)
    /// So many waited to be written already; it was the oldest.
    case queueFull(sequence: String, waiting: Int)
    /// There is a copy of this name that a newer program wrote, which is left alone.
    case newerCopy(sequence: String)
    /// It cannot be described in a manifest.
    case notDescribable(sequence: String)
    /// A copy cannot be used and has been given up. The page: its id, or nil where it is the manifest.
    case unusable(sequence: String, page: String?, FileDamage)
    /// A file could not be deleted; it is tried again.
    case notDeleted(DiskError)

    public var description: String {
        switch self {
        case .notWritten(let sequence, let error):
            "the sequence \(sequence) stays in memory only: \(error)"
                + (error.isFull ? "; make room on the disk, or lower the limit of the folder" : "")
        case .notSafe(let sequence, let error):
            "the copy of the sequence \(sequence) may be lost with the host's power: \(error)"
        case .tooLarge(let sequence, let bytes, let quota):
            "the sequence \(sequence) stays in memory only: it needs \(bytes.grouped) bytes on disk, and the limit is "
                + "\(quota.grouped); raise it"
        case .noRoom(let sequence, let bytes):
            "the sequence \(sequence) stays in memory only: it needs \(bytes.grouped) bytes more on disk, and what "
                + "takes the room cannot go; raise the limit, or empty the folder"
        case .queueFull(let sequence, let waiting):
            "the sequence \(sequence) stays in memory only: \(waiting.grouped) others wait for the disk, which is too slow"
        case .newerCopy(let sequence):
            "the sequence \(sequence) stays in memory only: a newer version of this program has written one of that "
                + "name; use that version, or another folder"
        case .notDescribable(let sequence):
            "the sequence \(sequence) stays in memory only: its description is too long for a manifest"
        case .unusable(let sequence, let page, let damage):
            "the copy of the sequence \(sequence) on disk is not used: "
                + "\(page.map { "page \($0)" } ?? "its manifest") \(damage.words)"
        case .notDeleted(let error):
            "a file of keys and values could not be deleted: \(error); it is tried again"
        }
    }
}

extension FileDamage {
    /// What is wrong, behind the name of the file.
    public var words: String {
        switch self {
        case .missing: "is missing"
        case .notOurs: "is no such file"
        case .newer(let version): "has version \(version), which a newer program wrote"
        case .length: "has another length than it says"
        case .frame: "has a damaged header or trailer"
        case .block(let offset): "is damaged in the 64 KiB from byte \(offset.grouped) of its rows on"
        case .digest: "does not have its digest"
        case .other: "holds something else"
        case .content: "contradicts itself"
        case .late: "could not be read in time"
        case .system(let error): "cannot be read (\(error))"
        }
    }
}
