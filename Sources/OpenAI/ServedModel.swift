// The model list.
import JSONText

/// The model that is served, as `/v1/models` describes it.
public struct ServedModel: Equatable, Sendable {
    public let id: String
    /// Since when it is served, in seconds since 1970.
    public let created: Int64
    /// Positions the model is meant for.
    public let window: Int

    public init(id: String, created: Int64, window: Int) {
        self.id = id
        self.created = created
        self.window = window
    }

    /// - Throws: status 404 for any other name.
    public func check(_ name: String) throws(APIError) {
        guard name == id else { throw .modelNotFound(name, serving: id) }
    }

    /// The answer to `GET /v1/models/{id}`. `max_model_len` is vLLM's word for the window.
    public var reply: Reply { Reply(json) }

    /// The answer to `GET /v1/models`.
    public static func list(_ models: [ServedModel]) -> Reply {
        Reply(.object([("object", .string("list")), ("data", .array(models.map(\.json)))]))
    }

    private var json: JSONValue {
        .object([
            ("id", .string(id)), ("object", .string("model")), ("created", .integer(created)),
            ("owned_by", .string("lariat")), ("max_model_len", .integer(Int64(window))),
        ])
    }
}
