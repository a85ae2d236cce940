// Who may send blocks to a run: its own members only.
import Kernels
import Messages
import NIOCore
import RPC
import RingAttention
import RingTransport
import Testing

@Suite struct RingHubTests {
    private static let key = "a key of this run"

    private func inbox() throws -> RingInbox {
        let layout = try Layout(stripeTokens: 1, weights: [1, 1])
        let session = RingSession(
            job: "j1", attempt: 1, epoch: 1, rank: 0,
            peers: [
                .init(name: "a", address: .init(host: "127.0.0.1", port: 1)),
                .init(name: "b", address: .init(host: "127.0.0.1", port: 2)),
            ],
            key: Self.key, profileIdentity: "", layout: layout, tokens: 8, stall: .seconds(5))
        return RingInbox(session, kvRowBytes: 64, element: .f32)
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

    @Test(arguments: [nil, "", "a key of this ru", "a key of this run "])
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
            try await hub.exchange(key: Self.key) { message }
        } throws: {
            ($0 as? RPCStatus)?.code == .failedPrecondition
        }
    }
}
