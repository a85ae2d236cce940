// Checks the header fields of a request: is it gRPC, which method, how long has it got.

package import HTTP2

/// What a server does with the header block of a new stream.
package enum RequestHead: Equatable {
    /// What `grpc-accept-encoding` says: messages are taken as they are.
    package static let acceptedEncoding = "identity"

    case call(path: String, timeout: Duration?, metadata: RPCMetadata)
    /// Not gRPC: a plain HTTP answer.
    case http(status: String, text: String)
    /// gRPC, but refused.
    case refuse(RPCStatus)

    package init(_ fields: [HTTP2Field]) {
        var path = ""
        var method = ""
        var contentType = ""
        var encoding = "identity"
        var timeout: Duration?
        var trailersAccepted = false
        var metadata = RPCMetadata()
        for field in fields {
            switch field.name {
            case ":method": method = field.value
            case ":path": path = field.value
            case "content-type": contentType = field.value
            case "te": trailersAccepted = field.value.lowercased().contains("trailers")
            case "grpc-encoding": encoding = field.value
            case "grpc-timeout":
                guard let parsed = RPCTimeout.parse(field.value) else {
                    self = .refuse(RPCStatus(.internal, "bad grpc-timeout \"\(field.value.prefix(32))\""))
                    return
                }
                timeout = parsed
            default:
                if !field.name.hasPrefix(":") { metadata.add(field.name, field.value) }
            }
        }
        if !Self.isGRPC(contentType) {
            self = .http(
                status: "415", text: "this port speaks gRPC: content-type must be application/grpc\n")
        } else if method != "POST" {
            self = .http(status: "405", text: "gRPC calls use POST\n")
        } else if !trailersAccepted {
            self = .refuse(RPCStatus(.internal, "the request lacks \"te: trailers\": does a proxy drop it?"))
        } else if encoding != "identity" {
            self = .refuse(
                RPCStatus(
                    .unimplemented, "grpc-encoding \"\(encoding.prefix(32))\" is not supported: use identity")
            )
        } else {
            self = .call(path: path, timeout: timeout, metadata: metadata)
        }
    }
}

extension RequestHead {
    /// "application/grpc", perhaps with "+proto" and parameters. Other forms (grpc-web, +json) are not read.
    private static func isGRPC(_ contentType: String) -> Bool {
        let type = contentType.prefix { $0 != ";" && $0 != " " }.lowercased()
        return ["application/grpc", "application/grpc+proto"].contains(type)
    }
}

/// What a client makes of the header block of a reply.
package enum ReplyHead: Equatable {
    case accepted
    /// The call ends with this status.
    case ended(RPCStatus)

    package init(_ fields: [HTTP2Field]) {
        let status = fields.first { $0.name == ":status" }?.value ?? ""
        let contentType = fields.first { $0.name == "content-type" }?.value ?? ""
        let encoding = fields.first { $0.name == "grpc-encoding" }?.value ?? "identity"
        if let status = RPCStatus(trailers: fields) {
            self = .ended(status)
        } else if status != "200" {
            self = .ended(RPCStatus(http: status))
        } else if !contentType.hasPrefix("application/grpc") {
            self = .ended(RPCStatus(.unknown, "the peer's reply is not gRPC (\(contentType.prefix(64)))"))
        } else if encoding != "identity" {
            self = .ended(RPCStatus(.internal, "the reply is compressed, which was not asked for"))
        } else {
            self = .accepted
        }
    }
}
