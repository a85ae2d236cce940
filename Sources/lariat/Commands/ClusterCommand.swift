// lariat cluster: certificates, tokens and the processes of a specification, on this machine and over ssh.

internal import ArgumentParser

struct ClusterCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cluster", abstract: "Check, secure and run a cluster of several hosts.",
        discussion: """
            check and certs need the specification only. up, status and down log in to its hosts by ssh, without a question: \
            a key in an agent, known host keys.
            """,
        subcommands: [
            ClusterCheckCommand.self, ClusterCertsCommand.self, ClusterTokenCommand.self,
            ClusterUpCommand.self,
            ClusterStatusCommand.self, ClusterDownCommand.self,
        ])
}
