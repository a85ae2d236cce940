// Rendering: filters.

extension Interpreter {
    func filter(_ name: String, _ value: Value, _ arguments: CallArguments) throws(JinjaError) -> Value {
        switch name {
        case "default", "d":
            let takesFalse = flag("boolean", at: 1, of: arguments)
            guard value.isUndefined || (takesFalse && !value.isTrue) else { return value }
            return arguments.value("default_value", at: 0) ?? .text(JinjaText())
        case "tojson": return try json(value, arguments)
        case "length", "count": return .integer(try length(value))
        case "string": return try text(try printed(value))
        case "safe":
            var text = try printed(value)
            text.isMarkup = true
            return try self.text(text)
        case "int": return integer(value, fallback: arguments.value("default", at: 0) ?? .integer(0))
        case "float": return number(value, fallback: arguments.value("default", at: 0) ?? .number(0))
        case "abs":
            if let number = value.asInteger {
                return try calculate(.integer(number), .multiply, .integer(number < 0 ? -1 : 1))
            }
            guard case .number(let number) = value else {
                throw fail(.evaluation, "abs needs a number, not \(value.kindName)")
            }
            return .number(number.magnitude)
        case "round":
            guard let number = value.asNumber else {
                throw fail(.evaluation, "round needs a number, not \(value.kindName)")
            }
            guard try optionalInteger("precision", at: 0, of: arguments, for: name) ?? 0 == 0 else {
                throw fail(.unsupported, "round to digits behind the point is not supported")
            }
            return .number(number.rounded(.toNearestOrEven))
        case "trim", "upper", "lower", "title", "capitalize", "replace", "indent", "escape", "e", "wordcount":
            return try textFilter(name, try printed(value), arguments)
        case "list": return try list(try items(of: value))
        case "items":
            if value.isUndefined { return try list([]) }
            guard case .map(let map) = value else {
                throw fail(.evaluation, "items needs a mapping, not \(value.kindName)")
            }
            return try pairs(map)
        case "dictsort": return try sortedMembers(value, arguments)
        case "attr":
            let attribute = try text("name", at: 0, of: arguments, for: name)
            if case .map = value, !Self.mapMethods.contains(attribute.string) {
                return .undefined("the mapping has no attribute \(attribute.string.prefix(100))")
            }
            return try self.attribute(attribute.string, of: value)
        default: return try listFilter(name, value, arguments)
        }
    }

    private func length(_ value: Value) throws(JinjaError) -> Int {
        switch value {
        case .undefined: return 0
        case .text(let text): return text.length
        case .list(let list): return list.items.count
        case .map(let map): return map.entries.count
        default: throw fail(.evaluation, "\(value.kindName) has no length")
        }
    }

    private func textFilter(_ name: String, _ text: JinjaText, _ arguments: CallArguments) throws(JinjaError)
        -> Value
    {
        try charge(text.bytes.count)
        switch name {
        case "trim": return .text(strip(text, try optionalText("chars", at: 0, of: arguments, for: name)))
        case "upper": return .text(text.mapCharacters { $0.properties.uppercaseMapping })
        case "lower": return .text(text.mapCharacters { $0.properties.lowercaseMapping })
        case "capitalize": return .text(capitalised(text))
        case "title": return .text(titled(text) { isBlank($0) || "-({[<".unicodeScalars.contains($0) })
        case "replace":
            guard let old = arguments.value("old", at: 0), let new = arguments.value("new", at: 1) else {
                throw fail(.evaluation, "replace needs what to look for and what to put in its place")
            }
            let most = try optionalInteger("count", at: 2, of: arguments, for: name) ?? -1
            return .text(try replace(text, try printed(old), try printed(new), most))
        case "indent":
            let margin: JinjaText
            if case .text(let text)? = arguments.value("width", at: 0) {
                margin = text
            } else {
                let width = try optionalInteger("width", at: 0, of: arguments, for: name) ?? 4
                guard width <= 1000 else { throw fail(.limit, "an indent of more than 1000 is not possible") }
                margin = JinjaText(own: String(repeating: " ", count: max(0, width)))
            }
            return .text(
                try indent(
                    text, margin, first: flag("first", at: 1, of: arguments),
                    blank: flag("blank", at: 2, of: arguments)))
        case "wordcount": return .integer(try split(text, nil, -1, fromEnd: false).count)
        default: return .text(text.escaped)
        }
    }

    private func json(_ value: Value, _ arguments: CallArguments) throws(JinjaError) -> Value {
        let indent = try optionalInteger("indent", at: 1, of: arguments, for: "tojson")
        guard (indent ?? 0) <= 100 else { throw fail(.limit, "an indent of more than 100 is not possible") }
        var separators: (item: String, key: String)?
        switch arguments.value("separators", at: 2) {
        case nil, .some(.none): break
        case .list(let list)?:
            guard list.items.count == 2, case .text(let item) = list.items[0],
                case .text(let key) = list.items[1]
            else {
                throw fail(.evaluation, "tojson needs two texts as separators")
            }
            separators = (item.string, key.string)
        default: throw fail(.evaluation, "tojson needs two texts as separators")
        }
        // Escapes make a byte into six; indents are paid per item.
        try charge(value.weight)
        var writer = JSONWriter(
            indent: indent.map { max(0, $0) }, separators: separators,
            sortsKeys: flag("sort_keys", at: 3, of: arguments),
            escapesNonASCII: flag("ensure_ascii", at: 0, of: arguments))
        writer.write(value)
        if let strange = writer.strange {
            throw fail(.evaluation, "tojson cannot write a value of the kind \(strange)")
        }
        return try text(writer.result)
    }

    private func integer(_ value: Value, fallback: Value) -> Value {
        if let number = value.asInteger { return .integer(number) }
        if case .number(let number) = value {
            return Int(exactly: number.rounded(.towardZero)).map(Value.integer) ?? fallback
        }
        guard case .text(let text) = value else { return fallback }
        let trimmed = strip(text, nil).string
        if let number = Int(trimmed) { return .integer(number) }
        return Double(trimmed).flatMap { Int(exactly: $0.rounded(.towardZero)) }.map(Value.integer)
            ?? fallback
    }

    private func number(_ value: Value, fallback: Value) -> Value {
        if let number = value.asNumber { return .number(number) }
        guard case .text(let text) = value else { return fallback }
        return Double(strip(text, nil).string).map(Value.number) ?? fallback
    }

    private func sortedMembers(_ value: Value, _ arguments: CallArguments) throws(JinjaError) -> Value {
        guard case .map(let map) = value else {
            throw fail(.evaluation, "dictsort needs a mapping, not \(value.kindName)")
        }
        let by = try optionalText("by", at: 1, of: arguments, for: "dictsort")?.string ?? "key"
        guard by == "key" || by == "value" else { throw fail(.evaluation, "dictsort sorts by key or value") }
        let keys = map.entries.map { by == "key" ? Value.text($0.key) : $0.value }
        let order = try order(
            of: keys, caseSensitive: flag("case_sensitive", at: 0, of: arguments),
            reversed: flag("reverse", at: 2, of: arguments))
        try charge(64 * order.count)
        return try list(
            order.map { .list(List([.text(map.entries[$0].key), map.entries[$0].value], isPair: true)) })
    }
}
