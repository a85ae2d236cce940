// Keys and values beyond a run: what a job continues, what it keeps, what has to go for it, and what workers hold.
package import Messages
import Protobuf
import RingAttention

extension Scheduler {
    // MARK: before a run

    /// The kept sequence that a job could continue on the workers that are ready.
    /// - Parameter holders: those workers.
    func past(for job: Job, holders: [String: SequenceTable.Holder]) -> Placement.Past? {
        guard let chain = job.chain, !job.startsAnew, job.record.options?.noReuse != true else { return nil }
        let prompt = Int(clamping: job.record.promptTokens)
        guard
            let (entry, tokens) = sequences.longest(
                chain, most: prompt - 1,
                where: { entry in
                    entry.holders.allSatisfy { holders[$0.name] == $0 } && Self.suits(entry.layout, prompt)
                }), fits(job.record, entry, tokens)
        else { return nil }
        return Placement.Past(sequence: entry.id, tokens: tokens, workers: entry.workers)
    }

    /// Whether a prompt of so many tokens may be dealt out like this: what was dealt for a much shorter one has stripes so
    /// narrow that it takes longer.
    private static func suits(_ layout: Layout, _ prompt: Int) -> Bool {
        guard layout.ranks > 1 else { return true }
        let usual = min(Layout.usualStripeTokens, prompt / (8 * layout.ranks))
        return 8 * layout.stripeTokens >= usual
    }

    /// Whether there is room for the job beside the whole sequence that it continues, once everything else has gone that
    /// may go.
    private func fits(_ record: JobRecord, _ entry: SequenceTable.Entry, _ tokens: Int) -> Bool {
        let all = Int(clamping: record.promptTokens) + Int(record.options?.maxTokens ?? 0)
        let taken = sequences.pinnedTokens(and: entry.id)
        let ready = members.ready
        return entry.workers.enumerated().allSatisfy { rank, name in
            guard let member = ready.first(where: { $0.name == name }) else { return false }
            let read = entry.isStored ? entry.layout.count(of: rank, in: entry.tokens) : 0
            let shared = RunPast.sharedRows(of: entry.layout.count(of: rank, in: tokens))
            let more = entry.layout.count(of: rank, in: all) - shared + read
            return more <= admission.capacity(member, taken: taken)
        }
    }

    /// A job's plan on the workers that were chosen, with what it continues and keeps, after what has to go for it went.
    mutating func keepingPlan(
        of record: JobRecord, _ run: Run, at now: Time
    ) throws(CoordinatorError) -> JobPlan {
        let prompt = Int(clamping: record.promptTokens)
        let reserved = Int(record.options?.maxTokens ?? 0)
        let entry = run.past.flatMap { sequences[$0.sequence] }
        var plan: JobPlan
        if let past = run.past, let entry, entry.isComplete {
            plan = JobPlan(
                prompt: prompt, reserved: reserved, members: run.workers, continuing: past,
                layout: entry.layout, model: model)
        } else {
            plan = try self.plan(prompt: prompt, reserved: reserved, members: run.workers)
        }
        touchContext(of: record)
        let chain = jobs[run.id.job]?.chain
        if let chain, let last = chain.digests.last {
            // What the sequence that it continues has anyway is not kept twice, unless it gets a name.
            let isThere = plan.kept.past != nil && entry?.chain.prefix(chain.tiles) == chain
            if !isThere || record.options?.kind == .ingest {
                plan.kept.keep = "\(last.hexadecimal)-\(start)-\(run.id.turn)"
            } else if let entry {
                nameAgain(entry.id, for: record, chain)
            }
            // Whoever names a context asks for an answer; whoever does not gets the bits of a prompt computed at once.
            if record.options?.kind == .generate, record.options?.context.isEmpty == false,
                plan.isShort(prompt - plan.pastTokens, behind: plan.pastTokens)
            {
                plan.kept.isStationary = true
                plan.kept.keep = ""
            }
            if record.options?.noReuse != true { statistics.count(cached: plan.pastTokens) }
        }
        var room: [String: Int] = [:]
        for (rank, member) in run.workers.enumerated() {
            let more =
                plan.layout.count(of: rank, in: plan.tokens)
                - RunPast.sharedRows(of: plan.layout.count(of: rank, in: plan.pastTokens))
            room[member.name] = admission.capacity(member) - more
        }
        let disks = Set(run.workers.filter { $0.kvDiskBytes > 0 }.map(\.name))
        let evicted = sequences.evict(toFit: room, keepsOnDisk: disks.contains)
        statistics.count(evicted: evicted.gone.count + evicted.stored.count)
        for entry in evicted.gone { forget(entry) }
        for member in run.workers {
            plan.kept.drop[member.name] = drops.pending(for: member.name)
            plan.kept.release[member.name] = evicted.stored.filter { $0.workers.contains(member.name) }
                .map(\.id)
        }
        return plan
    }

    // MARK: during and after a run

    /// All workers of a run keep their parts.
    mutating func kept(_ bytes: [UInt64], by id: RunID, at now: Time) {
        guard let run = runs[id.job], run.id == id, let plan = run.started?.plan,
            let job = jobs[id.job], let chain = job.chain
        else { return }
        let holders = run.workers.compactMap { worker in
            members.instance(worker.name).map {
                SequenceTable.Holder(name: worker.name, instance: $0)
            }
        }
        // One of them is lost already.
        guard holders.count == run.workers.count else { return }
        let gone = sequences.insert(
            SequenceTable.Entry(
                id: plan.kept.keep, holders: holders, layout: plan.layout, chain: chain, kvBytes: bytes),
            past: plan.kept.past, by: id, at: now.instant)
        for entry in gone { forget(entry) }
        nameAgain(plan.kept.keep, for: job.record, chain)
    }

    /// A run is over.
    mutating func releaseSequences(of run: Run) {
        if let past = run.past, let gone = sequences.release(past.sequence, by: run.id) { forget(gone) }
        guard let plan = run.started?.plan, !plan.kept.keep.isEmpty else { return }
        let keep = plan.kept.keep
        guard sequences[keep] != nil else {
            // Some may have kept their parts, which are of no use without the others.
            for name in run.names { drops.add(keep, for: name) }
            return
        }
        if let gone = sequences.release(keep, by: run.id) { return forget(gone) }
        for entry in sequences.absorb(into: keep) { forget(entry) }
    }

    /// A sequence is in the table no more: its workers are told, its contexts are without keys and values.
    mutating func forget(_ entry: SequenceTable.Entry) {
        for name in entry.workers where members.instance(name) != nil { drops.add(entry.id, for: name) }
        for context in entry.contexts.sorted() { lostMemory(context, of: entry.id) }
    }

    // MARK: workers

    /// A worker registers: what it holds is compared with what it is thought to hold.
    /// - Returns: what it is to forget.
    mutating func reconcile(_ worker: String, _ request: RegisterRequest) -> [String] {
        drops.clear(worker)
        let holder = SequenceTable.Holder(name: worker, instance: request.instance)
        var unknown: [String] = []
        var confirmed: Set<String> = []
        let beingKept = Set(
            runs.values.filter { $0.names.contains(worker) }.compactMap(\.started?.plan.kept.keep))
        for held in request.held {
            let isKnown = sequences.confirm(
                held.sequence, by: holder, rank: Int(held.rank), tokens: Int(clamping: held.tokens))
            if isKnown {
                confirmed.insert(held.sequence)
                if held.kvBytes == 0, (request.member?.kvDiskBytes ?? 0) > 0 {
                    sequences.store(held.sequence)
                }
            } else if !beingKept.contains(held.sequence) {
                unknown.append(held.sequence)
            }
        }
        for id in sequences.held(by: worker) where !confirmed.contains(id) {
            if let entry = sequences.remove(id) { forget(entry) }
        }
        // What was found to be without one of its parts is among the unknown or was not held.
        drops.clear(worker)
        return unknown
    }

    /// A worker cannot be asked now. Contexts wait for it to come back with what it held.
    mutating func missed(_ worker: String, at now: Time) {
        drops.clear(worker)
        for id in sequences.held(by: worker) {
            if sequences[id]?.contexts.isEmpty == false {
                sequences.lose(id, worker: worker, at: now.instant)
            } else if let entry = sequences.remove(id) {
                forget(entry)
            }
        }
    }

    /// A worker has left and takes its parts along.
    mutating func gone(_ worker: String) {
        drops.clear(worker)
        for id in sequences.held(by: worker) {
            if let entry = sequences.remove(id) { forget(entry) }
        }
    }
}

extension TokenChain {
    /// Whether anything of a job's prompt can be shared.
    static func shares(_ record: JobRecord) -> Bool {
        record.options?.kind != .score && record.promptTokens >= UInt64(Layout.tileTokens)
    }

    /// Of a job's prompt; nil where nothing of it is shared.
    package init?(of record: JobRecord, prompt: [UInt32]) {
        guard Self.shares(record) else { return nil }
        self.init(
            Root(
                fingerprint: record.fingerprint, precision: record.precision, owner: record.owner,
                profile: record.profile?.identity ?? ""), tokens: prompt)
    }
}
