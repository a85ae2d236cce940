// Typed values into a C struct, by field number, for protobuf-c to pack.
internal import CProtobufC

/// All memory of one message that is being built; freed together.
@safe final class MessageArena {
    private var blocks: [UnsafeMutableRawPointer] = unsafe []

    deinit { unsafe blocks.forEach { unsafe $0.deallocate() } }

    /// Zeroed memory that lives as long as the arena.
    func allocate(_ bytes: Int) -> UnsafeMutableRawPointer {
        let block = UnsafeMutableRawPointer.allocate(byteCount: max(bytes, 1), alignment: 16)
        unsafe block.initializeMemory(as: UInt8.self, repeating: 0, count: bytes)
        unsafe blocks.append(block)
        return unsafe block
    }

    func copy<T: BitwiseCopyable>(_ values: [T]) -> UnsafeMutableRawPointer {
        let block = unsafe allocate(values.count * MemoryLayout<T>.stride)
        unsafe values.withUnsafeBytes {
            unsafe block.copyMemory(from: $0.baseAddress ?? UnsafeRawPointer(block), byteCount: $0.count)
        }
        return unsafe block
    }
}

/// Fills one C struct. Proto3 does not send default values, so they are skipped here.
@safe package struct MessageBuilder {
    private let base: UnsafeMutableRawPointer
    private let schema: MessageSchema
    private let arena: MessageArena

    init(schema: MessageSchema, arena: MessageArena) throws(MessageError) {
        guard let descriptor = unsafe schema.descriptor else { throw .schema(message: schema.name, field: 0) }
        unsafe base = arena.allocate(descriptor.pointee.sizeof_message)
        self.schema = schema
        self.arena = arena
        unsafe protobuf_c_message_init(descriptor, base)
    }

    func packed(limit: Int) throws(MessageError) -> [UInt8] {
        let message = unsafe base.assumingMemoryBound(to: ProtobufCMessage.self)
        let size = unsafe protobuf_c_message_get_packed_size(message)
        guard size <= limit else { throw .tooLarge(message: schema.name, bytes: size, limit: limit) }
        return unsafe [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
            guard let start = buffer.baseAddress else { return }
            unsafe count = protobuf_c_message_pack(message, start)
        }
    }

    func scalar<T: BitwiseCopyable>(_ number: UInt32, _ type: ProtobufCType, _ value: T) throws(MessageError)
    {
        unsafe store(value, try schema.field(number, type))
    }

    func scalars<T: BitwiseCopyable>(
        _ number: UInt32, _ type: ProtobufCType, _ values: [T]
    ) throws(MessageError) {
        let field = unsafe try schema.field(number, type, repeated: true)
        unsafe store(arena.copy(values), count: values.count, field)
    }

    func string(_ number: UInt32, _ value: String) throws(MessageError) {
        guard !value.isEmpty else { return }
        let field = unsafe try schema.field(number, PROTOBUF_C_TYPE_STRING)
        unsafe store(try terminated(value, field), field)
    }

    func strings(_ number: UInt32, _ values: [String]) throws(MessageError) {
        let field = unsafe try schema.field(number, PROTOBUF_C_TYPE_STRING, repeated: true)
        let stride = unsafe MemoryLayout<UnsafeMutableRawPointer>.stride
        let list = unsafe arena.allocate(values.count * stride)
        for (index, value) in values.enumerated() {
            unsafe list.storeBytes(
                of: try terminated(value, field),
                toByteOffset: index * stride,
                as: UnsafeMutableRawPointer.self)
        }
        unsafe store(list, count: values.count, field)
    }

    /// A member of a `oneof`; nil leaves the others alone.
    func member(_ number: UInt32, _ value: String?) throws(MessageError) {
        guard let value else { return }
        let field = unsafe try schema.field(number, PROTOBUF_C_TYPE_STRING)
        unsafe store(try terminated(value, field), field)
        unsafe markSet(field)
    }

    /// A bool that is a member of a `oneof`, set and true.
    func flag(_ number: UInt32) throws(MessageError) {
        let field = unsafe try schema.field(number, PROTOBUF_C_TYPE_BOOL)
        unsafe store(1 as protobuf_c_boolean, field)
        unsafe markSet(field)
    }

    func bytes(_ number: UInt32, _ value: [UInt8]) throws(MessageError) {
        let field = unsafe try schema.field(number, PROTOBUF_C_TYPE_BYTES)
        unsafe store(binary(value), field)
    }

    func byteStrings(_ number: UInt32, _ values: [[UInt8]]) throws(MessageError) {
        let field = unsafe try schema.field(number, PROTOBUF_C_TYPE_BYTES, repeated: true)
        let stride = unsafe MemoryLayout<ProtobufCBinaryData>.stride
        let list = unsafe arena.allocate(values.count * stride)
        for (index, value) in values.enumerated() {
            unsafe list.storeBytes(
                of: binary(value), toByteOffset: index * stride, as: ProtobufCBinaryData.self)
        }
        unsafe store(list, count: values.count, field)
    }

    func message<M: PackedMessage>(_ number: UInt32, _ value: M?) throws(MessageError) {
        guard let value else { return }
        let field = unsafe try schema.field(number, PROTOBUF_C_TYPE_MESSAGE)
        unsafe store(try nested(value), field)
        unsafe markSet(field)
    }

    func messages<M: PackedMessage>(_ number: UInt32, _ values: [M]) throws(MessageError) {
        let field = unsafe try schema.field(number, PROTOBUF_C_TYPE_MESSAGE, repeated: true)
        let stride = unsafe MemoryLayout<UnsafeMutableRawPointer>.stride
        let list = unsafe arena.allocate(values.count * stride)
        for (index, value) in values.enumerated() {
            unsafe list.storeBytes(
                of: try nested(value), toByteOffset: index * stride, as: UnsafeMutableRawPointer.self)
        }
        unsafe store(list, count: values.count, field)
    }

    private func nested<M: PackedMessage>(_ value: M) throws(MessageError) -> UnsafeMutableRawPointer {
        let builder = try MessageBuilder(schema: M.schema, arena: arena)
        try value.write(to: builder)
        return unsafe builder.base
    }

    private func store<T: BitwiseCopyable>(_ value: T, _ field: ProtobufCFieldDescriptor) {
        unsafe base.storeBytes(of: value, toByteOffset: Int(field.offset), as: T.self)
    }

    private func store(_ list: UnsafeMutableRawPointer, count: Int, _ field: ProtobufCFieldDescriptor) {
        guard count > 0 else { return }
        unsafe store(list, field)
        unsafe base.storeBytes(of: count, toByteOffset: Int(field.quantifier_offset), as: Int.self)
    }

    private func markSet(_ field: ProtobufCFieldDescriptor) {
        guard unsafe field.flags & UInt32(PROTOBUF_C_FIELD_FLAG_ONEOF.rawValue) != 0 else { return }
        unsafe base.storeBytes(of: field.id, toByteOffset: Int(field.quantifier_offset), as: UInt32.self)
    }

    private func binary(_ value: [UInt8]) -> ProtobufCBinaryData {
        unsafe ProtobufCBinaryData(
            len: value.count, data: arena.copy(value).assumingMemoryBound(to: UInt8.self))
    }

    private func terminated(
        _ value: String, _ field: ProtobufCFieldDescriptor
    ) throws(MessageError) -> UnsafeMutableRawPointer {
        var bytes = [UInt8](value.utf8)
        guard !bytes.contains(0) else {
            throw .containsNUL(message: schema.name, field: unsafe String(cString: field.name))
        }
        bytes.append(0)
        return unsafe arena.copy(bytes)
    }
}
