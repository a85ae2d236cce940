// A message's descriptor in protobuf-c's tables.
internal import CLariatProto
internal import CProtobufC

/// The descriptor of one message type. The tables are constants of the process.
@safe package struct MessageSchema: @unchecked Sendable {
    package let name: String
    let descriptor: UnsafePointer<ProtobufCMessageDescriptor>?

    /// - Parameter name: the full name in `Proto/`, such as "lariat.v1.Job".
    init(_ name: String) {
        self.name = name
        unsafe descriptor = lariat_message_descriptor(name)
    }

    /// The field with this number if it is of this type and label; anything else is a bug of ours.
    func field(_ number: UInt32, _ type: ProtobufCType, repeated: Bool = false) throws(MessageError)
        -> ProtobufCFieldDescriptor
    {
        guard let descriptor = unsafe descriptor,
            let field = unsafe protobuf_c_message_descriptor_get_field(descriptor, number)?.pointee,
            unsafe field.type == type, unsafe (field.label == PROTOBUF_C_LABEL_REPEATED) == repeated
        else { throw .schema(message: name, field: number) }
        return unsafe field
    }

    /// The numbers of all fields, for the test that Swift names each.
    package var fieldNumbers: [UInt32] {
        guard let descriptor = unsafe descriptor?.pointee else { return [] }
        return unsafe UnsafeBufferPointer(start: descriptor.fields, count: Int(descriptor.n_fields)).map {
            unsafe $0.id
        }
    }
}
