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
package protocol BridgedMessage: WireMessage, Equatable {
    init()
    /// Full name in `Proto/` ("lariat.v1.Job") and the descriptor found by it.
    static var schema: MessageSchema { get }
    static var fields: [WireField<Self>] { get }
    /// False on internal services, where an unknown field means another version on the other side.
    static var acceptsUnknownFields: Bool { get }
}

extension BridgedMessage {
    package static var acceptsUnknownFields: Bool { true }

    public init(decoding bytes: UnsafeRawBufferPointer) throws(MessageError) {
        guard bytes.count <= Self.byteLimit else {
            throw .tooLarge(message: Self.schema.name, bytes: bytes.count, limit: Self.byteLimit)
        }
        let unpacked = unsafe try UnpackedMessage(bytes, schema: Self.schema)
        self = try unpacked.value(acceptsUnknownFields: Self.acceptsUnknownFields)
    }

    init(from reader: MessageReader) throws(MessageError) {
        self.init()
        try reader.checkUnknownFields()
        for field in Self.fields { try field.read(reader, &self) }
    }

    public func encoded() throws(MessageError) -> [UInt8] {
        let arena = MessageArena()
        let builder = try MessageBuilder(schema: Self.schema, arena: arena)
        try write(to: builder)
        return try builder.packed(limit: Self.byteLimit)
    }

    func write(to builder: MessageBuilder) throws(MessageError) {
        for field in Self.fields { try field.write(self, builder) }
    }

    /// A message with some fields set: `JobRequest.with { $0.id = "j1" }`.
    public static func with(_ set: (inout Self) -> Void) -> Self {
        var message = Self()
        set(&message)
        return message
    }
}
