// The command tree.

internal import ArgumentParser
import Foundation

@main
struct Lariat: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "lariat",
        abstract: "Runs one very long sequence over several hosts.",
        discussion: """
            Start with `lariat up --model FILE`, then `lariat submit "..."` in another terminal.

            Clients find the coordinator by --coordinator or LARIAT_COORDINATOR (HOST:PORT, default 127.0.0.1:7400). \
            LARIAT_LOG sets the log level where --log-level is not given. --json prints one JSON object, or one per \
            line where results are a stream, with the names of Proto/lariat.proto.

            """ + ExitStatus.help,
        version: LariatVersion.current,
        groupedSubcommands: [
            CommandGroup(
                name: "Cluster",
                subcommands: [
                    UpCommand.self, CoordinatorCommand.self, WorkerCommand.self, DrainCommand.self,
                    TopCommand.self, DoctorCommand.self, ClusterCommand.self,
                ]),
            CommandGroup(
                name: "Jobs",
                subcommands: [
                    SubmitCommand.self, ScoreCommand.self, PlanCommand.self, VerifyCommand.self,
                    JobsCommand.self, ShowCommand.self, LogsCommand.self, TraceCommand.self,
                    WaitCommand.self, AttachCommand.self, CancelCommand.self,
                ]),
            CommandGroup(
                name: "Contexts",
                subcommands: [
                    ContextCommand.self, ContextsCommand.self, AskCommand.self, ChatCommand.self,
                ]),
            CommandGroup(
                name: "Longer contexts", subcommands: [EvalCommand.self, ExtendCommand.self]),
            CommandGroup(name: "Measurements", subcommands: [BenchCommand.self]),
            CommandGroup(name: "About", subcommands: [VersionCommand.self]),
        ])

    static func main() async {
        OpenFiles.raiseLimit()
        let arguments = Array(CommandLine.arguments.dropFirst())
        if let problem = CommandLineCheck.garbled() ?? CommandLineCheck.problem(arguments) {
            Terminal.note(problem.printable)
            Foundation.exit(ExitStatus.usage)
        }
        await main(nil)
    }
}

/// The version of this program.
package enum LariatVersion {
    package static let current = "0.1.0"
}
