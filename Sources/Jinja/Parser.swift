// From tokens to trees: tags. What Jinja has and chat templates do not use is refused by name.

import Numerals

struct Parser {
    private let tokens: [Token]
    private var at = 0
    private var nesting = 0
    /// Around the current tag.
    private var loops = 0

    static func parse(_ template: String) throws(JinjaError) -> [Statement] {
        var parser = Parser(tokens: try Lexer.tokens(of: template))
        return try parser.statements(until: [])
    }

    private init(tokens: [Token]) { self.tokens = tokens }

    // MARK: tokens

    var line: Int { tokens[at].line }
    var kind: Token.Kind { tokens[at].kind }
    /// What follows the current token.
    var nextKind: Token.Kind { tokens[min(at + 1, tokens.count - 1)].kind }

    mutating func advance() { at = min(at + 1, tokens.count - 1) }

    func fail(_ problem: String) -> JinjaError { JinjaError(.syntax, line: line, problem) }

    func isSymbol(_ symbol: String) -> Bool { kind == .symbol(symbol) }
    func isName(_ name: String) -> Bool { kind == .name(name) }

    mutating func skip(symbol: String) -> Bool {
        guard isSymbol(symbol) else { return false }
        advance()
        return true
    }

    mutating func skip(name: String) -> Bool {
        guard isName(name) else { return false }
        advance()
        return true
    }

    mutating func expect(symbol: String) throws(JinjaError) {
        guard skip(symbol: symbol) else { throw fail("\(symbol) is expected, not \(described)") }
    }

    mutating func expectName() throws(JinjaError) -> String {
        guard case .name(let name) = kind else { throw fail("a name is expected, not \(described)") }
        advance()
        return name
    }

    var described: String {
        switch kind {
        case .data: "text"
        case .variableBegin: "{{"
        case .variableEnd: "}}"
        case .blockBegin: "{%"
        case .blockEnd: "%}"
        case .name(let name): "\"\(name)\""
        case .string(let text): "the text \"\(text.prefix(40))\""
        case .integer(let value): "\(value)"
        case .number(let value): "\(value)"
        case .symbol(let symbol): symbol
        case .end: "the end of the template"
        }
    }

    /// Runs `body` one level deeper, within the limit that keeps the stack from overflowing.
    mutating func nested<T>(_ body: (inout Parser) throws(JinjaError) -> T) throws(JinjaError) -> T {
        nesting += 1
        defer { nesting -= 1 }
        guard nesting <= JinjaLimits.nesting else {
            throw JinjaError(
                .limit, line: line,
                "tags and expressions lie deeper in each other than \(JinjaLimits.nesting), the limit")
        }
        return try body(&self)
    }

    /// Counts the links of a row of operators, filters or attributes.
    func checkChain(_ length: Int) throws(JinjaError) {
        guard length <= JinjaLimits.chain else {
            throw JinjaError(
                .limit, line: line,
                "a row of operators, filters or attributes is longer than \(JinjaLimits.chain.grouped), the limit"
            )
        }
    }

    // MARK: statements

    /// Statements up to one of these tags, whose name is the current token then; without tags: to the end.
    private mutating func statements(until ends: [String]) throws(JinjaError) -> [Statement] {
        try nested { parser throws(JinjaError) in try parser.statementsHere(until: ends) }
    }

    private mutating func statementsHere(until ends: [String]) throws(JinjaError) -> [Statement] {
        let start = line
        var result: [Statement] = []
        while true {
            switch kind {
            case .data(let bytes):
                result.append(.text(JinjaText(bytes, isForeign: false)))
                advance()
            case .variableBegin:
                advance()
                result.append(.output(try tuple()))
                guard kind == .variableEnd else { throw fail("}} is expected, not \(described)") }
                advance()
            case .blockBegin:
                advance()
                guard case .name(let name) = kind else {
                    throw fail("the name of a tag is expected, not \(described)")
                }
                if ends.contains(name) { return result }
                result.append(try statement(name))
                try expectBlockEnd()
            case .end:
                guard ends.isEmpty else {
                    throw JinjaError(
                        .syntax, line: start, "what begins here is never ended with {% \(ends.last ?? "") %}")
                }
                return result
            default: throw fail("\(described) has no place here")
            }
        }
    }

    private mutating func expectBlockEnd() throws(JinjaError) {
        guard kind == .blockEnd else { throw fail("%} is expected, not \(described)") }
        advance()
    }

    /// The body of a tag, from behind its `%}` to behind the name of its end.
    private mutating func body(until end: String) throws(JinjaError) -> [Statement] {
        try expectBlockEnd()
        let body = try statements(until: [end])
        advance()
        return body
    }

    /// A tag from its name on, up to its last `%}`.
    private mutating func statement(_ name: String) throws(JinjaError) -> Statement {
        let start = line
        advance()
        switch name {
        case "if": return try branches()
        case "for": return try forLoop(start)
        case "set": return try set(start)
        case "macro":
            let name = try expectName()
            let parameters = try self.parameters()
            return .macro(try definition(name, parameters, until: "endmacro"))
        case "call":
            let parameters = isSymbol("(") ? try self.parameters() : Parameters()
            let call = try expression()
            guard case .call = call.kind else { throw fail("a call block needs the call of a macro") }
            return .callBlock(call, try definition("caller", parameters, until: "endcall"), line: start)
        case "filter":
            let filter = try filterRow(of: nil)
            return .filterBlock(filter, try body(until: "endfilter"), line: start)
        case "with": return try with()
        case "generation": return .scope(try body(until: "endgeneration"))
        case "block":
            _ = try expectName()
            try expectBlockEnd()
            let body = try statements(until: ["endblock"])
            advance()
            if case .name = kind { advance() }
            return .scope(body)
        case "break", "continue":
            guard loops > 0 else { throw fail("\(name) stands outside of a loop") }
            return name == "break" ? .leaveLoop : .nextRound
        case "endif", "else", "elif", "endfor", "endset", "endmacro", "endcall", "endfilter", "endwith",
            "endgeneration", "endblock", "endraw":
            throw JinjaError(.syntax, line: start, "{% \(name) %} ends nothing")
        default:
            throw JinjaError(.unsupported, line: start, "the tag {% \(name.prefix(40)) %} is not supported")
        }
    }

    private mutating func definition(
        _ name: String, _ parameters: Parameters, until end: String
    ) throws(JinjaError) -> MacroDefinition {
        let around = loops
        loops = 0
        defer { loops = around }
        return MacroDefinition(name: name, parameters: parameters, body: try body(until: end))
    }

    private mutating func branches() throws(JinjaError) -> Statement {
        var branches: [(condition: Expression, body: [Statement])] = []
        while true {
            let condition = try tuple()
            try expectBlockEnd()
            branches.append((condition, try statements(until: ["elif", "else", "endif"])))
            if skip(name: "elif") { continue }
            var otherwise: [Statement] = []
            if skip(name: "else") {
                try expectBlockEnd()
                otherwise = try statements(until: ["endif"])
            }
            advance()
            return .branches(branches, otherwise: otherwise)
        }
    }

    private mutating func forLoop(_ start: Int) throws(JinjaError) -> Statement {
        let target = try self.target()
        guard skip(name: "in") else { throw fail("\"in\" is expected, not \(described)") }
        let items = try tuple(withConditional: false)
        let condition = skip(name: "if") ? try expression() : nil
        if isName("recursive") {
            throw JinjaError(.unsupported, line: line, "a recursive loop is not supported")
        }
        try expectBlockEnd()
        loops += 1
        let body = try statements(until: ["else", "endfor"])
        loops -= 1
        var otherwise: [Statement] = []
        if skip(name: "else") {
            try expectBlockEnd()
            otherwise = try statements(until: ["endfor"])
        }
        advance()
        return .loop(
            ForLoop(
                target: target, items: items, condition: condition, body: body, otherwise: otherwise,
                line: start))
    }

    private mutating func set(_ start: Int) throws(JinjaError) -> Statement {
        let target = try self.target()
        if skip(symbol: "=") { return .set(target, try tuple()) }
        let filter = skip(symbol: "|") ? try filterRow(of: nil) : nil
        return .setBlock(target, filter: filter, body: try body(until: "endset"), line: start)
    }

    private mutating func with() throws(JinjaError) -> Statement {
        var values: [(target: AssignmentTarget, value: Expression)] = []
        while kind != .blockEnd {
            if !values.isEmpty { try expect(symbol: ",") }
            let name = try expectName()
            try expect(symbol: "=")
            values.append((.name(name), try expression()))
        }
        return .with(values, try body(until: "endwith"))
    }

    private mutating func target() throws(JinjaError) -> AssignmentTarget {
        var targets: [AssignmentTarget] = []
        var isTuple = false
        repeat {
            if isSymbol("=") || isName("in") || isSymbol(")") { break }
            if skip(symbol: "(") {
                targets.append(try nested { parser throws(JinjaError) in try parser.target() })
                try expect(symbol: ")")
            } else {
                let name = try expectName()
                targets.append(
                    skip(symbol: ".") ? .attribute(of: name, try expectName()) : .name(name))
            }
            if isSymbol(",") { isTuple = true }
        } while skip(symbol: ",")
        guard let first = targets.first else { throw fail("a name is expected, not \(described)") }
        return isTuple ? .several(targets) : first
    }

    private mutating func parameters() throws(JinjaError) -> Parameters {
        var result = Parameters()
        try separated(from: "(", to: ")") { parser throws(JinjaError) in
            let name = try parser.expectName()
            result.names.append((name, parser.skip(symbol: "=") ? try parser.expression() : nil))
        }
        return result
    }
}
