// Limits: no template, however it was made, takes more steps, bytes or depth than it may, or crashes.
import Jinja
import TestSupport
import Testing

@Suite struct LimitTests {
    private func error(
        _ source: String, _ variables: [(name: String, value: JinjaValue)] = [],
        limits: JinjaLimits = JinjaLimits()
    ) -> JinjaError? {
        do throws(JinjaError) {
            _ = try JinjaTemplate(source).render(variables, now: moment, limits: limits)
            return nil
        } catch { return error }
    }

    @Test(
        arguments: [
            // Work.
            "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
            "{{ range(1000000000) }}",
            // Bytes.
            "{{ 'abc' * 100000000 }}", "{{ 'a' * 9223372036854775807 }}",
            "{% set ns = namespace(t='abcdefgh') %}{% for a in range(99) %}{% set ns.t = ns.t + ns.t %}{% endfor %}",
            "{% set ns = namespace(t='abcdefgh') %}{% for a in range(99) %}{% set ns.t = ns.t.replace('a', ns.t) %}{% endfor %}",
            "{% set ns = namespace(t=[1]) %}{% for a in range(50) %}{% set ns.t = [ns.t, ns.t] %}{% endfor %}{{ ns.t }}",
            "{% set ns = namespace(t=[1]) %}{% for a in range(50) %}{% set ns.t = [ns.t, ns.t] %}{% endfor %}{{ ns.t | tojson }}",
            "{% set ns = namespace(t=[1], u=[1]) %}{% for a in range(50) %}{% set ns.t = [ns.t, ns.t] %}"
                + "{% set ns.u = [ns.u, ns.u] %}{% endfor %}{{ ns.t == ns.u }}",
            "{% for a in range(99999) %}{% set x = namespace(y=range(99999)) %}{% endfor %}",
            // Depth.
            "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
            "{% set ns = namespace(t=1) %}{% for a in range(99) %}{% set ns.t = [ns.t] %}{% endfor %}",
            "{% set ns = namespace(t=1) %}{% for a in range(99) %}{% set ns.t = {'a': ns.t} %}{% endfor %}",
        ])
    func rendering(source: String) {
        #expect(error(source, limits: JinjaLimits(steps: 200_000))?.kind == .limit, "\(source)")
    }

    @Test(
        arguments: [
            ["{{ ", "(", "1", ")", " }}"], ["{{ ", "[", "1", "]", " }}"], ["{{ ", "{'a':", "1", "}", " }}"],
            ["{{ ", "-", "1", "", " }}"], ["{{ ", "not ", "1", "", " }}"],
            ["", "{% if a %}", "1", "{% endif %}", ""],
            ["{{ ", "f(", "1", ")", " }}"], ["{{ ", "a[", "1", "]", " }}"],
            ["{{ ", "a if b else ", "1", "", " }}"],
            ["{{ ", "a | f(", "1", ")", " }}"],
        ])
    func nesting(parts: [String]) {
        func nested(_ count: Int) -> String {
            parts[0] + String(repeating: parts[1], count: count) + parts[2]
                + String(repeating: parts[3], count: count)
                + parts[4]
        }
        #expect(error(nested(10_000))?.kind == .limit)
        #expect(error(nested(20))?.kind != .limit)
    }

    @Test(arguments: [".a", "[0]", "|f", "()", " if a"])
    func chains(part: String) {
        #expect(error("{{ a" + String(repeating: part, count: 20_000) + " }}")?.kind == .limit)
    }

    @Test func longRowsOfOperators() throws {
        let sum = "{{ 0" + String(repeating: " + 1", count: 5000) + " }}"
        #expect(try JinjaTemplate(sum).render([], now: moment).string == "5000")
        let words = "{{ ''" + String(repeating: " ~ 'a'", count: 5000) + " }}"
        #expect(try JinjaTemplate(words).render([], now: moment).bytes.count == 5000)
    }

    @Test func length() {
        #expect(error(String(repeating: "a", count: JinjaTemplate.longestSource)) == nil)
        #expect(error(String(repeating: "a", count: JinjaTemplate.longestSource + 1))?.kind == .limit)
        #expect(error("{{ a }}", [("a", .foreign("abc"))], limits: JinjaLimits(bytes: 2))?.kind == .limit)
        #expect(error("{{ a }}{{ a }}", limits: JinjaLimits(steps: 2))?.kind == .limit)
    }

    /// A search that the naive way would take a billion comparisons for.
    @Test func searches() throws {
        let source =
            "{{ (('a' * 1000000) ~ 'b').find('a' * 500000 ~ 'b') }} {{ 'abcabd'.rfind('abc') }} {{ 'aaaa'.rfind('aa') }}"
        #expect(try JinjaTemplate(source).render([], now: moment).string == "500000 0 2")
    }

    /// Rings of namespaces and macros are let go.
    @Test func rings() throws {
        let source =
            "{% set a = namespace() %}{% set a.a = a %}{% macro f() %}{{ f.name }}{% endmacro %}{% set a.f = f %}"
            + "{% for i in range(3) %}{% macro g() %}{{ g.name }}{% endmacro %}{% set a.l = loop %}{{ g() }}{% endfor %}{{ a.f() }}"
        #expect(try JinjaTemplate(source).render([], now: moment).string == "gggf")
    }

    /// Mutations of published templates: parsed and rendered or refused, never more than allowed.
    @Test func mutations() throws {
        let published = try PublishedTemplates()
        let limits = JinjaLimits(steps: 20_000, bytes: 1 << 20, depth: 100)
        let scraps = [
            "{{", "}}", "{%", "%}", "{#", "#}", "-", "'", "\"", "(", ")", "[", "]", "|", ".", "~", "*",
            " if ", " else ", " in ",
            " is ", " not ", "for x in messages", "endfor", "set x = ", "namespace(", "loop", "messages",
            "[::-1]", "\\", "\n",
            "é", "999999999999", "range(999)", "macro f()", "| tojson", " * 9999", "{% raw %}",
        ].map { Array($0.utf8) }
        var random = SplitMix(state: 5)
        var rendered = 0
        for template in published.templates {
            let source = Array(template.source.utf8)
            for round in 0..<12 {
                var text = source
                for _ in 0..<Int.random(in: 1...4, using: &random) {
                    let place = Int.random(in: 0...text.count, using: &random)
                    switch Int.random(in: 0..<3, using: &random) {
                    case 0:
                        text.insert(
                            contentsOf: scraps[Int.random(in: 0..<scraps.count, using: &random)], at: place)
                    case 1:
                        text.removeSubrange(
                            place..<min(text.count, place + Int.random(in: 1...20, using: &random)))
                    default:
                        let start = Int.random(in: 0...source.count, using: &random)
                        text.insert(contentsOf: source[start..<min(source.count, start + 40)], at: place)
                    }
                }
                let conversation = published.conversations[round % published.conversations.count]
                guard let program = try? JinjaTemplate(String(decoding: text, as: UTF8.self)) else {
                    continue
                }
                if let output = try? program.render(
                    conversation.variables + template.names, now: moment, limits: limits)
                {
                    #expect(output.bytes.count <= limits.bytes)
                    rendered += 1
                }
            }
        }
        #expect(rendered > 0)
    }
}
