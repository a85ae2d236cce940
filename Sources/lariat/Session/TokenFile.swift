// Changes of a file of tokens: one at a time, and the file is whole at every moment.

internal import Cluster
import CoreFoundation
import Foundation
import WholeFiles

struct TokenFile {
    let path: String
    /// Another change takes milliseconds.
    private static let lockSeconds = 10.0

    init(path: String) { self.path = path }

    /// Gives the file's text to `body` and puts what it returns in its place. A new file is its owner's alone (0600); one
    /// that is there keeps its owner and mode.
    func change(
        mayBeMissing: Bool, _ body: (String) throws(ClusterError) -> String
    ) throws {
        let deadline = Date() + Self.lockSeconds
        while true {
            let descriptor = open(
                path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | (mayBeMissing ? O_CREAT : 0), 0o600)
            guard descriptor >= 0 else {
                throw Failure(
                    "\(path): the file of tokens cannot be opened: \(String(cString: strerror(errno)))",
                    exitCode: ExitStatus.unreadableInput)
            }
            defer { close(descriptor) }
            while flock(descriptor, LOCK_EX | LOCK_NB) != 0 {
                guard Date() < deadline else {
                    throw Failure(
                        "\(path): another program has locked the file of tokens for \(Int(Self.lockSeconds)) s; try again",
                        exitCode: ExitStatus.tryAgain)
                }
                usleep(20_000)
            }
            // Whoever had the lock has put another file in the place of the one that was opened.
            var (mine, there) = (stat(), stat())
            guard fstat(descriptor, &mine) == 0, stat(path, &there) == 0, mine.st_ino == there.st_ino,
                mine.st_dev == there.st_dev
            else {
                guard Date() < deadline else {
                    throw Failure(
                        "\(path): others change the file of tokens all the time; try again",
                        exitCode: ExitStatus.tryAgain)
                }
                continue
            }
            let text = try AtomicFile.readText(path, limit: TokenStore.largestFile)
            try AtomicFile.write(try body(text), to: path, for: .owner)
            return
        }
    }
}
