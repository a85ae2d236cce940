// Why a file could not be written, as a value and in words with a remedy.
import Glibc

/// What stood in the way of a file.
public struct OutputError: Error, Equatable, CustomStringConvertible {
    public enum Reason: Sendable, Equatable {
        /// The path names a folder, or nothing.
        case noName
        /// There is something at the path, which was to be kept.
        case exists
        /// The new file cannot be given the owner and group of the old one: the number of the system's error.
        case ownerLost(Int32)
        /// Nobody read from the pipe or device for ten seconds.
        case nobodyReads
        /// The number of the system's error.
        case system(Int32)
    }

    /// As it was given.
    public let path: String
    public let reason: Reason

    /// Where the path's symbolic links lead.
    private let target: String

    init(_ path: String, at target: String? = nil, _ reason: Reason) {
        self.path = path
        self.target = target ?? path
        self.reason = reason
    }

    /// What is wrong and what to do, without the path before it.
    public var problem: String {
        switch reason {
        case .noName: "is not the name of a file. Name a file in that folder"
        case .exists: "exists already and is kept. Name another file, or allow this one to be overwritten"
        case .ownerLost(let error):
            "cannot be replaced, because its owner and group cannot be kept: \(Self.words(error)). Name another file"
        case .nobodyReads:
            "nobody reads from it: it took nothing for \(OutputPlace.readerSeconds) s. Start its reader first"
        case .system(let error): "cannot be written: \(Self.words(error))\(remedy)"
        }
    }

    /// What helps against the system's error: empty, or a sentence behind a full stop.
    public var remedy: String {
        guard case .system(let error) = reason else { return "" }
        let folder = OutputPlace.folder(of: target)
        return switch error {
        case ENOENT: ". The folder '\(folder)' does not exist: make it first"
        case ENOSPC, EDQUOT: ". Make room in '\(folder)', or name a file on another disk"
        case EACCES, EPERM, EROFS: ". Name a file in a folder that you may write to"
        case EFBIG: ". Name a file on a file system that holds files of that size"
        case EISDIR: ". Name a file in that folder"
        default: ""
        }
    }

    public var description: String { "\(path): \(problem)" }

    /// The system's words for its error.
    public static func words(_ error: Int32) -> String { unsafe String(cString: strerror(error)) }
}
