// Commands with a deadline: their streams, how they end, that nothing of them stays behind.

import Foundation
import Testing
import lariat

@Suite(.timeLimit(.minutes(10))) struct RemoteCommandTests {
    private func shell(
        _ script: String, input: [UInt8] = [], within limit: Duration = .seconds(30)
    ) async -> RemoteResult {
        await RemoteCommand.run(["sh", "-c", script], input: input, within: limit)
    }

    @Test func streamsAndExitCode() async {
        let input = [UInt8](repeating: 0x61, count: 1_000_000)
        let result = await shell("wc -c; echo one >&2; echo 'two\u{7}' >&2; exit 7", input: input)
        #expect(result.end == .exited(7) && result.output.contains("1000000"))
        #expect(result.lastWords == "one / two?")
        #expect(await shell("cat").output.isEmpty)
        #expect(await shell("kill -TERM $$").end == .signalled(SIGTERM))
    }

    @Test("Whoever reads nothing is no error here: the exit code counts")
    func unread() async {
        let input = [UInt8](repeating: 0x61, count: 1_000_000)
        #expect(await shell("exit 3", input: input).end == .exited(3))
    }

    @Test("Of much output the end is kept")
    func much() async {
        let result = await shell("head -c 3000000 /dev/zero | tr '\\0' x; echo; echo installed; seq 9999 >&2")
        #expect(result.output.utf8.count <= 64 << 10 && result.output.hasSuffix("\ninstalled\n"))
        #expect(result.lastWords == "9997 / 9998 / 9999")
    }

    @Test("At the deadline the whole group ends, by force if need be")
    func deadline() async throws {
        let result = await shell(
            "trap '' TERM; sleep 1000 & echo $!; wait; sleep 1000", within: .seconds(2))
        #expect(result.end == .timedOut)
        let child = try #require(pid_t(result.output.trimmingCharacters(in: .whitespacesAndNewlines)))
        // It may be a zombie until its new parent looks.
        let state = try? String(contentsOfFile: "/proc/\(child)/stat", encoding: .utf8)
        #expect(state.map { $0.contains(") Z ") } ?? true)
    }

    @Test func cancelled() async throws {
        let file = FileManager.default.temporaryDirectory.appending(path: "lariat-begun-\(UUID())").path
        defer { try? FileManager.default.removeItem(atPath: file) }
        let task = Task { await shell("echo begun; touch '\(file)'; sleep 1000") }
        while !FileManager.default.fileExists(atPath: file) { try await Task.sleep(for: .milliseconds(10)) }
        task.cancel()
        let result = await task.value
        #expect(result.end == .cancelled && result.output == "begun\n")
    }

    @Test("What it leaves running in the background is not waited for")
    func background() async throws {
        let result = await shell("sleep 1000 & echo $!")
        #expect(result.end == .exited(0) && result.output.hasSuffix("\n"))
        kill(try #require(pid_t(result.output.dropLast())), SIGKILL)
    }

    @Test func noSuchProgram() async {
        let result = await RemoteCommand.run(["/no/such/program"], within: .seconds(5))
        guard case .notStarted(let why) = result.end else {
            Issue.record("\(result.end)")
            return
        }
        #expect(why.contains("/no/such/program"))
    }
}
