// grpc.reflection: which services and messages does this process know?
// https://github.com/grpc/grpc/blob/master/doc/server-reflection.md
// Versions v1 and v1alpha are the same on the wire, so one set of types serves both.

public import Protobuf

/// One question; exactly one of the optional fields is set.
public struct ReflectionRequest: BridgedMessage {
    public static let byteLimit = 64 << 10
    public var host: String = ""
    public var fileByFilename: String?
    public var fileContainingSymbol: String?
    public var fileContainingExtension: ReflectionExtension?
    public var allExtensionNumbersOfType: String?
    public var listServices: String?

    public init() {}

    package static let schema = MessageSchema("grpc.reflection.v1.ServerReflectionRequest", in: .grpc)
    package static let fields: [WireField<ReflectionRequest>] = [
        .string(1, \.host), .member(3, \.fileByFilename), .member(4, \.fileContainingSymbol),
        .message(5, \.fileContainingExtension), .member(6, \.allExtensionNumbersOfType),
        .member(7, \.listServices),
    ]
}

/// An extension of a message, as proto2 had them.
public struct ReflectionExtension: BridgedMessage {
    public var containingType: String = ""
    public var extensionNumber: Int32 = 0

    public init() {}

    package static let schema = MessageSchema("grpc.reflection.v1.ExtensionRequest", in: .grpc)
    package static let fields: [WireField<ReflectionExtension>] = [
        .string(1, \.containingType), .int32(2, \.extensionNumber),
    ]
}

/// One answer; exactly one of the optional fields is set.
public struct ReflectionResponse: BridgedMessage {
    public var validHost: String = ""
    public var originalRequest: ReflectionRequest?
    public var fileDescriptors: ReflectionFiles?
    public var allExtensionNumbers: ReflectionExtensionNumbers?
    public var services: ReflectionServices?
    public var error: ReflectionError?

    public init() {}

    package static let schema = MessageSchema("grpc.reflection.v1.ServerReflectionResponse", in: .grpc)
    package static let fields: [WireField<ReflectionResponse>] = [
        .string(1, \.validHost), .message(2, \.originalRequest), .message(4, \.fileDescriptors),
        .message(5, \.allExtensionNumbers), .message(6, \.services), .message(7, \.error),
    ]
}

/// Serialised `google.protobuf.FileDescriptorProto`s.
public struct ReflectionFiles: BridgedMessage {
    public var files: [[UInt8]] = []

    public init() {}

    package static let schema = MessageSchema("grpc.reflection.v1.FileDescriptorResponse", in: .grpc)
    package static let fields: [WireField<ReflectionFiles>] = [.byteStrings(1, \.files)]
}

/// The extensions of a message.
public struct ReflectionExtensionNumbers: BridgedMessage {
    public var baseTypeName: String = ""
    public var numbers: [Int32] = []

    public init() {}

    package static let schema = MessageSchema("grpc.reflection.v1.ExtensionNumberResponse", in: .grpc)
    package static let fields: [WireField<ReflectionExtensionNumbers>] = [
        .string(1, \.baseTypeName), .int32s(2, \.numbers),
    ]
}

/// The services of this process.
public struct ReflectionServices: BridgedMessage {
    public var services: [ReflectionServiceName] = []

    public init() {}

    package static let schema = MessageSchema("grpc.reflection.v1.ListServiceResponse", in: .grpc)
    package static let fields: [WireField<ReflectionServices>] = [.messages(1, \.services)]
}

/// The full name of a service.
public struct ReflectionServiceName: BridgedMessage {
    public var name: String = ""

    public init() {}

    package static let schema = MessageSchema("grpc.reflection.v1.ServiceResponse", in: .grpc)
    package static let fields: [WireField<ReflectionServiceName>] = [.string(1, \.name)]
}

/// Why there is no answer.
public struct ReflectionError: BridgedMessage {
    public var code: Int32 = 0
    public var message: String = ""

    public init() {}

    package static let schema = MessageSchema("grpc.reflection.v1.ErrorResponse", in: .grpc)
    package static let fields: [WireField<ReflectionError>] = [.int32(1, \.code), .string(2, \.message)]
}

/// grpc.reflection.v1 and its older name.
public enum ReflectionService {
    public static let info = RPCMethod<ReflectionRequest, ReflectionResponse>(
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", requestStreaming: true,
        replyStreaming: true)
    public static let infoAlpha = RPCMethod<ReflectionRequest, ReflectionResponse>(
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", requestStreaming: true,
        replyStreaming: true)
}
