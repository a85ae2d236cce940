// Memory of a message that protobuf-c unpacks: counted against a budget and freed by the same allocator.
internal import CProtobufC

/// A message in protobuf-c's memory, freed when this value ends.
///
/// Unpacking amplifies: two bytes of an empty submessage become a hundred. So the allocator has a budget of
/// 1 MiB and eight times the message's length, and returns NULL beyond it.
@safe struct UnpackedMessage: ~Copyable {
    private let account: UnsafeMutablePointer<Account>
    private let message: UnsafeMutablePointer<ProtobufCMessage>
    private let schema: MessageSchema

    init(_ bytes: UnsafeRawBufferPointer, schema: MessageSchema) throws(MessageError) {
        guard let descriptor = unsafe schema.descriptor else { throw .schema(message: schema.name, field: 0) }
        let budget = (1 << 20) + 8 * bytes.count
        let account = UnsafeMutablePointer<Account>.allocate(capacity: 1)
        unsafe account.initialize(to: Account(remaining: budget))
        var allocator = unsafe Self.allocator(account)
        let unpacked = unsafe protobuf_c_message_unpack(
            descriptor, &allocator, bytes.count, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self))
        guard let unpacked = unsafe unpacked else {
            let exhausted = unsafe account.pointee.exhausted
            unsafe account.deallocate()
            throw exhausted
                ? .overBudget(message: schema.name, bytes: bytes.count, budget: budget)
                : .malformed(message: schema.name)
        }
        unsafe self.account = account
        unsafe message = unpacked
        self.schema = schema
    }

    deinit {
        var allocator = unsafe Self.allocator(account)
        unsafe protobuf_c_message_free_unpacked(message, &allocator)
        unsafe account.deallocate()
    }

    /// The Swift value of the message. A method, so that the memory outlives the reader.
    func value<M: PackedMessage>(acceptsUnknownFields: Bool) throws(MessageError) -> M {
        try M(
            from: unsafe MessageReader(
                base: UnsafeRawPointer(message), schema: schema, acceptsUnknownFields: acceptsUnknownFields))
    }

    private struct Account {
        var remaining: Int
        var exhausted = false
    }

    /// Each allocation carries its size in front, so that freeing gives it back to the budget.
    static let headerBytes = 16

    /// The length that was asked for an allocation of this allocator. protobuf-c copies a string of n bytes into
    /// n + 1, which is how a NUL inside a string is found.
    static func allocatedBytes(_ pointer: UnsafeRawPointer) -> Int {
        unsafe (pointer - headerBytes).load(as: Int.self)
    }

    private static func allocator(_ account: UnsafeMutablePointer<Account>) -> ProtobufCAllocator {
        unsafe ProtobufCAllocator(
            alloc: { data, size in
                guard let account = unsafe data?.assumingMemoryBound(to: Account.self) else { return nil }
                let (total, overflow) = size.addingReportingOverflow(UnpackedMessage.headerBytes)
                guard !overflow, unsafe total <= account.pointee.remaining else {
                    unsafe account.pointee.exhausted = true
                    return nil
                }
                unsafe account.pointee.remaining -= total
                let memory = UnsafeMutableRawPointer.allocate(byteCount: total, alignment: 16)
                unsafe memory.storeBytes(of: size, as: Int.self)
                return unsafe memory + UnpackedMessage.headerBytes
            },
            free: { data, pointer in
                guard let pointer = unsafe pointer,
                    let account = unsafe data?.assumingMemoryBound(to: Account.self)
                else { return }
                let memory = unsafe pointer - UnpackedMessage.headerBytes
                unsafe account.pointee.remaining += memory.load(as: Int.self) + UnpackedMessage.headerBytes
                unsafe memory.deallocate()
            },
            allocator_data: UnsafeMutableRawPointer(account))
    }
}
