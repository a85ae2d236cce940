// Workers: who joins, lives, drains, leaves, is lost or set aside, and what that means for the runs they are in.
package import Messages
import Protobuf

extension Scheduler {
    mutating func register(_ request: RegisterRequest, at now: Time) {
        guard let member = request.member else {
            return effects.append(.reject(CoordinatorError(.invalid, "the request names no worker")))
        }
        let before = members.epoch
        do throws(CoordinatorError) {
            try DropLists.check(request.held, of: member.name)
            let epoch = try members.register(member, instance: request.instance, at: now.instant)
            effects.append(.reply(.registered(epoch, drop: reconcile(member.name, request))))
            guard epoch != before else { return }
            lastJoin = now.instant
            say(
                "worker joined",
                ["worker": member.name, "address": member.address, "version": member.version])
        } catch { effects.append(.reject(error)) }
    }

    mutating func heartbeat(_ request: HeartbeatRequest, at now: Time) {
        let before = members.epoch
        let run = runs[request.job]
        let isPlaced = run?.names.contains(request.name) ?? false
        let beat: MemberTable.Beat
        do throws(CoordinatorError) {
            beat = try members.heartbeat(request, isPlaced: isPlaced, at: now.instant)
        } catch { return effects.append(.reject(error)) }
        if isPlaced, let run {
            report(
                .heartbeat(worker: request.name, request.progress, hasGotOn: beat.hasGotOn), of: run.id,
                at: now)
        }
        statistics.count(
            heartbeatOf: request.name, job: runs[request.job]?.started?.state.record,
            progress: request.progress)
        if beat.epoch != before, beat.drains { say("worker drains", ["worker": request.name]) }
        // A worker refuses plans older than the epoch it knows. Who joins while a plan is on its way must not spoil it.
        let own = runs.values.filter { $0.names.contains(request.name) }
        effects.append(
            .reply(
                .beat(
                    .with {
                        $0.epoch = own.reduce(beat.epoch) { min($0, $1.epoch) }
                        $0.leave = beat.drains && own.isEmpty
                        $0.drop = drops.take(for: request.name)
                    })))
    }

    /// Workers take no more jobs, finish what they run and leave, or take jobs again.
    mutating func drain(_ request: DrainRequest, at now: Time) {
        do throws(CoordinatorError) {
            let names = try members.drain(request.target, undo: request.undo)
            effects.append(.reply(.workers(names)))
            say(
                request.undo ? "workers take jobs again" : "workers drain",
                ["workers": names.joined(separator: ", ")])
            place(at: now)
        } catch { effects.append(.reject(error)) }
    }

    mutating func leave(_ request: HeartbeatRequest, at now: Time) {
        if members.leave(name: request.name, instance: request.instance) {
            say("worker left", ["worker": request.name])
            gone(request.name)
            lost(request.name, reason: "it was shut down", at: now)
        }
        effects.append(.reply(.epoch(members.epoch)))
    }

    /// Workers that were silent for too long are lost.
    mutating func expire(at now: Time) {
        for name in members.expire(at: now.instant) {
            let reason = members.reason(name)
            say("worker lost", ["worker": name, "reason": reason], level: .warning)
            statistics.count(lost: name)
            missed(name, at: now)
            lost(name, reason: reason, at: now)
        }
    }

    /// A worker whose connection broke gets no job until it has shown that it lives.
    mutating func lose(_ worker: String, reason: String, at now: Time) {
        guard members.lose(worker, reason: reason) else { return }
        missed(worker, at: now)
        statistics.count(lost: worker)
        say("worker lost", ["worker": worker, "reason": reason], level: .warning)
    }

    /// Tells the runs that a worker has part in.
    private mutating func lost(_ worker: String, reason: String, at now: Time) {
        for run in runs.values.filter({ $0.names.contains(worker) }).sorted(by: { $0.id < $1.id }) {
            if run.started == nil {
                putBack(run.id, unreachable: [], at: now)
            } else {
                report(.lost(worker: worker, reason: reason), of: run.id, at: now)
            }
        }
    }

    /// A worker that lives but was of no use gets no job for a while.
    mutating func setAside(_ workers: [String], why: String, at now: Time) {
        for worker in workers {
            guard let reason = members.setAside(worker, why: why, at: now.instant) else { continue }
            say("worker set aside", ["worker": worker, "reason": reason], level: .warning)
        }
    }

    /// The cluster as people see it.
    package func cluster(at now: Instant) -> ClusterState {
        .with {
            $0.epoch = members.epoch
            $0.model = model.name
            $0.fingerprint = model.fingerprint
            $0.members = members.all(
                busy: runs.values.reduce(into: []) { $0.formUnion($1.names) }, at: now)
            $0.queued = UInt32(queue.count)
            $0.running = UInt32(runs.count)
            $0.window = UInt64(model.window)
            $0.version = configuration.version
            $0.protocol = LariatProtocol.current
        }
    }

    /// How long the job that is next has waited since it was submitted, in seconds; 0 when none waits.
    package func oldestWait(at now: Time) -> Double {
        let oldest = queue.first.flatMap { jobs[$0]?.record.submittedMicroseconds }
        return oldest.map { max(0, Double(now.wallMicroseconds) - Double($0)) / 1e6 } ?? 0
    }
}
