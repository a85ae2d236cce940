// One feature of Jinja at a time, against values made with Jinja in the environment of transformers (Tests/Golden).
import Jinja
import TestSupport
import Testing

/// 26 July 2025, 13:05:09, which the goldens' clock shows.
let moment = JinjaMoment(secondsSince1970: 1_753_535_109)

extension JinjaValue {
    subscript(name: String) -> JinjaValue? {
        guard case .map(let members) = self else { return nil }
        return members.first { $0.key.string == name }?.value
    }
    var items: [JinjaValue] { if case .list(let items) = self { items } else { [] } }
    var members: [JinjaMember] { if case .map(let members) = self { members } else { [] } }
    var string: String? { if case .text(let text) = self { text.string } else { nil } }

    /// A JSON file of Tests/Golden.
    static func golden(_ name: String) throws -> JinjaValue {
        try OrderedJSON.value(of: Array(Golden.data(name)))
    }
}

@Suite struct FeatureTests {
    /// Python compares `1.0` and `é` byte by byte, and so do these tests.
    @Test func features() throws {
        let golden = try JinjaValue.golden("jinja-features.json")
        var names = (golden["names"]?.members ?? []).map { (name: $0.key.string, value: $0.value) }
        names += [
            ("messages", .list([])), ("tools", .null), ("documents", .null),
            ("add_generation_prompt", .bool(false)),
        ]
        let results = golden["results"]?.items ?? []
        #expect(results.count > 100)
        for result in results {
            let source = try #require(result["template"]?.string)
            let wanted = result["text"]?.string
            do {
                let text = try JinjaTemplate(source).render(names, now: moment).string
                #expect(wanted.map { Array($0.utf8) } == Array(text.utf8), "\(source) gives \(text)")
            } catch {
                #expect(wanted == nil, "\(source): \(error)")
            }
        }
    }
}
