// The workers' side of the coordinator: who joins, lives, drains, leaves, is lost or set aside.
import Logging
package import Messages
import Protobuf

extension CoordinatorCore {
    package func register(_ request: RegisterRequest) throws(CoordinatorError) -> RegisterReply {
        guard let member = request.member else {
            throw CoordinatorError(.invalid, "the request names no worker")
        }
        let before = members.epoch
        let epoch = try members.register(member, instance: request.instance, at: .now)
        if epoch != before {
            lastJoin = .now
            logger.info(
                "worker joined",
                metadata: [
                    "worker": "\(member.name)", "address": "\(member.address)",
                    "version": "\(member.version)",
                ])
        }
        return RegisterReply.with {
            $0.epoch = epoch
            $0.heartbeatSeconds = configuration.heartbeatSeconds
            $0.protocol = LariatProtocol.current
        }
    }

    package func heartbeat(_ request: HeartbeatRequest) throws(CoordinatorError) -> HeartbeatReply {
        let before = members.epoch
        let placed = running[request.job]?.workers.contains(request.name) ?? false
        let beat = try members.heartbeat(request, isPlaced: placed, at: .now)
        if placed {
            running[request.job]?.inbox.post(
                .heartbeat(worker: request.name, request.progress, hasGotOn: beat.hasGotOn))
        }
        let job = running[request.job].flatMap { _ in active[request.job]?.feed.news.record }
        statistics.count(heartbeatOf: request.name, job: job, progress: request.progress)
        if beat.epoch != before, beat.drains {
            logger.info("worker drains", metadata: ["worker": "\(request.name)"])
        }
        // A worker refuses plans older than the epoch it knows. Who joins while a plan is on its way must not spoil it.
        let runs = running.values.filter { $0.workers.contains(request.name) }
        return HeartbeatReply.with {
            $0.epoch = runs.reduce(beat.epoch) { min($0, $1.epoch) }
            $0.leave = beat.drains && runs.isEmpty
        }
    }

    /// Workers take no more jobs, finish what they run and leave, or take jobs again.
    package func drain(_ request: DrainRequest) throws(CoordinatorError) -> DrainReply {
        let names = try members.drain(request.target, undo: request.undo)
        logger.info(
            request.undo ? "workers take jobs again" : "workers drain",
            metadata: ["workers": "\(names.joined(separator: ", "))"])
        schedule(at: .now)
        return DrainReply.with { $0.workers = names }
    }

    package func leave(_ request: HeartbeatRequest) -> HeartbeatReply {
        if members.leave(name: request.name, instance: request.instance) {
            logger.info("worker left", metadata: ["worker": "\(request.name)"])
            postLost(request.name, reason: "it was shut down")
        }
        return HeartbeatReply.with { $0.epoch = members.epoch }
    }

    /// A worker whose connection broke gets no job until it has shown that it lives.
    func lose(_ worker: String, reason: String) {
        guard members.lose(worker, reason: reason) else { return }
        statistics.count(lost: worker)
        logger.warning("worker lost", metadata: ["worker": "\(worker)", "reason": "\(reason)"])
    }

    func postLost(_ worker: String, reason: String) {
        for run in running.values where run.workers.contains(worker) {
            run.inbox.post(.lost(worker: worker, reason: reason))
        }
    }

    /// A worker that lives but was of no use gets no job for a while.
    func setAside(_ failure: RunFailure) {
        for worker in failure.workers {
            guard let reason = members.setAside(worker, why: failure.standing, at: .now) else { continue }
            logger.warning("worker set aside", metadata: ["worker": "\(worker)", "reason": "\(reason)"])
        }
    }

    /// Whether every worker can be spoken to; those that cannot are lost.
    func allReachable(_ workers: [MemberRecord]) async -> Bool {
        let dialler = dialler
        let failures = await withTaskGroup(of: (name: String, reason: String)?.self) { group in
            for worker in workers {
                group.addTask {
                    do throws(WorkerFailure) { try await dialler.reach(worker) } catch {
                        return (worker.name, error.message)
                    }
                    return nil
                }
            }
            var failures: [(name: String, reason: String)] = []
            for await failure in group { if let failure { failures.append(failure) } }
            return failures
        }
        for failure in failures {
            lose(failure.name, reason: failure.reason)
            // One that lives registers again at once; it must not hold up one job after another.
            _ = members.setAside(
                failure.name, why: "the coordinator cannot reach it: \(failure.reason)", at: .now)
        }
        return failures.isEmpty
    }

    /// Hosts that this worker registered with.
    package func hosts(of worker: String) -> [String] { members.hosts(worker) }
}
