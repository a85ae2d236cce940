// One method of a service, with the types that travel: what clients call and servers offer.

public import Protobuf

/// One method of a gRPC service.
public struct RPCMethod<Request: WireMessage, Reply: WireMessage>: Sendable {
    /// "/package.Service/Method"
    public let path: String
    public let requestStreaming: Bool
    public let replyStreaming: Bool

    public init(_ path: String, requestStreaming: Bool = false, replyStreaming: Bool = false) {
        self.path = path
        self.requestStreaming = requestStreaming
        self.replyStreaming = replyStreaming
    }
}
