// Why a template was not accepted or not rendered.

/// What is wrong with a template or with what it was given.
public struct JinjaError: Error, Equatable, Sendable, CustomStringConvertible {
    public enum Kind: Sendable {
        /// The text is not a Jinja template.
        case syntax
        /// A part of Jinja that this interpreter does not have.
        case unsupported
        /// The template itself refuses what it was given (`raise_exception`); `problem` has its words.
        case refused
        /// An operation that its values do not have.
        case evaluation
        /// More steps, bytes or depth than the limits allow.
        case limit
    }

    public let kind: Kind
    /// The line of the template, from 1.
    public let line: Int
    /// In words that follow "line N:".
    public let problem: String

    init(_ kind: Kind, line: Int, _ problem: String) {
        self.kind = kind
        self.line = line
        self.problem = problem.count > 500 ? String(problem.prefix(500)) + "…" : problem
    }

    public var description: String { "line \(line): \(problem)" }
}

/// What rendering a template may cost.
public struct JinjaLimits: Sendable {
    /// Most expressions and statements evaluated.
    public var steps: Int
    /// Most bytes of texts and lists made while rendering, all together; the output is among them. This bounds memory
    /// as well as work.
    public var bytes: Int
    /// Most expressions, statements and macros within each other.
    public var depth: Int

    public init(steps: Int = 4_000_000, bytes: Int = 64 << 20, depth: Int = 200) {
        self.steps = steps
        self.bytes = bytes
        self.depth = depth
    }

    /// The longest template in bytes; published ones have up to some 20,000.
    static let longestTemplate = 256 << 10
    /// Most lists and mappings within each other.
    static let valueDepth = 64
    /// Most tags, brackets and operators within each other in a template's text.
    static let nesting = 80
    /// Most filters, calls, attributes or operators in one row.
    static let chain = 200
}
