// Who may send blocks to a run: its own members only.
import Cluster
import Kernels
import LongRoPE
import Messages
import NIOCore
import RPC
import RingAttention
import Testing
import Transformer
import Worker

@Suite struct RingHubTests {
    private func inbox() throws -> RingInbox {
        let layout = try Layout(stripeTokens: 1, weights: [1, 1])
        let run = try Run(
            job: "j1",
            members: [
                .init(name: "a", at: .init(host: "127.0.0.1", port: 1)),
                .init(name: "b", at: .init(host: "127.0.0.1", port: 2)),
            ],
            assignment: ShardAssignment(rank: 0, layout: layout, promptTokens: 8, maxTokens: 0),
            profile: RotaryProfile(
                name: "none", theta: 10_000, rotaryDimension: 8, factors: [1, 1, 1, 1], window: 8),
            stall: .seconds(5))
        return RingInbox(run: run, kvRowBytes: 64, element: .f32)
    }

    private func first(epoch: UInt64 = 1) throws -> ReceivedMessage {
        var header = RingHeader()
        header.kind = .end
        header.job = "j1"
        header.attempt = 1
        header.epoch = epoch
        header.fromRank = 1
        header.parts = 1
        return ReceivedMessage(
            bytes: ByteBuffer(bytes: try header.encodedPrefix(tensorBytes: 0)), transfer: .zero)
    }

    @Test(arguments: [nil, "", "a run of no job's block", "a run of no job's blocks "])
    func strangersAreRefused(_ key: String?) async throws {
        let hub = RingHub()
        hub.open(try inbox())
        let message = try first()
        await #expect {
            try await hub.exchange(key: key) { message }
        } throws: {
            ($0 as? RPCStatus)?.code == .permissionDenied
        }
    }

    @Test func membersOfAnotherEpochAreRefused() async throws {
        let hub = RingHub()
        hub.open(try inbox())
        let message = try first(epoch: 2)
        await #expect {
            try await hub.exchange(key: Run.transportKey) { message }
        } throws: {
            ($0 as? RPCStatus)?.code == .failedPrecondition
        }
    }
}
