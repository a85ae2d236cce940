// Prompts on their way in: who may send how much, whose turn it is, and what is too long however it is cut.

import Coordinator
import Messages
import Protobuf
import Synchronization
import Testing

@Suite struct PromptBudgetTests {
    private func holds(
        _ budget: inout PromptBudget, _ bytes: Int, _ caller: String,
        _ purpose: PromptBudget.Purpose = .submission
    ) -> Bool {
        do throws(CoordinatorError) {
            try budget.hold(bytes, for: caller, purpose)
            return true
        } catch {
            #expect(error.kind == .exhausted)
            return false
        }
    }

    @Test func somebodyAloneMaySendTheLongest() {
        var budget = PromptBudget(longest: 1000)
        #expect(budget.longest(.submission) == 1000 && budget.longest(.forecast) == 250)
        #expect(holds(&budget, 600, "a") && holds(&budget, 400, "a") && !holds(&budget, 1, "a"))
    }

    @Test func nobodyTakesAll() {
        var budget = PromptBudget(longest: 1 << 20)
        for caller in 0..<15 {
            var own = 0
            while holds(&budget, 1 << 4, "\(caller)") { own += 1 << 4 }
            #expect(own >= (1 << 20) >> (caller + 1), "the caller \(caller) had \(own)")
        }
        #expect(budget.held < 2 << 20)
    }

    @Test func forecastsHaveTheirOwn() {
        var budget = PromptBudget(longest: 1000)
        for caller in 0..<100 { while holds(&budget, 1, "\(caller)", .forecast) {} }
        #expect(holds(&budget, 1000, "a"))
    }

    @Test func whatIsGivenBackMayBeTakenAgain() {
        var budget = PromptBudget(longest: 1000)
        for _ in 0..<10 {
            #expect(holds(&budget, 1000, "a"))
            budget.release(1000, of: "a", .submission)
        }
        #expect(budget.held == 0)
        #expect(holds(&budget, 1000, "b"))
    }
}

@Suite struct TokenisingQueueTests {
    private let start = ContinuousClock.now
    private let long = 8 << 20

    private func add(
        _ queue: inout TokenisingQueue, _ bytes: Int, at seconds: Double = 0
    ) throws -> TokenisingQueue.Ticket {
        let ticket = queue.ticket()
        try queue.add(ticket, bytes: bytes, at: start + .seconds(seconds))
        return ticket
    }

    @Test func theShortestGoesFirst() throws {
        var queue = TokenisingQueue(threads: 2, at: start)
        let tickets = try [300, 100, 200].map { try add(&queue, $0) }
        #expect(queue.start().map(\.ticket) == [tickets[1], tickets[2]])
        #expect(queue.start() == [])
        queue.finish(thread: 1)
        #expect(queue.start() == [.init(ticket: tickets[0], thread: 1)])
    }

    @Test func longOnesNeverHaveAllThreads() throws {
        var queue = TokenisingQueue(threads: 3, at: start)
        for _ in 0..<5 { _ = try add(&queue, long) }
        #expect(queue.start().count == 2)
        let short = try add(&queue, 10)
        #expect(queue.start().map(\.ticket) == [short])
        // Not even when the last one is free again.
        queue.finish(thread: 2)
        #expect(queue.start() == [] && queue.count == 3)
        queue.finish(thread: 0)
        #expect(queue.start().count == 1)
    }

    /// Short ones that never cease to come do not keep a long one out for ever.
    @Test func aLongOneHasItsTurn() throws {
        var queue = TokenisingQueue(threads: 2, at: start)
        let ticket = try add(&queue, long)
        for _ in 0..<4 { _ = try add(&queue, 1000) }
        var seconds = 0.0
        var turns = queue.start()
        #expect(!turns.map(\.ticket).contains(ticket))
        while !turns.map(\.ticket).contains(ticket), seconds < 60 {
            seconds += 0.01
            for thread in 0..<2 { queue.finish(thread: thread) }
            for _ in 0..<2 { _ = try add(&queue, 1000, at: seconds) }
            turns = queue.start()
        }
        #expect((1...10).contains(seconds), "it had its turn after \(seconds) s")
    }

    @Test func whoLeavesIsPassed() throws {
        var queue = TokenisingQueue(threads: 2, at: start)
        let tickets = try (0..<4).map { _ in try add(&queue, 10) }
        _ = queue.start()
        queue.leave(tickets[2])
        queue.finish(thread: 0)
        #expect(queue.start().map(\.ticket) == [tickets[3]])
    }

    @Test func theQueueIsBounded() throws {
        var queue = TokenisingQueue(threads: 2, most: 3, at: start)
        for _ in 0..<3 { _ = try add(&queue, 10) }
        let error = #expect(throws: CoordinatorError.self) { try add(&queue, 10) }
        #expect(error?.kind == .exhausted)
    }
}

private final class Counter: Sendable {
    private let value = Atomic(0)
    var count: Int { value.load(ordering: .relaxed) }
    func add() { value.add(1, ordering: .relaxed) }
}

@Suite(.timeLimit(.minutes(10))) struct PromptIntakeTests {
    @Test func whatIsHeldIsGivenBackHoweverItEnds() async throws {
        let intake = PromptIntake(longest: 100, threads: 2)
        await #expect(throws: CoordinatorError.self) {
            try await intake.holding(for: "a", .submission) { hold in
                try hold.add(bytes: 60)
                #expect(intake.bytesHeld == 60)
                try hold.add(bytes: 60)
            }
        }
        #expect(intake.bytesHeld == 0)
    }

    /// Those who wait for a thread are let go at once, those at work when their work looks.
    @Test func whoHasGoneIsNotServed() async throws {
        let intake = PromptIntake(longest: 100, threads: 2)
        let served = Counter()
        let tasks = (0..<6).map { _ in
            Task {
                try await intake.run(bytes: 10) { isAbandoned in
                    served.add()
                    while !isAbandoned() {}
                }
            }
        }
        while served.count < 2 { try await Task.sleep(for: .milliseconds(1)) }
        for task in tasks.reversed() { task.cancel() }
        for task in tasks { await #expect(throws: CancellationError.self) { try await task.value } }
        #expect(served.count <= 3)
        // The threads are free again.
        #expect(try await intake.run(bytes: 10) { _ in 7 } == 7)
    }

    @Test func errorsComeThrough() async throws {
        let intake = PromptIntake(longest: 100, threads: 2)
        for _ in 0..<5 {
            await #expect(throws: CoordinatorError(.invalid, "no")) {
                try await intake.run(bytes: 1) { _ in throw CoordinatorError(.invalid, "no") }
            }
        }
    }
}

@Suite struct PromptLengthTests {
    private func refusal(
        _ prompt: Prompt, members: [MemberRecord] = [], _ set: (inout JobOptions) -> Void = { _ in }
    ) throws -> CoordinatorError? {
        var model = ByteModel()
        model.longestToken = 10
        model.beforeEncoding = { text, _ in #expect(text.utf8.count <= 10_010, "it was tokenised") }
        var options = JobOptions()
        set(&options)
        let encoder = PromptEncoder(admission: Admission(model: model), members: members)
        do throws(CoordinatorError) {
            _ = try encoder.tokens(of: prompt, options)
            return nil
        } catch { return error }
    }
    private func letters(_ count: Int) -> String { String(repeating: "a", count: count) }

    @Test func lengthAloneRefuses() throws {
        // What is reserved for the answer is looked at once the tokens are counted.
        #expect(try refusal(.text(letters(10_000))) == nil)
        let error = try #require(try refusal(.text(letters(10_001))))
        #expect(error.kind == .beyondWindow)
        #expect(
            error.message.hasPrefix(
                "the prompt has at least 1,001 tokens, 1 more than the window of bytes, 1,000: shorten the prompt, "
                    + "extend the window with --rope"), "\(error.message)")
        #expect(
            error.cause
                == .excess(
                    WindowExcess(
                        prompt: PromptLength(tokens: 1001, isAtLeast: true), reserved: 0, window: 1000,
                        of: "bytes")))
        #expect(try refusal(.text(letters(10_001))) { $0.kind = .score } != nil)
        #expect(try refusal(.text(letters(10_000))) { $0.kind = .score } == nil)
    }

    @Test func aConversationIsTheSumOfWhatIsSaid() throws {
        let half = ConversationTurn(role: .user, content: letters(5000))
        #expect(try refusal(.conversation([half, half])) == nil)
        let more = ConversationTurn(role: .assistant, content: "b")
        #expect(try refusal(.conversation([half, half, more])) != nil)
        // Templates take the white space around it away.
        #expect(
            Prompt.conversation([.init(role: .user, content: " \u{3000}\n" + letters(11) + "\t ")])
                .fewestTokens(longest: 10) == 2)
        #expect(
            Prompt.conversation([.init(role: .user, content: " \n ")]).fewestTokens(longest: 10) == 0)
    }

    @Test func whatMayBeLongerIsHeldAgainstTheMemory() throws {
        #expect(try refusal(.text(letters(9000))) { $0.beyondWindow = true } == nil)
        let small = [member("a", memory: 800_000)]
        let error = try refusal(.text(letters(9000)), members: small) { $0.beyondWindow = true }
        #expect(error?.kind == .notPossible)
        // A rotary method brings its own window.
        #expect(try refusal(.text(letters(9000))) { $0.rope = .with { $0.name = "yarn:2" } } == nil)
        #expect(
            try refusal(.text(letters(90_000))) { $0.rope = .with { $0.name = "yarn:2" } }?.kind
                == .beyondWindow)
    }
}
