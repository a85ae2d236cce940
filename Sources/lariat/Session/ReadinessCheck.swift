// Waits until a cluster has the workers it should have.

internal import Cluster
internal import Logging
internal import RPC

/// Asks a coordinator who is there.
struct ReadinessCheck: Sendable {
    let address: HostPort
    let tls: TLSFiles?
    let token: String?
    /// Names of workers; empty: whoever registers, and at least one.
    let expected: [String]
    let logger: Logger

    /// One question on a connection of its own.
    func state(timeout: Duration = .seconds(2)) async throws -> ClusterState {
        let coordinator = try await CoordinatorClient.connect(
            address, tls: tls, token: token, timeout: timeout, logger: logger)
        do {
            let state = try await coordinator.unary(
                CoordinatorService.getCluster, ClusterRequest(), timeout: timeout)
            await coordinator.close()
            return state
        } catch {
            await coordinator.close()
            throw error
        }
    }

    /// Asks until everybody is there; without names, until nobody came for two seconds.
    /// - Throws: `Failure` that says who is missing, or that no coordinator answers.
    func wait(upTo timeout: Duration) async throws -> ClusterState {
        let clock = ContinuousClock()
        let deadline = clock.now + timeout
        var problem = Failure("nobody was asked: the time was too short", exitCode: ExitStatus.tryAgain)
        var hopeless = false
        var settled: (ready: [String], since: ContinuousClock.Instant)?
        while true {
            do {
                let state = try await state()
                let readiness = Readiness(state, expected: expected)
                if readiness.isReady {
                    let since = settled.flatMap { $0.ready == readiness.ready ? $0.since : nil } ?? clock.now
                    settled = (readiness.ready, since)
                    if !expected.isEmpty || clock.now - since >= .seconds(2) { return state }
                } else {
                    settled = nil
                }
                problem = Failure(
                    "the cluster at \(address) is not ready: "
                        + (readiness.missing.isEmpty
                            ? "workers are still coming" : readiness.missing.joined(separator: "; "))
                        + ". Look at the logs of these workers", exitCode: ExitStatus.tryAgain)
                hopeless = readiness.isHopeless
            } catch let failure as Failure {
                problem = failure
                settled = nil
                // A token does not become right by waiting.
                hopeless = failure.exitCode == ExitStatus.notAllowed
            }
            guard clock.now < deadline, !hopeless else { throw problem }
            try await Task.sleep(for: .milliseconds(200))
        }
    }
}
