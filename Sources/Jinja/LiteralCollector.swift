// The texts that stand in a template, found without running it.

struct LiteralCollector {
    private(set) var literals: [String] = []

    mutating func visit(_ statements: [Statement]) { for statement in statements { visit(statement) } }

    private mutating func visit(_ statement: Statement) {
        switch statement {
        case .text(let text): literals.append(text.string)
        case .output(let expression), .set(_, let expression): visit(expression)
        case .branches(let branches, let otherwise):
            for branch in branches {
                visit(branch.condition)
                visit(branch.body)
            }
            visit(otherwise)
        case .loop(let loop):
            visit(loop.items)
            visit(loop.condition)
            visit(loop.body)
            visit(loop.otherwise)
        case .setBlock(_, let filter, let body, _):
            visit(filter)
            visit(body)
        case .macro(let definition): visit(definition)
        case .callBlock(let call, let definition, _):
            visit(call)
            visit(definition)
        case .filterBlock(let filter, let body, _):
            visit(filter)
            visit(body)
        case .with(let values, let body):
            for value in values { visit(value.value) }
            visit(body)
        case .scope(let body): visit(body)
        case .leaveLoop, .nextRound: break
        }
    }

    private mutating func visit(_ definition: MacroDefinition) {
        for parameter in definition.parameters.names { visit(parameter.fallback) }
        visit(definition.body)
    }

    private mutating func visit(_ arguments: Arguments) {
        for argument in arguments.positional { visit(argument) }
        for argument in arguments.named { visit(argument.value) }
    }

    private mutating func visit(_ expression: Expression?) {
        switch expression?.kind {
        case nil, .some(.none), .bool, .integer, .number, .name: break
        case .text(let text): literals.append(text.string)
        case .list(let items), .concatenation(let items), .and(let items), .or(let items):
            for item in items { visit(item) }
        case .map(let members):
            for member in members {
                visit(member.key)
                visit(member.value)
            }
        case .attribute(let base, _), .not(let base), .negative(let base), .positive(let base): visit(base)
        case .item(let base, let index):
            visit(base)
            visit(index)
        case .slice(let base, let from, let to, let by): for part in [base, from, to, by] { visit(part) }
        case .call(let base, let arguments):
            visit(base)
            visit(arguments)
        case .filter(let base, _, let arguments):
            visit(base)
            visit(arguments)
        case .test(let base, _, let arguments):
            visit(base)
            visit(arguments)
        case .conditional(let value, let condition, let otherwise):
            for part in [value, condition, otherwise] { visit(part) }
        case .arithmetic(let first, let rest):
            visit(first)
            for part in rest { visit(part.operand) }
        case .comparison(let first, let rest):
            visit(first)
            for part in rest { visit(part.operand) }
        }
    }
}
