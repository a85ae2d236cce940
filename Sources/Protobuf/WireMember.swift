// The members of a `oneof`: each line ties a number in Proto/ to a case of a Swift enumeration.
internal import CProtobufC

/// One member of a `oneof`; `Choice` is the enumeration of all of them.
package struct WireMember<Choice: Sendable>: Sendable {
    package let number: UInt32
    /// nil: another member is set, or none.
    let read: @Sendable (MessageReader) throws(MessageError) -> Choice?
    /// Does nothing for other cases.
    let write: @Sendable (Choice, MessageBuilder) throws(MessageError) -> Void

    private init(
        _ number: UInt32,
        read: @escaping @Sendable (MessageReader) throws(MessageError) -> Choice?,
        write: @escaping @Sendable (Choice, MessageBuilder) throws(MessageError) -> Void
    ) {
        self.number = number
        self.read = read
        self.write = write
    }

    /// A case with a message.
    /// - Parameters:
    ///   - make: the case.
    ///   - payload: what this case carries; nil for others.
    package static func message<N: PackedMessage>(
        _ number: UInt32, _ make: @escaping @Sendable (N) -> Choice,
        _ payload: @escaping @Sendable (Choice) -> N?
    ) -> WireMember {
        WireMember(
            number,
            read: { reader throws(MessageError) in try reader.message(number, as: N.self).map(make) },
            write: { choice, builder throws(MessageError) in try builder.message(number, payload(choice)) })
    }

    /// A case with a string, which may be empty.
    package static func string(
        _ number: UInt32, _ make: @escaping @Sendable (String) -> Choice,
        _ payload: @escaping @Sendable (Choice) -> String?
    ) -> WireMember {
        WireMember(
            number,
            read: { reader throws(MessageError) in try reader.member(number).map(make) },
            write: { choice, builder throws(MessageError) in try builder.member(number, payload(choice)) })
    }

    /// A case that carries nothing: a bool that is true.
    package static func flag(_ number: UInt32, _ value: Choice) -> WireMember where Choice: Equatable {
        WireMember(
            number,
            read: { reader throws(MessageError) in try reader.flag(number) ? value : nil },
            write: { choice, builder throws(MessageError) in
                if choice == value { try builder.flag(number) }
            })
    }
}
