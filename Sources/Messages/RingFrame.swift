// A ring message on the wire: the header by protobuf-c, then the tensor as the last field, never copied.

public import Protobuf

extension RingHeader {
    /// The longest tensor of one message; a longer piece travels in parts.
    public static let tensorLimit = 1 << 20
    /// The longest message.
    public static let frameLimit = tensorLimit + byteLimit
    private static let tensorField: UInt32 = 15

    /// The bytes that go in front of a tensor of `tensorBytes` bytes. Joined they are one `RingMessage` for any
    /// protobuf reader.
    public func encodedPrefix(tensorBytes: Int) throws(MessageError) -> [UInt8] {
        guard tensorBytes <= Self.tensorLimit else {
            throw .tooLarge(
                message: "tensor of lariat.v1.RingMessage", bytes: tensorBytes, limit: Self.tensorLimit)
        }
        var prefix = try encoded()
        guard tensorBytes > 0 else { return prefix }
        prefix.append(UInt8(Self.tensorField << 3 | 2))
        var rest = UInt32(tensorBytes)
        while rest >= 0x80 {
            prefix.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        prefix.append(UInt8(rest))
        return prefix
    }

    /// The header of a ring message, and where in `frame` its tensor lies (empty at the end if it has none).
    public static func split(
        _ frame: UnsafeRawBufferPointer
    ) throws(MessageError) -> (header: RingHeader, tensor: Range<Int>) {
        guard frame.count <= frameLimit else {
            throw .tooLarge(message: schema.name, bytes: frame.count, limit: frameLimit)
        }
        var headerEnd = frame.count
        var tensor = frame.count..<frame.count
        let bytes = unsafe frame.bindMemory(to: UInt8.self).span
        var scanner = WireScanner()
        while let field = scanner.next(in: bytes) {
            guard field.number == tensorField else { continue }
            guard field.wireType == 2 else { throw .malformed(message: schema.name) }
            guard scanner.position == frame.count else { throw .tensorNotLast }
            headerEnd = field.start
            tensor = field.value
        }
        guard scanner.position == frame.count else { throw .malformed(message: schema.name) }
        guard tensor.count <= tensorLimit else {
            throw .tooLarge(message: "tensor of \(schema.name)", bytes: tensor.count, limit: tensorLimit)
        }
        let header = unsafe try RingHeader(decoding: UnsafeRawBufferPointer(rebasing: frame[..<headerEnd]))
        return (header, tensor)
    }
}
