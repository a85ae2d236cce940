// Published chat templates against what transformers renders them to (Tests/Golden).
import Jinja
import TestSupport
import Testing

/// The published templates of Tests/Golden, with what conversations they were given and what came of it.
struct PublishedTemplates {
    struct Published {
        var name: String
        var source: String
        var names: [(name: String, value: JinjaValue)]
        /// One for each conversation.
        var results: [JinjaValue]
    }

    var conversations: [(name: String, variables: [(name: String, value: JinjaValue)])] = []
    var templates: [Published] = []

    init() throws {
        let golden = try JinjaValue.golden("chat-templates.json")
        for conversation in golden["conversations"]?.items ?? [] {
            let messages = try #require(conversation["messages"])
            let options = conversation["options"]?.members ?? []
            conversations.append(
                (
                    conversation["name"]?.string ?? "",
                    [("messages", Self.aliased(messages)), ("tools", .null), ("documents", .null)]
                        + options.map { ($0.key.string, $0.value) }
                ))
        }
        for template in golden["templates"]?.members ?? [] {
            let source = try Golden.data("chat-templates/\(template.key.string).jinja")
            templates.append(
                Published(
                    name: template.key.string, source: String(decoding: source, as: UTF8.self),
                    names: (template.value["names"]?.members ?? []).map {
                        ($0.key.string, .own($0.value.string ?? ""))
                    },
                    results: template.value["results"]?.items ?? []))
        }
    }

    /// transformers gives what a model thought under both names that templates read.
    private static func aliased(_ messages: JinjaValue) -> JinjaValue {
        .list(
            messages.items.map { message in
                guard let thought = message["reasoning_content"] else { return message }
                let others = message.members.filter {
                    $0.key.string != "thinking" && $0.key.string != "reasoning_content"
                }
                return .map(
                    others + [
                        JinjaMember(JinjaText(own: "thinking"), thought),
                        JinjaMember(JinjaText(own: "reasoning_content"), thought),
                    ])
            })
    }
}

@Suite struct PublishedTemplateTests {
    @Test func renderings() throws {
        let published = try PublishedTemplates()
        #expect(published.templates.count > 40)
        #expect(published.conversations.count > 20)
        for template in published.templates {
            let program = try JinjaTemplate(template.source)
            #expect(template.results.count == published.conversations.count)
            for (conversation, result) in zip(published.conversations, template.results) {
                let what = "\(template.name), \(conversation.name)"
                do {
                    let text = try program.render(conversation.variables + template.names, now: moment)
                    #expect(
                        result["text"]?.string.map { Array($0.utf8) } == Array(text.string.utf8),
                        "\(what): \(text.string)")
                } catch {
                    let wanted = try #require(result["error"]?.string, "\(what): \(error)")
                    // What the template says itself comes through as it is; what Python says is said in other words.
                    #expect(
                        (error.kind == .refused) == wanted.hasPrefix("TemplateError: "),
                        "\(what): \(error), not \(wanted)")
                    if error.kind == .refused { #expect("TemplateError: " + error.problem == wanted) }
                }
            }
        }
    }

    /// Nothing that is foreign turns into a template's own text: with contents whose every letter is a private one, no
    /// letter of the rendering that is private is the template's own, and no other is foreign.
    @Test func provenance() throws {
        func marked(_ value: JinjaValue) -> JinjaValue {
            switch value {
            case .text(let text):
                .foreign(String(repeating: "\u{E000}", count: text.string.unicodeScalars.count))
            case .list(let items): .list(items.map(marked))
            case .map(let members):
                .map(
                    members.map { JinjaMember($0.key, $0.key.string == "role" ? $0.value : marked($0.value)) }
                )
            default: value
            }
        }
        let published = try PublishedTemplates()
        var checked = 0
        for template in published.templates {
            let program = try JinjaTemplate(template.source)
            for conversation in published.conversations {
                let variables = conversation.variables.map { ($0.name, marked($0.value)) }
                guard let text = try? program.render(variables + template.names, now: moment) else {
                    continue
                }
                var at = 0
                for scalar in text.string.unicodeScalars {
                    let end = at + UTF8.width(scalar)
                    if scalar == "\u{E000}" {
                        #expect(!text.isOwn(at..<end), "\(template.name), \(conversation.name)")
                    }
                    at = end
                }
                checked += 1
            }
        }
        #expect(checked > 500)
    }
}

extension UTF8 {
    fileprivate static func width(_ scalar: Unicode.Scalar) -> Int { String(Character(scalar)).utf8.count }
}
