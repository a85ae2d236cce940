// What every typed message can do. The bytes are made and read by libprotobuf-c; a Swift type names its fields
// once, in a table, and one bridge (MessageReader, MessageBuilder) moves values between the two.

/// A message of `Proto/` as a Swift value.
public protocol WireMessage: Sendable {
    /// Longer messages are refused before anything is allocated; also the limit for sending.
    static var byteLimit: Int { get }
    init(decoding bytes: UnsafeRawBufferPointer) throws(MessageError)
    func encoded() throws(MessageError) -> [UInt8]
}

extension WireMessage {
    public static var byteLimit: Int { 4 << 20 }

    public init(decoding bytes: [UInt8]) throws(MessageError) {
        let result: Result<Self, MessageError> = unsafe bytes.withUnsafeBytes { buffer in
            do throws(MessageError) { return .success(unsafe try Self(decoding: buffer)) } catch {
                return .failure(error)
            }
        }
        self = try result.get()
    }
}

/// A message that protobuf-c packs and unpacks by its descriptor.
package protocol PackedMessage: WireMessage, Equatable {
    /// Full name in `Proto/` ("lariat.v1.Job") and the descriptor found by it.
    static var schema: MessageSchema { get }
    /// False on internal services, where an unknown field means another version on the other side.
    static var acceptsUnknownFields: Bool { get }
    /// The numbers in `Proto/` that the type knows.
    static var numbers: [UInt32] { get }
    init(from reader: MessageReader) throws(MessageError)
    func write(to builder: MessageBuilder) throws(MessageError)
}

extension PackedMessage {
    package static var acceptsUnknownFields: Bool { true }

    public init(decoding bytes: UnsafeRawBufferPointer) throws(MessageError) {
        guard bytes.count <= Self.byteLimit else {
            throw .tooLarge(message: Self.schema.name, bytes: bytes.count, limit: Self.byteLimit)
        }
        let unpacked = unsafe try UnpackedMessage(bytes, schema: Self.schema)
        self = try unpacked.value(acceptsUnknownFields: Self.acceptsUnknownFields)
    }

    public func encoded() throws(MessageError) -> [UInt8] {
        let arena = MessageArena()
        let builder = try MessageBuilder(schema: Self.schema, arena: arena)
        try write(to: builder)
        return try builder.packed(limit: Self.byteLimit)
    }
}

/// A message as a structure with a property for each field.
package protocol BridgedMessage: PackedMessage {
    init()
    static var fields: [WireField<Self>] { get }
}

extension BridgedMessage {
    package static var numbers: [UInt32] { fields.flatMap(\.numbers) }

    package init(from reader: MessageReader) throws(MessageError) {
        self.init()
        try reader.checkUnknownFields()
        for field in Self.fields { try field.read(reader, &self) }
    }

    package func write(to builder: MessageBuilder) throws(MessageError) {
        for field in Self.fields { try field.write(self, builder) }
    }

    /// A message with some fields set: `JobRequest.with { $0.id = "j1" }`.
    public static func with(_ set: (inout Self) -> Void) -> Self {
        var message = Self()
        set(&message)
        return message
    }
}

/// A message that is one `oneof` and nothing else, as an enumeration. Bytes in which none of its members is set are
/// refused: on internal services the other side speaks another version.
package protocol OneofMessage: PackedMessage {
    static var members: [WireMember<Self>] { get }
}

extension OneofMessage {
    package static var acceptsUnknownFields: Bool { false }

    package static var numbers: [UInt32] { members.map(\.number) }

    package init(from reader: MessageReader) throws(MessageError) {
        try reader.checkUnknownFields()
        for member in Self.members {
            guard let choice = try member.read(reader) else { continue }
            self = choice
            return
        }
        throw .nothingSet(message: reader.schema.name)
    }

    package func write(to builder: MessageBuilder) throws(MessageError) {
        for member in Self.members { try member.write(self, builder) }
    }
}
