// Conversations: recognising the family of a model's chat template, and writing messages in its form. The template is
// a Jinja program; it is not run, since nearly all models use one of a few forms.

/// The families of chat templates that Lariat writes.
public enum ChatTemplate: String, Sendable, CaseIterable {
    /// `<|im_start|>role`, content, `<|im_end|>`: SmolLM2, Qwen.
    case chatML
    /// `[INST] content [/INST]`: Llama 2, Mistral.
    case llama2
    /// `<|start_header_id|>role<|end_header_id|>`, content, `<|eot_id|>`.
    case llama3
    /// `<|user|>`, content, `<|end|>`.
    case phi3

    /// The family of a Jinja template, from the marks that occur in it; nil when they are of no known family.
    public static func recognise(_ template: String) -> ChatTemplate? {
        func has(_ mark: String) -> Bool { contains(template.utf8.span, mark) }
        if has("<|im_start|>") { return .chatML }
        if has("<|start_header_id|>") { return .llama3 }
        if has("<|assistant|>"), has("<|end|>") { return .phi3 }
        if has("[INST]") { return .llama2 }
        return nil
    }
}

/// A message of a conversation.
public struct ChatMessage: Sendable, Equatable {
    public enum Role: String, Sendable, CaseIterable {
        case system
        case user
        case assistant
    }

    public var role: Role
    public var content: String

    public init(role: Role, content: String) {
        self.role = role
        self.content = content
    }
}

/// What is read from a chat template besides its family.
struct ChatFormat: Sendable {
    let template: ChatTemplate
    /// ChatML: the system message that the template puts first when the conversation has none.
    let defaultSystem: String?
    /// Llama 2: whether it has `<<SYS>>`; Mistral's form does not, and has the beginning token once only.
    let hasSystemMarks: Bool
    /// Whether the template itself writes the beginning token.
    let writesBeginning: Bool

    init?(_ text: String) {
        guard let template = ChatTemplate.recognise(text) else { return nil }
        self.template = template
        hasSystemMarks = contains(text.utf8.span, "<<SYS>>")
        writesBeginning =
            contains(text.utf8.span, "bos_token") || contains(text.utf8.span, "<|begin_of_text|>")
        defaultSystem = template == .chatML ? Self.defaultSystem(in: Array(text.utf8)) : nil
    }

    /// The text of a system message that stands literally in a ChatML template, in one string of its program. Line breaks
    /// in Jinja strings are either real or written `\n`.
    private static func defaultSystem(in text: [UInt8]) -> String? {
        let mark = Array("<|im_start|>system".utf8)
        let end = Array("<|im_end|>".utf8)
        var at = 0
        while let start = firstIndex(of: mark, in: text, from: at) {
            at = start + mark.count
            var rest = text[at...]
            if rest.starts(with: Array("\\n".utf8)) {
                rest = rest.dropFirst(2)
            } else if rest.first == 0x0A {
                rest = rest.dropFirst()
            } else {
                continue
            }
            guard let stop = firstIndex(of: end, in: text, from: rest.startIndex) else { return nil }
            let content = text[rest.startIndex..<stop]
            let isLiteral = content.allSatisfy { !"'\"{}\\".utf8.contains($0) }
            if isLiteral, !content.isEmpty { return String(decoding: content, as: UTF8.self) }
        }
        return nil
    }
}

/// Whether `text` holds the bytes of `mark`.
private func contains(_ text: Span<UInt8>, _ mark: String) -> Bool {
    let mark = Array(mark.utf8)
    guard text.count >= mark.count else { return false }
    for start in 0...(text.count - mark.count) where text[start] == mark[0] {
        if mark.indices.allSatisfy({ text[start + $0] == mark[$0] }) { return true }
    }
    return false
}

private func firstIndex(of mark: [UInt8], in text: [UInt8], from start: Int) -> Int? {
    var at = start
    while at + mark.count <= text.count {
        if text[at...].starts(with: mark) { return at }
        at += 1
    }
    return nil
}
