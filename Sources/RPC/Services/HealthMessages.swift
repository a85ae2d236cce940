// grpc.health.v1: is a service of this process ready?
// https://github.com/grpc/grpc/blob/master/doc/health-checking.md

public import Protobuf

/// Names a service; empty: the process as a whole.
public struct HealthCheckRequest: BridgedMessage {
    public static let byteLimit = 4 << 10
    public var service: String = ""

    public init() {}

    package static let schema = MessageSchema("grpc.health.v1.HealthCheckRequest", in: .grpc)
    package static let fields: [WireField<HealthCheckRequest>] = [.string(1, \.service)]
}

/// Whether the service can be used.
public struct HealthCheckResponse: BridgedMessage {
    /// The protocol's states.
    public enum Status: UInt32, WireEnumeration, CaseIterable {
        case unspecified = 0
        case serving = 1
        case notServing = 2
        case serviceUnknown = 3
    }
    public var status: Status = .unspecified

    public init() {}

    package static let schema = MessageSchema("grpc.health.v1.HealthCheckResponse", in: .grpc)
    package static let fields: [WireField<HealthCheckResponse>] = [.enumeration(1, \.status)]
}

/// grpc.health.v1.Health.
public enum HealthService {
    public static let name = "grpc.health.v1.Health"
    public static let check = RPCMethod<HealthCheckRequest, HealthCheckResponse>(
        "/grpc.health.v1.Health/Check")
    public static let watch = RPCMethod<HealthCheckRequest, HealthCheckResponse>(
        "/grpc.health.v1.Health/Watch", replyStreaming: true)
}
