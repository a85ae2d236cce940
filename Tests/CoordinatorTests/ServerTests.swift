// The coordinator on a real port: its services answer, and a second one is told why it cannot run.
import Coordinator
import Foundation
import Logging
import Messages
import Protobuf
import RPC
import Synchronization
import Testing

/// Something that happens once.
private final class Signal: Sendable {
    private let value = Atomic(false)
    var isSet: Bool { value.load(ordering: .acquiring) }
    func set() { value.store(true, ordering: .releasing) }
}

@Suite(.timeLimit(.minutes(10))) struct ServerTests {
    private static let quiet = {
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        return logger
    }()

    @inline(never) private func start(
        _ directory: TemporaryDirectory, model: ByteModel = ByteModel(), promptBytes: Int = 256 << 20
    ) async throws -> (CoordinatorServer, String) {
        var configuration = CoordinatorConfiguration(
            port: 0, dataDirectory: directory.path, modelPath: "bytes.gguf", precision: "f32")
        configuration.promptBytes = promptBytes
        configuration.tokenisingThreads = 2
        let server = try CoordinatorServer(
            configuration: configuration, model: model, logger: Self.quiet)
        Task { try await server.run() }
        while server.boundAddress == nil { try await Task.sleep(for: .milliseconds(5)) }
        return (server, server.boundAddress ?? "")
    }

    @inline(never) private func connect(_ address: String) async throws -> RPCClient {
        let target = try #require(RPCAddress(address))
        return try await RPCClient.connect(to: target, timeout: .seconds(5), logger: Self.quiet)
    }

    @Test func everyServiceAnswers() async throws {
        let (server, address) = try await start(TemporaryDirectory())
        let client = try await connect(address)
        let submit = client.call(CoordinatorService.submit, timeout: .seconds(5))
        try await submit.send(.with { $0.options = JobOptions() })
        try await submit.send(.with { $0.text = Array("hel".utf8) })
        try await submit.send(.with { $0.text = Array("lo".utf8) })
        submit.finishSending()
        let job = try #require(try await submit.next())
        #expect(job.id == "j1" && job.promptTokens == 5 && job.reason.hasPrefix("no workers have joined"))
        let reply = try await client.unary(
            MembershipService.register,
            .with {
                $0.member = member("alpha", memory: 1)
                $0.instance = "1"
            }, timeout: .seconds(5))
        #expect(reply.heartbeatSeconds == 1 && reply.epoch > 0)
        let cluster = try await client.unary(
            CoordinatorService.getCluster, ClusterRequest(), timeout: .seconds(5))
        #expect(cluster.members.map(\.name) == ["alpha"] && cluster.queued == 1)
        let health = try await client.unary(
            HealthService.check, .with { $0.service = CoordinatorService.name }, timeout: .seconds(5))
        #expect(health.status == .serving)
        let cancelled = try await client.unary(
            CoordinatorService.cancel, .with { $0.id = "j1" }, timeout: .seconds(5))
        #expect(cancelled.state == .cancelled)
        let attach = client.call(CoordinatorService.attach, timeout: .seconds(5))
        try await attach.send(.with { $0.id = "j1" })
        attach.finishSending()
        let first = try await attach.next()
        let second = try await attach.next()
        #expect(first?.isState == true && second?.isEnd == true)
        #expect(try await attach.next() == nil)
        await #expect(throws: RPCStatus(.notFound, "there is no job j7")) {
            try await client.unary(CoordinatorService.getJob, .with { $0.id = "j7" }, timeout: .seconds(5))
        }
        await client.close()
        server.shutdown()
    }

    @inline(never) private func submit(_ client: RPCClient, _ text: [UInt8]) async throws -> JobRecord {
        let call = client.call(CoordinatorService.submit, timeout: .seconds(30))
        try await call.send(.with { $0.options = .with { $0.beyondWindow = true } })
        try await call.send(.with { $0.text = text })
        call.finishSending()
        return try #require(try await call.next())
    }

    @Test func contextsAreListedPinnedAndRemoved() async throws {
        let (server, address) = try await start(TemporaryDirectory())
        let client = try await connect(address)
        let submit = client.call(CoordinatorService.submit, timeout: .seconds(30))
        try await submit.send(
            .with {
                $0.options = .with {
                    $0.kind = .ingest
                    $0.context = "book"
                    $0.maxTokens = 100
                    $0.chatIfTemplate = true
                }
            })
        try await submit.send(.with { $0.text = [UInt8](repeating: 97, count: 200) })
        submit.finishSending()
        let job = try #require(try await submit.next())
        // The template's opening, the text and an empty line.
        #expect(job.promptTokens == 204 && job.options?.chat == true)
        let listed = try await client.unary(
            CoordinatorService.listContexts, ListContextsRequest(), timeout: .seconds(30))
        #expect(listed.contexts.map(\.name) == ["book"] && listed.nextPageToken.isEmpty)
        #expect(listed.contexts.first?.state == .ingesting && listed.contexts.first?.chat == true)
        let pinned = try await client.unary(
            CoordinatorService.pinContext, .with { $0.name = "book" }, timeout: .seconds(30))
        #expect(pinned.pinned && pinned.job == job.id && pinned.reservedTokens == 100)
        let removed = try await client.unary(
            CoordinatorService.removeContext, .with { $0.name = "book" }, timeout: .seconds(30))
        #expect(removed.name == "book")
        // The job that computed it has nothing left to do.
        let ended = try await client.unary(
            CoordinatorService.getJob, .with { $0.id = job.id }, timeout: .seconds(30))
        #expect(ended.state == .cancelled)
        await #expect {
            try await client.unary(
                CoordinatorService.getContext, .with { $0.name = "book" }, timeout: .seconds(30))
        } throws: {
            ($0 as? RPCStatus)?.code == .notFound
        }
        await client.close()
        server.shutdown()
    }

    /// Asking for forecasts takes nothing from those who submit, however much is sent and however long it takes.
    @Test func aForecastThatNeverEndsKeepsNobodyOut() async throws {
        let (server, address) = try await start(TemporaryDirectory(), promptBytes: 1 << 20)
        let client = try await connect(address)
        let part = SubmitPart.with { $0.text = [UInt8](repeating: 97, count: 64 << 10) }
        var endless: [RPCCall<SubmitPart, Forecast>] = []
        for _ in 0..<6 {
            let call = client.call(CoordinatorService.estimate, timeout: .seconds(60))
            try await call.send(.with { $0.options = JobOptions() })
            for _ in 0..<4 { try? await call.send(part) }
            endless.append(call)
        }
        // The longest prompt there may be.
        let job = try await submit(client, [UInt8](repeating: 98, count: 1 << 20))
        #expect(job.promptTokens == 1 << 20)
        // Forecasts have half a prompt's bytes: two of the six at most hold a quarter each, in whatever order they came.
        let refusals = await withTaskGroup(of: RPCStatus?.self) { group in
            for call in endless {
                group.addTask {
                    do throws(RPCStatus) { _ = try await call.next() } catch { return error }
                    return nil
                }
            }
            var found: [RPCStatus] = []
            while found.count < 4, let status = await group.next() {
                if let status { found.append(status) }
            }
            for call in endless { call.cancel() }
            return found
        }
        #expect(refusals.count == 4)
        #expect(refusals.allSatisfy { $0.code == .resourceExhausted && $0.message.contains("forecasts") })
        await client.close()
        server.shutdown()
    }

    /// Others are answered while a long prompt becomes tokens, and a client that leaves takes its prompt along.
    @Test func aLongPromptKeepsNobodyWaiting() async throws {
        let atWork = Signal()
        let abandoned = Signal()
        var model = ByteModel()
        model.beforeEncoding = { text, isAbandoned in
            guard text.hasPrefix("long") else { return }
            atWork.set()
            while !isAbandoned() { usleep(2000) }
            abandoned.set()
        }
        let (server, address) = try await start(TemporaryDirectory(), model: model)
        let client = try await connect(address)
        let long = (0..<3).map { _ in
            Task { try await submit(client, Array("long".utf8) + [UInt8](repeating: 32, count: 1 << 20)) }
        }
        while !atWork.isSet { try await Task.sleep(for: .milliseconds(2)) }
        for _ in 0..<20 { #expect(try await submit(client, Array("short".utf8)).promptTokens == 5) }
        #expect(!abandoned.isSet)
        await client.close()
        while !abandoned.isSet { try await Task.sleep(for: .milliseconds(2)) }
        for task in long { await #expect(throws: (any Error).self) { try await task.value } }
        server.shutdown()
    }

    /// What is longer than the window however it is cut is refused without being cut.
    @Test func aHopelessPromptIsNotTokenised() async throws {
        let tokenised = Signal()
        var model = ByteModel()
        model.longestToken = 16
        model.beforeEncoding = { _, _ in tokenised.set() }
        let (server, address) = try await start(TemporaryDirectory(), model: model)
        let client = try await connect(address)
        let call = client.call(CoordinatorService.submit, timeout: .seconds(60))
        try await call.send(.with { $0.options = JobOptions() })
        for _ in 0..<64 { try await call.send(.with { $0.text = [UInt8](repeating: 97, count: 1 << 20) }) }
        call.finishSending()
        let refusal = await #expect(throws: RPCStatus.self) { try await call.next() }
        #expect(refusal?.message.hasPrefix("the prompt has at least 4,194,304 tokens, ") == true)
        #expect(!tokenised.isSet)
        await client.close()
        server.shutdown()
    }

    @Test func aPortInUseIsClear() async throws {
        let (server, address) = try await start(TemporaryDirectory())
        let port = try #require(RPCAddress(address)).port
        let directory = try TemporaryDirectory()
        let second = try CoordinatorServer(
            configuration: CoordinatorConfiguration(
                port: port, dataDirectory: directory.path, modelPath: "bytes.gguf", precision: "f32"),
            model: ByteModel(), logger: Self.quiet)
        var message = ""
        do { try await second.run() } catch { message = error.message }
        #expect(message.contains("\(port)"), "\(message)")
        server.shutdown()
    }
}
