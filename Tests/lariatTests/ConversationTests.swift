// A chat's turns as they are submitted, its text as it is saved, and lines that are for the chat itself.

import Messages
import Testing
import lariat

@Suite struct ConversationTests {
    private var conversation: Conversation {
        var conversation = Conversation()
        conversation.add(question: "Who is Ruth?\nIn short.", answer: "A Moabite.")
        conversation.add(question: "And Naomi?", answer: "")
        return conversation
    }

    /// The turns as the coordinator joins them.
    private func joined(_ parts: [SubmitPart]) -> [(ChatTurn.Role, String)] {
        var turns: [(ChatTurn.Role, [UInt8])] = []
        for turn in parts.flatMap(\.turns) {
            if turn.role == .unspecified, let last = turns.indices.last {
                turns[last].1 += turn.content
            } else {
                turns.append((turn.role, turn.content))
            }
        }
        return turns.map { ($0.0, String(decoding: $0.1, as: UTF8.self)) }
    }

    @Test(arguments: [1, 2, 3, 7, 1000])
    func turnsComeInPartsOfAnySize(limit: Int) {
        let parts = conversation.parts(limit: limit)
        #expect(parts.allSatisfy { $0.turns.reduce(0) { $0 + $1.content.count } <= limit })
        let turns = joined(parts)
        #expect(turns.map(\.0) == [.user, .assistant, .user, .assistant])
        #expect(turns.map(\.1) == ["Who is Ruth?\nIn short.", "A Moabite.", "And Naomi?", ""])
    }

    @Test func nothingSaidIsNoPart() {
        #expect(Conversation().parts().isEmpty)
        #expect(conversation.parts().count == 1)
    }

    @Test func theTranscriptTellsWhoSaidWhat() {
        var conversation = conversation
        #expect(
            conversation.transcript
                == "> Who is Ruth?\n> In short.\n\nA Moabite.\n\n> And Naomi?\n\n\n")
        conversation.clear()
        #expect(conversation.exchanges.isEmpty)
    }

    @Test(
        arguments: [
            ("/help", .help), ("/clear", .clear), ("/exit", .exit), ("/quit ", .exit),
            ("/save a file.txt ", .save(file: "a file.txt")),
        ] as [(String, ChatInstruction)])
    func linesForTheChat(line: String, instruction: ChatInstruction) {
        #expect(ChatInstruction(line) == instruction)
    }

    @Test(arguments: [
        "Hello", " /help", "", "/", "// a comment", "/usr/bin holds what?", "/help\nand more", "/1",
    ])
    func linesForTheModel(line: String) { #expect(ChatInstruction(line) == nil) }

    @Test(arguments: ["/save", "/hlep", "/exit now"])
    func linesThatAreWrong(line: String) {
        guard case .wrong(let problem)? = ChatInstruction(line) else {
            Issue.record("\(line) was taken")
            return
        }
        #expect(problem.contains("/"))
    }
}
