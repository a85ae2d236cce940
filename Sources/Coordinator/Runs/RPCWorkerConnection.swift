// Calls to workers over gRPC. Connections are kept and made anew when they are lost.
import Logging
import Messages
import RPC
import Synchronization

/// Opens lariat.v1.Worker/Run on each worker's control connection.
final class RPCWorkerDialler: WorkerDialler {
    private let tls: TLSFiles?
    private let timeout: Duration
    private let logger: Logger
    private let clients = Mutex<[String: RPCClient]>([:])

    init(tls: TLSFiles?, timeout: Duration, logger: Logger) {
        self.tls = tls
        self.timeout = timeout
        self.logger = logger
    }

    func open(_ member: MemberRecord) async throws(WorkerFailure) -> any WorkerConnection {
        let client = try await client(member.address)
        return RPCWorkerConnection(client: client, call: client.call(WorkerService.run))
    }

    func reach(_ member: MemberRecord) async throws(WorkerFailure) { _ = try await client(member.address) }

    func calibrate(
        _ member: MemberRecord, _ request: CalibrateRequest, timeout: Duration
    ) async throws(WorkerFailure) -> WorkerRates {
        let client = try await client(member.address)
        do throws(RPCStatus) {
            return try await client.unary(WorkerService.calibrate, request, timeout: timeout)
        } catch { throw WorkerFailure(error, client) }
    }

    /// Closes all connections.
    func close() async {
        let all = clients.withLock { clients in
            defer { clients = [:] }
            return Array(clients.values)
        }
        for client in all { await client.close() }
    }

    private func client(_ address: String) async throws(WorkerFailure) -> RPCClient {
        let kept = clients.withLock { clients in
            clients = clients.filter { $0.value.isConnected }
            return clients[address]
        }
        if let kept { return kept }
        guard let target = RPCAddress(address) else {
            throw WorkerFailure(connectionLost: true, message: "its address \(address) is not host:port")
        }
        let client: RPCClient
        do throws(RPCStatus) {
            client = try await RPCClient.connect(to: target, tls: tls, timeout: timeout, logger: logger)
        } catch { throw WorkerFailure(connectionLost: true, message: error.message) }
        // Two calls may have connected at once; the later stays, the other closes with its call.
        clients.withLock { $0[address] = client }
        return client
    }
}

/// One call of lariat.v1.Worker/Run.
private final class RPCWorkerConnection: WorkerConnection {
    private let client: RPCClient
    private let call: RPCCall<RunCommand, RunEvent>

    init(client: RPCClient, call: RPCCall<RunCommand, RunEvent>) {
        self.client = client
        self.call = call
    }

    func send(_ command: RunCommand) async throws(WorkerFailure) {
        do throws(RPCStatus) { try await call.send(command) } catch { throw WorkerFailure(error, client) }
    }

    func next() async throws(WorkerFailure) -> RunEvent? {
        do throws(RPCStatus) { return try await call.next() } catch { throw WorkerFailure(error, client) }
    }

    func finishSending() async { call.finishSending() }

    func cancel() { call.cancel() }
}

extension WorkerFailure {
    /// A worker that speaks of an error is alive; one whose connection broke is not, or cannot be reached.
    fileprivate init(_ status: RPCStatus, _ client: RPCClient) {
        self.init(
            connectionLost: !client.isConnected,
            message: status.message.isEmpty ? status.code.name : status.message)
    }
}
