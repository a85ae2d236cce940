// Rendering: tests, which stand behind `is`.

extension Interpreter {
    func test(_ name: String, _ value: Value, _ arguments: CallArguments) throws(JinjaError) -> Bool {
        func other() throws(JinjaError) -> Value {
            guard let other = arguments.positional.first else {
                throw fail(.evaluation, "the test \(name) needs a value")
            }
            return other
        }
        switch name {
        case "defined": return !value.isUndefined
        case "undefined": return value.isUndefined
        case "none", "boolean", "true", "false", "integer", "float", "number", "string", "mapping",
            "iterable", "sequence",
            "callable":
            return isKind(name, value)
        case "eq", "equalto", "==": return try equal(value, try other())
        case "ne", "!=": return try !equal(value, try other())
        case "lt", "lessthan", "<": return try compare(value, .less, try other())
        case "le", "<=": return try compare(value, .lessOrEqual, try other())
        case "gt", "greaterthan", ">": return try compare(value, .greater, try other())
        case "ge", ">=": return try compare(value, .greaterOrEqual, try other())
        case "in": return try contains(try other(), value)
        case "sameas":
            let other = try other()
            return try value.kindName == other.kindName ? equal(value, other) : false
        case "even", "odd", "divisibleby":
            let divisor = name == "divisibleby" ? try other() : .integer(2)
            let rest = try calculate(value, .modulo, divisor)
            return rest.isTrue == (name == "odd")
        case "upper", "lower":
            let text = try printed(value)
            return try call(name == "upper" ? "isupper" : "islower", on: text, CallArguments()).isTrue
        default: throw fail(.unsupported, "the test \(name.prefix(60)) is not supported")
        }
    }

    private func isKind(_ name: String, _ value: Value) -> Bool {
        switch (name, value) {
        case ("none", .none), ("boolean", .bool), ("integer", .integer), ("float", .number),
            ("number", .integer),
            ("number", .number), ("number", .bool), ("string", .text), ("mapping", .map),
            ("callable", .macro),
            ("callable", .function), ("callable", .method):
            true
        case ("true", .bool(let value)): value
        case ("false", .bool(let value)): !value
        // Python's undefined can be gone through, and has a length.
        case ("iterable", .text), ("iterable", .list), ("iterable", .map), ("iterable", .undefined),
            ("sequence", .text),
            ("sequence", .list), ("sequence", .map), ("sequence", .undefined):
            true
        default: false
        }
    }
}
