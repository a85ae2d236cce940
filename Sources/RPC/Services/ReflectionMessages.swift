// grpc.reflection: which services and messages does this process know?
// https://github.com/grpc/grpc/blob/master/doc/server-reflection.md
// Versions v1 and v1alpha are the same on the wire, so one set of types serves both.

public import Protobuf

/// One question.
public struct ReflectionRequest: BridgedMessage {
    public static let byteLimit = 64 << 10

    /// What is asked.
    public enum Question: Sendable, Equatable {
        case fileByFilename(String)
        case fileContainingSymbol(String)
        case fileContainingExtension(ReflectionExtension)
        case allExtensionNumbersOfType(String)
        /// The text means nothing.
        case listServices(String)
    }

    public var host: String = ""
    /// nil: none that is known here.
    public var question: Question?

    public init() {}

    package static let schema = MessageSchema("grpc.reflection.v1.ServerReflectionRequest", in: .grpc)
    package static let fields: [WireField<ReflectionRequest>] = [
        .string(1, \.host),
        .oneof(
            \.question,
            [
                .string(3, Question.fileByFilename) {
                    if case .fileByFilename(let name) = $0 { name } else { nil }
                },
                .string(4, Question.fileContainingSymbol) {
                    if case .fileContainingSymbol(let symbol) = $0 { symbol } else { nil }
                },
                .message(5, Question.fileContainingExtension) {
                    if case .fileContainingExtension(let type) = $0 { type } else { nil }
                },
                .string(6, Question.allExtensionNumbersOfType) {
                    if case .allExtensionNumbersOfType(let type) = $0 { type } else { nil }
                },
                .string(7, Question.listServices) {
                    if case .listServices(let text) = $0 { text } else { nil }
                },
            ]),
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

/// One answer.
public struct ReflectionResponse: BridgedMessage {
    /// What is answered.
    public enum Answer: Sendable, Equatable {
        case files(ReflectionFiles)
        case allExtensionNumbers(ReflectionExtensionNumbers)
        case services(ReflectionServices)
        case error(ReflectionError)
    }

    public var validHost: String = ""
    public var originalRequest: ReflectionRequest?
    public var answer: Answer?

    public init() {}

    package static let schema = MessageSchema("grpc.reflection.v1.ServerReflectionResponse", in: .grpc)
    package static let fields: [WireField<ReflectionResponse>] = [
        .string(1, \.validHost), .message(2, \.originalRequest),
        .oneof(
            \.answer,
            [
                .message(4, Answer.files) { if case .files(let files) = $0 { files } else { nil } },
                .message(5, Answer.allExtensionNumbers) {
                    if case .allExtensionNumbers(let numbers) = $0 { numbers } else { nil }
                },
                .message(6, Answer.services) {
                    if case .services(let services) = $0 { services } else { nil }
                },
                .message(7, Answer.error) { if case .error(let error) = $0 { error } else { nil } },
            ]),
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
