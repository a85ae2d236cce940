// lariat bench: how fast this machine is, part by part and as a whole.

internal import ArgumentParser

struct BenchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench", abstract: "Measure kernels, jobs and the wire on this machine.",
        discussion: """
            What bounds a measurement (arithmetic, memory, a plain TCP connection) is measured in the same run, and \
            each speed is given as a share of it. Compare shares and ratios rather than seconds: they hold when the \
            machine is slower today. Nothing else should run on the machine meanwhile.
            """,
        subcommands: [
            BenchKernelsCommand.self, BenchPrefillCommand.self, BenchDecodeCommand.self,
            BenchRingCommand.self,
            BenchWireCommand.self,
        ])
}
