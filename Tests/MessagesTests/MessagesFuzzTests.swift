// Bytes from outside never crash: random ones, damaged messages, and messages that would take much memory.
import Messages
import Protobuf
import Testing

/// xorshift64*: the same numbers in every run.
private struct FixedRandom: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state ^= state >> 12
        state ^= state << 25
        state ^= state >> 27
        return state &* 2_685_821_657_736_338_717
    }
}

@Suite struct MessagesFuzzTests {
    /// What was accepted can be sent again and means the same; anything else is an error.
    private func check<M: PackedMessage>(_: M.Type, _ bytes: [UInt8]) throws -> Bool {
        let message: M
        do throws(MessageError) { message = try M(decoding: bytes) } catch { return false }
        let again = try M(decoding: try message.encoded())
        #expect(try again.encoded() == message.encoded())
        return true
    }

    @Test func randomBytes() throws {
        var random = FixedRandom(state: 1)
        var accepted = 0
        for round in 0..<20_000 {
            let length = Int.random(in: 0..<64, using: &random)
            var bytes = [UInt8]()
            for _ in 0..<length {
                // Small numbers more often: tags and lengths that mean something.
                let limit: UInt8 = Bool.random(using: &random) ? 255 : 0x1f
                bytes.append(UInt8.random(in: 0...limit, using: &random))
            }
            let type = everyMessage[round % everyMessage.count]
            if try check(type, bytes) { accepted += 1 }
            _ = bytes.withUnsafeBytes { try? RingHeader.split($0) }
        }
        #expect(accepted > 0 && accepted < 20_000)
    }

    @Test func damagedMessages() throws {
        var random = FixedRandom(state: 2)
        let valid = bytes(Fixture.job)
        var refused = 0
        for cut in 0..<valid.count where try !check(JobRecord.self, Array(valid[..<cut])) { refused += 1 }
        #expect(refused > 0)
        for fixture in [Fixture.job, Fixture.submit, Fixture.profile, Fixture.event, Fixture.ring] {
            for _ in 0..<2000 {
                var damaged = bytes(fixture)
                for _ in 0..<Int.random(in: 1...4, using: &random) {
                    let at = Int.random(in: 0..<damaged.count, using: &random)
                    damaged[at] = UInt8.random(in: 0...255, using: &random)
                }
                _ = try check(JobRecord.self, damaged)
                _ = try check(SubmitPart.self, damaged)
                _ = try check(ProfileMessage.self, damaged)
                _ = try check(RunEvent.self, damaged)
                _ = damaged.withUnsafeBytes { try? RingHeader.split($0) }
            }
        }
    }

    /// Two megabytes of empty submessages would become 185 MB.
    @Test func emptySubmessagesStayWithinTheBudget() throws {
        let empty = [UInt8]((0..<1_000_000).flatMap { _ in [0x9a, 0x01, 0] as [UInt8] })  // JobRecord.shares
        #expect {
            try JobRecord(decoding: empty)
        } throws: {
            if case .overBudget = $0 as? MessageError { true } else { false }
        }
    }

    @Test func unknownFieldsStayWithinTheBudget() throws {
        // Field 14 of JobOptions.
        let unknown = [UInt8]((0..<1_000_000).flatMap { _ in [0x70, 0] as [UInt8] })
        #expect {
            try JobOptions(decoding: unknown)
        } throws: {
            if case .overBudget = $0 as? MessageError { true } else { false }
        }
    }

    /// The budget leaves room for what is legitimate: a full part of tokens, each one byte.
    @Test func aFullPartOfTokensFits() throws {
        let part = SubmitPart.with { $0.tokens = [UInt32](repeating: 1, count: 1 << 20) }
        #expect(try SubmitPart(decoding: try part.encoded()) == part)
        // Not packed, as an old client may send it.
        let loose = [UInt8]((0..<1 << 13).flatMap { _ in [0x18, 1] as [UInt8] })
        #expect(try SubmitPart(decoding: loose).tokens.count == 1 << 13)
    }
}
