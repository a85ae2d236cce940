// Rendering: expressions.

/// The values of a call's arguments.
struct CallArguments {
    var positional: [Value] = []
    var named: [(name: String, value: Value)] = []

    /// The argument of this name or at this place.
    func value(_ name: String, at place: Int) -> Value? {
        if let given = named.first(where: { $0.name == name }) { return given.value }
        return place < positional.count ? positional[place] : nil
    }
}

extension Interpreter {
    func evaluate(_ expression: Expression) throws(JinjaError) -> Value {
        try step()
        line = expression.line
        switch expression.kind {
        case .none: return .none
        case .bool(let value): return .bool(value)
        case .integer(let value): return .integer(value)
        case .number(let value): return .number(value)
        case .text(let text): return .text(text)
        case .name(let name):
            if let value = scope.value(of: name) { return value }
            return Self.functions.contains(name) ? .function(name) : .undefined("\(name) is undefined")
        default: return try deeper { () throws(JinjaError) in try evaluateInner(expression) }
        }
    }

    private func evaluateInner(_ expression: Expression) throws(JinjaError) -> Value {
        switch expression.kind {
        case .attribute(let base, let name): return try attribute(name, of: try evaluate(base))
        case .item(let base, let index):
            let base = try evaluate(base)
            return try item(try evaluate(index), of: base)
        case .call(let callee, let arguments):
            let callee = try evaluate(callee)
            let arguments = try evaluate(arguments)
            line = expression.line
            return try call(callee, arguments)
        case .filter(let base?, let name, let arguments):
            let value = try evaluate(base)
            let arguments = try evaluate(arguments)
            line = expression.line
            return try filter(name, value, arguments)
        case .test(let base, let name, let arguments):
            let value = try evaluate(base)
            let arguments = try evaluate(arguments)
            line = expression.line
            return .bool(try test(name, value, arguments))
        case .not(let operand): return .bool(try !evaluate(operand).isTrue)
        case .conditional(let value, let condition, let otherwise):
            if try evaluate(condition).isTrue { return try evaluate(value) }
            return try otherwise.map { other throws(JinjaError) in try evaluate(other) }
                ?? .undefined("the condition is false and there is no else")
        default: return try evaluateRow(expression)
        }
    }

    private func evaluateRow(_ expression: Expression) throws(JinjaError) -> Value {
        switch expression.kind {
        case .and(let operands):
            var value = Value.none
            for operand in operands {
                value = try evaluate(operand)
                if !value.isTrue { return value }
            }
            return value
        case .or(let operands):
            var value = Value.none
            for operand in operands {
                value = try evaluate(operand)
                if value.isTrue { return value }
            }
            return value
        case .comparison(let first, let rest):
            var left = try evaluate(first)
            for (operation, operand) in rest {
                let right = try evaluate(operand)
                line = expression.line
                guard try compare(left, operation, right) else { return .bool(false) }
                left = right
            }
            return .bool(true)
        case .concatenation(let operands):
            var result = JinjaText()
            for operand in operands {
                let text = try printed(try evaluate(operand))
                try charge(text.bytes.count)
                result.append(text)
            }
            return .text(result)
        case .arithmetic(let first, let rest):
            var value = try evaluate(first)
            for (operation, operand) in rest {
                let right = try evaluate(operand)
                line = expression.line
                value = try calculate(value, operation, right)
            }
            return value
        default: return try evaluateLiteral(expression)
        }
    }

    private func evaluateLiteral(_ expression: Expression) throws(JinjaError) -> Value {
        switch expression.kind {
        case .list(let items):
            var values: [Value] = []
            for item in items { values.append(try evaluate(item)) }
            return try list(values)
        case .map(let members):
            var map = Map()
            for (key, value) in members {
                let key = try evaluate(key)
                guard case .text(let name) = key else {
                    throw fail(.unsupported, "a mapping's key must be text, not \(key.kindName)")
                }
                map.set(name, try evaluate(value))
            }
            return try self.map(map)
        case .negative(let operand):
            let value = try evaluate(operand)
            if let number = value.asInteger {
                return try calculate(.integer(0), .subtract, .integer(number))
            }
            guard case .number(let number) = value else {
                throw fail(.evaluation, "- needs a number, not \(value.kindName)")
            }
            return .number(-number)
        case .positive(let operand):
            let value = try evaluate(operand)
            guard value.asNumber != nil else {
                throw fail(.evaluation, "+ needs a number, not \(value.kindName)")
            }
            return value.asInteger.map(Value.integer) ?? value
        case .slice(let base, let from, let to, let by):
            let base = try evaluate(base)
            func bound(_ expression: Expression?) throws(JinjaError) -> Int? {
                guard let expression else { return nil }
                let value = try evaluate(expression)
                if case .none = value { return nil }
                guard let index = value.asInteger else {
                    throw fail(.evaluation, "a slice needs integers, not \(value.kindName)")
                }
                return index
            }
            return try slice(base, try bound(from), try bound(to), try bound(by))
        default: throw fail(.syntax, "a filter stands without a value")
        }
    }

    func evaluate(_ arguments: Arguments) throws(JinjaError) -> CallArguments {
        var result = CallArguments()
        for argument in arguments.positional { result.positional.append(try evaluate(argument)) }
        for (name, argument) in arguments.named { result.named.append((name, try evaluate(argument))) }
        return result
    }

    /// Filters whose first has no value of its own.
    func applyRow(_ expression: Expression, to value: Value) throws(JinjaError) -> Value {
        guard case .filter(let base, let name, let arguments) = expression.kind else { return value }
        let inner = try base.map { base throws(JinjaError) in try applyRow(base, to: value) } ?? value
        return try filter(name, inner, try evaluate(arguments))
    }

    // MARK: parts of values

    func attribute(_ name: String, of value: Value) throws(JinjaError) -> Value {
        switch value {
        case .undefined(let why): throw fail(.evaluation, "\(why), so it has no \(name)")
        case .map(let map):
            if Self.mapMethods.contains(name) { return .method(value, name) }
            return map[Array(name.utf8)] ?? .undefined("the mapping has no \(name)")
        case .namespace(let namespace):
            return namespace.members[Array(name.utf8)] ?? .undefined("the namespace has no \(name)")
        case .loop(let loop):
            if name == "cycle" || name == "changed" { return .method(value, name) }
            return loop.attribute(name)
        case .text:
            return Self.textMethods.contains(name)
                ? .method(value, name) : .undefined("a text has no \(name)")
        case .list:
            return Self.listMethods.contains(name)
                ? .method(value, name) : .undefined("a list has no \(name)")
        case .macro(let macro) where name == "name": return .text(own: macro.definition.name)
        default: return .undefined("\(value.kindName) has no \(name)")
        }
    }

    func item(_ index: Value, of value: Value) throws(JinjaError) -> Value {
        switch (value, index) {
        case (.undefined(let why), _): throw fail(.evaluation, "\(why), so it has no parts")
        case (.map(let map), .text(let key)):
            if let found = map[key.bytes] { return found }
            return Self.mapMethods.contains(key.string)
                ? .method(value, key.string) : .undefined("the mapping has no \(key.string.prefix(100))")
        case (.list(let list), _) where index.asInteger != nil:
            let index = index.asInteger ?? 0
            let place = index < 0 ? index + list.items.count : index
            return list.items.indices.contains(place)
                ? list.items[place] : .undefined("the list has no item \(index)")
        case (.text(let text), _) where index.asInteger != nil:
            let index = index.asInteger ?? 0
            try charge(8 * text.bytes.count)
            let offsets = text.characterOffsets
            let place = index < 0 ? index + offsets.count - 1 : index
            guard place >= 0, place < offsets.count - 1 else {
                return .undefined("the text has no character \(index)")
            }
            return .text(text.slice(offsets[place]..<offsets[place + 1]))
        case (_, .text(let name)): return try attribute(name.string, of: value)
        default: return .undefined("\(value.kindName) has no such part")
        }
    }

    /// Python's slices.
    private func slice(_ value: Value, _ from: Int?, _ to: Int?, _ by: Int?) throws(JinjaError) -> Value {
        let by = by ?? 1
        guard by != 0, by != .min else { throw fail(.evaluation, "a slice cannot go in steps of \(by)") }
        func indices(_ count: Int) -> StrideTo<Int> {
            func clamp(_ bound: Int, _ low: Int, _ high: Int) -> Int {
                max(low, min(high, bound < 0 ? bound + count : bound))
            }
            // Longer steps than the whole lead to the same items.
            let by = max(-count - 1, min(count + 1, by))
            return by > 0
                ? stride(from: clamp(from ?? 0, 0, count), to: clamp(to ?? count, 0, count), by: by)
                : stride(
                    from: clamp(from ?? count - 1, -1, count - 1),
                    to: to.map { clamp($0, -1, count - 1) } ?? -1, by: by)
        }
        switch value {
        case .list(let list):
            return try self.list(indices(list.items.count).map { list.items[$0] })
        case .text(let text):
            try charge(8 * text.bytes.count)
            let offsets = text.characterOffsets
            var result = JinjaText()
            for place in indices(offsets.count - 1) {
                result.append(text, offsets[place]..<offsets[place + 1])
            }
            return try self.text(result)
        case .undefined(let why): throw fail(.evaluation, "\(why), so it has no parts")
        default: throw fail(.evaluation, "a slice needs a text or a list, not \(value.kindName)")
        }
    }

    /// What a loop over the value goes through.
    func items(of value: Value) throws(JinjaError) -> [Value] {
        switch value {
        case .undefined: return []
        case .list(let list):
            try charge(32 * list.items.count)
            return list.items
        case .map(let map):
            try charge(32 * map.entries.count)
            return map.entries.map { .text($0.key) }
        case .text(let text):
            try charge(64 * text.bytes.count)
            let offsets = text.characterOffsets
            return (0..<offsets.count - 1).map { .text(text.slice(offsets[$0]..<offsets[$0 + 1])) }
        default: throw fail(.evaluation, "\(value.kindName) has no items to go through")
        }
    }
}
