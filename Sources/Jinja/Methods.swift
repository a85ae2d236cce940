// Rendering: methods of texts, mappings and lists, as Python has them.

extension Interpreter {
    static let mapMethods: Set<String> = [
        "items", "keys", "values", "get", "copy", "pop", "popitem", "update", "setdefault", "clear",
    ]
    static let listMethods: Set<String> = [
        "index", "count", "copy", "append", "extend", "insert", "pop", "remove", "reverse", "sort", "clear",
    ]
    static let textMethods: Set<String> = [
        "strip", "lstrip", "rstrip", "split", "rsplit", "splitlines", "startswith", "endswith", "replace",
        "upper",
        "lower", "title", "capitalize", "join", "find", "rfind", "index", "count", "isdigit", "isalpha",
        "isspace",
        "isupper", "islower", "isalnum", "removeprefix", "removesuffix", "format", "encode", "zfill",
        "partition",
    ]

    func call(_ name: String, on map: Map, _ arguments: CallArguments) throws(JinjaError) -> Value {
        switch name {
        case "items": return try pairs(map)
        case "keys": return try list(map.entries.map { .text($0.key) })
        case "values": return try list(map.entries.map(\.value))
        case "copy": return try self.map(map)
        case "get":
            guard case .text(let key)? = arguments.positional.first else {
                return arguments.value("default", at: 1) ?? .none
            }
            return map[key.bytes] ?? arguments.value("default", at: 1) ?? .none
        default: throw fail(.evaluation, "\(name) would change a mapping, which a template may not")
        }
    }

    func pairs(_ map: Map) throws(JinjaError) -> Value {
        try charge(64 * map.entries.count)
        return try list(map.entries.map { .list(List([.text($0.key), $0.value], isPair: true)) })
    }

    func call(_ name: String, on list: List, _ arguments: CallArguments) throws(JinjaError) -> Value {
        switch name {
        case "copy": return try self.list(list.items)
        case "index", "count":
            guard let wanted = arguments.positional.first else {
                throw fail(.evaluation, "\(name) needs a value")
            }
            var places: [Int] = []
            for (place, item) in list.items.enumerated() where try equal(item, wanted) {
                places.append(place)
            }
            if name == "count" { return .integer(places.count) }
            guard let first = places.first else {
                throw fail(.evaluation, "the list does not have that item")
            }
            return .integer(first)
        default: throw fail(.evaluation, "\(name) would change a list, which a template may not")
        }
    }

    func call(_ name: String, on text: JinjaText, _ arguments: CallArguments) throws(JinjaError) -> Value {
        try charge(text.bytes.count)
        switch name {
        case "strip", "lstrip", "rstrip":
            let characters = try optionalText("chars", at: 0, of: arguments, for: name)
            return .text(strip(text, characters, start: name != "rstrip", end: name != "lstrip"))
        case "upper": return .text(text.mapCharacters { $0.properties.uppercaseMapping })
        case "lower": return .text(text.mapCharacters { $0.properties.lowercaseMapping })
        case "capitalize": return .text(capitalised(text))
        case "title": return .text(titled(text) { !$0.properties.isAlphabetic })
        case "startswith", "endswith": return .bool(try begins(text, arguments, atEnd: name == "endswith"))
        case "replace":
            return .text(
                try replace(
                    text, try self.text("old", at: 0, of: arguments, for: name),
                    try self.text("new", at: 1, of: arguments, for: name),
                    try optionalInteger("count", at: 2, of: arguments, for: name) ?? -1))
        case "split", "rsplit":
            let most = try optionalInteger("maxsplit", at: 1, of: arguments, for: name) ?? -1
            let separator = try optionalText("sep", at: 0, of: arguments, for: name)
            return try list(try split(text, separator, most, fromEnd: name == "rsplit").map(Value.text))
        case "splitlines": return try list(lines(text).map(Value.text))
        case "join":
            guard let items = arguments.positional.first else { throw fail(.evaluation, "join needs a list") }
            return .text(try join(try self.items(of: items), text, strict: true))
        default: return try examine(name, text, arguments)
        }
    }

    private func examine(_ name: String, _ text: JinjaText, _ arguments: CallArguments) throws(JinjaError)
        -> Value
    {
        func all(_ property: (Unicode.Scalar) -> Bool) -> Value {
            .bool(!text.isEmpty && text.string.unicodeScalars.allSatisfy(property))
        }
        switch name {
        case "isdigit":
            return all { $0.properties.numericType == .decimal || $0.properties.numericType == .digit }
        case "isalpha": return all { $0.properties.generalCategory.isLetter }
        case "isalnum":
            return all { $0.properties.generalCategory.isLetter || $0.properties.numericType != nil }
        case "isspace": return all(isBlank)
        case "isupper", "islower":
            let scalars = text.string.unicodeScalars
            let isUpper = name == "isupper"
            return .bool(
                scalars.contains { isUpper ? $0.properties.isUppercase : $0.properties.isLowercase }
                    && !scalars.contains { isUpper ? $0.properties.isLowercase : $0.properties.isUppercase })
        case "find", "rfind", "index":
            let part = try self.text("sub", at: 0, of: arguments, for: name)
            guard let place = text.find(part, last: name == "rfind") else {
                if name == "index" { throw fail(.evaluation, "the text does not have that part") }
                return .integer(-1)
            }
            return .integer(text.slice(0..<place).length)
        case "count":
            let part = try self.text("sub", at: 0, of: arguments, for: name)
            guard !part.isEmpty else { return .integer(text.length + 1) }
            return .integer(try split(text, part, -1, fromEnd: false).count - 1)
        case "removeprefix":
            let part = try self.text("prefix", at: 0, of: arguments, for: name)
            return .text(text.hasPrefix(part) ? text.slice(part.bytes.count..<text.bytes.count) : text)
        case "removesuffix":
            let part = try self.text("suffix", at: 0, of: arguments, for: name)
            return .text(text.hasSuffix(part) ? text.slice(0..<text.bytes.count - part.bytes.count) : text)
        case "partition":
            let part = try self.text("sep", at: 0, of: arguments, for: name)
            guard !part.isEmpty, let place = text.find(part) else {
                return try list([.text(text), .text(JinjaText()), .text(JinjaText())])
            }
            return try list([
                .text(text.slice(0..<place)), .text(part),
                .text(text.slice(place + part.bytes.count..<text.bytes.count)),
            ])
        default: throw fail(.unsupported, "the method \(name) of texts is not supported")
        }
    }

    private func begins(_ text: JinjaText, _ arguments: CallArguments, atEnd: Bool) throws(JinjaError) -> Bool
    {
        guard arguments.positional.count == 1 else {
            throw fail(.unsupported, "startswith and endswith take one argument here")
        }
        let wanted: [Value]
        if case .list(let list) = arguments.positional[0] {
            wanted = list.items
        } else {
            wanted = arguments.positional
        }
        for value in wanted {
            guard case .text(let part) = value else {
                throw fail(.evaluation, "a text begins or ends with text, not with \(value.kindName)")
            }
            if atEnd ? text.hasSuffix(part) : text.hasPrefix(part) { return true }
        }
        return false
    }
}

extension Unicode.GeneralCategory {
    fileprivate var isLetter: Bool {
        switch self {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: true
        default: false
        }
    }
}
