// Values of an option that ask for nothing: what the answer would be without the option.

/// The values that an option may have that Lariat does not have.
enum HarmlessValue: Sendable {
    case number(Double)
    case flag(Bool)
    case oneOf([String])
    /// Empty text, or an empty array or object.
    case nothing

    /// In words: what it may be.
    var words: String {
        switch self {
        case .number(let value): "only \(Int(value)) is"
        case .flag(let value): "only \(value) is"
        case .oneOf(let texts):
            "only \(texts.map { "\"\($0)\"" }.joined(separator: " and ")) \(texts.count > 1 ? "are" : "is")"
        case .nothing: "leave it out"
        }
    }

    func includes(_ asked: AskedValue) -> Bool {
        switch (self, asked) {
        case (.number(let value), .number(let asked)): value == asked
        case (.flag(let value), .bool(let asked)): value == asked
        case (.oneOf(let texts), .string(let asked)): texts.contains(asked)
        case (.nothing, .string(let asked)): asked.isEmpty
        case (.nothing, .array(let count)): count == 0
        case (.nothing, .object(let isEmpty)): isEmpty
        default: false
        }
    }
}

/// As much of a member's value as tells whether it asks for something.
enum AskedValue {
    case bool(Bool)
    case number(Double)
    case string(String)
    case array(count: Int)
    case object(isEmpty: Bool)
    case unreadable

    init(_ name: String, of fields: RequestFields) throws(APIError) {
        if case .value(let value) = try fields.read(name, as: Bool.self) {
            self = .bool(value)
        } else if case .value(let value) = try fields.read(name, as: Double.self) {
            self = .number(value)
        } else if case .value(let value) = try fields.read(name, as: String.self) {
            self = .string(value)
        } else if let inner = try? fields.array(name, else: "") {
            self = .array(count: inner.count)
        } else if let inner = try? fields.object(name) {
            self = .object(isEmpty: inner.names.isEmpty)
        } else {
            self = .unreadable
        }
    }
}
