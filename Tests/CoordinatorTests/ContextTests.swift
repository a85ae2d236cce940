// Contexts through the core and its journal, over scripted workers: made, asked about, kept through a restart.
import Coordinator
import Messages
import Protobuf
import Testing

@Suite(.timeLimit(.minutes(10))) struct ContextTests {
    private let book = String(repeating: "In the beginning there was a word. ", count: 10)

    @inline(never) private func bench(_ directory: TemporaryDirectory) async throws -> Bench {
        try await Bench(directory, names: ["alpha"])
    }

    private func ingestion(_ name: String = "book", chat: Bool = false) -> JobOptions {
        .with {
            $0.kind = .ingest
            $0.context = name
            $0.maxTokens = 200
            $0.chat = chat
        }
    }

    private func question(_ name: String = "book") -> JobOptions {
        .with {
            $0.kind = .generate
            $0.context = name
            $0.maxTokens = 20
        }
    }

    @Test func aQuestionCostsItsOwnTokens() async throws {
        let bench = try await bench(TemporaryDirectory())
        bench.workers["alpha"] = .answer("yes")
        let made = try await bench.result(try await bench.submit(book, ingestion()).id)
        #expect(made.state == .succeeded && made.generatedTokens == 0 && made.cachedTokens == 0)
        let context = try await bench.core.context("book", owner: "")
        #expect(context.state == .ready && context.tokens == 350 && context.keptTokens == 256)
        #expect(context.job == made.id && context.shares.map(\.worker) == ["alpha"])
        let asked = try await bench.result(try await bench.submit("Which word?", question()).id)
        #expect(asked.state == .succeeded && asked.text == Array("yes".utf8))
        #expect(asked.promptTokens == 361 && asked.cachedTokens == 256 && asked.prefilledTokens == 361)
        // The worker was sent what it does not have.
        #expect(
            bench.workers.prompt("alpha") == (book.dropFirst(256) + "Which word?").utf8.map { UInt32($0) })
        #expect(try await bench.core.context("book", owner: "").questions == 1)
        let forecast = await bench.core.forecast(question(), prompt: [1, 2, 3])
        #expect(forecast.promptTokens == 353 && forecast.cachedTokens == 256 && forecast.admissible)
    }

    @Test func anAnswerTakesWhatItsContextLeavesFree() async throws {
        let bench = try await bench(TemporaryDirectory())
        _ = try await bench.result(try await bench.submit(book, ingestion()).id)
        var options = question()
        options.maxTokens = 0
        #expect(try await bench.submit("Which word?", options).options?.maxTokens == 189)
        options.maxTokens = 190
        await #expect {
            try await bench.submit("Which word?", options)
        } throws: {
            "\($0)".contains("keeps 200 tokens free for a question and its answer; this question has 11")
        }
    }

    @Test func whoseItIsDecidesWhoSeesIt() async throws {
        let bench = try await bench(TemporaryDirectory())
        _ = try await bench.result(
            try await bench.core.submit(ingestion(), prompt: book.utf8.map { UInt32($0) }, owner: "ada").id)
        #expect(try await bench.core.contexts(.with { _ in }, owner: "ada").contexts.map(\.name) == ["book"])
        #expect(try await bench.core.contexts(.with { _ in }, owner: "eve").contexts.isEmpty)
        for body in [
            { _ = try await bench.core.context("book", owner: "eve") },
            { _ = try await bench.core.removeContext("book", owner: "eve") },
            { _ = try await bench.core.pinContext(.with { $0.name = "book" }, owner: "eve") },
            { _ = try await bench.core.submit(self.question(), prompt: [1], owner: "eve") },
        ] as [() async throws -> Void] {
            await #expect {
                try await body()
            } throws: {
                ($0 as? CoordinatorError)?.kind == .notFound
            }
        }
        // The same text of another owner shares nothing.
        let other = try await bench.core.submit(
            ingestion(), prompt: book.utf8.map { UInt32($0) }, owner: "eve")
        #expect(try await bench.result(other.id).cachedTokens == 0)
        #expect(try await bench.core.removeContext("book", owner: "ada").name == "book")
        #expect(try await bench.core.context("book", owner: "eve").state == .ready)
    }

    @Test func aFailedIngestLeavesNoContext() async throws {
        let bench = try await bench(TemporaryDirectory())
        bench.workers["alpha"] = .breakInPrefill(layers: 1)
        #expect(try await bench.result(try await bench.submit(book, ingestion()).id).state == .failed)
        #expect(try await bench.core.contexts(.with { _ in }, owner: "").contexts.isEmpty)
        #expect(try await bench.journal.contexts(precision: "f32").isEmpty)
    }

    @Test func aRestartKnowsContexts() async throws {
        let directory = try TemporaryDirectory()
        let sequence: String
        do {
            let bench = try await bench(directory)
            _ = try await bench.result(try await bench.submit(book, ingestion()).id)
            _ = try await bench.core.pinContext(.with { $0.name = "book" }, owner: "")
            // What has become of a context is written beside what is answered.
            while true {
                let known = try await bench.journal.contexts(precision: "f32").first
                if known?.record.pinned == true, known?.memory != nil { break }
                try await Task.sleep(for: .milliseconds(2))
            }
            sequence = try #require(await bench.core.keptSequences.all.first?.id)
            await bench.core.stop()
        }
        let bench = try await Bench(directory, names: [])
        let before = try await bench.core.context("book", owner: "")
        #expect(before.state == .gone && before.pinned && before.tokens == 350)
        let reply = try await bench.core.register(
            .with {
                $0.member = member("alpha")
                $0.instance = "i-alpha"
                $0.held = [
                    .with {
                        $0.sequence = sequence
                        $0.tokens = 256
                    }, .with { $0.sequence = "strange" },
                ]
            })
        #expect(reply.drop == ["strange"])
        #expect(try await bench.core.context("book", owner: "").state == .ready)
        let asked = try await bench.result(try await bench.submit("Which word?", question()).id)
        #expect(asked.cachedTokens == 256)
        // Removed is removed.
        _ = try await bench.core.removeContext("book", owner: "")
        #expect(try await bench.journal.contexts(precision: "f32").isEmpty)
        #expect(await bench.core.keptSequences.all.allSatisfy { $0.contexts.isEmpty })
    }

    @Test func aJobThatWaitsReusesAfterARestart() async throws {
        let directory = try TemporaryDirectory()
        do {
            let bench = try await Bench(directory, names: [])
            _ = try await bench.submit(book)
        }
        let bench = try await bench(directory)
        #expect(try await bench.result("j1").state == .succeeded)
        #expect(await bench.core.keptSequences.all.map(\.tokens) == [256])
    }

    // MARK: how prompts become tokens

    private func tokens(
        _ text: String, _ options: JobOptions, about topic: ContextTopic? = nil
    ) throws -> (JobOptions, String) {
        var parts = PromptParts(limit: 1 << 20)
        try parts.add(.with { $0.options = options })
        try parts.add(.with { $0.text = Array(text.utf8) })
        let (options, prompt) = try parts.whole(hasChatTemplate: true, about: topic)
        let encoder = PromptEncoder(admission: Admission(model: ByteModel()), members: [])
        let bytes = try encoder.tokens(of: prompt, options).map { UInt8($0) }
        return (options, String(decoding: bytes, as: UTF8.self))
    }

    private func topic(chat: Bool) -> ContextTopic {
        ContextTopic(
            record: .with {
                $0.name = "book"
                $0.chat = chat
            }, template: chat ? "chatml" : "")
    }

    @Test func aChatGoesOnInTheContextsTurn() throws {
        var made = ingestion(chat: true)
        made.system = "Be brief."
        let (_, beginning) = try tokens("The text.", made)
        #expect(beginning == "<Be brief.|The text.\n\n")
        let (options, end) = try tokens("Who?", question(), about: topic(chat: true))
        #expect(end == "Who?>" && options.chat && options.chatTemplate == "chatml")
        // A text that has the marker in it gets another one.
        let (_, odd) = try tokens("LariatAsksHere0End", ingestion(chat: true))
        #expect(odd == "<|LariatAsksHere0End\n\n")
    }

    @Test func aQuestionInPlainTextIsTakenAsItIs() throws {
        var asked = question()
        // Who leaves it to the model leaves it to the context.
        asked.chatIfTemplate = true
        let (options, text) = try tokens("Who?", asked, about: topic(chat: false))
        #expect(text == "Who?" && !options.chat)
    }

    @Test func whatDoesNotGoWithTheContextIsRefused() throws {
        var system = question()
        system.system = "Be brief."
        var chat = question()
        chat.chat = true
        var template = question()
        template.chat = true
        template.chatTemplate = "llama3"
        for (options, chat) in [(system, true), (chat, false), (template, true)] {
            #expect {
                try tokens("Who?", options, about: topic(chat: chat))
            } throws: {
                ($0 as? CoordinatorError)?.kind == .invalid
            }
        }
    }
}
