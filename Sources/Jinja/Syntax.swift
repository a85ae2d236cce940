// What a template says, as trees.

struct Expression: Sendable {
    indirect enum Kind: Sendable {
        case none
        case bool(Bool)
        case integer(Int)
        case number(Double)
        case text(JinjaText)
        case name(String)
        case list([Expression])
        case map([(key: Expression, value: Expression)])
        case attribute(Expression, String)
        case item(Expression, Expression)
        case slice(Expression, from: Expression?, to: Expression?, by: Expression?)
        case call(Expression, Arguments)
        /// Without a value: in a filter block, whose text is the value.
        case filter(Expression?, String, Arguments)
        case test(Expression, String, Arguments)
        case not(Expression)
        case negative(Expression)
        case positive(Expression)
        case conditional(Expression, condition: Expression, otherwise: Expression?)
        case arithmetic(Expression, [(operation: Arithmetic, operand: Expression)])
        case concatenation([Expression])
        case comparison(Expression, [(operation: Comparison, operand: Expression)])
        case and([Expression])
        case or([Expression])
    }

    var kind: Kind
    var line: Int
}

enum Arithmetic: String, Sendable {
    case add = "+"
    case subtract = "-"
    case multiply = "*"
    case divide = "/"
    case floorDivide = "//"
    case modulo = "%"
    case power = "**"
}

enum Comparison: String, Sendable {
    case equal = "=="
    case notEqual = "!="
    case less = "<"
    case lessOrEqual = "<="
    case greater = ">"
    case greaterOrEqual = ">="
    case isIn = "in"
    case notIn = "not in"
}

struct Arguments: Sendable {
    var positional: [Expression] = []
    var named: [(name: String, value: Expression)] = []
}

/// What a value is assigned to.
indirect enum AssignmentTarget: Sendable {
    case name(String)
    case attribute(of: String, String)
    case several([AssignmentTarget])
}

/// The names that a macro or a call block is given, with their values where the caller gives none.
struct Parameters: Sendable {
    var names: [(name: String, fallback: Expression?)] = []
}

struct MacroDefinition: Sendable {
    var name: String
    var parameters: Parameters
    var body: [Statement]
}

struct ForLoop: Sendable {
    var target: AssignmentTarget
    var items: Expression
    var condition: Expression?
    var body: [Statement]
    var otherwise: [Statement]
    var line: Int
}

indirect enum Statement: Sendable {
    case text(JinjaText)
    case output(Expression)
    case branches([(condition: Expression, body: [Statement])], otherwise: [Statement])
    case loop(ForLoop)
    case set(AssignmentTarget, Expression)
    /// The text of `body`, through `filter` if there is one.
    case setBlock(AssignmentTarget, filter: Expression?, body: [Statement], line: Int)
    case macro(MacroDefinition)
    case callBlock(Expression, MacroDefinition, line: Int)
    case filterBlock(Expression, [Statement], line: Int)
    case with([(target: AssignmentTarget, value: Expression)], [Statement])
    /// Statements with names of their own: `generation` and `block`.
    case scope([Statement])
    case leaveLoop
    case nextRound
}
