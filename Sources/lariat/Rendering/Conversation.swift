// What was said in a chat: the turns that are submitted again, and the text that is saved. No I/O.

package import Messages
internal import Protobuf

/// Questions and their answers, in order.
package struct Conversation: Sendable, Equatable {
    package struct Exchange: Sendable, Equatable {
        package var question: String
        package var answer: String
    }

    package private(set) var exchanges: [Exchange] = []

    /// Of content in a part of a submission.
    package static let partBytes = 1 << 20

    package init() {}

    package mutating func add(question: String, answer: String) {
        exchanges.append(Exchange(question: question, answer: answer))
    }

    package mutating func clear() { exchanges = [] }

    /// As they stand before the next question, in parts of at most `limit` bytes of content.
    package func parts(limit: Int = partBytes) -> [SubmitPart] {
        var parts: [SubmitPart] = []
        var room = 0
        func append(_ role: ChatTurn.Role, _ piece: ArraySlice<UInt8>) {
            let turn = ChatTurn.with {
                $0.role = role
                $0.content = Array(piece)
            }
            if room <= 0 || parts.isEmpty {
                parts.append(SubmitPart())
                room = limit
            }
            parts[parts.count - 1].turns.append(turn)
            room -= piece.count
        }
        for exchange in exchanges {
            for (role, content) in [(ChatTurn.Role.user, exchange.question), (.assistant, exchange.answer)] {
                var (role, rest) = (role, Array(content.utf8)[...])
                repeat {
                    let piece = rest.prefix(room > 0 ? room : limit)
                    append(role, piece)
                    rest = rest.dropFirst(piece.count)
                    role = .unspecified
                } while !rest.isEmpty
            }
        }
        return parts
    }

    /// As a text for people.
    package var transcript: String {
        exchanges.map { "> " + $0.question.replacing("\n", with: "\n> ") + "\n\n" + $0.answer }
            .joined(separator: "\n\n") + "\n"
    }
}

/// A line that is for the chat itself and not for the model.
package enum ChatInstruction: Equatable, Sendable {
    case help, clear, exit
    case save(file: String)
    /// One that begins like them, with what is wrong.
    case wrong(String)

    package static let list = """
        /help        this list
        /clear       forget what was said; a context stays
        /save FILE   write what was said into a new file
        /exit        leave, as Ctrl-D does
        Ctrl-C       stop the answer, or give up the line
        Alt-Enter    begin a new line of the question
        A question that begins with a slash is written with a blank before it.
        """

    /// nil: it is for the model.
    package init?(_ line: String) {
        guard line.first == "/", !line.contains("\n") else { return nil }
        let word = line.dropFirst().prefix { !$0.isWhitespace }
        // A path or a comment is no instruction.
        guard !word.isEmpty, word.allSatisfy({ $0.isASCII && $0.isLetter }) else { return nil }
        let rest = line.dropFirst(1 + word.count).drop { $0.isWhitespace }
        let argument = String(rest.reversed().drop { $0.isWhitespace }.reversed())
        switch (word, argument.isEmpty) {
        case ("help", true): self = .help
        case ("clear", true): self = .clear
        case ("exit", true), ("quit", true): self = .exit
        case ("save", false): self = .save(file: argument)
        case ("save", true): self = .wrong("/save needs the name of a file")
        case ("help", _), ("clear", _), ("exit", _), ("quit", _):
            self = .wrong("/\(word) stands alone")
        default: self = .wrong("there is no /\(word); /help lists what there is")
        }
    }
}
