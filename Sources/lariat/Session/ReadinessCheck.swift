// Waits until a cluster has the workers it should have.

internal import Cluster
import Foundation
internal import Logging
internal import Messages
internal import RPC

/// Asks a coordinator who is there.
struct ReadinessCheck: Sendable {
    let address: HostPort
    let tls: TLSFiles?
    let token: String?
    /// Names of workers; empty: whoever registers, and at least one.
    let expected: [String]
    let logger: Logger

    /// Refuses a cluster that asks for tokens which could not be asked whether it is ready, before anything is started.
    /// - Parameter token: what would be shown.
    static func checkToken(_ token: String?, for specification: ClusterSpecification) throws {
        guard let path = specification.tokens else { return }
        guard let token else {
            throw Failure(
                "\(specification.path): its coordinator asks for an API token (tokens: \(path)); give one with --token-file "
                    + "or LARIAT_TOKEN", exitCode: ExitStatus.notAllowed)
        }
        // A list that lies on the hosts alone cannot be looked into from here.
        guard FileManager.default.fileExists(atPath: path) else { return }
        guard try TokenStore.load(path).role(of: token) != nil else {
            throw Failure(
                "the token of --token-file or LARIAT_TOKEN does not stand in \(path); `lariat cluster token` makes one",
                exitCode: ExitStatus.notAllowed)
        }
    }

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

    /// Until a coordinator answers, whatever it says.
    func waitForAnswer(upTo timeout: Duration) async throws {
        let deadline = ContinuousClock.now + timeout
        while true {
            do {
                _ = try await state()
                return
            } catch let failure as Failure {
                // It does not know the token, but it is there.
                if failure.exitCode == ExitStatus.notAllowed { return }
                guard ContinuousClock.now < deadline else { throw failure }
            }
            try await Task.sleep(for: .milliseconds(50))
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
