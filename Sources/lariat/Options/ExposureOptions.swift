// Whether a server may listen where other hosts reach it without TLS.

internal import ArgumentParser
internal import Cluster

struct ExposureOptions: ParsableArguments {
    @Flag(
        help:
            "Listen beyond loopback without TLS, and on the web without tokens: only inside a network you trust."
    )
    var insecure = false

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
