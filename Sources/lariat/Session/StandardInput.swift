// What standard input is: a terminal, a pipe, a file, or nothing that holds a text.

import CoreFoundation
import Foundation

/// What may come from standard input, found without reading any of it.
package enum StandardInput: Sendable, Equatable {
    case terminal
    /// A pipe or a socket. Its other end may belong to nobody who ever writes: ssh and services leave such ones.
    case stream
    case file
    /// A file that another program has read from: the list of a shell's loop, not a text for us.
    case partlyReadFile
    /// `/dev/null` and the like.
    case device
    case closed

    package static var current: StandardInput { of(STDIN_FILENO) }

    package static func of(_ descriptor: Int32) -> StandardInput {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { return .closed }
        switch status.st_mode & S_IFMT {
        case S_IFIFO, S_IFSOCK: return .stream
        case S_IFREG: return lseek(descriptor, 0, SEEK_CUR) > 0 ? .partlyReadFile : .file
        case S_IFCHR: return isatty(descriptor) == 1 ? .terminal : .device
        // What the system put in the place of a closed one.
        default: return .closed
        }
    }

    /// Whether there is something to read, or the end, within `seconds`. Blocks its thread.
    static func answers(_ descriptor: Int32, within seconds: Double) -> Bool {
        var poll = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        let end = Date() + seconds
        while true {
            let count = Foundation.poll(&poll, 1, Int32(max(0, end.timeIntervalSinceNow) * 1000))
            if count != -1 || errno != EINTR { return count != 0 }
        }
    }
}
