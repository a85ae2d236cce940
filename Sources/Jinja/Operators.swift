// Rendering: comparisons and arithmetic, as Python has them.

extension Interpreter {
    func compare(_ left: Value, _ operation: Comparison, _ right: Value) throws(JinjaError) -> Bool {
        switch operation {
        case .equal: return try equal(left, right)
        case .notEqual: return try !equal(left, right)
        case .isIn: return try contains(right, left)
        case .notIn: return try !contains(right, left)
        case .less: return try less(left, right, operation)
        case .greater: return try less(right, left, operation)
        case .lessOrEqual:
            let isLess = try less(left, right, operation)
            return try isLess ? true : equal(left, right)
        case .greaterOrEqual:
            let isLess = try less(right, left, operation)
            return try isLess ? true : equal(left, right)
        }
    }

    func equal(_ left: Value, _ right: Value) throws(JinjaError) -> Bool {
        if left.depth > 0, right.depth > 0 { try charge(min(left.weight, right.weight)) }
        return areEqual(left, right)
    }

    private func less(_ left: Value, _ right: Value, _ operation: Comparison) throws(JinjaError) -> Bool {
        if left.depth > 0, right.depth > 0 { try charge(min(left.weight, right.weight)) }
        guard let result = isLess(left, right) else {
            throw fail(
                .evaluation, "\(operation.rawValue) cannot compare \(left.kindName) and \(right.kindName)")
        }
        return result
    }

    func contains(_ container: Value, _ value: Value) throws(JinjaError) -> Bool {
        switch container {
        case .undefined: return false
        case .text(let text):
            guard case .text(let part) = value else {
                throw fail(.evaluation, "\"in\" looks for text in a text, not for \(value.kindName)")
            }
            try charge(text.bytes.count)
            return text.find(part) != nil
        case .list(let list):
            try charge(list.items.count)
            for item in list.items where try equal(item, value) { return true }
            return false
        case .map(let map):
            guard case .text(let key) = value else { return false }
            return map[key.bytes] != nil
        default:
            throw fail(
                .evaluation, "\"in\" looks into texts, lists and mappings, not into \(container.kindName)")
        }
    }

    func calculate(_ left: Value, _ operation: Arithmetic, _ right: Value) throws(JinjaError) -> Value {
        try step()
        if let left = left.asInteger, let right = right.asInteger {
            return try calculate(left, operation, right)
        }
        if let left = left.asNumber, let right = right.asNumber {
            return try calculate(left, operation, right)
        }
        switch (left, operation, right) {
        case (.text(let left), .add, .text(let right)):
            try charge(left.bytes.count + right.bytes.count)
            let isMarkup = left.isMarkup || right.isMarkup
            var result = isMarkup ? left.escaped : left
            result.append(isMarkup ? right.escaped : right)
            return .text(result)
        case (.list(let left), .add, .list(let right)): return try list(left.items + right.items)
        case (.text(let text), .multiply, .integer(let times)),
            (.integer(let times), .multiply, .text(let text)):
            let times = max(0, times)
            try charge(
                text.bytes.count.multipliedReportingOverflow(by: times).overflow
                    ? .max : text.bytes.count * times)
            var result = JinjaText()
            if !text.isEmpty { for _ in 0..<times { result.append(text) } }
            return .text(result)
        case (.undefined(let why), _, _), (_, _, .undefined(let why)):
            throw fail(.evaluation, "\(why), so \(operation.rawValue) has nothing to work on")
        default:
            throw fail(
                .evaluation, "\(operation.rawValue) cannot take \(left.kindName) and \(right.kindName)")
        }
    }

    private func calculate(_ left: Int, _ operation: Arithmetic, _ right: Int) throws(JinjaError) -> Value {
        func checked(_ result: (partialValue: Int, overflow: Bool)) throws(JinjaError) -> Value {
            guard !result.overflow else { throw fail(.evaluation, "a number is too large") }
            return .integer(result.partialValue)
        }
        func checkDivisor() throws(JinjaError) {
            guard right != 0 else { throw fail(.evaluation, "a division by zero") }
        }
        switch operation {
        case .add: return try checked(left.addingReportingOverflow(right))
        case .subtract: return try checked(left.subtractingReportingOverflow(right))
        case .multiply: return try checked(left.multipliedReportingOverflow(by: right))
        case .divide:
            try checkDivisor()
            return .number(Double(left) / Double(right))
        case .floorDivide:
            try checkDivisor()
            let result = left.dividedReportingOverflow(by: right)
            let isBelow = left % (right == -1 ? 1 : right) != 0 && (left < 0) != (right < 0)
            return try checked((isBelow ? result.partialValue - 1 : result.partialValue, result.overflow))
        case .modulo:
            try checkDivisor()
            guard right != -1 else { return .integer(0) }
            let rest = left % right
            return .integer(rest != 0 && (rest < 0) != (right < 0) ? rest + right : rest)
        case .power:
            guard right >= 0 else { throw fail(.unsupported, "** with a negative exponent is not supported") }
            if right == 0 || left == 1 { return .integer(1) }
            if left == 0 || left == -1 { return .integer(right % 2 == 0 ? -left : left) }
            // Any other number overflows within 63 rounds.
            var result = Value.integer(left)
            var times = 1
            while times < right, case .integer(let power) = result {
                result = try checked(power.multipliedReportingOverflow(by: left))
                times += 1
            }
            return result
        }
    }

    private func calculate(_ left: Double, _ operation: Arithmetic, _ right: Double) throws(JinjaError)
        -> Value
    {
        switch operation {
        case .add: return .number(left + right)
        case .subtract: return .number(left - right)
        case .multiply: return .number(left * right)
        case .power: throw fail(.unsupported, "** with fractions is not supported")
        case .divide, .floorDivide, .modulo:
            guard right != 0 else { throw fail(.evaluation, "a division by zero") }
            let quotient = left / right
            if operation == .divide { return .number(quotient) }
            let whole = quotient.rounded(.down)
            return .number(operation == .floorDivide ? whole : left - whole * right)
        }
    }
}
