// What coordinator and worker share: metrics, TLS, where they may listen without it, how they end, their log.

internal import ArgumentParser
internal import Cluster

struct ServerOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Serve /metrics, /healthz and /readyz here, in plain HTTP (default: not served).",
            valueName: "host:port"))
    var metrics: HostPort?
    @OptionGroup var tls: TLSOptions
    @Flag(
        help:
            "Listen beyond loopback without TLS, and on the web without tokens: only inside a network you trust."
    )
    var insecure = false
    @Option(
        help: ArgumentHelp(
            "After SIGTERM let running jobs end, so long at most; 0: end them at once, as SIGINT does.",
            valueName: "seconds"))
    var drainSeconds: Double = 600
    @OptionGroup var log: LogOptions
    @Flag(help: .hidden)
    var exitWithParent = false

    func validate() throws {
        guard (0...604_800).contains(drainSeconds) else {
            throw ValidationError("--drain-seconds: from 0 to 604800")
        }
    }

    /// Runs a server until it is told to end (`ServerProcess`).
    func run(
        drain: @escaping @Sendable () -> Void,
        _ serve: @escaping @Sendable (_ ready: @escaping @Sendable () -> Void) async throws -> Void
    ) async throws {
        try await ServerProcess.run(
            exitWithParent: exitWithParent, drainSeconds: drainSeconds, drain: drain, serve)
    }

    /// Refuses an address that other hosts reach, without TLS, unless that was asked for.
    /// - Parameters:
    ///   - name: The option that gives the address, e.g. `--listen`.
    ///   - isAllowed: Whether the specification says `insecure: true`.
    func check(_ listener: HostPort, tls: Bool, name: String, isAllowed: Bool = false) throws {
        guard !listener.isLoopback, !tls, !insecure, !isAllowed else { return }
        throw Failure(
            "\(name) \(listener) can be reached from other hosts, without TLS: give --tls-ca, --tls-certificate and "
                + "--tls-key (`lariat cluster certs` makes them), or, inside a network you trust, --insecure",
            exitCode: ExitStatus.usage)
    }

    /// Refuses a web page that other hosts reach and that asks nobody for a token, unless that was asked for.
    func check(web: HostPort?, tokens: String?, isAllowed: Bool = false) throws {
        guard let web, !web.isLoopback, tokens == nil, !insecure, !isAllowed else { return }
        throw Failure(
            "--web \(web) can be reached from other hosts and asks nobody for a token: give --tokens FILE (`lariat "
                + "cluster token` makes it), or --insecure", exitCode: ExitStatus.usage)
    }
}
