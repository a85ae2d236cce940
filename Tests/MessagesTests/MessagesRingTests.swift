// Ring messages: the tensor behind the header is never copied, and yet the whole is one protobuf message.
import Messages
import Protobuf
import Testing

private let header = RingHeader.with {
    $0.kind = .keyValues
    $0.job = "j-1"
    $0.attempt = 1
    $0.epoch = 9
    $0.fromRank = 2
    $0.originRank = 1
    $0.layer = 29
    $0.stripe = 3
    $0.position = 1088
    $0.element = 1
    $0.checksum = 0xdead_beef
    $0.profile = "p"
    $0.part = 1
    $0.parts = 2
}

private func split(_ frame: [UInt8]) throws -> (header: RingHeader, tensor: Range<Int>) {
    try frame.withUnsafeBytes { try RingHeader.split($0) }
}

@Suite struct MessagesRingTests {
    @Test func joinedBytesEqualThoseOfAnotherImplementation() throws {
        let tensor = [UInt8](0..<200)
        let frame = try header.encodedPrefix(tensorBytes: tensor.count) + tensor
        #expect(frame == bytes(Fixture.ring))
        let parts = try split(frame)
        #expect(parts.header == header)
        #expect(Array(frame[parts.tensor]) == tensor)
    }

    @Test(arguments: [0, 1, 127, 128, 16383, 16384, RingHeader.tensorLimit])
    func anyLength(_ count: Int) throws {
        let frame = try header.encodedPrefix(tensorBytes: count) + [UInt8](repeating: 0x7a, count: count)
        let parts = try split(frame)
        #expect(parts.header == header)
        #expect(parts.tensor == frame.count - count..<frame.count)
    }

    @Test func aTensorInFrontOrTwiceIsRefused() throws {
        let frame = try header.encodedPrefix(tensorBytes: 1) + [7]
        #expect(throws: MessageError.tensorNotLast) { try split(frame + [0x38, 1]) }
        #expect(throws: MessageError.tensorNotLast) { try split(frame + [0x7a, 1, 7]) }
        #expect(throws: MessageError.malformed(message: "lariat.v1.RingMessage")) {
            try split(frame.dropLast())
        }
        #expect(throws: MessageError.malformed(message: "lariat.v1.RingMessage")) { try split([0x78, 1]) }
    }

    @Test func limits() throws {
        let over = RingHeader.tensorLimit + 1
        #expect(throws: MessageError.self) { try header.encodedPrefix(tensorBytes: over) }
        let long: [UInt8] = [0x7a, 0x81, 0x80, 0x40] + [UInt8](repeating: 0, count: over)
        #expect(
            throws: MessageError.tooLarge(
                message: "tensor of lariat.v1.RingMessage", bytes: over, limit: RingHeader.tensorLimit)
        ) { try split(long) }
        #expect(throws: MessageError.self) {
            try split([UInt8](repeating: 0, count: RingHeader.frameLimit + 1))
        }
        // A header beyond its limit, though the frame is within its own.
        let big: [UInt8] = [0x12, 0x81, 0x80, 0x04] + [UInt8](repeating: 0x61, count: 65537)
        #expect(throws: MessageError.self) { try split(big) }
    }
}
