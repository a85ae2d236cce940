// lariat cluster token: makes a token for a person or a program, or takes one away.

internal import ArgumentParser
internal import Cluster
import Foundation

struct ClusterTokenCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "token", abstract: "Make an API token, or revoke one.",
        discussion: """
            The token is printed once, on standard output; the file has its hash only. A coordinator that uses the file \
            notices the change within seconds.
            """)

    @Argument(
        help: ArgumentHelp(
            "Whose token it is: letters, digits, dots, hyphens, underscores.", valueName: "name"))
    var name: String?
    @Option(help: "read may look, submit may submit and cancel jobs too, admin may do everything.")
    var role: TokenStore.Role?
    @Option(
        help: ArgumentHelp(
            "The file of tokens, as `tokens` of the specification; made if absent.", valueName: "file"),
        completion: .file())
    var file: String?
    @Option(help: ArgumentHelp("Remove the token of that name from --file.", valueName: "name"))
    var revoke: String?

    func validate() throws {
        if revoke != nil {
            guard name == nil, role == nil, file != nil else {
                throw ValidationError("--revoke NAME needs --file, and nothing else")
            }
        } else {
            guard name != nil else { throw ValidationError("name the owner of the new token, e.g. ann") }
            guard role != nil else { throw ValidationError("--role: choose read, submit or admin") }
        }
    }

    func execute() async throws {
        if let revoke, let file {
            try TokenFile(path: file).change(mayBeMissing: false) { text throws(ClusterError) in
                try TokenStore.removing(revoke, from: text, path: file)
            }
            try await Terminal.print("\(revoke): revoked".printable)
            return
        }
        guard let name, let role else { return }
        let minted: TokenStore.Minted
        do throws(ValueError) { minted = try TokenStore.mint(name: name, role: role) } catch {
            throw Failure("\(error)", exitCode: ExitStatus.usage)
        }
        if let file {
            try TokenFile(path: file).change(mayBeMissing: true) { text throws(ClusterError) in
                try TokenStore.adding(minted, to: text, path: file)
            }
        } else {
            Terminal.note(
                "add this line to the file that `tokens` of the specification names; the token itself stands nowhere "
                    + "else:\n\(minted.line)")
        }
        try await Terminal.print(minted.token)
    }
}
