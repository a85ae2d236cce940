// A message's descriptor in protobuf-c's tables.
package import CProtobufC

/// The descriptors that protoc-c made of some files of `Proto/`. They are constants of the process.
@safe package struct DescriptorTable: @unchecked Sendable {
    private let descriptors: UnsafeBufferPointer<UnsafePointer<ProtobufCMessageDescriptor>>

    /// - Parameter descriptors: as many as `count`, valid for ever.
    package init(_ descriptors: UnsafePointer<UnsafePointer<ProtobufCMessageDescriptor>>, count: Int) {
        unsafe self.descriptors = unsafe UnsafeBufferPointer(start: descriptors, count: count)
    }

    /// Full names of all messages, in the order of `Proto/`.
    package var names: [String] {
        unsafe descriptors.map { unsafe String(cString: $0.pointee.name) }
    }

    func descriptor(named name: String) -> UnsafePointer<ProtobufCMessageDescriptor>? {
        unsafe descriptors.first { unsafe String(cString: $0.pointee.name) == name }
    }
}

/// The descriptor of one message type.
@safe package struct MessageSchema: @unchecked Sendable {
    package let name: String
    let descriptor: UnsafePointer<ProtobufCMessageDescriptor>?

    /// - Parameter name: the full name in `Proto/`, such as "lariat.v1.Job".
    package init(_ name: String, in table: DescriptorTable) {
        self.name = name
        unsafe descriptor = table.descriptor(named: name)
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
