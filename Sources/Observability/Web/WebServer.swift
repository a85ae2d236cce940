// A small HTTP/1.1 server on one port.

public import Logging
import NIOCore
import NIOPosix
import NIOSSL
import Synchronization

/// Files (PEM) that let a server show who it is. Clients show nothing.
public struct WebTLS: Sendable, Hashable {
    /// The server's certificate, followed by those that lead to a known authority.
    public var certificate: String
    public var key: String

    public init(certificate: String, key: String) {
        self.certificate = certificate
        self.key = key
    }
}

/// Where a server listens.
public struct WebAddress: Sendable, Hashable, CustomStringConvertible {
    /// A name or IP address; IPv6 without brackets. "0.0.0.0" for all addresses.
    public var host: String
    /// 0: any free port.
    public var port: Int

    public init(host: String, port: Int) {
        self.host = host
        self.port = port
    }

    public var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}

/// Serves routes over HTTP/1.1, with or without TLS (1.2 or newer).
///
/// It has no signal handlers and ends only by `shutdown`. Nothing a client does can take more than `WebLimits` gives.
public final class WebServer: Sendable {
    /// Words a refusal that no handler made (unknown path, body too large, handler failed...): from the path as
    /// sent, the status and a reason in plain text. The status is not the closure's to choose.
    public typealias Refusal = @Sendable (_ path: String, _ status: Int, _ reason: String) -> WebResponse

    fileprivate struct Running {
        let task: Task<Void, Never>
        /// Stops to listen and ends idle connections.
        let drain: @Sendable () -> Void
    }

    private enum State {
        case new, starting, stopped
        case running(Running)
    }

    private let address: WebAddress
    private let tls: WebTLS?
    private let routes: [WebRoute]
    private let limits: WebLimits
    private let statistics: WebStatistics
    private let logger: Logger
    private let refusal: Refusal
    private let state = Mutex(State.new)

    /// `statistics`: one for each server.
    public init(
        address: WebAddress, tls: WebTLS? = nil, routes: [WebRoute], limits: WebLimits = WebLimits(),
        statistics: WebStatistics = WebStatistics(), logger: Logger,
        refusal: @escaping Refusal = { _, status, reason in .text(reason + "\n", status: status) }
    ) {
        self.address = address
        self.tls = tls
        self.routes = routes
        self.limits = limits
        self.statistics = statistics
        self.logger = logger
        self.refusal = refusal
    }

    /// Starts to listen. Returns the address with its real port.
    public func start() async throws(WebServerError) -> WebAddress {
        let isFirst = state.withLock {
            guard case .new = $0 else { return false }
            $0 = .starting
            return true
        }
        guard isFirst else { throw .startedTwice }
        let service = WebService(
            routes: try WebRouteTable(routes), limits: limits, statistics: statistics, logger: logger,
            refusal: refusal, tls: try tls.map { tls throws(WebServerError) in try tls.context() },
            door: WebListener.door(limits, statistics))
        let listener: WebListener
        do { listener = try await WebListener(address, WebChannel(service: service)) } catch {
            throw .cannotListen(Self.explain(error, address))
        }
        let running = Running(
            task: Task { await listener.serve() }, drain: { listener.drain() })
        let isStopped = state.withLock {
            guard case .starting = $0 else { return true }
            $0 = .running(running)
            return false
        }
        if isStopped {
            await Self.stop(running, grace: .zero, logger)
            throw .cannotListen("cannot listen on \(address): the server was shut down while it started")
        }
        let bound = WebAddress(host: address.host, port: listener.port ?? address.port)
        logger.debug("HTTP on \(bound)\(tls == nil ? "" : " with TLS")")
        return bound
    }

    /// Stops to listen at once, lets requests under way end for as long as `grace`, and then cuts them off. Returns
    /// when all connections are closed and all handlers have returned; at the latest two seconds after `grace`.
    public func shutdown(grace: Duration) async {
        let before = state.withLock { state in
            defer { state = .stopped }
            return state
        }
        guard case .running(let running) = before else { return }
        // A task of its own: whoever stops a server has often been cancelled himself, and the grace holds all the same.
        await Task { await Self.stop(running, grace: grace, logger) }.value
    }

    private static func stop(_ running: Running, grace: Duration, _ logger: Logger) async {
        running.drain()
        if await running.ends(within: grace) { return }
        running.task.cancel()
        if await !running.ends(within: .seconds(2)) {
            logger.warning("a handler of the web server did not end when it was cancelled")
        }
    }

    private static func explain(_ error: any Error, _ address: WebAddress) -> String {
        let start = "cannot listen on \(address)"
        guard let error = error as? IOError else { return "\(start): \(error)" }
        switch error.errnoCode {
        case EADDRINUSE:
            return
                "\(start): the port is in use; stop what uses it (ss -ltnp shows it) or choose another port"
        case EACCES: return "\(start): not permitted; ports below 1024 need root"
        case EADDRNOTAVAIL: return "\(start): this host has no such address; use 0.0.0.0 for all"
        default: return "\(start): \(error)"
        }
    }
}

extension WebServer.Running {
    /// Whether the server has ended before `time` is over.
    func ends(within time: Duration) async -> Bool {
        let (outcomes, outcome) = AsyncStream<Bool>.makeStream(bufferingPolicy: .bufferingOldest(1))
        // Waiting for a task cannot be cancelled, so it is left to a task of its own.
        Task {
            await task.value
            outcome.yield(true)
        }
        let timer = Task {
            try await Task.sleep(for: time)
            outcome.yield(false)
        }
        defer { timer.cancel() }
        return await outcomes.first { _ in true } ?? false
    }
}

extension WebTLS {
    fileprivate func context() throws(WebServerError) -> NIOSSLContext {
        let chain: [NIOSSLCertificateSource]
        do { chain = try NIOSSLCertificate.fromPEMFile(certificate).map { .certificate($0) } } catch {
            throw .certificate(
                "cannot read the TLS certificate \(certificate): \(error); it must be a readable PEM file")
        }
        let privateKey: NIOSSLPrivateKey
        do { privateKey = try NIOSSLPrivateKey(file: key, format: .pem) } catch {
            throw .certificate(
                "cannot read the TLS private key \(key): \(error); it must be a readable PEM file")
        }
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: chain, privateKey: .privateKey(privateKey))
        configuration.minimumTLSVersion = .tlsv12
        configuration.applicationProtocols = ["http/1.1"]
        do { return try NIOSSLContext(configuration: configuration) } catch {
            throw .certificate(
                "the certificate \(certificate) and the key \(key) do not fit together: \(error)")
        }
    }
}
