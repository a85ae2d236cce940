// An answer as handlers make it, whole or as a stream.

public struct WebResponse: Sendable {
    public enum Body: Sendable {
        case bytes([UInt8])
        /// Called once, after the head was sent; the response ends when it returns. When it throws, the connection
        /// is broken off, so that the client sees that something is missing.
        case stream(@Sendable (WebBodyWriter) async throws -> Void)
    }

    /// 200 to 599.
    public var status: Int
    /// Length, transfer coding and connection are the server's own and left out here.
    public var headers: [WebField]
    public var body: Body

    public init(_ status: Int, headers: [WebField] = [], body: Body = .bytes([])) {
        self.status = status
        self.headers = headers
        self.body = body
    }

    /// Text with its media type.
    public static func text(_ text: String, status: Int = 200, type: String = "text/plain; charset=utf-8")
        -> WebResponse
    {
        WebResponse(status, headers: [WebField("Content-Type", type)], body: .bytes(Array(text.utf8)))
    }

    public static func json(_ bytes: some Sequence<UInt8>, status: Int = 200) -> WebResponse {
        WebResponse(
            status, headers: [WebField("Content-Type", "application/json")], body: .bytes(Array(bytes)))
    }

    /// A body sent as it is made, such as server-sent events (type "text/event-stream").
    public static func stream(
        type: String, _ write: @escaping @Sendable (WebBodyWriter) async throws -> Void
    ) -> WebResponse {
        WebResponse(
            200, headers: [WebField("Content-Type", type), WebField("Cache-Control", "no-store")],
            body: .stream(write))
    }

    /// With the headers a page for browsers should have: nothing is loaded from elsewhere, framed, guessed or told
    /// to other sites. `cacheControl`: whether and how long browsers may keep it.
    public func asPage(cacheControl: String = "no-store") -> WebResponse {
        var page = self
        let added = [
            WebField(
                "Content-Security-Policy",
                "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
            ),
            WebField("X-Content-Type-Options", "nosniff"), WebField("Referrer-Policy", "no-referrer"),
            WebField("Cache-Control", cacheControl),
        ]
        page.headers.removeAll { old in added.contains { $0.name.lowercased() == old.name.lowercased() } }
        page.headers += added
        return page
    }
}

/// Where a streamed body goes.
public struct WebBodyWriter: Sendable {
    private let sink: @Sendable ([UInt8]) async throws -> Void

    /// `sink` takes the bytes; for tests it can collect them.
    public init(_ sink: @escaping @Sendable ([UInt8]) async throws -> Void) {
        self.sink = sink
    }

    /// Sends bytes at once and waits while the client is too slow to take them. Throws when the client has gone,
    /// is cut off or the time for the response is over: stop then.
    public func write(_ bytes: [UInt8]) async throws {
        try Task.checkCancellation()
        if !bytes.isEmpty { try await sink(bytes) }
    }

    public func write(_ text: String) async throws {
        try await write(Array(text.utf8))
    }
}
