// lariat version: the version of this program.

internal import ArgumentParser
internal import JSONText

struct VersionCommand: ReportingCommand {
    static let configuration = CommandConfiguration(commandName: "version", abstract: "Print the version.")

    @OptionGroup var output: OutputOptions

    func execute() async throws {
        if output.json {
            try await Terminal.print(json: .object([("version", .string(LariatVersion.current))]))
        } else {
            try await Terminal.print("lariat \(LariatVersion.current)")
        }
    }
}
