// Rendering: statements. Expressions are in Evaluation.swift, functions and methods in files of their own.

import Numerals

/// One rendering. Every step, byte and level is counted.
final class Interpreter {
    let now: JinjaMoment
    private let limits: JinjaLimits
    private var steps = 0
    private var bytes = 0
    private var depth = 0
    /// What is written, innermost text last.
    private var outputs: [JinjaText] = [JinjaText()]
    /// The line of the expression that was evaluated last.
    var line = 1
    var scope = Scope(nil)
    /// These may hold each other in a ring, which is cut at the end.
    private var namespaces: [Namespace] = []
    private var macroScopes: [Scope] = []

    init(now: JinjaMoment, limits: JinjaLimits) {
        self.now = now
        self.limits = limits
    }

    func render(
        _ statements: [Statement], _ variables: [(name: String, value: Value)]
    ) throws(JinjaError) -> JinjaText {
        for (name, value) in variables {
            guard value.depth <= JinjaLimits.valueDepth else {
                throw fail(
                    .limit,
                    "\(name) has lists and mappings deeper in each other than \(JinjaLimits.valueDepth)")
            }
            scope.values[name] = value
        }
        // The template's own names lie over those it is given.
        scope = Scope(scope)
        _ = try execute(statements)
        return outputs[0]
    }

    func release() {
        for namespace in namespaces { namespace.members = Map() }
        for scope in macroScopes { scope.values = [:] }
    }

    // MARK: limits

    func fail(_ kind: JinjaError.Kind, _ problem: String) -> JinjaError {
        JinjaError(kind, line: line, problem)
    }

    func step() throws(JinjaError) {
        steps += 1
        guard steps <= limits.steps else {
            throw fail(.limit, "the template takes more than \(limits.steps.grouped) steps, the limit")
        }
    }

    /// Counts bytes that are about to be made.
    func charge(_ count: Int) throws(JinjaError) {
        let (sum, isOver) = bytes.addingReportingOverflow(count)
        guard !isOver, sum <= limits.bytes else {
            throw fail(
                .limit,
                "the template makes texts and lists of more than \(limits.bytes.grouped) bytes, the limit")
        }
        bytes = sum
    }

    func deeper<T>(_ body: () throws(JinjaError) -> T) throws(JinjaError) -> T {
        depth += 1
        defer { depth -= 1 }
        guard depth <= limits.depth else {
            throw fail(
                .limit, "the template's parts lie deeper in each other than \(limits.depth), the limit")
        }
        return try body()
    }

    func list(_ items: [Value]) throws(JinjaError) -> Value {
        try charge(32 * items.count)
        let list = List(items)
        guard list.depth <= JinjaLimits.valueDepth else {
            throw fail(.limit, "lists lie deeper in each other than \(JinjaLimits.valueDepth), the limit")
        }
        return .list(list)
    }

    func map(_ map: Map) throws(JinjaError) -> Value {
        try charge(64 * map.entries.count)
        guard map.depth <= JinjaLimits.valueDepth else {
            throw fail(.limit, "mappings lie deeper in each other than \(JinjaLimits.valueDepth), the limit")
        }
        return .map(map)
    }

    func text(_ text: JinjaText) throws(JinjaError) -> Value {
        try charge(text.bytes.count)
        return .text(text)
    }

    /// A value as text, counted before it is written.
    func printed(_ value: Value) throws(JinjaError) -> JinjaText {
        if case .text(let text) = value { return text }
        try charge(value.weight)
        return value.printed
    }

    func newNamespace() throws(JinjaError) -> Namespace {
        try charge(256)
        let namespace = Namespace()
        namespaces.append(namespace)
        return namespace
    }

    // MARK: statements

    /// What follows a statement.
    enum Flow {
        case onward
        case leaveLoop
        case nextRound
    }

    private func execute(_ statements: [Statement]) throws(JinjaError) -> Flow {
        try deeper { () throws(JinjaError) in
            for statement in statements {
                let flow = try execute(statement)
                if flow != .onward { return flow }
            }
            return .onward
        }
    }

    private func write(_ text: JinjaText) throws(JinjaError) {
        try charge(text.bytes.count)
        outputs[outputs.count - 1].append(text)
    }

    private func execute(_ statement: Statement) throws(JinjaError) -> Flow {
        try step()
        switch statement {
        case .text(let text): try write(text)
        case .output(let expression): try write(try printed(try evaluate(expression)))
        case .branches(let branches, let otherwise):
            for branch in branches where try evaluate(branch.condition).isTrue {
                return try execute(branch.body)
            }
            return try execute(otherwise)
        case .loop(let loop): try execute(loop)
        case .set(let target, let expression): try assign(try evaluate(expression), to: target)
        case .macro(let definition):
            scope.values[definition.name] = .macro(macro(definition))
        case .scope(let body): return try inScope { () throws(JinjaError) in try execute(body) }
        case .leaveLoop: return .leaveLoop
        case .nextRound: return .nextRound
        default: return try executeBlock(statement)
        }
        return .onward
    }

    private func executeBlock(_ statement: Statement) throws(JinjaError) -> Flow {
        switch statement {
        case .setBlock(let target, let filter, let body, let start):
            var value = Value.text(try captured(body))
            line = start
            if let filter { value = try applyRow(filter, to: value) }
            try assign(value, to: target)
        case .filterBlock(let filter, let body, let start):
            let text = try captured(body)
            line = start
            try write(try printed(try applyRow(filter, to: .text(text))))
        case .callBlock(let call, let definition, let start):
            line = start
            guard case .call(let callee, let arguments) = call.kind else { return .onward }
            var values = try evaluate(arguments)
            values.named.append(("caller", .macro(macro(definition))))
            try write(try printed(try self.call(try evaluate(callee), values)))
        case .with(let values, let body):
            // All are evaluated with the names outside.
            var assigned: [(AssignmentTarget, Value)] = []
            for (target, value) in values { assigned.append((target, try evaluate(value))) }
            return try inScope { () throws(JinjaError) in
                for (target, value) in assigned { try assign(value, to: target) }
                return try execute(body)
            }
        default: break
        }
        return .onward
    }

    private func macro(_ definition: MacroDefinition) -> Macro {
        if macroScopes.last !== scope { macroScopes.append(scope) }
        return Macro(definition: definition, scope: scope)
    }

    private func inScope<T>(
        within outer: Scope? = nil, _ body: () throws(JinjaError) -> T
    ) throws(JinjaError) -> T {
        let before = scope
        scope = Scope(outer ?? before)
        defer { scope = before }
        return try body()
    }

    /// What a body writes, with names of its own.
    private func captured(_ body: [Statement]) throws(JinjaError) -> JinjaText {
        outputs.append(JinjaText())
        let before = outputs.count
        defer { outputs.removeSubrange((before - 1)...) }
        _ = try inScope { () throws(JinjaError) in try execute(body) }
        return outputs[before - 1]
    }

    private func execute(_ loop: ForLoop) throws(JinjaError) {
        let all = try items(of: try evaluate(loop.items))
        line = loop.line
        var items = all
        if let condition = loop.condition {
            items = []
            for item in all {
                let isWanted = try inScope { () throws(JinjaError) in
                    try assign(item, to: loop.target)
                    return try evaluate(condition).isTrue
                }
                if isWanted { items.append(item) }
            }
            try charge(32 * items.count)
        }
        guard !items.isEmpty else {
            _ = try inScope { () throws(JinjaError) in try execute(loop.otherwise) }
            return
        }
        let state = LoopState(items)
        // A loop that is kept keeps nothing else.
        defer { state.items = [] }
        for (index, item) in items.enumerated() {
            state.index = index
            let flow = try inScope { () throws(JinjaError) in
                scope.values["loop"] = .loop(state)
                try assign(item, to: loop.target)
                return try execute(loop.body)
            }
            if flow == .leaveLoop { break }
        }
    }

    private func assign(_ value: Value, to target: AssignmentTarget) throws(JinjaError) {
        try step()
        switch target {
        case .name(let name): scope.values[name] = value
        case .attribute(let name, let attribute):
            guard case .namespace(let namespace)? = scope.value(of: name) else {
                throw fail(.evaluation, "\(name).\(attribute) cannot be set: \(name) is no namespace")
            }
            try checkAttribute(attribute)
            try charge(64)
            namespace.members.set(JinjaText(own: attribute), value)
        case .several(let targets):
            let items = try self.items(of: value)
            guard items.count == targets.count else {
                throw fail(.evaluation, "\(items.count) values cannot be given to \(targets.count) names")
            }
            for (target, item) in zip(targets, items) { try assign(item, to: target) }
        }
    }

    // MARK: macros

    func call(_ macro: Macro, _ arguments: CallArguments) throws(JinjaError) -> Value {
        let definition = macro.definition
        let names = definition.parameters.names
        guard arguments.positional.count <= names.count else {
            throw fail(
                .evaluation, "the macro \(definition.name) takes \(names.count) arguments at most")
        }
        return try deeper { () throws(JinjaError) in
            try inScope(within: macro.scope) { () throws(JinjaError) in
                for (index, value) in arguments.positional.enumerated() {
                    scope.values[names[index].name] = value
                }
                for (name, value) in arguments.named {
                    guard name == "caller" || names.contains(where: { $0.name == name }) else {
                        throw fail(.evaluation, "the macro \(definition.name) has no argument \(name)")
                    }
                    scope.values[name] = value
                }
                for (name, fallback) in names where scope.values[name] == nil {
                    if let fallback {
                        scope.values[name] = try evaluate(fallback)
                    } else {
                        scope.values[name] = .undefined("\(name) is not given")
                    }
                }
                return .text(try captured(definition.body))
            }
        }
    }
}
