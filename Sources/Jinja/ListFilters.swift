// Rendering: filters of lists.

extension Interpreter {
    func listFilter(_ name: String, _ value: Value, _ arguments: CallArguments) throws(JinjaError) -> Value {
        switch name {
        case "first", "last":
            if case .text(let text) = value {
                guard !text.isEmpty else { return .undefined("the text is empty") }
                return try self.text(
                    name == "first"
                        ? text.slice(0..<text.offset(after: 0))
                        : text.slice(text.offset(before: text.bytes.count)..<text.bytes.count))
            }
            let items = try items(of: value)
            return (name == "first" ? items.first : items.last) ?? .undefined("the list is empty")
        case "join":
            var items = try items(of: value)
            if let path = arguments.value("attribute", at: 1) {
                items = try attributes(path, of: items, fallback: nil)
            }
            let separator = try arguments.value("d", at: 0).map { value throws(JinjaError) in
                try printed(value)
            }
            return .text(try join(items, separator ?? JinjaText(), strict: false))
        case "reverse":
            if case .text(let text) = value {
                let characters = try items(of: .text(text))
                return .text(try join(characters.reversed(), JinjaText(), strict: true))
            }
            return try list(try items(of: value).reversed())
        case "map", "select", "reject", "selectattr", "rejectattr":
            // Jinja looks into these only if there is something in them; none counts as empty.
            guard value.isTrue else { return try list([]) }
            if name == "map" { return try list(try mapped(value, arguments)) }
            return try list(try selected(name, try items(of: value), arguments))
        case "sort":
            let items = try items(of: value)
            let path = arguments.value("attribute", at: 2)
            let keys =
                try path.map { path throws(JinjaError) in try attributes(path, of: items, fallback: nil) }
                ?? items
            let order = try order(
                of: keys, caseSensitive: flag("case_sensitive", at: 1, of: arguments),
                reversed: flag("reverse", at: 0, of: arguments))
            return try list(order.map { items[$0] })
        case "unique": return try list(try unique(try items(of: value), arguments))
        case "sum", "min", "max": return try gathered(name, try items(of: value), arguments)
        default: throw fail(.unsupported, "the filter \(name.prefix(60)) is not supported")
        }
    }

    private func mapped(_ value: Value, _ arguments: CallArguments) throws(JinjaError) -> [Value] {
        let items = try items(of: value)
        if let path = arguments.named.first(where: { $0.name == "attribute" })?.value {
            return try attributes(
                path, of: items, fallback: arguments.named.first { $0.name == "default" }?.value)
        }
        let name = try text("filter", at: 0, of: arguments, for: "map").string
        var rest = arguments
        rest.positional.removeFirst()
        var result: [Value] = []
        for item in items {
            try step()
            result.append(try deeper { () throws(JinjaError) in try filter(name, item, rest) })
        }
        return result
    }

    private func selected(_ name: String, _ items: [Value], _ arguments: CallArguments) throws(JinjaError)
        -> [Value]
    {
        var rest = arguments
        var subjects = items
        if name.hasSuffix("attr") {
            guard !rest.positional.isEmpty else {
                throw fail(.evaluation, "\(name) needs the name of an attribute")
            }
            subjects = try attributes(rest.positional.removeFirst(), of: items, fallback: nil)
        }
        var wanted: String?
        if !rest.positional.isEmpty {
            guard case .text(let test) = rest.positional.removeFirst() else {
                throw fail(.evaluation, "\(name) needs the name of a test")
            }
            wanted = test.string
        }
        let keeps = name.hasPrefix("select")
        var result: [Value] = []
        for (item, subject) in zip(items, subjects) {
            try step()
            let holds =
                try wanted.map { wanted throws(JinjaError) in try test(wanted, subject, rest) }
                ?? subject.isTrue
            if holds == keeps { result.append(item) }
        }
        return result
    }

    /// An attribute of each item, by a path such as `function.name` or a number.
    private func attributes(_ path: Value, of items: [Value], fallback: Value?) throws(JinjaError) -> [Value]
    {
        var parts: [Value] = [path]
        if case .text(let text) = path {
            parts = text.string.split(separator: ".").map { part in
                Int(part).map(Value.integer) ?? .text(own: String(part))
            }
        }
        var result: [Value] = []
        for item in items {
            try step()
            var value = item
            for part in parts {
                value = try self.item(part, of: value)
                if value.isUndefined, let fallback { value = fallback }
            }
            result.append(value)
        }
        return result
    }

    /// The places of values in ascending order; equal ones stay in theirs.
    func order(of keys: [Value], caseSensitive: Bool, reversed: Bool) throws(JinjaError) -> [Int] {
        var keys = keys
        if !caseSensitive {
            for (place, key) in keys.enumerated() {
                if case .text(let text) = key {
                    try charge(text.bytes.count)
                    keys[place] = .text(text.mapCharacters { $0.properties.lowercaseMapping })
                }
            }
        }
        // As many comparisons as sorting takes, paid in advance.
        var rounds = 1
        while 1 << rounds < keys.count { rounds += 1 }
        for key in keys {
            try charge(
                key.weight.multipliedReportingOverflow(by: rounds).overflow ? .max : key.weight * rounds)
        }
        var strange: (Value, Value)?
        let order = keys.indices.sorted { left, right in
            let (first, second) = reversed ? (right, left) : (left, right)
            guard let isBefore = isLess(keys[first], keys[second]) else {
                strange = strange ?? (keys[first], keys[second])
                return left < right
            }
            if isBefore { return true }
            return left < right && isLess(keys[second], keys[first]) != true
        }
        if let strange {
            throw fail(
                .evaluation, "\(strange.0.kindName) and \(strange.1.kindName) have no order to be sorted in")
        }
        return order
    }

    private func unique(_ items: [Value], _ arguments: CallArguments) throws(JinjaError) -> [Value] {
        let path = arguments.value("attribute", at: 1)
        let keys =
            try path.map { path throws(JinjaError) in try attributes(path, of: items, fallback: nil) }
            ?? items
        let caseSensitive = flag("case_sensitive", at: 0, of: arguments)
        var seen: [Value] = []
        var result: [Value] = []
        for (item, var key) in zip(items, keys) {
            if !caseSensitive, case .text(let text) = key {
                key = .text(text.mapCharacters { $0.properties.lowercaseMapping })
            }
            var isNew = true
            for other in seen where isNew {
                try step()
                isNew = try !equal(other, key)
            }
            guard isNew else { continue }
            seen.append(key)
            result.append(item)
        }
        return result
    }

    private func gathered(_ name: String, _ items: [Value], _ arguments: CallArguments) throws(JinjaError)
        -> Value
    {
        if name == "sum" {
            var values = items
            if let path = arguments.value("attribute", at: 0) {
                values = try attributes(path, of: items, fallback: nil)
            }
            var result = arguments.value("start", at: 1) ?? .integer(0)
            for value in values { result = try calculate(result, .add, value) }
            return result
        }
        guard let best = try order(of: items, caseSensitive: false, reversed: name == "max").first else {
            return .undefined("the list is empty")
        }
        return items[best]
    }
}
