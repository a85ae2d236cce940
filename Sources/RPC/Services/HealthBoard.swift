// grpc.health.v1: which services of this process are ready, told once or watched.
import Protobuf
import Synchronization

/// The states of a process's services. Unknown services are NOT_FOUND in Check, SERVICE_UNKNOWN in Watch.
public final class HealthBoard: Sendable {
    private struct State: Sendable {
        var services: [String: HealthCheckResponse.Status]
        var version = 0
        var waiting: [Int: CheckedContinuation<Void, Never>] = [:]
        var nextWaiter = 0
    }
    private let state: Mutex<State>

    /// - Parameter services: full names; the process as a whole ("") is added. All begin as not serving.
    public init(services: [String]) {
        var all: [String: HealthCheckResponse.Status] = ["": .notServing]
        for service in services { all[service] = .notServing }
        state = Mutex(State(services: all))
    }

    /// Sets all services. Say not serving before the connections are told to go away.
    public func set(serving: Bool) {
        let waiting = state.withLock { state in
            for service in state.services.keys { state.services[service] = serving ? .serving : .notServing }
            state.version += 1
            defer { state.waiting = [:] }
            return state.waiting.values
        }
        for continuation in waiting { continuation.resume() }
    }

    /// The methods of the health service.
    public var handlers: [RPCHandler] {
        [
            .unary(HealthService.check) { request, _ in
                guard let status = self.status(of: request.service).status else {
                    throw RPCStatus(.notFound, "there is no service \"\(request.service.prefix(200))\" here")
                }
                return HealthCheckResponse.with { $0.status = status }
            },
            .serverStreaming(HealthService.watch) { request, context, writer in
                var last: HealthCheckResponse.Status?
                while !context.isCancelled, !Task.isCancelled {
                    let (known, version) = self.status(of: request.service)
                    let status = known ?? .serviceUnknown
                    if status != last {
                        try await writer.write(HealthCheckResponse.with { $0.status = status })
                    }
                    last = status
                    await self.change(after: version)
                }
            },
        ]
    }

    package func status(of service: String) -> (status: HealthCheckResponse.Status?, version: Int) {
        state.withLock { ($0.services[service], $0.version) }
    }

    /// Waits until something is set after this version, or the task is cancelled.
    package func change(after version: Int) async {
        let id = state.withLock { state in
            state.nextWaiter += 1
            return state.nextWaiter
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let wait = state.withLock { state in
                    guard state.version == version, !Task.isCancelled else { return false }
                    state.waiting[id] = continuation
                    return true
                }
                if !wait { continuation.resume() }
            }
        } onCancel: {
            state.withLock { $0.waiting.removeValue(forKey: id) }?.resume()
        }
    }
}
