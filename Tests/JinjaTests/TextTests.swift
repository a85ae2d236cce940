// Which bytes are whose, and dates.
import Jinja
import Testing

@Suite struct TextTests {
    /// A rendering with its foreign bytes in angle quotes.
    private func marked(_ source: String) throws -> String {
        let variables: [(name: String, value: JinjaValue)] = [
            ("a", .foreign("xyx")), ("b", .foreign(" é ")), ("own", .own("o")), ("n", .integer(5)),
            ("m", .map([JinjaMember(JinjaText(foreign: "k"), .foreign("v"))])),
            ("l", .list([.foreign("p"), .own("q")])),
        ]
        let text = try JinjaTemplate(source).render(variables, now: moment)
        var result = ""
        var at = 0
        for range in text.foreign {
            result += String(decoding: text.bytes[at..<range.lowerBound], as: UTF8.self)
            result += "‹" + String(decoding: text.bytes[range], as: UTF8.self) + "›"
            at = range.upperBound
        }
        return result + String(decoding: text.bytes[at...], as: UTF8.self)
    }

    @Test(
        arguments: [
            ("<{{ a }}>", "<‹xyx›>"), ("{{ a }}{{ b }}", "‹xyx é ›"), ("{{ own }}{{ n }}{{ bos }}", "o5"),
            ("{{ 'q' + a[1:] + 'q' }}", "q‹yx›q"), ("{{ a[::-1] ~ own }}", "‹xyx›o"),
            ("[{{ b | trim }}]", "[‹é›]"),
            ("{{ a | replace('y', 'w') }}", "‹x›w‹x›"), ("{{ 'pyp'.replace('y', a) }}", "p‹xyx›p"),
            ("{{ a.split('y') | join('w') }}", "‹x›w‹x›"), ("{{ l | join(a) }}", "‹pxyx›q"),
            ("{{ a | upper }}{{ 'z' | upper }}", "‹XYX›Z"), ("{{ ('é' ~ b) | capitalize }}", "É‹ é ›"),
            ("{{ a | indent(2, true) }}", "  ‹xyx›"), ("{{ 'a' * 2 ~ a * 2 }}", "aa‹xyxxyx›"),
            ("{{ m }}", "‹{'k': 'v'}›"), ("{{ m | tojson }}", "‹{\"k\": \"v\"}›"),
            ("{{ {'k': 1} | tojson }}", "{\"k\": 1}"),
            ("{{ {'k': 'own', 'a': a} | tojson }}", "‹{\"›k‹\": \"›own‹\", \"›a‹\": \"xyx\"}›"),
            ("{% for k, v in m.items() %}{{ k }}={{ v }}{% endfor %}", "‹k›=‹v›"),
            ("{% set x %}<{{ a }}>{% endset %}{{ x }}", "<‹xyx›>"), ("{{ {'xyx': 'mine'}[a] }}", "mine"),
            ("{% macro f(t) %}({{ t }}){% endmacro %}{{ f(a) ~ f('t') }}", "(‹xyx›)(t)"),
            ("{% filter trim %} {{ a }} {% endfilter %}", "‹xyx›"),
            ("{{ a | list | last }}{{ a | first }}", "‹xx›"),
            ("{{ a.partition('y') | join('|') }}", "‹x›|y|‹x›"),
            ("{{ a | default('d') }}{{ none or a }}", "‹xyxxyx›"),
        ])
    func provenance(source: String, wanted: String) throws { #expect(try marked(source) == wanted) }

    @Test func ranges() {
        let text = JinjaText(foreign: "ab")
        #expect(!text.isOwn(0..<2))
        #expect(text.isOwn(2..<2))
        #expect(JinjaText(own: "ab").isOwn(0..<2))
        #expect(JinjaText(foreign: "").foreign.isEmpty)
    }

    @Test(
        arguments: [
            (0, "Thursday 1 January 1970 00:00:00"), (951_868_799, "Tuesday 29 February 2000 23:59:59"),
            (-1, "Wednesday 31 December 1969 23:59:59"), (4_107_542_400, "Monday 1 March 2100 00:00:00"),
            (1_753_535_109, "Saturday 26 July 2025 13:05:09"), (.min, "Monday 1 January 1 00:00:00"),
            (.max, "Friday 31 December 9999 23:59:59"),
        ])
    func dates(seconds: Int, wanted: String) throws {
        let template = try JinjaTemplate("{{ strftime_now('%A %-d %B %-Y %H:%M:%S') }}")
        #expect(try template.render([], now: JinjaMoment(secondsSince1970: seconds)).string == wanted)
    }

    /// Errors say which line, and what.
    @Test func errors() {
        func error(_ source: String) -> String {
            do {
                return try JinjaTemplate(source).render([], now: moment).string
            } catch { return "\(error)" }
        }
        #expect(error("\n\n{{ a.b }}") == "line 3: a is undefined, so it has no b")
        #expect(
            error("{% for x in [1] %}\n{{ x | nosuch }}\n{% endfor %}")
                == "line 2: the filter nosuch is not supported")
        #expect(error("{% if a %}\n") == "line 1: what begins here is never ended with {% endif %}")
        #expect(error("{{ 1 +\n'a' }}") == "line 1: + cannot take int and text")
        #expect(error("{{ raise_exception('No.') }}") == "line 1: No.")
        #expect(error("{{ [].append(1) }}") == "line 1: append would change a list, which a template may not")
    }
}
