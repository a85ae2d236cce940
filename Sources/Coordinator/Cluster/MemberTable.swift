// Who is in the cluster: a state machine without clocks or sockets.
package import Messages
import Numerals
import RPC

/// The workers that registered, and the epoch that counts every change of who is ready.
package struct MemberTable: Sendable {
    package typealias Instant = ContinuousClock.Instant

    /// What a worker must agree with.
    package struct Requirements: Sendable {
        package var model: String
        package var fingerprint: String
        package var precision: String
        package var lostAfter: Duration

        package init(model: String, fingerprint: String, precision: String, lostAfter: Duration) {
            self.model = model
            self.fingerprint = fingerprint
            self.precision = precision
            self.lostAfter = lostAfter
        }
    }
    private enum State { case ready, lost, refused }
    /// Why a worker that lives gets no more jobs.
    private enum Draining { case byOperator, byItself }
    private struct Entry {
        var record: MemberRecord
        var instance: String
        var state: State
        var heard: Instant
        var reason = ""
        var draining: Draining?
        /// As its last heartbeat said.
        var job = ""
        var kvBytesUsed: UInt64 = 0
        var keptBytes: UInt64 = 0
        var progress: RunProgress?
        /// A job that it still runs though it has ended.
        var leftover = ""
        /// The last job that it had part in, and when that ended.
        var lastJob: (id: String, ended: Instant)?
        var aside = SetAside()
        /// As of the last look at the time.
        var isAside = false

        var takesJobs: Bool { state == .ready && draining == nil && leftover.isEmpty && !isAside }
        /// Why one that is ready gets no job.
        var hold: String {
            if !leftover.isEmpty { return "still runs \(leftover), which ended; restart it if this lasts" }
            return isAside ? aside.reason : ""
        }
    }

    package static let mostMembers = 1024
    /// Lost and refused workers stay visible for so long.
    package static let remembered: Duration = .seconds(600)
    package static let mostRemembered = 64
    /// A worker's last words about a job may be on their way for so long after its end.
    package static let letsGo: Duration = .seconds(1)
    /// `expire` is called many times a second.
    private static let lateLook: Duration = .seconds(1)

    private let requirements: Requirements
    private var entries: [String: Entry] = [:]
    private var lastLook: Instant?
    package private(set) var epoch: UInt64

    package init(requirements: Requirements, epoch: UInt64) {
        self.requirements = requirements
        self.epoch = epoch
    }

    /// A worker joins, or joins again after it was lost.
    /// - Returns: the epoch from now on.
    package mutating func register(_ given: MemberRecord, instance: String, at now: Instant)
        throws(CoordinatorError) -> UInt64
    {
        let member = try MemberLimits.checked(given, instance: instance)
        if let present = entries[member.name], present.state == .ready, present.instance != instance {
            throw CoordinatorError(
                .notPossible,
                "a worker named \(member.name) is in the cluster already, at \(present.record.address): give this "
                    + "one another --name. If the other was stopped just now, it is forgotten after "
                    + "\(seconds(requirements.lostAfter)) s without a sign of life; try again then.")
        }
        if let reason = mismatch(member) {
            if entries[member.name] == nil { forgetOldest() }
            if entries[member.name]?.state == .ready { epoch += 1 }
            entries[member.name] = Entry(
                record: member, instance: instance, state: .refused, heard: now, reason: reason)
            throw CoordinatorError(.notPossible, reason)
        }
        guard entries[member.name]?.state == .ready || readyCount < Self.mostMembers else {
            throw CoordinatorError(
                .exhausted, "the cluster has \(Self.mostMembers.grouped) workers, which is the limit")
        }
        let before = entries[member.name]
        let same = before.map { $0.state == .ready && $0.record == member } ?? false
        var entry = Entry(record: member, instance: instance, state: .ready, heard: now)
        if let before, before.instance == instance {
            // The same process again drains on, and what is held against it stays.
            if before.state == .ready {
                entry.draining = before.draining
                entry.reason = before.draining == nil ? "" : before.reason
            }
            entry.leftover = before.leftover
            entry.lastJob = before.lastJob
            entry.aside = before.aside
            entry.isAside = before.aside.holds(at: now)
        }
        entries[member.name] = entry
        if !same { epoch += 1 }
        return epoch
    }

    /// What a heartbeat brings.
    package struct Beat: Sendable, Equatable {
        package var epoch: UInt64
        package var drains: Bool
        /// Its job has got on since its last heartbeat.
        package var hasGotOn: Bool
    }

    /// A worker lives.
    /// - Parameter isPlaced: whether the job that it names runs on it, as far as the coordinator knows.
    /// - Throws: `notFound`: it must register again.
    package mutating func heartbeat(
        _ request: HeartbeatRequest, isPlaced: Bool, at now: Instant
    ) throws(CoordinatorError) -> Beat {
        guard request.job.utf8.count <= MemberLimits.job else {
            throw CoordinatorError(.invalid, "the job's id has more than \(MemberLimits.job) bytes")
        }
        guard var entry = entries[request.name], entry.state == .ready, entry.instance == request.instance
        else {
            throw CoordinatorError(
                .notFound,
                "worker \(request.name.prefix(MemberLimits.name)) is not in the cluster; register again")
        }
        entry.heard = now
        let hasGotOn =
            !request.job.isEmpty && (entry.job != request.job || entry.progress != request.progress)
        entry.job = request.job
        entry.kvBytesUsed = request.kvBytesUsed
        entry.keptBytes = request.keptBytes
        entry.progress = request.progress
        let before = entry.takesJobs
        let mayBeLate = entry.lastJob.map { $0.id == request.job && now - $0.ended < Self.letsGo } ?? false
        entry.leftover = request.job.isEmpty || isPlaced || mayBeLate ? "" : request.job
        if request.draining, entry.draining == nil {
            entry.draining = .byItself
            entry.reason = "it is shutting down"
        }
        if entry.takesJobs != before { epoch += 1 }
        entries[request.name] = entry
        return Beat(epoch: epoch, drains: entry.draining != nil, hasGotOn: hasGotOn)
    }

    /// A job that ran on these workers has ended.
    package mutating func ended(_ job: String, on workers: some Sequence<String>, at now: Instant) {
        for name in workers { entries[name]?.lastJob = (job, now) }
    }

    /// A job succeeded on these workers: nothing is held against them any more.
    package mutating func succeeded(_ workers: some Sequence<String>) {
        for name in workers { entries[name]?.aside.succeed() }
    }

    /// A worker lives but could not do what it was asked to: it gets no job for a while.
    /// - Returns: why, as it is shown; nil when there is no such worker.
    package mutating func setAside(_ name: String, why: String, at now: Instant) -> String? {
        guard var entry = entries[name] else { return nil }
        let before = entry.takesJobs
        entry.aside.fail(String(why.prefix(MemberLimits.reason)), at: now)
        entry.isAside = true
        entries[name] = entry
        if before { epoch += 1 }
        return entry.aside.reason
    }

    /// Workers get no more jobs, or get them again.
    /// - Parameters:
    ///   - target: a name, or a host: all of its workers.
    ///   - undo: only for those that were asked to drain; one that shuts down goes.
    /// - Returns: the names of those that it concerns.
    package mutating func drain(_ target: String, undo: Bool) throws(CoordinatorError) -> [String] {
        let there = entries.filter { $0.value.state == .ready }
        let named = there.filter { $0.key == target }
        let found = named.isEmpty ? there.filter { $0.value.record.host == target } : named
        guard !found.isEmpty else {
            let known = there.values.map { "\($0.record.name) on \($0.record.host)" }.sorted()
            throw CoordinatorError(
                .notFound,
                "no worker and no host of the cluster is named \"\(target.prefix(80))\"; there "
                    + (known.isEmpty ? "are none" : "are \(known.prefix(20).joined(separator: ", "))"))
        }
        for name in found.keys {
            switch (undo, entries[name]?.draining) {
            case (false, nil):
                entries[name]?.draining = .byOperator
                entries[name]?.reason = "an operator asked for it"
                epoch += 1
            case (true, .byOperator):
                entries[name]?.draining = nil
                entries[name]?.reason = ""
                epoch += 1
            case (true, .byItself):
                throw CoordinatorError(
                    .notPossible, "worker \(name) is shutting down, which cannot be undone; start it again")
            case (false, _), (true, nil): break
            }
        }
        return found.keys.sorted()
    }

    /// A worker goes. True if it was there.
    package mutating func leave(name: String, instance: String) -> Bool {
        guard let entry = entries[name], entry.state == .ready, entry.instance == instance else {
            return false
        }
        entries[name] = nil
        epoch += 1
        return true
    }

    /// A worker's connection broke or cannot be made. It is lost until it registers again, which its next heartbeat
    /// makes it do if it lives.
    /// - Returns: false when it was not ready anyway.
    package mutating func lose(_ name: String, reason: String) -> Bool {
        guard entries[name]?.state == .ready else { return false }
        forgetOldest()
        entries[name]?.state = .lost
        entries[name]?.reason = String(reason.prefix(MemberLimits.reason))
        epoch += 1
        return true
    }

    /// The workers that were not heard for too long, which are lost now.
    package mutating func expire(at now: Instant) -> [String] {
        forgivePause(until: now)
        var lost: [String] = []
        for (name, entry) in entries {
            let age = now - entry.heard
            if entry.isAside, !entry.aside.holds(at: now) {
                entries[name]?.isAside = false
                if entry.state == .ready { epoch += 1 }
            }
            if entry.state == .ready, age > requirements.lostAfter {
                forgetOldest()
                entries[name]?.state = .lost
                let reason = "not heard for \(seconds(age)) s"
                entries[name]?.reason = reason
                epoch += 1
                lost.append(name)
            } else if entry.state != .ready, age > Self.remembered {
                entries[name] = nil
            }
        }
        return lost.sorted()
    }

    /// Silence counts only while we listened. When the last look was long ago, this process stood still itself (a
    /// suspended machine, swapping), and nobody is to blame for not having been heard.
    private mutating func forgivePause(until now: Instant) {
        defer { lastLook = now }
        guard let lastLook, now - lastLook > Self.lateLook else { return }
        for (name, entry) in entries { entries[name]?.heard = min(now, entry.heard + (now - lastLook)) }
    }

    /// Workers that can take a job, in the order of the ring, which is that of ranks.
    package var ready: [MemberRecord] {
        entries.values.filter(\.takesJobs).map(\.record).sorted { $0.precedes($1) }
    }

    /// Why no worker can take a job; nil when one can.
    package var whyNobody: String? {
        if entries.values.contains(where: \.takesJobs) { return nil }
        let gone = entries.filter { $0.value.state != .ready }.keys.sorted()
        let held = entries.values.filter { $0.state == .ready && $0.draining == nil }
            .sorted { $0.record.precedes($1.record) }
        if let first = held.first {
            let others = held.count > 1 ? "; \(held.count - 1) more, `lariat doctor` says why" : ""
            return "no worker takes jobs (worker \(first.record.name) \(first.hold)\(others))"
        }
        let draining = entries.filter { $0.value.state == .ready }.keys.sorted()
        if !draining.isEmpty {
            return "no worker takes jobs (\(draining.joined(separator: ", ")) draining); start one with "
                + "`lariat worker`, or `lariat drain --undo`"
        }
        if gone.isEmpty { return JobPlan.noWorkers }
        return
            "no worker is ready (\(gone.joined(separator: ", ")) lost or refused; `lariat doctor` says why); start "
            + "one with `lariat worker`"
    }

    /// The start of a worker that is in the cluster, whether or not it takes jobs; nil: it is lost, refused or unknown.
    package func instance(_ name: String) -> String? {
        guard let entry = entries[name], entry.state == .ready else { return nil }
        return entry.instance
    }

    /// The workers that can take a job, with their starts.
    package var holders: [String: SequenceTable.Holder] {
        entries.filter(\.value.takesJobs).reduce(into: [:]) {
            $0[$1.key] = SequenceTable.Holder(name: $1.key, instance: $1.value.instance)
        }
    }

    /// Tells one start of a ready worker, with these settings, from every other.
    package func identity(_ name: String) -> String? {
        guard let entry = entries[name], entry.state == .ready else { return nil }
        let member = entry.record
        return [name, entry.instance, "\(member.threads)", member.address, member.ringAddress]
            .joined(separator: " ")
    }

    /// Why this worker is not ready.
    package func reason(_ name: String) -> String { entries[name]?.reason ?? "" }

    /// All of them, for people.
    /// - Parameter busy: names of the workers that run a job.
    package func all(busy: Set<String>, at now: Instant) -> [MemberRecord] {
        entries.values.map { entry in
            var record = entry.record
            record.lastHeartbeatSeconds = max(0, (now - entry.heard) / .seconds(1))
            record.reason = entry.reason.isEmpty ? entry.hold : entry.reason
            record.kvBytesUsed = entry.kvBytesUsed
            record.keptBytes = entry.keptBytes
            record.job = entry.job
            record.progress = entry.progress
            record.state =
                switch entry.state {
                case .ready where entry.draining != nil: .draining
                case .ready where !entry.takesJobs: .aside
                case .ready: busy.contains(record.name) || !entry.job.isEmpty ? .busy : .ready
                case .lost: .lost
                case .refused: .refused
                }
            return record
        }.sorted { $0.precedes($1) }
    }

    /// Hosts that a worker says it is at, as its certificate must name them.
    package func hosts(_ name: String) -> [String] { entries[name]?.record.hosts ?? [] }

    private var readyCount: Int { entries.values.reduce(0) { $0 + ($1.state == .ready ? 1 : 0) } }

    private func mismatch(_ member: MemberRecord) -> String? {
        if let words = LariatProtocol.mismatch(
            of: "this coordinator", with: "worker \(member.name)", member.protocol)
        {
            return words
        }
        if member.fingerprint != requirements.fingerprint {
            return
                "worker \(member.name) has another model file: \(member.model) (\(member.fingerprint.prefix(16))), "
                + "the coordinator has \(requirements.model) (\(requirements.fingerprint.prefix(16))); copy the same "
                + "file to both"
        }
        if member.precision != requirements.precision {
            return "worker \(member.name) computes in \(member.precision), the coordinator plans for "
                + "\(requirements.precision); start both with the same --precision"
        }
        if let other = ready.first(where: { $0.name != member.name && $0.isa != member.isa }) {
            return
                "worker \(member.name) computes with \(member.isa), worker \(other.name) with \(other.isa), and "
                + "results would depend on who computes what; start all workers with the same --isa"
        }
        return nil
    }

    /// Makes room for one more that is lost or refused.
    private mutating func forgetOldest() {
        let others = entries.filter { $0.value.state != .ready }
        guard others.count >= Self.mostRemembered,
            let oldest = others.min(by: { $0.value.heard < $1.value.heard })
        else { return }
        entries[oldest.key] = nil
    }

    private func seconds(_ duration: Duration) -> String {
        let tenths = Int(((duration / .seconds(1)) * 10).rounded())
        return tenths % 10 == 0 ? "\(tenths / 10)" : "\(tenths / 10).\(tenths % 10)"
    }
}

extension MemberRecord {
    /// Where it runs: the host of its address, without brackets.
    package var host: String { RPCAddress(address)?.host ?? address }

    /// Where it takes calls and blocks.
    package var hosts: [String] {
        let ring = RPCAddress(ringAddress)?.host ?? ringAddress
        return ring == host ? [host] : [host, ring]
    }
}
