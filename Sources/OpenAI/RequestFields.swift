// Reading the members of a JSON object: each error names the member and says what it must be.
import Foundation
import Numerals

/// Any name of a member.
struct FieldName: CodingKey {
    let stringValue: String
    var intValue: Int? { nil }

    init(_ name: String) { stringValue = name }
    init?(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
}

/// One JSON object of a request. A member that is null is as if it were not there.
struct RequestFields {
    /// What a member is when it is read as one type.
    enum Reading<Value> {
        case absent
        case value(Value)
        /// Of another type, or a number that does not fit.
        case other
    }

    private let container: KeyedDecodingContainer<FieldName>

    init(_ container: KeyedDecodingContainer<FieldName>) { self.container = container }

    /// `messages[0].content`
    func path(_ name: String) -> String { Self.path(container.codingPath + [FieldName(name)]) }

    static func path(_ keys: [any CodingKey]) -> String {
        keys.reduce(into: "") { path, key in
            if let index = key.intValue {
                path += "[\(index)]"
            } else {
                path += path.isEmpty ? key.stringValue : "." + key.stringValue
            }
        }
    }

    func wrong(_ name: String, _ problem: String, code: String? = nil) -> APIError {
        .invalid("\"\(path(name))\" \(problem)", param: path(name), code: code)
    }

    /// - Throws: for text that is not Unicode: bytes that are not UTF-8, or half a surrogate pair.
    func read<Value: Decodable>(_ name: String, as type: Value.Type) throws(APIError) -> Reading<Value> {
        do {
            let key = FieldName(name)
            guard container.contains(key), try !container.decodeNil(forKey: key) else { return .absent }
            return .value(try container.decode(type, forKey: key))
        } catch DecodingError.typeMismatch {
            return .other
        } catch {
            guard type != String.self else { throw wrong(name, "has text that is not valid Unicode") }
            return .other
        }
    }

    func bool(_ name: String) throws(APIError) -> Bool? {
        switch try read(name, as: Bool.self) {
        case .absent: return nil
        case .value(let value): return value
        case .other: throw wrong(name, "must be true or false")
        }
    }

    func string(_ name: String, most bytes: Int) throws(APIError) -> String? {
        switch try read(name, as: String.self) {
        case .absent: return nil
        case .value(let value):
            guard value.utf8.count <= bytes else {
                throw wrong(name, "has \(value.utf8.count.grouped) bytes; the limit is \(bytes.grouped)")
            }
            return value
        case .other: throw wrong(name, "must be text")
        }
    }

    func number(_ name: String, _ range: ClosedRange<Double>) throws(APIError) -> Double? {
        switch try read(name, as: Double.self) {
        case .absent: return nil
        case .value(let value) where range.contains(value): return value
        case .value, .other:
            throw wrong(
                name, "must be a number from \(plain(range.lowerBound)) to \(plain(range.upperBound))")
        }
    }

    func integer(_ name: String, _ range: ClosedRange<Int64>) throws(APIError) -> Int64? {
        switch try read(name, as: Int64.self) {
        case .absent: return nil
        case .value(let value) where range.contains(value): return value
        case .value, .other:
            throw wrong(name, "must be a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
    }

    /// Nil when it is not there.
    func object(_ name: String) throws(APIError) -> RequestFields? {
        guard isPresent(name) else { return nil }
        guard let inner = try? container.nestedContainer(keyedBy: FieldName.self, forKey: FieldName(name))
        else {
            throw wrong(name, "must be an object")
        }
        return RequestFields(inner)
    }

    /// Nil when it is not there.
    func array(_ name: String, else problem: String) throws(APIError) -> RequestArray? {
        guard isPresent(name) else { return nil }
        guard let inner = try? container.nestedUnkeyedContainer(forKey: FieldName(name)) else {
            throw wrong(name, problem)
        }
        return RequestArray(inner)
    }

    /// One text or an array of texts; nil when it is not there.
    func texts(_ name: String, most count: Int, bytes: Int) throws(APIError) -> [String]? {
        switch try read(name, as: String.self) {
        case .absent: return nil
        case .value: return [try string(name, most: bytes)].compactMap { $0 }
        case .other: break
        }
        guard var inner = try array(name, else: "must be text or an array of texts") else { return nil }
        guard inner.count <= count else {
            throw wrong(name, "has \(inner.count.grouped) texts; the limit is \(count.grouped)")
        }
        var texts: [String] = []
        while let text = try inner.next(String.self, "must be text") {
            guard text.utf8.count <= bytes else {
                throw wrong(
                    name, "has a text of \(text.utf8.count.grouped) bytes; the limit is \(bytes.grouped)")
            }
            texts.append(text)
        }
        return texts
    }

    var names: [String] { container.allKeys.map(\.stringValue) }

    func isPresent(_ name: String) -> Bool {
        let key = FieldName(name)
        return container.contains(key) && (try? container.decodeNil(forKey: key)) != true
    }

    private func plain(_ value: Double) -> String { value == value.rounded() ? "\(Int(value))" : "\(value)" }
}

/// One JSON array of a request, read from its first element to its last.
struct RequestArray {
    private var container: any UnkeyedDecodingContainer

    init(_ container: any UnkeyedDecodingContainer) { self.container = container }

    var count: Int { container.count ?? 0 }

    /// Nil after the last one.
    mutating func next<Value: Decodable>(_ type: Value.Type, _ problem: String) throws(APIError) -> Value? {
        guard !container.isAtEnd else { return nil }
        let path = elementPath
        do {
            return try container.decode(type)
        } catch {
            throw .invalid("\"\(path)\" \(problem)", param: path)
        }
    }

    /// Nil after the last one.
    mutating func nextObject() throws(APIError) -> RequestFields? {
        guard !container.isAtEnd else { return nil }
        let path = elementPath
        do {
            return RequestFields(try container.nestedContainer(keyedBy: FieldName.self))
        } catch {
            throw .invalid("\"\(path)\" must be an object", param: path)
        }
    }

    private var elementPath: String {
        RequestFields.path(container.codingPath) + "[\(container.currentIndex)]"
    }
}
