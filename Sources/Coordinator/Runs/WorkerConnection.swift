// The worker's side of a run as the coordinator uses it: over gRPC in the product, played by a script in tests.
package import Messages

/// Why a worker's part of a run ended early.
package struct WorkerFailure: Error, Equatable, Sendable {
    /// The connection broke or could not be made; otherwise the worker itself said what is wrong.
    package var connectionLost: Bool
    package var message: String

    package init(connectionLost: Bool, message: String) {
        self.connectionLost = connectionLost
        self.message = message
    }
}

/// One call of lariat.v1.Worker/Run. One task sends, one receives.
package protocol WorkerConnection: Sendable {
    func send(_ command: RunCommand) async throws(WorkerFailure)
    /// The next event; nil when the worker ended the call normally.
    func next() async throws(WorkerFailure) -> RunEvent?
    /// No more commands: the worker may end the call.
    func finishSending() async
    /// Ends the call at once; the worker drops the job.
    func cancel()
}

/// Opens calls to workers.
package protocol WorkerDialler: Sendable {
    func open(_ member: MemberRecord) async throws(WorkerFailure) -> any WorkerConnection
    /// Makes sure that there is a connection to a worker.
    func reach(_ member: MemberRecord) async throws(WorkerFailure)
    /// Lets a worker measure itself; returns or throws within `timeout` and the time that connecting may take.
    func calibrate(
        _ member: MemberRecord, _ request: CalibrateRequest, timeout: Duration
    ) async throws(WorkerFailure) -> WorkerRates
}

extension WorkerDialler {
    /// Those of these workers that cannot be spoken to, by name.
    func unreached(of workers: [MemberRecord]) async -> [Scheduler.Unreached] {
        let failures = await withTaskGroup(of: Scheduler.Unreached?.self) { group in
            for worker in workers {
                group.addTask {
                    do throws(WorkerFailure) { try await reach(worker) } catch {
                        return Scheduler.Unreached(worker: worker.name, reason: error.message)
                    }
                    return nil
                }
            }
            var failures: [Scheduler.Unreached] = []
            for await failure in group { if let failure { failures.append(failure) } }
            return failures
        }
        return failures.sorted { $0.worker < $1.worker }
    }
}
