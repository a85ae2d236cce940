// A request as handlers see it: a value, so that handlers can be tested without a server.

/// Methods that routes can have. HEAD is answered by the GET route.
public enum WebMethod: String, Sendable, CaseIterable {
    case get = "GET"
    case head = "HEAD"
    case post = "POST"
    case put = "PUT"
    case patch = "PATCH"
    case delete = "DELETE"
}

/// A header, or an item of a query or form.
public struct WebField: Sendable, Hashable {
    public var name: String
    public var value: String

    public init(_ name: String, _ value: String) {
        self.name = name
        self.value = value
    }
}

/// A request whose body has arrived in full.
public struct WebRequest: Sendable {
    public let method: WebMethod
    /// Without the query, as it was sent: still percent-encoded.
    public let path: String
    /// What the {names} of the route's pattern stood for, decoded.
    public let captures: [String: String]
    /// Decoded, in the order sent.
    public let query: [WebField]
    public let headers: [WebField]
    public let body: [UInt8]
    /// The peer's IP address; nil when it is not known.
    public let remoteAddress: String?
    public let isTLS: Bool

    public init(
        method: WebMethod = .get, path: String = "/", captures: [String: String] = [:],
        query: [WebField] = [], headers: [WebField] = [], body: [UInt8] = [], remoteAddress: String? = nil,
        isTLS: Bool = false
    ) {
        self.method = method
        self.path = path
        self.captures = captures
        self.query = query
        self.headers = headers
        self.body = body
        self.remoteAddress = remoteAddress
        self.isTLS = isTLS
    }

    /// The first header of that name, in any case; nil when there is none.
    public func header(_ name: String) -> String? {
        let name = name.lowercased()
        return headers.first { $0.name.lowercased() == name }?.value
    }

    /// The first query item of that name; nil when there is none.
    public func query(_ name: String) -> String? {
        query.first { $0.name == name }?.value
    }

    /// The head says that a body follows it.
    public var announcesBody: Bool {
        header("transfer-encoding") != nil || (header("content-length") ?? "0") != "0"
    }

    /// The token of an "Authorization: Bearer" header; nil when there is none.
    public var bearerToken: String? {
        header("authorization").flatMap(Self.bearerToken(of:))
    }

    /// The token in the value of an Authorization header; nil when it has another form.
    public static func bearerToken(of authorization: String) -> String? {
        let parts = authorization.split(separator: " ")
        guard parts.count == 2, parts[0].lowercased() == "bearer" else { return nil }
        return String(parts[1])
    }
}

/// The target of a request line, taken apart.
package struct WebTarget: Equatable {
    package let path: String
    /// The path's parts, decoded. "/" has none; "/a/" has "a" and an empty one.
    package let segments: [String]
    package let query: [WebField]

    /// nil when it does not start with "/", or is not percent-encoded UTF-8.
    package init?(_ target: String) {
        guard target.utf8.first == UInt8(ascii: "/") else { return nil }
        let parts = target.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        path = String(parts[0])
        let encoded =
            path == "/" ? [] : path.dropFirst().split(separator: "/", omittingEmptySubsequences: false)
        var segments: [String] = []
        for part in encoded {
            guard let text = Self.decoded(part, plusIsSpace: false) else { return nil }
            segments.append(text)
        }
        self.segments = segments
        var query: [WebField] = []
        for item in (parts.count > 1 ? parts[1] : "").split(separator: "&") {
            let pair = item.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard let name = Self.decoded(pair[0], plusIsSpace: true),
                let value = Self.decoded(pair.count > 1 ? pair[1] : "", plusIsSpace: true)
            else { return nil }
            query.append(WebField(name, value))
        }
        self.query = query
    }

    private static func decoded(_ text: Substring, plusIsSpace: Bool) -> String? {
        var bytes: [UInt8] = []
        var rest = text.utf8[...]
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "%") {
                guard let high = rest.popFirst().flatMap(hexDigit),
                    let low = rest.popFirst().flatMap(hexDigit)
                else { return nil }
                bytes.append(high << 4 | low)
            } else {
                bytes.append(plusIsSpace && byte == UInt8(ascii: "+") ? UInt8(ascii: " ") : byte)
            }
        }
        return bytes.contains(0) ? nil : String(validating: bytes, as: UTF8.self)
    }

    private static func hexDigit(_ byte: UInt8) -> UInt8? {
        Character(Unicode.Scalar(byte)).hexDigitValue.map(UInt8.init)
    }
}
