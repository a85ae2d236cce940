// Finds the top-level fields of serialised protobuf without copying or allocating: where the tensor of a ring
// message lies, and which names a file descriptor declares. Messages proper are parsed by protobuf-c.

/// A field as it lies in the bytes.
package struct ScannedField: Equatable {
    package var number: UInt32
    /// 0 varint, 1 eight bytes, 2 with a length, 5 four bytes.
    package var wireType: UInt8
    /// Where its tag begins.
    package var start: Int
    /// The value's bytes, without tag and length.
    package var value: Range<Int>
}

/// Steps over the fields of one message, bounds checked. Give it the same bytes each time.
package struct WireScanner {
    package private(set) var position = 0

    package init() {}

    /// The next field; nil at the end, or when the rest is no protobuf (then `position` is not the end).
    package mutating func next(in bytes: Span<UInt8>) -> ScannedField? {
        let start = position
        var at = position
        guard let tag = varint(bytes, &at), let number = UInt32(exactly: tag >> 3), number > 0 else {
            return nil
        }
        let wireType = UInt8(tag & 7)
        let length: Int
        switch wireType {
        case 0:
            let value = at
            guard varint(bytes, &at) != nil else { return nil }
            length = at - value
            at = value
        case 1: length = 8
        case 2:
            guard let given = varint(bytes, &at), let given = Int(exactly: given) else { return nil }
            length = given
        case 5: length = 4
        default: return nil
        }
        guard length <= bytes.count - at else { return nil }
        position = at + length
        return ScannedField(number: number, wireType: wireType, start: start, value: at..<position)
    }

    private func varint(_ bytes: Span<UInt8>, _ at: inout Int) -> UInt64? {
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while at < bytes.count, shift < 64 {
            let byte = bytes[at]
            at += 1
            value |= UInt64(byte & 0x7f) << shift
            if byte < 0x80 { return value }
            shift += 7
        }
        return nil
    }
}
