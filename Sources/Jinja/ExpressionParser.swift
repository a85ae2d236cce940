// From tokens to trees: expressions, in the order of precedence of Jinja's own parser.

extension Parser {
    mutating func expression(withConditional: Bool = true) throws(JinjaError) -> Expression {
        try nested { parser throws(JinjaError) in
            withConditional ? try parser.conditional() : try parser.or()
        }
    }

    /// An expression, or several with commas between, which are a list.
    mutating func tuple(withConditional: Bool = true) throws(JinjaError) -> Expression {
        let start = line
        var items: [Expression] = []
        var isTuple = false
        while true {
            if kind == .variableEnd || kind == .blockEnd || isSymbol(")") { break }
            items.append(try expression(withConditional: withConditional))
            guard skip(symbol: ",") else { break }
            isTuple = true
        }
        guard isTuple || !items.isEmpty else { throw fail("an expression is expected, not \(described)") }
        return isTuple ? Expression(kind: .list(items), line: start) : items[0]
    }

    private mutating func conditional() throws(JinjaError) -> Expression {
        var result = try or()
        var links = 0
        while isName("if") {
            let start = line
            advance()
            links += 1
            try checkChain(links * 8)
            let condition = try or()
            var otherwise: Expression?
            if skip(name: "else") {
                otherwise = try nested { parser throws(JinjaError) in try parser.conditional() }
            }
            result = Expression(
                kind: .conditional(result, condition: condition, otherwise: otherwise), line: start)
        }
        return result
    }

    private mutating func or() throws(JinjaError) -> Expression {
        let start = line
        var operands = [try and()]
        while skip(name: "or") { operands.append(try and()) }
        return operands.count == 1 ? operands[0] : Expression(kind: .or(operands), line: start)
    }

    private mutating func and() throws(JinjaError) -> Expression {
        let start = line
        var operands = [try not()]
        while skip(name: "and") { operands.append(try not()) }
        return operands.count == 1 ? operands[0] : Expression(kind: .and(operands), line: start)
    }

    private mutating func not() throws(JinjaError) -> Expression {
        guard isName("not"), nextKind != .name("in") else { return try comparison() }
        let start = line
        advance()
        let operand = try nested { parser throws(JinjaError) in try parser.not() }
        return Expression(kind: .not(operand), line: start)
    }

    private mutating func comparison() throws(JinjaError) -> Expression {
        let start = line
        let first = try sum()
        var rest: [(operation: Comparison, operand: Expression)] = []
        while let operation = comparisonSign() {
            rest.append((operation, try sum()))
        }
        return rest.isEmpty ? first : Expression(kind: .comparison(first, rest), line: start)
    }

    private mutating func comparisonSign() -> Comparison? {
        switch kind {
        case .symbol(let symbol):
            guard let operation = Comparison(rawValue: symbol) else { return nil }
            advance()
            return operation
        case .name("in"):
            advance()
            return .isIn
        case .name("not") where nextKind == .name("in"):
            advance()
            advance()
            return .notIn
        default: return nil
        }
    }

    private mutating func arithmetic(
        _ operations: [Arithmetic], _ operand: (inout Parser) throws(JinjaError) -> Expression
    ) throws(JinjaError) -> Expression {
        let start = line
        let first = try operand(&self)
        var rest: [(operation: Arithmetic, operand: Expression)] = []
        while case .symbol(let symbol) = kind, let operation = Arithmetic(rawValue: symbol),
            operations.contains(operation)
        {
            advance()
            rest.append((operation, try operand(&self)))
        }
        return rest.isEmpty ? first : Expression(kind: .arithmetic(first, rest), line: start)
    }

    private mutating func sum() throws(JinjaError) -> Expression {
        try arithmetic([.add, .subtract]) { parser throws(JinjaError) in try parser.concatenation() }
    }

    private mutating func concatenation() throws(JinjaError) -> Expression {
        let start = line
        var operands = [try product()]
        while skip(symbol: "~") { operands.append(try product()) }
        return operands.count == 1 ? operands[0] : Expression(kind: .concatenation(operands), line: start)
    }

    private mutating func product() throws(JinjaError) -> Expression {
        try arithmetic([.multiply, .divide, .floorDivide, .modulo]) { parser throws(JinjaError) in
            try parser.arithmetic([.power]) { parser throws(JinjaError) in try parser.unary() }
        }
    }

    private mutating func unary(withFilters: Bool = true) throws(JinjaError) -> Expression {
        let start = line
        var result: Expression
        if isSymbol("-") || isSymbol("+") {
            let isNegative = isSymbol("-")
            advance()
            let operand = try nested { parser throws(JinjaError) in try parser.unary(withFilters: false) }
            result = Expression(kind: isNegative ? .negative(operand) : .positive(operand), line: start)
        } else {
            result = try primary()
        }
        result = try postfix(of: result)
        return withFilters ? try filtersAndTests(of: result) : result
    }

    private mutating func primary() throws(JinjaError) -> Expression {
        let start = line
        let kind: Expression.Kind
        switch self.kind {
        case .name(let name):
            advance()
            switch name {
            case "true", "True": kind = .bool(true)
            case "false", "False": kind = .bool(false)
            case "none", "None": kind = .none
            default: kind = .name(name)
            }
        case .string(var text):
            advance()
            while case .string(let more) = self.kind {
                text += more
                advance()
            }
            kind = .text(JinjaText(own: text))
        case .integer(let value):
            advance()
            kind = .integer(value)
        case .number(let value):
            advance()
            kind = .number(value)
        case .symbol("("):
            advance()
            if skip(symbol: ")") { return Expression(kind: .list([]), line: start) }
            let inner = try tuple()
            try expect(symbol: ")")
            return inner
        case .symbol("["): kind = .list(try items())
        case .symbol("{"): kind = .map(try members())
        default: throw fail("\(described) has no place in an expression")
        }
        return Expression(kind: kind, line: start)
    }

    /// What stands between two brackets, separated by commas; one more may stand behind the last.
    mutating func separated(
        from start: String, to end: String, _ item: (inout Parser) throws(JinjaError) -> Void
    ) throws(JinjaError) {
        try expect(symbol: start)
        var isFirst = true
        while !isSymbol(end) {
            if !isFirst { try expect(symbol: ",") }
            if isSymbol(end) { break }
            isFirst = false
            try item(&self)
        }
        advance()
    }

    private mutating func items() throws(JinjaError) -> [Expression] {
        var items: [Expression] = []
        try separated(from: "[", to: "]") { parser throws(JinjaError) in
            items.append(try parser.expression())
        }
        return items
    }

    private mutating func members() throws(JinjaError) -> [(key: Expression, value: Expression)] {
        var members: [(key: Expression, value: Expression)] = []
        try separated(from: "{", to: "}") { parser throws(JinjaError) in
            let key = try parser.expression()
            try parser.expect(symbol: ":")
            members.append((key, try parser.expression()))
        }
        return members
    }

    /// Attributes, items and calls.
    private mutating func postfix(of base: Expression) throws(JinjaError) -> Expression {
        var result = base
        var links = 0
        while true {
            let start = line
            links += 1
            try checkChain(links * 8)
            if skip(symbol: ".") {
                if case .integer(let index) = kind {
                    advance()
                    result = Expression(
                        kind: .item(result, Expression(kind: .integer(index), line: start)), line: start)
                } else {
                    result = Expression(kind: .attribute(result, try expectName()), line: start)
                }
            } else if skip(symbol: "[") {
                result = Expression(kind: try subscripted(result), line: start)
            } else if isSymbol("(") {
                result = Expression(kind: .call(result, try arguments()), line: start)
            } else {
                return result
            }
        }
    }

    private mutating func subscripted(_ base: Expression) throws(JinjaError) -> Expression.Kind {
        func isEnd(_ parser: Parser) -> Bool { parser.isSymbol("]") || parser.isSymbol(":") }
        var parts: [Expression?] = [isEnd(self) ? nil : try expression()]
        while parts.count < 3, skip(symbol: ":") { parts.append(isEnd(self) ? nil : try expression()) }
        try expect(symbol: "]")
        if parts.count == 1 {
            guard let index = parts[0] else { throw fail("an index is expected between [ and ]") }
            return .item(base, index)
        }
        return .slice(base, from: parts[0], to: parts[1], by: parts.count == 3 ? parts[2] : nil)
    }

    private mutating func arguments() throws(JinjaError) -> Arguments {
        var result = Arguments()
        try separated(from: "(", to: ")") { parser throws(JinjaError) in try parser.argument(of: &result) }
        return result
    }

    private mutating func argument(of result: inout Arguments) throws(JinjaError) {
        if isSymbol("*") || isSymbol("**") {
            throw JinjaError(.unsupported, line: line, "arguments unpacked with * are not supported")
        }
        if case .name(let name) = kind, nextKind == .symbol("=") {
            advance()
            advance()
            result.named.append((name, try expression()))
        } else {
            guard result.named.isEmpty else {
                throw fail("an argument without a name stands behind one with a name")
            }
            result.positional.append(try expression())
        }
    }

    private mutating func filtersAndTests(of base: Expression) throws(JinjaError) -> Expression {
        var result = base
        var links = 0
        while true {
            let start = line
            links += 1
            try checkChain(links * 8)
            if skip(symbol: "|") {
                result = try filterRow(of: result)
            } else if skip(name: "is") {
                result = try test(of: result, start)
            } else if isSymbol("(") {
                result = Expression(kind: .call(result, try arguments()), line: start)
            } else {
                return result
            }
        }
    }

    /// A filter from its name on, and those behind it.
    mutating func filterRow(of base: Expression?) throws(JinjaError) -> Expression {
        var value = base
        var links = 0
        while true {
            let start = line
            links += 1
            try checkChain(links * 8)
            let name = try expectName()
            let filter = Expression(
                kind: .filter(value, name, isSymbol("(") ? try arguments() : Arguments()), line: start)
            guard skip(symbol: "|") else { return filter }
            value = filter
        }
    }

    private mutating func test(of value: Expression, _ start: Int) throws(JinjaError) -> Expression {
        let isNegated = skip(name: "not")
        let name = try expectName()
        var arguments = Arguments()
        switch kind {
        case .symbol("("): arguments = try self.arguments()
        case .name("else"), .name("or"), .name("and"): break
        case .name("is"): throw fail("tests cannot stand in a row; put brackets around the first")
        case .name, .string, .integer, .number, .symbol("["), .symbol("{"):
            arguments.positional = [
                try nested { parser throws(JinjaError) in try parser.postfix(of: try parser.primary()) }
            ]
        default: break
        }
        let test = Expression(kind: .test(value, name, arguments), line: start)
        return isNegated ? Expression(kind: .not(test), line: start) : test
    }
}
