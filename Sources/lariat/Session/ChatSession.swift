// A conversation in the terminal: a line is asked, its answer streams, and both go before the next line.

import Foundation
internal import Messages
internal import Protobuf
internal import WholeFiles

/// One chat with one coordinator.
struct ChatSession {
    let connection: ConnectionOptions
    let log: LogOptions
    /// Of every question.
    let options: JobOptions
    private var conversation = Conversation()
    private let signals = ChatSignals()

    private static let prompt = "> "

    init(connection: ConnectionOptions, log: LogOptions, options: JobOptions) {
        self.connection = connection
        self.log = log
        self.options = options
    }

    /// Until a person or the input ends it.
    mutating func run() async throws {
        guard let terminal = TerminalLines() else { return try await readPlainly() }
        let watching = signals.begin(keepsLine: true) {
            terminal.giveBack()
            _exit(ExitStatus.interrupted)
        }
        defer {
            watching.cancel()
            terminal.giveBack()
        }
        var editor = LineEditor()
        var reader = EditorKeyReader()
        var keys: [EditorKey] = []
        while true {
            switch await terminal.next(prompt: Self.prompt, &editor, &reader, &keys) {
            case .end: return
            case .interrupted: Terminal.aside("Ctrl-D or /exit ends the chat")
            case .text(let line):
                do {
                    if try await !take(line) { return }
                } catch let failure as Failure {
                    // The chat goes on; the line can be had again with the up arrow.
                    Terminal.note(failure.message.printable)
                }
                if signals.wantsEnd { throw Failure("ended", exitCode: ExitStatus.interrupted) }
            }
        }
    }

    /// Lines of a pipe: the first that fails ends it.
    private mutating func readPlainly() async throws {
        let watching = signals.begin(keepsLine: false) { _exit(ExitStatus.interrupted) }
        defer { watching.cancel() }
        let lines = PlainLines()
        while let line = try await lines.next() {
            guard try await take(line) else { return }
            if signals.wantsEnd { throw Failure("ended", exitCode: ExitStatus.interrupted) }
        }
    }

    /// - Returns: false: the chat is to end.
    private mutating func take(_ line: String) async throws -> Bool {
        switch ChatInstruction(line) {
        case .help: Terminal.writeError(ChatInstruction.list + "\n")
        case .clear:
            conversation.clear()
            Terminal.aside("what was said is forgotten")
        case .exit: return false
        case .save(let file):
            guard !conversation.exchanges.isEmpty else { throw Failure("nothing was said yet") }
            try AtomicFile.write(conversation.transcript, to: file, for: .owner, replaces: false)
            Terminal.aside("saved in \(file.printable)")
        case .wrong(let problem): throw Failure(problem, exitCode: ExitStatus.usage)
        case nil:
            let question = String(line.trimmingPrefix { $0.isWhitespace })
            if !question.isEmpty { try await ask(question) }
        }
        return true
    }

    // MARK: Questions

    private mutating func ask(_ question: String) async throws {
        let stops = signals.awaitAnswer()
        defer { signals.answerIsOver() }
        // A connection for each: the coordinator may have been started anew since the last one.
        let job = try await CoordinatorClient.with(connection, log) { [conversation, options] coordinator in
            let job: JobRecord = try await coordinator.upload(
                CoordinatorService.submit, options, after: conversation,
                try PromptInput(.text([.text(question)])))
            if !job.note.isEmpty, conversation.exchanges.isEmpty { Terminal.note(job.note.printable) }
            _ = try await Self.follow(job.id, coordinator, stops)
            // With the whole answer, of which the stream's end has nothing.
            return try await coordinator.job(job.id)
        }
        let answer = String(decoding: job.text, as: UTF8.self)
        switch job.state {
        case .succeeded:
            conversation.add(question: question, answer: answer)
            Terminal.aside(JobReport(job).summary)
            if job.finish == .length, let most = job.options?.maxTokens {
                Terminal.aside(
                    "the answer ended at \(Quantity.counted(UInt64(most), "token")); --max-tokens allows more"
                )
            }
        case .cancelled:
            // What a person has seen of an answer is a part of the conversation.
            if !answer.isEmpty { conversation.add(question: question, answer: answer) }
            Terminal.aside("stopped")
        default: try job.conclude(summary: false)
        }
    }

    private enum Step: Sendable {
        case over(JobRecord)
        case abandoned
    }

    /// Streams the answer to its end; the first stop cancels the job, the second waits no longer for its end.
    private static func follow(
        _ id: String, _ coordinator: CoordinatorClient, _ stops: AsyncStream<Void>
    ) async throws -> JobRecord {
        let follower = JobFollower(coordinator: coordinator, id: id, style: FollowStyle(output: .text))
        return try await withThrowingTaskGroup(of: Step?.self) { group in
            group.addTask { .over(try await follower.follow(within: nil)) }
            group.addTask {
                var next = stops.makeAsyncIterator()
                guard await next.next() != nil else { return nil }
                // A job that has just ended cannot be cancelled, which is as well.
                _ = try? await coordinator.unary(CoordinatorService.cancel, JobRequest.with { $0.id = id })
                return await next.next() == nil ? nil : .abandoned
            }
            defer { group.cancelAll() }
            while let step = try await group.next() {
                switch step {
                case .over(let job): return job
                case .abandoned:
                    throw Failure("job \(id) has not ended yet; `lariat show \(id)` says where it stands")
                case nil: break
                }
            }
            throw CancellationError()
        }
    }
}
