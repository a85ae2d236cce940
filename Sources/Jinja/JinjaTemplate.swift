// A chat template: parsed once, rendered often.

/// A Jinja template of the kind that models' files hold (`tokenizer.chat_template`): the subset of Jinja 2 that
/// published templates use, with the settings of transformers' `apply_chat_template` (5.24, Jinja 3.1.6):
/// `trim_blocks` and `lstrip_blocks`, `break` and `continue`, `raise_exception`, `strftime_now`, a `tojson` without
/// escapes for HTML, values that cannot be changed, and `generation` blocks.
///
/// Not in it, and refused by name when a template comes to it: `include`, `import`, `extends`, recursive loops, unpacked
/// arguments, and filters, tests and methods for which no published template has a use.
public struct JinjaTemplate: Sendable {
    private let statements: [Statement]

    /// Most bytes of a template's text.
    public static var longestSource: Int { JinjaLimits.longestTemplate }

    /// - Throws: `JinjaError` of the kinds `syntax`, `unsupported` and `limit`.
    public init(_ source: String) throws(JinjaError) { statements = try Parser.parse(source) }

    /// What the template writes.
    ///
    /// - Parameters:
    ///   - variables: the names that the template is given. Texts among them say whether they are foreign.
    ///   - now: what `strftime_now` tells.
    public func render(
        _ variables: [(name: String, value: JinjaValue)], now: JinjaMoment,
        limits: JinjaLimits = JinjaLimits()
    ) throws(JinjaError) -> JinjaText {
        let interpreter = Interpreter(now: now, limits: limits)
        defer { interpreter.release() }
        return try interpreter.render(statements, variables.map { ($0.name, Value($0.value)) })
    }

    /// The texts that stand in the template: those around its tags and the literals in them.
    public var literals: [String] {
        var collector = LiteralCollector()
        collector.visit(statements)
        return collector.literals
    }
}
