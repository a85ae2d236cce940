// A mapping of a YAML file, read key by key; whatever is wrong is reported with the line and the full key.
import Yams

/// One mapping with the place it has in the file.
struct YAMLMapping {
    struct Entry {
        let name: String
        let line: Int
        let node: Node
    }

    let path: String
    /// Such as `workers[1]`; empty at the top.
    let key: String
    let line: Int
    let entries: [Entry]

    /// The mapping that the file consists of.
    static func root(of text: String, path: String) throws(ClusterError) -> YAMLMapping {
        guard text.utf8.count <= ClusterSpecification.largestFile else {
            throw ClusterError(path: path, line: nil, key: nil, problem: ClusterSpecification.tooLarge)
        }
        // Some editors begin a file with a byte order mark.
        let text = text.unicodeScalars.first == "\u{feff}" ? String(text.unicodeScalars.dropFirst()) : text
        var screen = YAMLScreen(path: path)
        try screen.check(text)
        let node: Node?
        do {
            node = try Parser(yaml: text).singleRoot()
        } catch let error as YamlError {
            throw ClusterError(error, path: path, text: text)
        } catch {
            throw ClusterError(path: path, line: nil, key: nil, problem: "\(error)")
        }
        guard let node, !isNull(node) else {
            throw ClusterError(
                path: path, line: 1, key: nil,
                problem: "the file is empty; model, coordinator and workers are needed")
        }
        return try YAMLMapping(node, path: path, key: "", line: 1)
    }

    init(_ node: Node, path: String, key: String, line: Int) throws(ClusterError) {
        self.path = path
        self.key = key
        guard case .mapping(let mapping) = node else {
            throw ClusterError(
                path: path, line: node.mark?.line ?? line, key: key.isEmpty ? nil : key,
                problem: "\(Self.kind(node)) stands here; it needs keys and values")
        }
        self.line = mapping.mark?.line ?? line
        var entries: [Entry] = []
        for (name, value) in mapping {
            guard case .scalar(let scalar) = name else {
                throw ClusterError(
                    path: path, line: name.mark?.line ?? line, key: key.isEmpty ? nil : key,
                    problem: "\(Self.kind(name)) stands where a key is needed")
            }
            entries.append(Entry(name: scalar.string, line: scalar.mark?.line ?? self.line, node: value))
        }
        self.entries = entries
    }

    /// An error at the given key of this mapping, or at the mapping itself.
    func error(_ name: String? = nil, line: Int? = nil, _ problem: String) -> ClusterError {
        let full = name.map(path(of:)) ?? (key.isEmpty ? nil : key)
        let place = line ?? entries.first { $0.name == name }?.line ?? self.line
        return ClusterError(path: path, line: place, key: full, problem: problem)
    }

    private func path(of name: String) -> String { key.isEmpty ? name : "\(key).\(name)" }

    /// Refuses keys that are not in the list.
    func allow(_ known: [String]) throws(ClusterError) {
        for entry in entries where !known.contains(entry.name) {
            let guess = known.first { $0.isNear(entry.name) }.map { "; did you mean \($0)?" } ?? ""
            let name =
                entry.name.allSatisfy { $0.isLetter || $0.isNumber || $0 == "_" }
                ? entry.name : quoted(entry.name)
            throw error(
                String(name.prefix(62)), line: entry.line,
                "unknown key\(guess.isEmpty ? "; known here: \(known.joined(separator: ", "))" : guess)")
        }
    }

    /// Whether the key stands here, whatever its value.
    func has(_ name: String) -> Bool { entries.contains { $0.name == name } }

    func entry(_ name: String) throws(ClusterError) -> Entry? {
        guard let entry = entries.first(where: { $0.name == name }) else { return nil }
        guard !Self.isNull(entry.node) else {
            throw error(name, "has no value; give it one or remove the key")
        }
        return entry
    }

    func missing(_ name: String, example: String) -> ClusterError {
        error(name, "is missing; write e.g. \(name): \(example)")
    }

    /// The text of a scalar.
    func string(_ name: String) throws(ClusterError) -> String? {
        guard let entry = try entry(name) else { return nil }
        guard case .scalar(let scalar) = entry.node else {
            throw error(name, "\(Self.kind(entry.node)) stands here; one value is needed")
        }
        guard !scalar.string.isEmpty else { throw error(name, "is empty; give it a value or remove the key") }
        guard !scalar.string.unicodeScalars.contains(where: { $0.properties.generalCategory == .control })
        else {
            throw error(name, "\(quoted(scalar.string)) has a control character in it")
        }
        return scalar.string
    }

    /// A number that is written without quotes.
    func number<T: LosslessStringConvertible & Comparable>(
        _ name: String, _ range: ClosedRange<T>
    ) throws(ClusterError) -> T? {
        guard let entry = try entry(name), let text = try string(name) else { return nil }
        return try number(entry.node, text: text, range) { problem in error(name, problem) }
    }

    private func number<T: LosslessStringConvertible & Comparable>(
        _ node: Node, text: String, _ range: ClosedRange<T>, error: (String) -> ClusterError
    ) throws(ClusterError) -> T {
        let what = T.self == Int.self ? "whole number" : "number"
        let isPlain = if case .scalar(let scalar) = node { scalar.style == .plain } else { false }
        guard isPlain else { throw error("\(quoted(text)) is in quotes; write the \(what) without them") }
        guard text.utf8.count <= 20, text.utf8.allSatisfy({ "-.0123456789".utf8.contains($0) }),
            let value = T(text)
        else { throw error("\(quoted(text)) is not a \(what)") }
        guard range.contains(value) else {
            throw error("\(text) is out of range; it must be from \(range.lowerBound) to \(range.upperBound)")
        }
        return value
    }

    /// `true` or `false`, without quotes.
    func boolean(_ name: String) throws(ClusterError) -> Bool? {
        guard let text = try string(name), let entry = try entry(name) else { return nil }
        let isPlain = if case .scalar(let scalar) = entry.node { scalar.style == .plain } else { false }
        switch text {
        case "true" where isPlain: return true
        case "false" where isPlain: return false
        default:
            throw error(name, "\(quoted(text)) is neither true nor false; write one of them, without quotes")
        }
    }

    /// A list of texts, none of them empty.
    func strings(_ name: String) throws(ClusterError) -> [String]? {
        guard let items = try list(name) else { return nil }
        var texts: [String] = []
        for (index, item) in items.enumerated() {
            guard case .scalar(let scalar) = item, !scalar.string.isEmpty,
                !scalar.string.unicodeScalars.contains(where: { $0.properties.generalCategory == .control })
            else {
                throw error(
                    "\(name)[\(index)]", line: item.mark?.line,
                    "\(Self.kind(item)) stands here; a text is needed")
            }
            texts.append(scalar.string)
        }
        return texts
    }

    /// A list of whole numbers.
    func numbers(_ name: String, _ range: ClosedRange<Int>) throws(ClusterError) -> [Int]? {
        guard let items = try list(name) else { return nil }
        var numbers: [Int] = []
        for (index, item) in items.enumerated() {
            func itemError(_ problem: String) -> ClusterError {
                error("\(name)[\(index)]", line: item.mark?.line, problem)
            }
            guard case .scalar(let scalar) = item else {
                throw itemError("\(Self.kind(item)) is not a whole number")
            }
            let value: Int = try number(item, text: scalar.string, range, error: itemError)
            guard !numbers.contains(value) else { throw itemError("\(value) stands in the list twice") }
            numbers.append(value)
        }
        return numbers
    }

    private func list(_ name: String) throws(ClusterError) -> [Node]? {
        guard let entry = try entry(name) else { return nil }
        guard case .sequence(let sequence) = entry.node else {
            throw error(name, "\(Self.kind(entry.node)) stands here; a list is needed")
        }
        return Array(sequence)
    }

    func mapping(_ name: String) throws(ClusterError) -> YAMLMapping? {
        guard let entry = try entry(name) else { return nil }
        return try YAMLMapping(entry.node, path: path, key: path(of: name), line: entry.line)
    }

    func mappings(_ name: String) throws(ClusterError) -> [YAMLMapping]? {
        guard let items = try list(name) else { return nil }
        var mappings: [YAMLMapping] = []
        for (index, item) in items.enumerated() {
            mappings.append(
                try YAMLMapping(
                    item, path: path, key: "\(path(of: name))[\(index)]", line: item.mark?.line ?? line))
        }
        return mappings
    }

    private static func isNull(_ node: Node) -> Bool {
        guard case .scalar(let scalar) = node, scalar.style == .plain else { return false }
        return ["", "~", "null", "Null", "NULL"].contains(scalar.string)
    }

    private static func kind(_ node: Node) -> String {
        switch node {
        case .mapping: "a mapping"
        case .sequence: "a list"
        case .scalar(let scalar): quoted(scalar.string)
        case .alias: "an alias"
        }
    }
}

extension ClusterError {
    /// From a parser's error, with the parser's line.
    init(_ error: YamlError, path: String, text: String) {
        func make(_ line: Int?, _ problem: String, key: String? = nil) -> ClusterError {
            ClusterError(path: path, line: line, key: key, problem: problem)
        }
        switch error {
        case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _):
            self = make(mark.line, "is not valid YAML: \(problem) (column \(mark.column))")
        case .composer(_, let problem, let mark, _):
            self = make(mark.line, "is not one YAML document: \(problem)")
        case .reader(let problem, _, _, _):
            self = make(nil, "is not valid YAML: \(problem)")
        case .duplicatedKeysInMapping(let keys, let context):
            let name = keys.first ?? ""
            let line = Self.lineOfRepeat(of: name, after: context.mark, in: text)
            self = make(line, "stands here twice; its first place is line \(context.mark.line)", key: name)
        default:
            self = make(nil, "is not valid YAML: \(error)")
        }
    }

    /// The parser tells where a key that is given twice stands first. The second place is the next line that has it in
    /// the same column, or else (in brackets) the same line.
    private static func lineOfRepeat(of key: String, after mark: Mark, in text: String) -> Int {
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        for (index, line) in lines.enumerated().dropFirst(mark.line) {
            let scalars = line.unicodeScalars
            let indentation = scalars.prefix { $0 == " " }.count
            let isBlank = indentation == scalars.count || scalars.dropFirst(indentation).first == "#"
            if !isBlank, indentation + 1 < mark.column { break }
            guard indentation + 1 == mark.column else { continue }
            let content = String(scalars.dropFirst(indentation))
            for form in [key, "\"\(key)\"", "'\(key)'"] where content.hasPrefix(form) {
                if content.dropFirst(form.count).drop(while: { $0 == " " }).first == ":" { return index + 1 }
            }
        }
        return mark.line
    }
}

extension String {
    /// Whether one insertion, removal, replacement or swap of neighbours makes the other of it.
    fileprivate func isNear(_ other: String) -> Bool {
        let a = Array(utf8)
        let b = Array(other.utf8)
        guard abs(a.count - b.count) <= 1 else { return false }
        let start = zip(a, b).prefix { $0 == $1 }.count
        let end = zip(a.dropFirst(start).reversed(), b.dropFirst(start).reversed()).prefix { $0 == $1 }.count
        let restA = a.dropFirst(start).dropLast(end)
        let restB = b.dropFirst(start).dropLast(end)
        return max(restA.count, restB.count) <= 1
            || (restA.count == 2 && restB.elementsEqual(restA.reversed()))
    }
}
