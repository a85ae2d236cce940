// Rendering: functions that every template has, and calls.

import Numerals

extension Interpreter {
    static let functions: Set<String> = [
        "range", "dict", "namespace", "raise_exception", "strftime_now",
    ]
    /// Longest list that `range` makes.
    private static let longestRange = 100_000

    func call(_ callee: Value, _ arguments: CallArguments) throws(JinjaError) -> Value {
        switch callee {
        case .macro(let macro): return try call(macro, arguments)
        case .function(let name): return try call(function: name, arguments)
        case .method(.text(let text), let name): return try call(name, on: text, arguments)
        case .method(.map(let map), let name): return try call(name, on: map, arguments)
        case .method(.list(let list), let name): return try call(name, on: list, arguments)
        case .method(.loop(let loop), let name): return try call(name, on: loop, arguments)
        case .undefined(let why): throw fail(.evaluation, "\(why), so it cannot be called")
        default: throw fail(.evaluation, "\(callee.kindName) cannot be called")
        }
    }

    private func call(function name: String, _ arguments: CallArguments) throws(JinjaError) -> Value {
        switch name {
        case "range": return try range(arguments)
        case "dict": return try map(try members(arguments))
        case "namespace":
            let namespace = try newNamespace()
            namespace.members = try members(arguments)
            for member in namespace.members.entries { try checkAttribute(member.key.string) }
            return .namespace(namespace)
        case "raise_exception":
            throw fail(
                .refused,
                arguments.value("message", at: 0).map { $0.depth == 0 ? $0.printed.string : "" } ?? "")
        case "strftime_now":
            let format = try text("format", at: 0, of: arguments, for: name).string
            guard let time = now.formatted(format) else {
                throw fail(.unsupported, "the form \"\(format.prefix(40))\" of a date is not supported")
            }
            return try self.text(JinjaText(own: time))
        default: throw fail(.unsupported, "the function \(name) is not supported")
        }
    }

    /// As in transformers, where names that begin so lead into Python's own parts.
    func checkAttribute(_ name: String) throws(JinjaError) {
        guard !name.hasPrefix("_") else {
            throw fail(
                .evaluation, "\(name.prefix(60)) is no name for a namespace's attribute: it begins with _")
        }
    }

    private func range(_ arguments: CallArguments) throws(JinjaError) -> Value {
        var numbers: [Int] = []
        for argument in arguments.positional {
            guard let number = argument.asInteger else {
                throw fail(.evaluation, "range needs integers, not \(argument.kindName)")
            }
            numbers.append(number)
        }
        guard (1...3).contains(numbers.count), arguments.named.isEmpty, numbers.count < 3 || numbers[2] != 0
        else {
            throw fail(.evaluation, "range takes a start, an end and a step that is not 0")
        }
        let start = numbers.count > 1 ? numbers[0] : 0
        let end = numbers.count > 1 ? numbers[1] : numbers[0]
        let step = numbers.count > 2 ? numbers[2] : 1
        var values: [Value] = []
        var next = start
        while step > 0 ? next < end : next > end {
            guard values.count < Self.longestRange else {
                throw fail(.limit, "a range is longer than \(Self.longestRange.grouped), the limit")
            }
            values.append(.integer(next))
            let (sum, isOver) = next.addingReportingOverflow(step)
            if isOver { break }
            next = sum
        }
        return try list(values)
    }

    private func members(_ arguments: CallArguments) throws(JinjaError) -> Map {
        var result = Map()
        for argument in arguments.positional {
            guard case .map(let map) = argument else {
                throw fail(
                    .unsupported,
                    "mappings are made of mappings and named values only, not of \(argument.kindName)")
            }
            try charge(64 * map.entries.count)
            for entry in map.entries { result.set(entry.key, entry.value) }
        }
        for (name, value) in arguments.named { result.set(JinjaText(own: name), value) }
        return result
    }

    private func call(_ name: String, on loop: LoopState, _ arguments: CallArguments) throws(JinjaError)
        -> Value
    {
        if name == "changed" {
            let value = try list(arguments.positional)
            defer { loop.last = value }
            return .bool(try loop.last.map { last throws(JinjaError) in try !equal(last, value) } ?? true)
        }
        guard !arguments.positional.isEmpty else { throw fail(.evaluation, "loop.cycle needs values") }
        return arguments.positional[loop.index % arguments.positional.count]
    }

    // MARK: arguments

    /// A text that must be given.
    func text(
        _ name: String, at place: Int, of arguments: CallArguments, for caller: String
    ) throws(JinjaError) -> JinjaText {
        guard let text = try optionalText(name, at: place, of: arguments, for: caller) else {
            throw fail(.evaluation, "\(caller) needs a text as \(name)")
        }
        return text
    }

    /// A text that may be left out or none.
    func optionalText(
        _ name: String, at place: Int, of arguments: CallArguments, for caller: String
    ) throws(JinjaError) -> JinjaText? {
        switch arguments.value(name, at: place) {
        case nil, .some(.none): return nil
        case .text(let text): return text
        case let other?: throw fail(.evaluation, "\(caller) needs a text as \(name), not \(other.kindName)")
        }
    }

    func optionalInteger(
        _ name: String, at place: Int, of arguments: CallArguments, for caller: String
    ) throws(JinjaError) -> Int? {
        guard let value = arguments.value(name, at: place) else { return nil }
        if case .none = value { return nil }
        guard let number = value.asInteger else {
            throw fail(.evaluation, "\(caller) needs an integer as \(name), not \(value.kindName)")
        }
        return number
    }

    func flag(_ name: String, at place: Int, of arguments: CallArguments) -> Bool {
        arguments.value(name, at: place)?.isTrue ?? false
    }
}
