// One whole answer over HTTP.
public import JSONText

/// The status and the body of an answer that is not a stream. The body is JSON.
public struct Reply: Equatable, Sendable {
    public static let contentType = "application/json"

    public let status: Int
    public let body: [UInt8]

    public init(status: Int = 200, _ json: JSONValue) {
        self.status = status
        body = Array(json.text.utf8)
    }
}
