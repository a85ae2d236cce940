// Bytes of a message of Lariat with every field set, made from its descriptor: fields that are added are in it.
import CLariatProto
import CProtobufC

enum SampleMessages {
    /// By full name. A field's value follows from its number; of a `oneof` the first member is set; what is repeated is
    /// there twice.
    static let all: [(name: String, bytes: [UInt8])] = (0..<lariat_descriptor_count).map { index in
        let descriptor = lariat_descriptors()[index]
        return (String(cString: descriptor.pointee.name), bytes(of: descriptor.pointee))
    }

    private static func bytes(of message: ProtobufCMessageDescriptor) -> [UInt8] {
        var bytes: [UInt8] = []
        var hasMember = false
        for index in 0..<Int(message.n_fields) {
            let field = message.fields[index]
            if field.flags & UInt32(PROTOBUF_C_FIELD_FLAG_ONEOF.rawValue) != 0 {
                if hasMember { continue }
                hasMember = true
            }
            for _ in 0..<(field.label == PROTOBUF_C_LABEL_REPEATED ? 2 : 1) { bytes += one(field) }
        }
        return bytes
    }

    private static func one(_ field: ProtobufCFieldDescriptor) -> [UInt8] {
        let number = UInt64(field.id)
        func tag(_ wireType: UInt64) -> [UInt8] { varint(number << 3 | wireType) }
        func long(_ bytes: [UInt8]) -> [UInt8] { tag(2) + varint(UInt64(bytes.count)) + bytes }
        switch field.type {
        case PROTOBUF_C_TYPE_STRING: return long(Array("s\(number)\"ä".utf8))
        case PROTOBUF_C_TYPE_BYTES: return long(Array("b\(number)".utf8) + [0xff])
        case PROTOBUF_C_TYPE_FLOAT:
            return tag(5) + withUnsafeBytes(of: (Float(number) + 0.1).bitPattern.littleEndian, Array.init)
        case PROTOBUF_C_TYPE_DOUBLE:
            return tag(1) + withUnsafeBytes(of: (Double(number) + 0.1).bitPattern.littleEndian, Array.init)
        case PROTOBUF_C_TYPE_MESSAGE:
            let nested = field.descriptor.assumingMemoryBound(to: ProtobufCMessageDescriptor.self)
            return long(bytes(of: nested.pointee))
        case PROTOBUF_C_TYPE_BOOL, PROTOBUF_C_TYPE_ENUM: return tag(0) + [1]
        default: return tag(0) + varint(number * 1000)
        }
    }

    private static func varint(_ value: UInt64) -> [UInt8] {
        value < 0x80 ? [UInt8(value)] : [UInt8(value & 0x7f | 0x80)] + varint(value >> 7)
    }
}
