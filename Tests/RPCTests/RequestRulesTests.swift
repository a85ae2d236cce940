// What a request may take of a server: time and memory. Values first, then over real sockets.

import HTTP2
import Protobuf
import RPC
import Testing

struct RequestRulesTests {
    private let start = ContinuousClock.now
    private func at(_ seconds: Double) -> ContinuousClock.Instant { start + .seconds(seconds) }
    private let pace = RequestPace(silence: .seconds(10), message: .seconds(20), request: .seconds(100))

    @Test func silenceIsMeasuredWhileTheServerWaits() {
        var progress = RequestProgress(began: start)
        // The server is busy with what it has: nobody is late.
        #expect(progress.problem(pace, at: at(1000)) == nil)
        progress.waitingSince = at(50)
        #expect(progress.problem(pace, at: at(60)) == nil)
        let late = progress.problem(pace, at: at(60.1))
        #expect(late?.code == .deadlineExceeded && late?.message.contains("10.0 seconds") == true, "\(late!)")
    }

    @Test func aMessageHasADeadlineOfItsOwn() {
        var progress = RequestProgress(began: start, messageSince: at(5), waitingSince: at(7))
        #expect(progress.problem(pace, at: at(27)) == nil)
        #expect(progress.problem(pace, at: at(27.1))?.message.contains("not complete") == true)
        // What arrives while the server does not read is not held against the client.
        progress.waitingSince = at(30)
        #expect(progress.problem(pace, at: at(49)) == nil)
    }

    @Test func aRequestEndsAtLast() {
        let progress = RequestProgress(began: start, waitingSince: at(100))
        #expect(progress.problem(pace, at: at(100)) == nil)
        #expect(progress.problem(pace, at: at(100.1))?.message.contains("did not end") == true)
    }

    @Test func memoryHasALimitForOneAndForAll() throws {
        let shared = SharedByteBudget(limit: 150)
        var one = RequestMemory(limit: 100, shared: shared)
        var other = RequestMemory(limit: 100, shared: shared)
        try one.change(from: 0, to: 60)
        try one.change(from: 60, to: 100)
        #expect(throws: RPCStatus.self) { try one.change(from: 0, to: 1) }
        try other.change(from: 0, to: 50)
        #expect(throws: RPCStatus.self) { try other.change(from: 50, to: 51) }
        // A refusal changes nothing, and giving back is never refused.
        #expect(one.held == 100 && other.held == 50 && shared.held == 150)
        try one.change(from: 100, to: 0)
        try other.change(from: 50, to: 100)
        try other.change(from: 100, to: 0)
        #expect(one.held == 0 && other.held == 0 && shared.held == 0)
    }

    @Test(arguments: [
        ("application/grpc", true), ("application/grpc+proto", true), ("Application/GRPC; a=b", true),
        ("application/grpc-web", false), ("application/grpc+json", false), ("application/grpcx", false),
        ("application/json", false), ("", false),
    ]) func contentTypes(type: String, isTaken: Bool) {
        let head = RequestHead([
            HTTP2Field(":method", "POST"), HTTP2Field(":path", "/a/b"), HTTP2Field("te", "trailers"),
            HTTP2Field("content-type", type),
        ])
        if case .call = head { #expect(isTaken) } else { #expect(!isTaken) }
    }

    // MARK: Over sockets

    /// What of a call never comes.
    enum Missing: CaseIterable { case messageEnd, requestEnd }

    /// Starts calls that do not come to their end.
    private func begin(
        _ count: Int, _ bytes: Int, without missing: Missing, _ client: RPCClient
    ) async throws -> [RPCCall<Blob, Blob>] {
        var calls: [RPCCall<Blob, Blob>] = []
        for _ in 0..<count {
            let body = [UInt8](repeating: 1, count: bytes)
            switch missing {
            case .messageEnd:
                calls.append(client.call(TestService.sum, timeout: .seconds(600)))
                try await calls.last?.send(partOf: bytes + 1, body)
            case .requestEnd:
                calls.append(client.call(TestService.echo, timeout: .seconds(600)))
                try await calls.last?.send(Blob(body))
            }
        }
        return calls
    }

    @Test(arguments: Missing.allCases)
    func incompleteRequestsAreBounded(missing: Missing) async throws {
        var limits = RPCLimits()
        limits.incompleteRequests = 1 << 20
        try await TransportFixture.with(limits: limits) { fixture in
            let client = try await fixture.client()
            let calls = try await begin(10, 300 << 10, without: missing, client)
            // Three fit, whichever come first; the others are refused, and what they held is free again.
            func refused() -> Int { calls.count { $0.status?.code == .resourceExhausted } }
            for _ in 0..<3000 where refused() < 7 { try await Task.sleep(for: .milliseconds(20)) }
            #expect(refused() == 7 && calls.count { $0.status == nil } == 3)
            #expect(try await client.unary(TestService.echo, Blob("ok"), timeout: .seconds(60)).text == "ok")
            await client.close()
        }
    }

    @Test func requestsThatDoNotGoOnAreEnded() async throws {
        try await TransportFixture.with { fixture in
            let client = try await fixture.client()
            // Nothing at all, half a message, and a whole one without an end.
            let silent = client.call(TestService.hurried, timeout: .seconds(60))
            let half = client.call(TestService.hurried, timeout: .seconds(60))
            try await half.send(partOf: 10, [1, 2, 3])
            let open = client.call(TestService.hurried, timeout: .seconds(60))
            try await open.send(Blob("1"))
            for call in [silent, half, open] {
                let end = await status { _ = try await call.next() }
                #expect(end?.code == .deadlineExceeded && end?.message.contains("call is ended") == true)
            }
            await client.close()
        }
    }

    @Test func callersAreAskedBeforeTheyAreRead() async throws {
        try await TransportFixture.with { fixture in
            let client = try await fixture.client()
            let call = client.call(TestService.guarded, timeout: .seconds(60))
            // Its message never ends; the answer does not wait for it.
            try await call.send(partOf: 1000, [1])
            #expect(await status { _ = try await call.next() }?.code == .unauthenticated)
            var key = RPCMetadata()
            key.add("x-key", "right")
            let reply = try await client.unary(
                TestService.guarded, Blob("in"), timeout: .seconds(20), metadata: key)
            #expect(reply.text == "in")
            await client.close()
        }
    }

    @Test func errorsOfHandlersAreNotTold() async throws {
        try await TransportFixture.with { fixture in
            let client = try await fixture.client()
            let end = await status {
                _ = try await client.unary(TestService.leak, Blob(""), timeout: .seconds(20))
            }
            #expect(end?.code == .unknown && end?.message.contains("/secret") == false)
            await client.close()
        }
    }
}
