// How commands end: errors in plain words on standard error, and an exit code that scripts can use.

internal import ArgumentParser
internal import Cluster
internal import RPC

/// A command whose errors are told in plain words.
protocol ReportingCommand: AsyncParsableCommand {
    func execute() async throws
}

extension ReportingCommand {
    func run() async throws {
        do {
            try await execute()
        } catch let failure as Failure {
            Terminal.note(failure.message.printable)
            throw ExitCode(failure.exitCode)
        } catch let error as ClusterError {
            Terminal.note("\(error)".printable)
            throw ExitCode(ExitStatus.usage)
        } catch let status as RPCStatus {
            // From a server that could not start: there is nobody to reach.
            Terminal.note((status.message.isEmpty ? status.code.name : status.message).printable)
            throw ExitCode(ExitStatus.failure)
        } catch let code as ExitCode {
            throw code
        } catch {
            Terminal.note("\(error)".printable)
            throw ExitCode(ExitStatus.failure)
        }
    }
}
