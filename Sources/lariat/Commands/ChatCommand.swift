// lariat chat: a conversation in the terminal.

internal import ArgumentParser
internal import Messages

struct ChatCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "chat", abstract: "Hold a conversation, about a context or without.",
        discussion: """
            A line is a question; its answer streams to standard output, everything else goes to standard error. What was said \
            before goes with every question, and the workers compute of it what is new only. Ctrl-C stops an answer and not \
            the chat; Ctrl-D or /exit ends it, /help lists what else there is. Arrows, Home, End, Ctrl-A, Ctrl-E, Ctrl-K, \
            Ctrl-U, Ctrl-W and Ctrl-Y work as in a shell; what is pasted may have several lines.

            Where standard input is no terminal every line of it is a question, and the first that fails ends the chat.
            """)

    @Option(
        help: ArgumentHelp("Talk about this context (default: about anything).", valueName: "name"),
        completion: ContextCompletion.kind)
    var context: String?
    @Option(help: ArgumentHelp("System message for the chat template.", valueName: "text"))
    var system: String?
    @OptionGroup var template: TemplateOption
    @OptionGroup var answer: AnswerOptions
    @OptionGroup var text: TextOptions
    @OptionGroup var placement: PlacementOptions
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var log: LogOptions

    func validate() throws {
        guard context != nil else { return }
        let fixed =
            (system == nil ? [] : ["--system"]) + (template.template == nil ? [] : ["--template"])
            + placement.given
        if let option = fixed.first {
            throw ValidationError("\(option): a context has its own, from `lariat context add`; leave it out")
        }
    }

    func execute() async throws {
        var options = JobOptions()
        options.kind = .generate
        options.context = context ?? ""
        options.chat = true
        options.system = system ?? ""
        options.chatTemplate = try template.choice() ?? ""
        answer.apply(to: &options)
        text.apply(to: &options)
        try placement.apply(to: &options)
        try await greet()
        var session = ChatSession(connection: connection, log: log, options: options)
        try await session.run()
    }

    /// Says who answers. A wrong address or context is told before anything is written.
    private func greet() async throws {
        try await CoordinatorClient.with(connection, log) { coordinator in
            let cluster = try await coordinator.unary(CoordinatorService.getCluster, ClusterRequest())
            var who = cluster.model
            if let context {
                let record = try await coordinator.context(context)
                guard record.chat else {
                    throw Failure(
                        "context \"\(context)\" is not in the chat template; ask about it with `lariat ask`, or make it "
                            + "anew without --raw", exitCode: ExitStatus.usage)
                }
                who += ", \(ContextReport(record).summary)"
            }
            if Terminal.inputIsTerminal {
                Terminal.aside(
                    "\(who.printable). Ctrl-C stops an answer, Ctrl-D ends the chat, /help lists more")
            }
        }
    }
}
