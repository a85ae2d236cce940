// Values while a template is rendered.

enum Value {
    /// What has no value, by the name that was looked for.
    case undefined(String)
    case none
    case bool(Bool)
    case integer(Int)
    case number(Double)
    case text(JinjaText)
    case list(List)
    case map(Map)
    case namespace(Namespace)
    case loop(LoopState)
    case macro(Macro)
    /// A function that every template has.
    case function(String)
    /// A method of a text, list or mapping.
    indirect case method(Value, String)

    static func text(own text: String) -> Value { .text(JinjaText(own: text)) }

    init(_ value: JinjaValue) {
        switch value {
        case .null: self = .none
        case .bool(let value): self = .bool(value)
        case .integer(let value): self = .integer(value)
        case .number(let value): self = .number(value)
        case .text(let text): self = .text(text)
        case .list(let items): self = .list(List(items.map { Value($0) }))
        case .map(let members):
            var map = Map()
            for member in members { map.set(member.key, Value(member.value)) }
            self = .map(map)
        }
    }

    /// How many lists and mappings lie in each other.
    var depth: Int {
        switch self {
        case .list(let list): list.depth
        case .map(let map): map.depth
        case .method(let receiver, _): receiver.depth + 1
        default: 0
        }
    }

    /// The bytes and items in it, every one counted as often as it is reached: what it costs to write or to compare.
    var weight: Int {
        switch self {
        case .text(let text): text.bytes.count + 1
        case .list(let list): list.weight
        case .map(let map): map.weight
        case .method(let receiver, _): receiver.weight
        default: 1
        }
    }

    /// The kind in Python's words, which templates' authors know from its messages.
    var kindName: String {
        switch self {
        case .undefined: "undefined"
        case .none: "none"
        case .bool: "bool"
        case .integer: "int"
        case .number: "float"
        case .text: "text"
        case .list: "list"
        case .map: "mapping"
        case .namespace: "namespace"
        case .loop: "loop"
        case .macro, .function, .method: "function"
        }
    }

    var isTrue: Bool {
        switch self {
        case .undefined, .none: false
        case .bool(let value): value
        case .integer(let value): value != 0
        case .number(let value): value != 0
        case .text(let text): !text.isEmpty
        case .list(let list): !list.items.isEmpty
        case .map(let map): !map.entries.isEmpty
        case .namespace, .loop, .macro, .function, .method: true
        }
    }

    var isUndefined: Bool {
        if case .undefined = self { true } else { false }
    }

    /// As a number for arithmetic: truth values count as 0 and 1.
    var asInteger: Int? {
        switch self {
        case .integer(let value): value
        case .bool(let value): value ? 1 : 0
        default: nil
        }
    }

    var asNumber: Double? {
        if case .number(let value) = self { return value }
        return asInteger.map(Double.init)
    }
}

struct List {
    let items: [Value]
    let depth: Int
    let weight: Int
    /// A Python tuple, which is printed in round brackets.
    let isPair: Bool

    init(_ items: [Value], isPair: Bool = false) {
        self.items = items
        self.isPair = isPair
        depth = 1 + (items.lazy.map(\.depth).max() ?? 0)
        weight = items.reduce(1) { sum($0, $1.weight) }
    }
}

/// Items that are shared by lists within lists can be reached more often than there are numbers.
private func sum(_ left: Int, _ right: Int) -> Int {
    let (sum, isOver) = left.addingReportingOverflow(right)
    return isOver ? .max : sum
}

/// A mapping that keeps the order of its members. Keys are texts.
struct Map {
    private(set) var entries: [(key: JinjaText, value: Value)] = []
    private(set) var depth = 1
    private(set) var weight = 1
    /// Places in `entries`, once there are more than a few.
    private var places: [[UInt8]: Int] = [:]
    private static let few = 12

    subscript(key: [UInt8]) -> Value? { place(of: key).map { entries[$0].value } }

    mutating func set(_ key: JinjaText, _ value: Value) {
        depth = max(depth, 1 + value.depth)
        weight = sum(weight, sum(key.bytes.count + 1, value.weight))
        if let place = place(of: key.bytes) {
            entries[place].value = value
            return
        }
        entries.append((key, value))
        if entries.count == Self.few {
            for (place, entry) in entries.enumerated() { places[entry.key.bytes] = place }
        } else if entries.count > Self.few {
            places[key.bytes] = entries.count - 1
        }
    }

    private func place(of key: [UInt8]) -> Int? {
        entries.count < Self.few ? entries.firstIndex { $0.key.bytes == key } : places[key]
    }
}

/// The one kind of value that a template may change.
final class Namespace {
    var members = Map()
}

/// The names of a template, a round of a loop, a macro's call or a block, and those around them.
final class Scope {
    var values: [String: Value] = [:]
    let outer: Scope?

    init(_ outer: Scope?) { self.outer = outer }

    func value(of name: String) -> Value? {
        var scope: Scope? = self
        while let here = scope {
            if let value = here.values[name] { return value }
            scope = here.outer
        }
        return nil
    }
}

struct Macro {
    let definition: MacroDefinition
    let scope: Scope
}

/// Where a loop is.
final class LoopState {
    var items: [Value]
    var index = 0
    /// What `loop.changed` was last given.
    var last: Value?

    init(_ items: [Value]) { self.items = items }

    func attribute(_ name: String) -> Value {
        switch name {
        case "index": .integer(index + 1)
        case "index0": .integer(index)
        case "revindex": .integer(items.count - index)
        case "revindex0": .integer(items.count - index - 1)
        case "first": .bool(index == 0)
        case "last": .bool(index == items.count - 1)
        case "length": .integer(items.count)
        case "previtem": index > 0 ? items[index - 1] : .undefined("there is no previous item")
        case "nextitem": index + 1 < items.count ? items[index + 1] : .undefined("there is no next item")
        // Only recursive loops, which are not supported, have more.
        case "depth": .integer(1)
        case "depth0": .integer(0)
        default: .undefined("loop has no attribute \(name)")
        }
    }
}

// MARK: Comparison

/// Python's `==`.
func areEqual(_ left: Value, _ right: Value) -> Bool {
    if let left = left.asInteger, let right = right.asInteger { return left == right }
    if let left = left.asNumber, let right = right.asNumber { return left == right }
    switch (left, right) {
    case (.undefined, .undefined), (.none, .none): return true
    case (.text(let left), .text(let right)): return left.bytes == right.bytes
    case (.list(let left), .list(let right)):
        return left.items.count == right.items.count && zip(left.items, right.items).allSatisfy(areEqual)
    case (.map(let left), .map(let right)):
        return left.entries.count == right.entries.count
            && left.entries.allSatisfy { entry in
                right[entry.key.bytes].map { areEqual(entry.value, $0) } ?? false
            }
    case (.namespace(let left), .namespace(let right)): return left === right
    default: return false
    }
}

/// Python's `<`; nil for values that have no order.
func isLess(_ left: Value, _ right: Value) -> Bool? {
    if let left = left.asInteger, let right = right.asInteger { return left < right }
    if let left = left.asNumber, let right = right.asNumber { return left < right }
    switch (left, right) {
    case (.text(let left), .text(let right)):
        // UTF-8 is in the order of code points.
        return left.bytes.lexicographicallyPrecedes(right.bytes)
    case (.list(let left), .list(let right)):
        for (left, right) in zip(left.items, right.items) where !areEqual(left, right) {
            return isLess(left, right)
        }
        return left.items.count < right.items.count
    default: return nil
    }
}
