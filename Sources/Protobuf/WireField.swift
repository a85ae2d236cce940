// The field table of a message: each line ties a number in Proto/ to a property, for reading and for writing.
internal import CProtobufC

/// An enumeration of `Proto/`. A value this version does not know is read as `.unrecognised`.
package protocol WireEnumeration: RawRepresentable, Sendable where RawValue == UInt32 {
    static var unspecified: Self { get }
    /// `.unspecified`, unless leaving a choice out and making an unknown one must be told apart.
    static var unrecognised: Self { get }
}

extension WireEnumeration {
    package static var unrecognised: Self { .unspecified }
}

/// One field of `M`: how to read it into the value and how to write it out.
package struct WireField<M>: Sendable {
    package typealias Property<Value> = WritableKeyPath<M, Value> & Sendable

    /// One, or those of all members of a `oneof`.
    package let numbers: [UInt32]
    let read: @Sendable (MessageReader, inout M) throws(MessageError) -> Void
    let write: @Sendable (M, MessageBuilder) throws(MessageError) -> Void

    private init(
        _ number: UInt32,
        read: @escaping @Sendable (MessageReader, inout M) throws(MessageError) -> Void,
        write: @escaping @Sendable (M, MessageBuilder) throws(MessageError) -> Void
    ) {
        self.init([number], read: read, write: write)
    }

    private init(
        _ numbers: [UInt32],
        read: @escaping @Sendable (MessageReader, inout M) throws(MessageError) -> Void,
        write: @escaping @Sendable (M, MessageBuilder) throws(MessageError) -> Void
    ) {
        self.numbers = numbers
        self.read = read
        self.write = write
    }

    private static func scalar<T: BitwiseCopyable>(
        _ number: UInt32, _ type: ProtobufCType, _ property: any Property<T>
    ) -> WireField {
        WireField(
            number,
            read: { reader, message throws(MessageError) in
                message[keyPath: property] = try reader.scalar(number, type, as: T.self)
            },
            write: { message, builder throws(MessageError) in
                try builder.scalar(number, type, message[keyPath: property])
            })
    }

    private static func scalars<T: BitwiseCopyable>(
        _ number: UInt32, _ type: ProtobufCType, _ property: any Property<[T]>
    ) -> WireField {
        WireField(
            number,
            read: { reader, message throws(MessageError) in
                message[keyPath: property] = try reader.scalars(number, type, as: T.self)
            },
            write: { message, builder throws(MessageError) in
                try builder.scalars(number, type, message[keyPath: property])
            })
    }

    package static func uint32(_ number: UInt32, _ property: any Property<UInt32>) -> WireField {
        scalar(number, PROTOBUF_C_TYPE_UINT32, property)
    }
    package static func uint64(_ number: UInt32, _ property: any Property<UInt64>) -> WireField {
        scalar(number, PROTOBUF_C_TYPE_UINT64, property)
    }
    package static func int32(_ number: UInt32, _ property: any Property<Int32>) -> WireField {
        scalar(number, PROTOBUF_C_TYPE_INT32, property)
    }
    package static func float(_ number: UInt32, _ property: any Property<Float>) -> WireField {
        scalar(number, PROTOBUF_C_TYPE_FLOAT, property)
    }
    package static func double(_ number: UInt32, _ property: any Property<Double>) -> WireField {
        scalar(number, PROTOBUF_C_TYPE_DOUBLE, property)
    }
    package static func uint32s(_ number: UInt32, _ property: any Property<[UInt32]>) -> WireField {
        scalars(number, PROTOBUF_C_TYPE_UINT32, property)
    }
    package static func int32s(_ number: UInt32, _ property: any Property<[Int32]>) -> WireField {
        scalars(number, PROTOBUF_C_TYPE_INT32, property)
    }
    package static func floats(_ number: UInt32, _ property: any Property<[Float]>) -> WireField {
        scalars(number, PROTOBUF_C_TYPE_FLOAT, property)
    }
    package static func doubles(_ number: UInt32, _ property: any Property<[Double]>) -> WireField {
        scalars(number, PROTOBUF_C_TYPE_DOUBLE, property)
    }

    package static func bool(_ number: UInt32, _ property: any Property<Bool>) -> WireField {
        WireField(
            number,
            read: { reader, message throws(MessageError) in
                message[keyPath: property] = try reader.boolean(number)
            },
            write: { message, builder throws(MessageError) in
                let value: protobuf_c_boolean = message[keyPath: property] ? 1 : 0
                try builder.scalar(number, PROTOBUF_C_TYPE_BOOL, value)
            })
    }

    package static func enumeration<E: WireEnumeration>(_ number: UInt32, _ property: any Property<E>)
        -> WireField
    {
        WireField(
            number,
            read: { reader, message throws(MessageError) in
                let raw = try reader.scalar(number, PROTOBUF_C_TYPE_ENUM, as: UInt32.self)
                message[keyPath: property] = E(rawValue: raw) ?? .unrecognised
            },
            write: { message, builder throws(MessageError) in
                try builder.scalar(number, PROTOBUF_C_TYPE_ENUM, message[keyPath: property].rawValue)
            })
    }

    package static func string(_ number: UInt32, _ property: any Property<String>) -> WireField {
        WireField(
            number,
            read: { reader, message throws(MessageError) in
                message[keyPath: property] = try reader.string(number)
            },
            write: { message, builder throws(MessageError) in
                try builder.string(number, message[keyPath: property])
            })
    }

    /// A string that earlier versions wrote and that is only read: `take` is told it unless it is empty.
    package static func earlier(
        _ number: UInt32, _ take: @escaping @Sendable (inout M, String) -> Void
    ) -> WireField {
        WireField(
            number,
            read: { reader, message throws(MessageError) in
                let text = try reader.string(number)
                if !text.isEmpty { take(&message, text) }
            },
            write: { _, _ in })
    }

    package static func strings(_ number: UInt32, _ property: any Property<[String]>) -> WireField {
        WireField(
            number,
            read: { reader, message throws(MessageError) in
                message[keyPath: property] = try reader.strings(number)
            },
            write: { message, builder throws(MessageError) in
                try builder.strings(number, message[keyPath: property])
            })
    }

    /// A `oneof`; nil when none of its members is set, or one that this version does not know.
    package static func oneof<Choice>(
        _ property: any Property<Choice?>, _ members: [WireMember<Choice>]
    ) -> WireField {
        WireField(
            members.map(\.number),
            read: { reader, message throws(MessageError) in
                for member in members {
                    guard let choice = try member.read(reader) else { continue }
                    message[keyPath: property] = choice
                    return
                }
            },
            write: { message, builder throws(MessageError) in
                guard let choice = message[keyPath: property] else { return }
                for member in members { try member.write(choice, builder) }
            })
    }

    package static func bytes(_ number: UInt32, _ property: any Property<[UInt8]>) -> WireField {
        WireField(
            number,
            read: { reader, message throws(MessageError) in
                message[keyPath: property] = try reader.bytes(number)
            },
            write: { message, builder throws(MessageError) in
                try builder.bytes(number, message[keyPath: property])
            })
    }

    package static func byteStrings(_ number: UInt32, _ property: any Property<[[UInt8]]>) -> WireField {
        WireField(
            number,
            read: { reader, message throws(MessageError) in
                message[keyPath: property] = try reader.byteStrings(number)
            },
            write: { message, builder throws(MessageError) in
                try builder.byteStrings(number, message[keyPath: property])
            })
    }

    package static func message<N: PackedMessage>(_ number: UInt32, _ property: any Property<N?>)
        -> WireField
    {
        WireField(
            number,
            read: { reader, message throws(MessageError) in
                message[keyPath: property] = try reader.message(number, as: N.self)
            },
            write: { message, builder throws(MessageError) in
                try builder.message(number, message[keyPath: property])
            })
    }

    package static func messages<N: PackedMessage>(_ number: UInt32, _ property: any Property<[N]>)
        -> WireField
    {
        WireField(
            number,
            read: { reader, message throws(MessageError) in
                message[keyPath: property] = try reader.messages(number, as: N.self)
            },
            write: { message, builder throws(MessageError) in
                try builder.messages(number, message[keyPath: property])
            })
    }
}
