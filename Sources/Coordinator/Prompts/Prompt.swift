// A prompt as it is sent, and how it becomes tokens: refused by its length alone before that takes any time.
package import Messages
import Tokenizer

/// What a client sends.
package enum Prompt: Sendable, Equatable {
    case tokens([UInt32])
    case text(String)
    /// For the model's chat template.
    case conversation([ConversationTurn])
    /// The same, of which all up to the end of its last text is a context's: questions follow in the same turn.
    case opening([ConversationTurn])
    /// A question about such a context, and what follows it: goes on in the context's last turn.
    case question([ConversationTurn])
    /// A question about a context without a chat template.
    case continuation(String)

    /// Tokens that it has at least, where no token stands for more than so many bytes of text. Templates may drop the
    /// white space around what somebody says.
    package func fewestTokens(longest: Int) -> Int {
        let bytes: Int
        switch self {
        case .tokens(let tokens): return tokens.count
        case .text(let text), .continuation(let text): bytes = text.utf8.count
        case .conversation(let turns), .opening(let turns), .question(let turns):
            bytes = turns.reduce(0) { $0 + Self.trimmedBytes($1.content) }
        }
        return (bytes + longest - 1) / longest
    }

    private static func trimmedBytes(_ text: String) -> Int {
        let isSpace = { (scalar: Unicode.Scalar) in
            scalar.isASCII
                ? scalar == " " || (9...13).contains(scalar.value) : scalar.properties.isWhitespace
        }
        let all = text.unicodeScalars
        guard let first = all.firstIndex(where: { !isSpace($0) }),
            let last = all.lastIndex(where: { !isSpace($0) })
        else { return 0 }
        return text.utf8.distance(from: first, to: last) + 1
    }
}

/// Makes tokens for one model and the cluster as it is now.
package struct PromptEncoder: Sendable {
    private let admission: Admission
    private let members: [MemberRecord]

    /// - Parameter members: who is ready.
    package init(admission: Admission, members: [MemberRecord]) {
        self.admission = admission
        self.members = members
    }

    package var hasChatTemplate: Bool { admission.model.hasChatTemplate }

    /// The prompt's tokens, chat template applied. Text takes n log n time at worst, so that this belongs on a thread
    /// of its own; what is longer than the window or the cluster's memory is refused at once.
    /// - Parameter isAbandoned: once it says true, what is returned has no meaning.
    package func tokens(
        of prompt: Prompt, _ options: JobOptions, isAbandoned: @escaping @Sendable () -> Bool = { false }
    ) throws(CoordinatorError) -> [UInt32] {
        // Their number is known, and looked at when they are admitted.
        if case .tokens(let tokens) = prompt { return tokens }
        let model = admission.model
        try admission.checkLength(
            atLeast: prompt.fewestTokens(longest: model.longestToken), options, members: members)
        let patient = model.abandoned(when: isAbandoned)
        do {
            switch prompt {
            case .tokens(let tokens): return tokens
            case .text(let text): return try patient.encode(text, literal: options.literal)
            case .continuation(let text):
                return try patient.encodeContinuation(text, literal: options.literal)
            case .opening(var turns):
                let marker = Self.marker(not: turns)
                turns[turns.count - 1].content += "\n\n" + marker
                return try patient.encodeChat(
                    turns, .before, marker: marker, template: options.chatTemplate,
                    wallMicroseconds: wallMicroseconds())
            case .question(var turns):
                let marker = Self.marker(not: turns)
                turns[0].content = marker + turns[0].content
                return try patient.encodeChat(
                    turns, .behind, marker: marker, template: options.chatTemplate,
                    wallMicroseconds: wallMicroseconds())
            case .conversation(let turns):
                return try patient.encodeChat(
                    turns, template: options.chatTemplate, wallMicroseconds: wallMicroseconds())
            }
        } catch let error as TokenizerError {
            throw CoordinatorError(.template(error.problem))
        } catch {
            throw CoordinatorError(.invalid, "the prompt cannot be tokenised: \(error)")
        }
    }

    /// A word that no template changes and that nobody says in these turns.
    private static func marker(not turns: [ConversationTurn]) -> String {
        let root = "LariatAsksHere"
        // Each turn has finitely many words that begin like this.
        var number = 0
        while turns.contains(where: { $0.content.contains("\(root)\(number)End") }) { number += 1 }
        return "\(root)\(number)End"
    }
}
