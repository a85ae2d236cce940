// Child processes: their lines, how they end, that they notice the parent's end.

import Foundation
import Testing
import lariat

@Suite(.timeLimit(.minutes(10))) struct ChildProcessTests {
    private enum Seen: Sendable, Equatable {
        case line(String)
        case end(ChildEnd)
    }

    private func shell(_ script: String) throws -> (child: ChildProcess, seen: AsyncStream<Seen>) {
        let (seen, continuation) = AsyncStream.makeStream(of: Seen.self)
        let child = try ChildProcess(
            name: "test", executable: "/bin/sh", arguments: ["-c", script],
            onLine: { continuation.yield(.line($0)) },
            onEnd: {
                continuation.yield(.end($0))
                continuation.finish()
            })
        return (child, seen)
    }

    private func all(_ seen: AsyncStream<Seen>) async -> [Seen] {
        var all: [Seen] = []
        for await one in seen { all.append(one) }
        return all
    }

    @Test func linesThenTheEnd() async throws {
        let (_, seen) = try shell("echo one; echo two >&2; printf three; exit 7")
        #expect(await all(seen) == [.line("one"), .line("two"), .line("three"), .end(.exited(7))])
    }

    @Test func signalsReachTheWholeGroup() async throws {
        let (child, seen) = try shell("sleep 100 & echo started; wait")
        var iterator = seen.makeAsyncIterator()
        #expect(await iterator.next() == .line("started"))
        child.send(SIGKILL)
        #expect(await iterator.next() == .end(.signalled(SIGKILL)))
        // A child that is over gets no more signals: its number may be another's by now.
        child.send(SIGKILL)
    }

    /// The child's standard input stays open as long as this process, and holds nothing.
    @Test func inputIsALifeline() async throws {
        // A closed input would let cat end at once, with 0.
        let (child, seen) = try shell("timeout 0.3 cat; echo $?")
        #expect(await all(seen) == [.line("124"), .end(.exited(0))])
        child.send(SIGTERM)
    }

    @Test func noSuchProgram() {
        let failure = #expect(throws: Failure.self) {
            try ChildProcess(
                name: "x", executable: "/no/such/program", arguments: [], onLine: { _ in }, onEnd: { _ in })
        }
        #expect(failure?.message.contains("/no/such/program") == true)
    }
}
