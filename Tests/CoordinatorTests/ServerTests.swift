// The coordinator on a real port: its services answer, and a second one is told why it cannot run.
import Coordinator
import Logging
import RPC
import Testing

@Suite(.timeLimit(.minutes(10))) struct ServerTests {
    private static let quiet = {
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        return logger
    }()

    @inline(never) private func start(_ directory: TemporaryDirectory) async throws -> (
        CoordinatorServer, String
    ) {
        let server = try CoordinatorServer(
            configuration: CoordinatorConfiguration(
                port: 0, dataDirectory: directory.path, modelPath: "bytes.gguf", precision: "f32"),
            model: ByteModel(), logger: Self.quiet)
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
        var kinds: [JobEvent.Kind] = []
        while let event = try await attach.next() { kinds.append(event.kind) }
        #expect(kinds == [.state, .end])
        await #expect(throws: RPCStatus(.notFound, "there is no job j7")) {
            try await client.unary(CoordinatorService.getJob, .with { $0.id = "j7" }, timeout: .seconds(5))
        }
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
