// Calls over loopback sockets: the four shapes, back-pressure, cancellation, deadlines, ends of all kinds.

import Foundation
import NIOCore
import Protobuf
import RPC
import Testing

@Suite(.serialized) struct TransportCallTests {
    @Test func allFourShapes() async throws {
        try await TransportFixture.with { fixture in
            let client = try await fixture.client()
            let echoed = try await client.unary(TestService.echo, Blob("hello"), timeout: .seconds(20))
            #expect(echoed.text == "hello")

            let counting = client.call(TestService.count, timeout: .seconds(20))
            try await counting.send(Blob("1000"))
            counting.finishSending()
            var seen: [String] = []
            while let reply = try await counting.next() { seen.append(reply.text) }
            #expect(seen == (0..<1000).map(String.init))
            #expect(counting.status == .ok)

            let adding = client.call(TestService.sum, timeout: .seconds(20))
            for i in 1...1000 { try await adding.send(Blob("\(i)")) }
            adding.finishSending()
            #expect(try await adding.next()?.text == "500500")
            #expect(try await adding.next() == nil)

            let chat = client.call(TestService.chat, timeout: .seconds(20))
            for i in 0..<100 {
                try await chat.send(Blob("\(i)"))
                #expect(try await chat.next()?.text == "\(i)")
            }
            chat.finishSending()
            #expect(try await chat.next() == nil)
            await client.close()
        }
    }

    @Test func emptyMessagesAndEmptyStreams() async throws {
        try await TransportFixture.with { fixture in
            let client = try await fixture.client()
            #expect(try await client.unary(TestService.echo, Blob(""), timeout: .seconds(20)).bytes.isEmpty)
            let none = client.call(TestService.count, timeout: .seconds(20))
            try await none.send(Blob("0"))
            none.finishSending()
            #expect(try await none.next() == nil)
            let chat = client.call(TestService.chat, timeout: .seconds(20))
            chat.finishSending()
            #expect(try await chat.next() == nil)
            await client.close()
        }
    }

    @Test func aThousandCallsAtOnceAndInTurn() async throws {
        try await TransportFixture.with { fixture in
            let client = try await fixture.client()
            let right = try await withThrowingTaskGroup(of: Bool.self) { group in
                for i in 0..<1000 {
                    group.addTask {
                        try await client.unary(TestService.echo, Blob("\(i)"), timeout: .seconds(60)).text
                            == "\(i)"
                    }
                }
                return try await group.reduce(0) { $0 + ($1 ? 1 : 0) }
            }
            #expect(right == 1000)
            for i in 0..<300 {
                #expect(
                    try await client.unary(TestService.echo, Blob("\(i)"), timeout: .seconds(20)).text
                        == "\(i)")
            }
            await client.close()
        }
    }

    @Test func statusesArriveWithTheirMessages() async throws {
        try await TransportFixture.with { fixture in
            let client = try await fixture.client()
            let text = "no such job: \"ä€😀\" 100%\nnext line"
            let failed = await status {
                _ = try await client.unary(TestService.fail, Blob(text), timeout: .seconds(20))
            }
            #expect(failed == RPCStatus(.notFound, text))
            let missing = await status {
                _ = try await client.unary(TestService.missing, Blob(""), timeout: .seconds(20))
            }
            #expect(missing?.code == .unimplemented)
            #expect(missing?.message.contains("/test.Service/Missing") == true)
            let malformed = await status {
                _ = try await client.unary(TestService.echo, Blob("malformed"), timeout: .seconds(20))
            }
            #expect(malformed?.code == .invalidArgument)
            // A long message is cut, not lost.
            let long = await status {
                _ = try await client.unary(
                    TestService.fail, Blob(String(repeating: "x", count: 100_000)), timeout: .seconds(20))
            }
            #expect(long == RPCStatus(.notFound, String(repeating: "x", count: 4096)))
            await client.close()
        }
    }

    @Test func messagesOverTheLimitAreRefusedByName() async throws {
        try await TransportFixture.with { fixture in
            let client = try await fixture.client()
            // The typed sender refuses its own.
            let own = await status {
                _ = try await client.unary(
                    TestService.echo, Blob([UInt8](repeating: 0, count: Blob.byteLimit + 1)),
                    timeout: .seconds(20))
            }
            #expect(own?.code == .resourceExhausted)
            // The server refuses what comes anyway.
            let call = client.call(TestService.echo, timeout: .seconds(20))
            let large = ByteBuffer(repeating: 0, count: Blob.byteLimit + 1)
            try await call.send(raw: [large])
            let refused = await status { _ = try await call.next() }
            #expect(refused?.code == .resourceExhausted)
            #expect(refused?.message.contains("limit of 1,048,576 bytes") == true)
            // The connection lives.
            #expect(try await client.unary(TestService.echo, Blob("ok"), timeout: .seconds(20)).text == "ok")
            await client.close()
        }
    }

    /// The sender of a call whose reader sleeps is held back by the window and the queue, in bytes that can be named.
    @Test func aSlowReaderHoldsTheSenderBack() async throws {
        var limits = RPCLimits()
        limits.streamWindow = 1 << 20
        limits.connectionWindow = 4 << 20
        limits.outboundQueue = 256 << 10
        try await TransportFixture.with(limits: limits) { fixture in
            let client = try await fixture.client(limits: limits)
            let call = client.call(TestService.gate, timeout: .seconds(60))
            let block = ByteBuffer(repeating: 3, count: 256 << 10)
            let blocks = 64  // 16 MiB
            let sender = Task {
                for _ in 0..<blocks {
                    try await call.send(raw: [block])
                    await fixture.signals.add("sent")
                }
                call.finishSending()
            }
            #expect(await fixture.signals.wait(for: "gate"))
            // It must come to rest: the same number twice, 300 ms apart.
            var before = -1
            var now = 0
            for _ in 0..<100 where before != now {
                before = now
                try await Task.sleep(for: .milliseconds(300))
                now = await fixture.signals.value("sent")
                if now == 0 { before = -1 }
            }
            // window + the message under way + queue + one message over it
            #expect(now > 0 && now * (256 << 10) <= (1 << 20) + (1 << 20) + (512 << 10))
            // Other calls on the connection still get through.
            #expect(try await client.unary(TestService.echo, Blob("ok"), timeout: .seconds(20)).text == "ok")
            await fixture.signals.add("open")
            try await sender.value
            #expect(try await call.receiveRaw().map { String(buffer: $0) } == "\(blocks * (256 << 10))")
            #expect(try await call.receiveRaw() == nil)
            await client.close()
        }
    }

    /// A message longer than the window still arrives.
    @Test func aMessageLongerThanTheWindow() async throws {
        var limits = RPCLimits()
        limits.streamWindow = 128 << 10
        limits.connectionWindow = 256 << 10
        try await TransportFixture.with(limits: limits) { fixture in
            let client = try await fixture.client(limits: limits)
            let call = client.call(TestService.sink, timeout: .seconds(30))
            for _ in 0..<4 { try await call.send(raw: [ByteBuffer(repeating: 1, count: 2 << 20)]) }
            call.finishSending()
            #expect(try await call.receiveRaw().map { String(buffer: $0) } == "\(8 << 20)")
            await client.close()
        }
    }

    @Test func slowClientHoldsTheServerBack() async throws {
        var limits = RPCLimits()
        limits.streamWindow = 1 << 20
        limits.outboundQueue = 256 << 10
        try await TransportFixture.with(limits: limits) { fixture in
            let client = try await fixture.client(limits: limits)
            let call = client.call(TestService.flood, timeout: .seconds(60))
            try await call.send(Blob(""))
            call.finishSending()
            #expect(try await call.next()?.bytes.count == 64 << 10)
            try await Task.sleep(for: .milliseconds(500))
            let written = await fixture.signals.value("written")
            #expect(written * (64 << 10) <= 4 << 20)
            // Enough of it: the server learns and stops.
            call.cancel()
            #expect(await fixture.signals.wait(for: "flood ended"))
            await client.close()
        }
    }

    @Test func aReaderThatStopsIsCutOff() async throws {
        var limits = RPCLimits()
        limits.streamWindow = 256 << 10
        limits.stall = .milliseconds(400)
        try await TransportFixture.with(limits: limits) { fixture in
            let client = try await fixture.client(limits: limits)
            let call = client.call(TestService.flood, timeout: .seconds(60))
            try await call.send(Blob(""))
            call.finishSending()
            #expect(await fixture.signals.wait(for: "flood ended"))
            let ended = await status { while try await call.next() != nil {} }
            #expect(ended?.code == .resourceExhausted)
            #expect(try await client.unary(TestService.echo, Blob("ok"), timeout: .seconds(20)).text == "ok")
            await client.close()
        }
    }

    /// "localhost" may have two addresses of which only one listens.
    @Test func aHostNameWithSeveralAddresses() async throws {
        try await TransportFixture.with { fixture in
            let client = try await RPCClient.connect(
                to: RPCAddress(host: "localhost", port: fixture.address.port), timeout: .seconds(20),
                logger: TransportFixture.logger)
            #expect(try await client.unary(TestService.echo, Blob("ok"), timeout: .seconds(20)).text == "ok")
            await client.close()
        }
    }

    @Test func blockingSendFromAThread() async throws {
        var limits = RPCLimits()
        limits.streamWindow = 512 << 10
        limits.outboundQueue = 256 << 10
        try await TransportFixture.with(limits: limits) { fixture in
            let client = try await fixture.client(limits: limits)
            let call = client.call(TestService.gate, timeout: .seconds(60))
            let block = ByteBuffer(repeating: 3, count: 256 << 10)
            // The reader sleeps: at some time the transport takes no more, and the deadline ends the wait.
            let taken = await withCheckedContinuation { continuation in
                Thread.detachNewThread {
                    var count = 0
                    var refusal: RPCStatus?
                    while count < 64, refusal == nil {
                        do throws(RPCStatus) {
                            try call.sendBlocking(
                                raw: [block], deadline: .now.advanced(by: .milliseconds(500)))
                            count += 1
                        } catch { refusal = error }
                    }
                    continuation.resume(returning: (count, refusal))
                }
            }
            #expect(taken.0 > 0 && taken.0 < 64)
            #expect(taken.1?.code == .deadlineExceeded)
            await fixture.signals.add("open")
            let more: RPCStatus? = await withCheckedContinuation { continuation in
                Thread.detachNewThread {
                    do throws(RPCStatus) {
                        for _ in 0..<16 {
                            try call.sendBlocking(raw: [block], deadline: .now.advanced(by: .seconds(20)))
                        }
                        continuation.resume(returning: nil)
                    } catch { continuation.resume(returning: error) }
                }
            }
            #expect(more == nil)
            call.finishSending()
            let total = try await call.receiveRaw().map { String(buffer: $0) }
            #expect(total == "\((taken.0 + 16) * (256 << 10))")
            await client.close()
        }
    }

    @Test func clientCancelsReachTheHandler() async throws {
        try await TransportFixture.with { fixture in
            let client = try await fixture.client()
            let task = Task { try await client.unary(TestService.hang, Blob(""), timeout: .seconds(60)) }
            #expect(await fixture.signals.wait(for: "hang"))
            task.cancel()
            let ended = await status { _ = try await task.value }
            #expect(ended?.code == .cancelled)
            // A call that is merely dropped is cancelled too.
            do {
                let dropped = client.call(TestService.hang)
                try await dropped.send(Blob(""))
                dropped.finishSending()
                #expect(await fixture.signals.wait(for: "hang", atLeast: 2))
            }
            #expect(await fixture.signals.wait(for: "cancelled", atLeast: 2))
            #expect(await fixture.signals.wait(for: "onCancel", atLeast: 2))
            #expect(client.isConnected)
            await client.close()
        }
    }

    @Test func deadlinesEndBothSides() async throws {
        try await TransportFixture.with { fixture in
            let client = try await fixture.client()
            let ended = await status {
                _ = try await client.unary(TestService.hang, Blob(""), timeout: .seconds(1))
            }
            #expect(ended?.code == .deadlineExceeded)
            #expect(await fixture.signals.wait(for: "cancelled"))
            let none = await status { _ = try await client.unary(TestService.echo, Blob(""), timeout: .zero) }
            #expect(none?.code == .deadlineExceeded)
            await client.close()
        }
    }

    @Test func anEarlyReplyEndsTheSending() async throws {
        try await TransportFixture.with { fixture in
            let client = try await fixture.client()
            let call = client.call(TestService.early, timeout: .seconds(20))
            try await call.send(Blob("one"))
            #expect(try await call.next()?.text == "enough")
            #expect(try await call.next() == nil)
            let late = await status {
                for _ in 0..<100 { try await call.send(Blob("two")) }
            }
            #expect(late != nil)
            #expect(try await client.unary(TestService.echo, Blob("ok"), timeout: .seconds(20)).text == "ok")
            await client.close()
        }
    }

    @Test func theServersEndIsSeen() async throws {
        let fixture = try await TransportFixture()
        let client = try await fixture.client()
        let call = client.call(TestService.hang, timeout: .seconds(60))
        try await call.send(Blob(""))
        call.finishSending()
        #expect(await fixture.signals.wait(for: "hang"))
        await fixture.server.shutdown(grace: .zero)
        let ended = await status { _ = try await call.next() }
        #expect(ended?.code == .unavailable || ended?.code == .cancelled)
        await client.waitForClose()
        #expect(!client.isConnected)
        let after = await status {
            _ = try await client.unary(TestService.echo, Blob(""), timeout: .seconds(5))
        }
        #expect(after?.code == .unavailable)
    }

    @Test func drainLetsRunningCallsEnd() async throws {
        let fixture = try await TransportFixture()
        let client = try await fixture.client()
        let call = client.call(TestService.gate, timeout: .seconds(60))
        try await call.send(raw: [ByteBuffer(repeating: 0, count: 10)])
        #expect(await fixture.signals.wait(for: "gate"))
        async let stopped: Void = fixture.server.shutdown(grace: .seconds(30))
        try await Task.sleep(for: .milliseconds(300))
        let refused = await status {
            _ = try await client.unary(TestService.echo, Blob(""), timeout: .seconds(5))
        }
        #expect(refused?.code == .unavailable)
        await fixture.signals.add("open")
        call.finishSending()
        #expect(try await call.receiveRaw().map { String(buffer: $0) } == "10")
        #expect(try await call.next() == nil)
        await stopped
        await client.waitForClose()
    }

    @Test func metadataArrives() async throws {
        try await TransportFixture.with { fixture in
            let client = try await fixture.client()
            var metadata = RPCMetadata()
            metadata.add("x-test", "yes")
            let reply = try await client.unary(
                TestService.who, Blob(""), timeout: .seconds(20), metadata: metadata)
            #expect(reply.text == "[] yes")
            await client.close()
        }
    }

    @Test func portInUseAndNobodyThere() async throws {
        try await TransportFixture.with { fixture in
            let second = RPCServer(address: fixture.address, services: [], logger: TransportFixture.logger)
            let taken = await status { _ = try await second.start() }
            #expect(taken?.code == .failedPrecondition)
            #expect(taken?.message.contains("\(fixture.address)") == true)
            #expect(taken?.message.contains("in use") == true)
        }
        let free = try await TransportFixture()
        await free.server.shutdown(grace: .zero)
        let refused = await status { _ = try await free.client() }
        #expect(refused?.code == .unavailable)
        #expect(refused?.message.contains("\(free.address)") == true)
    }
}
