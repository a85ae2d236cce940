// A worker that keeps sequences on disk: the next process goes on with them, with the same bits, or says that they are
// missing.
import Cluster
import Foundation
import KVCache
import Kernels
import Logging
import LongRoPE
import Messages
import NIOCore
import Protobuf
import RPC
import RingTransport
import TestSupport
import Testing
import Transformer
import Worker

@Suite(.serialized) struct KeptOnDiskTests {
    private static let prompt = (0..<300).map { UInt32($0 * 7 % 90 + 3) }
    private static let kept = 256
    private let folder = FileManager.default.temporaryDirectory.appending(
        component: "kept-\(UUID().uuidString)")
    private let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    /// One life of the worker: its runs over gRPC.
    private struct Life {
        let model: Model
        let runs: RunService
        let client: RPCClient
    }

    private func live<Value>(_ body: (Life) async throws -> Value) async throws -> Value {
        let model = try Model(path: Golden.path("tiny-phi3-longrope.gguf"))
        let here = HostPort(host: "127.0.0.1", port: 1)
        var configuration = WorkerConfiguration(
            name: "w", listen: here, ring: here, coordinator: here, modelPath: model.path, threads: 1,
            memoryBytes: 1 << 30)
        configuration.kvDisk = .init(path: folder.path, bytes: 1 << 30)
        let runs = try RunService(
            model: model, compute: Compute(threads: 1, precision: .bf16), configuration: configuration,
            hub: RingHub(),
            logger: logger)
        let server = RPCServer(
            address: RPCAddress(host: "127.0.0.1", port: 0), tls: nil,
            services: [
                .bidirectional(WorkerService.run) { commands, _, events in
                    try await runs.handle(commands, events)
                }
            ], logger: logger)
        let client = try await RPCClient.connect(
            to: server.start(), tls: nil, timeout: .seconds(10), logger: logger)
        let result: Result<Value, any Error>
        do { result = .success(try await body(Life(model: model, runs: runs, client: client))) } catch {
            result = .failure(error)
        }
        await client.close()
        await server.shutdown(grace: .seconds(5))
        await runs.closeStore()
        return try result.get()
    }

    /// All events of a run over the prompt, up to the end of the call.
    private func events(
        _ life: Life, past: Bool = false, keep: String = ""
    ) async throws -> (events: [RunEvent], status: RPCStatus?) {
        let profile = try life.model.scaling.profile(promptTokens: Self.prompt.count, reservedTokens: 0)
        let tokens = Array(Self.prompt[(past ? Self.kept : 0)...])
        let plan = RunPlan.with {
            $0.job = "test"
            $0.attempt = 1
            $0.protocol = LariatProtocol.current
            $0.kind = .generate
            $0.promptTokens = UInt64(Self.prompt.count)
            $0.maxTokens = 4
            $0.ignoreEnd = true
            $0.stripeTokens = 128
            $0.stallSeconds = 60
            $0.runKey = "0123456789abcdef"
            $0.fingerprint = life.model.fingerprint
            $0.tokenCount = UInt64(tokens.count)
            $0.profile = ProfileMessage(profile)
            $0.members = [
                .with {
                    $0.name = "w"
                    $0.ringAddress = "127.0.0.1:1"
                    $0.weight = 1
                }
            ]
            $0.keep = keep
            $0.past = past ? RunPast(sequence: "a/b", tokens: UInt64(Self.kept)) : nil
        }
        let call = life.client.call(WorkerService.run)
        var events: [RunEvent] = []
        do throws(RPCStatus) {
            try await call.send(.plan(plan))
            try await call.send(.tokens(ShardTokens(tokens: tokens, next: [])))
            try await call.send(.start)
            while let event = try await call.next() { events.append(event) }
        } catch { return (events, error) }
        return (events, nil)
    }

    private func answer(_ events: [RunEvent]) -> [ChosenToken] {
        events.compactMap { if case .token(let token) = $0 { token } else { nil } }
    }

    private func isMissing(_ events: [RunEvent]) -> Bool {
        events.contains { if case .fault(let fault) = $0 { fault.kind == .missing } else { false } }
    }

    @Test func theNextProcessGoesOn() async throws {
        defer { try? FileManager.default.removeItem(at: folder) }
        let whole = try await live { life in
            #expect(isMissing(try await events(life, past: true).events), "nothing is there yet")
            let (events, status) = try await events(life, keep: "a/b")
            #expect(status == nil)
            #expect(
                events.contains { if case .kept(let kept) = $0 { kept.tokens == 256 } else { false } })
            return answer(events)
        }
        #expect(whole.count == 4)
        try await live { life in
            #expect(life.runs.store.inMemory == 0)
            #expect(life.runs.store.sequences["a/b"]?.tokens == 256)
            let (events, status) = try await events(life, past: true)
            #expect(status == nil)
            #expect(answer(events) == whole, "the same tokens with the same probabilities")
            #expect(life.runs.store.inMemory == 1)
        }
        // A bit of its rows.
        let mine = folder.appending(component: "w")
        let page = try #require(
            FileManager.default.contentsOfDirectory(atPath: mine.path).first { $0.hasSuffix(".page") })
        var bytes = try Data(contentsOf: mine.appending(component: page))
        bytes[5000] ^= 4
        try bytes.write(to: mine.appending(component: page))
        try await live { life in
            #expect(isMissing(try await events(life, past: true).events))
            #expect(life.runs.store.sequences.isEmpty)
            let (events, _) = try await events(life, keep: "a/b")
            #expect(answer(events) == whole, "it is computed again")
            #expect(isMissing(try await self.events(life, past: true).events) == false)
        }
    }

    @Test func aFolderThatIsInUse() async throws {
        defer { try? FileManager.default.removeItem(at: folder) }
        try await live { _ in
            do {
                _ = try await live { _ in Issue.record("two workers of one name share a folder") }
            } catch let status as RPCStatus {
                #expect(status.message.contains("in use by another worker"))
            }
        }
    }
}
