// Typed values out of a C struct that protobuf-c filled, by field number.
internal import CProtobufC

/// Reads one unpacked message. Valid while its `UnpackedMessage` lives.
@safe package struct MessageReader {
    let base: UnsafeRawPointer
    let schema: MessageSchema
    let acceptsUnknownFields: Bool

    func checkUnknownFields() throws(MessageError) {
        let message = unsafe base.assumingMemoryBound(to: ProtobufCMessage.self).pointee
        guard unsafe message.n_unknown_fields > 0, !acceptsUnknownFields else { return }
        throw .unknownField(message: schema.name, number: unsafe message.unknown_fields.pointee.tag)
    }

    func scalar<T: BitwiseCopyable>(_ number: UInt32, _ type: ProtobufCType, as: T.Type) throws(MessageError)
        -> T
    {
        let field = unsafe try schema.field(number, type)
        return unsafe base.load(fromByteOffset: Int(field.offset), as: T.self)
    }

    func scalars<T: BitwiseCopyable>(
        _ number: UInt32, _ type: ProtobufCType, as: T.Type
    ) throws(MessageError) -> [T] {
        let field = unsafe try schema.field(number, type, repeated: true)
        return unsafe Array(elements(field, as: T.self))
    }

    func boolean(_ number: UInt32) throws(MessageError) -> Bool {
        try scalar(number, PROTOBUF_C_TYPE_BOOL, as: protobuf_c_boolean.self) != 0
    }

    func string(_ number: UInt32) throws(MessageError) -> String {
        let field = unsafe try schema.field(number, PROTOBUF_C_TYPE_STRING)
        return try unsafe string(
            base.load(fromByteOffset: Int(field.offset), as: UnsafePointer<CChar>?.self), field)
    }

    /// A member of a `oneof`: nil when another is set.
    func member(_ number: UInt32) throws(MessageError) -> String? {
        let field = unsafe try schema.field(number, PROTOBUF_C_TYPE_STRING)
        guard unsafe isSet(field) else { return nil }
        return try string(number)
    }

    /// Whether a bool that is a member of a `oneof` is set.
    func flag(_ number: UInt32) throws(MessageError) -> Bool {
        unsafe isSet(try schema.field(number, PROTOBUF_C_TYPE_BOOL))
    }

    func strings(_ number: UInt32) throws(MessageError) -> [String] {
        let field = unsafe try schema.field(number, PROTOBUF_C_TYPE_STRING, repeated: true)
        var result: [String] = []
        let list = unsafe elements(field, as: UnsafePointer<CChar>?.self)
        for index in list.indices { result.append(unsafe try string(list[index], field)) }
        return result
    }

    func bytes(_ number: UInt32) throws(MessageError) -> [UInt8] {
        let field = unsafe try schema.field(number, PROTOBUF_C_TYPE_BYTES)
        let data = unsafe base.load(fromByteOffset: Int(field.offset), as: ProtobufCBinaryData.self)
        return unsafe [UInt8](UnsafeBufferPointer(start: data.data, count: data.len))
    }

    func byteStrings(_ number: UInt32) throws(MessageError) -> [[UInt8]] {
        let field = unsafe try schema.field(number, PROTOBUF_C_TYPE_BYTES, repeated: true)
        return unsafe elements(field, as: ProtobufCBinaryData.self).map {
            unsafe [UInt8](UnsafeBufferPointer(start: $0.data, count: $0.len))
        }
    }

    func message<M: PackedMessage>(_ number: UInt32, as: M.Type) throws(MessageError) -> M? {
        let field = unsafe try schema.field(number, PROTOBUF_C_TYPE_MESSAGE)
        guard unsafe isSet(field),
            let pointer = unsafe base.load(fromByteOffset: Int(field.offset), as: UnsafeRawPointer?.self)
        else { return nil }
        return try M(from: unsafe nested(pointer, M.self))
    }

    func messages<M: PackedMessage>(_ number: UInt32, as: M.Type) throws(MessageError) -> [M] {
        let field = unsafe try schema.field(number, PROTOBUF_C_TYPE_MESSAGE, repeated: true)
        var result: [M] = []
        let list = unsafe elements(field, as: UnsafeRawPointer?.self)
        for index in list.indices {
            if let pointer = unsafe list[index] { result.append(try M(from: unsafe nested(pointer, M.self))) }
        }
        return result
    }

    private func nested<M: PackedMessage>(_ pointer: UnsafeRawPointer, _: M.Type) -> MessageReader {
        unsafe MessageReader(base: pointer, schema: M.schema, acceptsUnknownFields: acceptsUnknownFields)
    }

    /// For a member of a `oneof` the quantifier holds the number of the member that is set.
    private func isSet(_ field: ProtobufCFieldDescriptor) -> Bool {
        guard unsafe field.flags & UInt32(PROTOBUF_C_FIELD_FLAG_ONEOF.rawValue) != 0 else { return true }
        return unsafe base.load(fromByteOffset: Int(field.quantifier_offset), as: UInt32.self) == field.id
    }

    private func elements<T>(_ field: ProtobufCFieldDescriptor, as: T.Type) -> UnsafeBufferPointer<T> {
        unsafe UnsafeBufferPointer(
            start: base.load(fromByteOffset: Int(field.offset), as: UnsafePointer<T>?.self),
            count: base.load(fromByteOffset: Int(field.quantifier_offset), as: Int.self))
    }

    private func string(
        _ pointer: UnsafePointer<CChar>?, _ field: ProtobufCFieldDescriptor
    ) throws(MessageError) -> String {
        // An absent string is the library's own empty one, which our allocator knows nothing about.
        guard let pointer = unsafe pointer, unsafe UnsafeRawPointer(pointer) != field.default_value else {
            return ""
        }
        let length = unsafe UnpackedMessage.allocatedBytes(pointer) - 1
        let bytes = unsafe UnsafeRawBufferPointer(start: pointer, count: length)
        guard unsafe !bytes.contains(0) else {
            throw .containsNUL(message: schema.name, field: unsafe String(cString: field.name))
        }
        guard let string = unsafe String(validating: bytes, as: UTF8.self) else {
            throw .notUTF8(message: schema.name, field: unsafe String(cString: field.name))
        }
        return string
    }
}
