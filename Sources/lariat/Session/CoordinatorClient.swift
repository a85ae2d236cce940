// A connection to the coordinator, with errors in words for the person at the terminal.

internal import Cluster
internal import Logging
internal import Messages
internal import RPC

/// Calls the coordinator.
struct CoordinatorClient: Sendable {
    /// As shown to people.
    let address: String
    private let client: RPCClient
    /// Shows the token, where there is one.
    private let metadata: RPCMetadata
    private let credentials: Failure.Credentials

    /// How long a connection may take.
    static let connectTimeout = Duration.seconds(5)
    /// How long a short question may take.
    static let callTimeout = Duration.seconds(30)

    static func connect(
        _ address: HostPort, tls: TLSFiles?, token: String?, timeout: Duration = connectTimeout,
        logger: Logger
    ) async throws -> CoordinatorClient {
        let credentials = Failure.Credentials(tls: tls != nil, token: token != nil)
        do throws(RPCStatus) {
            let client = try await RPCClient.connect(
                to: RPCAddress(host: address.host, port: address.port), tls: tls, timeout: timeout,
                logger: logger)
            var metadata = RPCMetadata()
            if let token { metadata.add("authorization", "Bearer \(token)") }
            return CoordinatorClient(
                address: "\(address)", client: client, metadata: metadata, credentials: credentials)
        } catch {
            throw Failure(error, coordinator: "\(address)", with: credentials, isConnecting: true)
        }
    }

    /// A call that ended with an error, in words.
    func failure(_ status: RPCStatus) -> Failure {
        Failure(status, coordinator: address, with: credentials)
    }

    /// Connects as the options say, lets `body` work, and closes the connection.
    static func with<Result: Sendable>(
        _ connection: ConnectionOptions, _ log: LogOptions, _ body: (CoordinatorClient) async throws -> Result
    ) async throws -> Result {
        let coordinator = try await connect(
            connection.address(), tls: connection.tls.files, token: connection.token.text(),
            logger: log.logger("client", normally: .error))
        do {
            let result = try await body(coordinator)
            await coordinator.close()
            return result
        } catch {
            await coordinator.close()
            throw error
        }
    }

    func close() async { await client.close() }

    func unary<Request, Reply>(
        _ method: RPCMethod<Request, Reply>, _ request: Request, timeout: Duration = callTimeout
    ) async throws -> Reply {
        do throws(RPCStatus) {
            return try await answer(method, request, timeout: timeout)
        } catch {
            throw failure(error)
        }
    }

    /// The same for whoever knows what to do about a status.
    func answer<Request, Reply>(
        _ method: RPCMethod<Request, Reply>, _ request: Request, timeout: Duration = callTimeout
    ) async throws(RPCStatus) -> Reply {
        try await client.unary(method, request, timeout: timeout, metadata: metadata)
    }

    /// A call whose ends are streams. Without a timeout the connection's keep-alive finds a dead coordinator.
    func call<Request, Reply>(
        _ method: RPCMethod<Request, Reply>, timeout: Duration?
    ) -> RPCCall<Request, Reply> {
        client.call(method, timeout: timeout, metadata: metadata)
    }

    /// A call with one request whose replies are a stream.
    func replies<Request, Reply>(
        _ method: RPCMethod<Request, Reply>, _ request: Request, timeout: Duration?
    ) async throws -> RPCCall<Request, Reply> {
        let call = call(method, timeout: timeout)
        do throws(RPCStatus) {
            try await call.send(request)
            call.finishSending()
            return call
        } catch {
            throw failure(error)
        }
    }

    /// Sends a prompt in parts. Submissions may be large, and are answered when they are safe in the journal.
    /// - Parameter earlier: what was said before.
    func upload<Reply>(
        _ method: RPCMethod<SubmitPart, Reply>, _ options: JobOptions,
        after earlier: Conversation = Conversation(),
        _ input: PromptInput
    ) async throws -> Reply {
        // The first piece before the call begins: a pipe may be slow to give it.
        guard let part = try await input.next() else {
            throw Failure("there is nothing to read", exitCode: ExitStatus.unreadableInput)
        }
        var opening = earlier.parts() + [part]
        opening[0].options = options
        let call = call(method, timeout: .seconds(600))
        do {
            for part in opening.dropLast() { try await call.send(part) }
            var next = opening.last
            while let part = next {
                try await call.send(part)
                next = try await input.next()
            }
            call.finishSending()
            guard let reply = try await call.next() else {
                throw Failure(
                    "the coordinator at \(address) ended the call without an answer; look at its log")
            }
            return reply
        } catch let status as RPCStatus {
            throw failure(status)
        } catch {
            call.cancel()
            throw error
        }
    }

}
