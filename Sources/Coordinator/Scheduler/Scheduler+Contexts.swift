// Contexts: made by a job, asked about by others, with keys and values in memory or without.
package import Messages
import Numerals
import Protobuf
import RingAttention

extension Scheduler {
    // MARK: jobs

    /// Whether a job may run, its context included.
    func admitted(
        _ options: JobOptions, _ prompt: [UInt32], seed: UInt64, owner: String
    ) throws(CoordinatorError) -> Admitted {
        let name = ContextName(owner: owner, name: options.context)
        switch options.kind {
        case .ingest:
            try contexts.check(new: name)
            guard prompt.count >= Layout.tileTokens else {
                throw CoordinatorError(
                    .invalid,
                    "a context has at least \(Layout.tileTokens) tokens, and this text has "
                        + "\(prompt.count.grouped): send it along with each question")
            }
        case .generate, .unspecified: break
        default:
            guard options.context.isEmpty else {
                throw CoordinatorError(
                    .invalid, "only questions are asked about a context; leave its name out")
            }
        }
        guard options.kind != .ingest, !options.context.isEmpty else {
            return try admission.admit(options, prompt: prompt, members: members.ready, seed: seed)
        }
        guard let context = contexts[name]?.record else { throw ContextTable.unknown(options.context) }
        return try admission.admit(
            options, prompt: prompt, members: members.ready, seed: seed, about: context)
    }

    /// The job that still computes the context that this one asks about; nil: it has nothing to wait for.
    func ingestion(before record: JobRecord) -> String? {
        guard record.options?.kind != .ingest,
            let context = ContextName(of: record).flatMap({ contexts[$0] }),
            context.sequence == nil, let job = jobs[context.record.job], case .ahead = job.end
        else { return nil }
        return context.record.job
    }

    /// An admitted job is in the journal: it makes a context or asks about one.
    mutating func noteContext(of job: AdmittedJob, at now: Time) {
        if let made = job.context {
            var record = made
            record.job = job.record.id
            contexts[ContextName(record)] = ContextTable.Entry(
                record: record, tiles: job.chain?.tiles ?? 0, digest: job.chain?.digests.last)
        } else if let name = ContextName(of: job.record) {
            contexts[name]?.record.questions += 1
            contexts[name]?.record.usedMicroseconds = now.wallMicroseconds
            save(name)
        }
    }

    /// A job has ended: one that was to make a context and did not leaves none.
    mutating func contextEnded(_ job: JobRecord) {
        guard job.options?.kind == .ingest, job.state != .succeeded, let name = ContextName(of: job) else {
            return
        }
        guard let entry = contexts[name], entry.record.job == job.id else { return }
        contexts[name] = nil
        if let sequence = entry.sequence { unname(sequence, name) }
    }

    // MARK: keys and values

    /// A sequence has the keys and values of a prompt: if that begins with a context that has none, or waits for a worker
    /// with a part of them, they are its.
    mutating func nameAgain(_ sequence: String, for job: JobRecord, _ chain: TokenChain) {
        guard sequences[sequence] != nil, let name = ContextName(of: job), let entry = contexts[name],
            entry.tiles > 0,
            chain.tiles >= entry.tiles, chain.digests[entry.tiles - 1] == entry.digest
        else { return }
        if let old = entry.sequence {
            guard old != sequence, sequences[old]?.isComplete != true else { return }
            unname(old, name)
            // What is left of it nobody will ask for.
            if sequences[old]?.contexts.isEmpty == true, let gone = sequences.remove(old) { forget(gone) }
        }
        contexts[name]?.sequence = sequence
        sequences.name(sequence, name, pinned: entry.record.pinned)
        save(name)
    }

    /// Whatever sequence a question continues: its context's own was of use, too.
    mutating func touchContext(of job: JobRecord) {
        guard let sequence = ContextName(of: job).flatMap({ contexts[$0]?.sequence }) else { return }
        sequences.touch(sequence)
    }

    /// The sequence that had a context's keys and values is gone.
    mutating func lostMemory(_ name: ContextName, of sequence: String) {
        guard contexts[name]?.sequence == sequence else { return }
        contexts[name]?.sequence = nil
        save(name)
    }

    private mutating func unname(_ sequence: String, _ name: ContextName) {
        let others = sequences[sequence]?.contexts.filter { $0 != name } ?? []
        sequences.unname(
            sequence, name, stillPinned: others.contains { contexts[$0]?.record.pinned == true })
    }

    private mutating func save(_ name: ContextName) {
        guard let entry = contexts[name] else { return }
        let memory = entry.sequence.flatMap { sequences[$0] }.map {
            ContextMemory(
                sequence: $0.id, workers: $0.workers, stripeTokens: $0.layout.stripeTokens,
                weights: $0.layout.weights, kvBytes: $0.kvBytes)
        }
        effects.append(.save(entry.record, memory))
    }

    // MARK: what people ask for

    /// The journal has forgotten a context: its keys and values go, in whatever sequence they are, unless that has
    /// another name.
    mutating func remove(_ name: ContextName, at now: Time) {
        guard let entry = contexts[name] else { return }
        contexts[name] = nil
        say("context removed", ["context": name.name])
        if let sequence = entry.sequence { unname(sequence, name) }
        guard let digest = entry.digest else { return }
        for gone in sequences.condemn(beginningWith: digest) { forget(gone) }
    }

    mutating func pin(_ name: ContextName, _ isPinned: Bool) {
        guard let entry = contexts[name] else { return }
        contexts[name]?.record.pinned = isPinned
        if let sequence = entry.sequence {
            let names = sequences[sequence]?.contexts ?? []
            sequences.pin(sequence, names.contains { contexts[$0]?.record.pinned == true })
        }
        save(name)
    }

    /// The coordinator starts: what the journal says that workers hold is there once they all say so themselves.
    mutating func restore(_ known: [KnownContext], at now: Time) {
        for context in known {
            let name = ContextName(context.record)
            contexts[name] = ContextTable.Entry(
                record: context.record, tiles: context.chain.tiles, digest: context.chain.digests.last)
            guard let memory = context.memory, memory.workers.count == memory.weights.count,
                memory.kvBytes.count == memory.weights.count,
                let layout = try? Layout(stripeTokens: memory.stripeTokens, weights: memory.weights)
            else { continue }
            // Two contexts may have one sequence: the longer one says more of it.
            if let there = sequences[memory.sequence], there.chain.tiles < context.chain.tiles {
                sequences.remove(memory.sequence)
            }
            let gone = sequences.insert(
                SequenceTable.Entry(
                    id: memory.sequence,
                    holders: memory.workers.map { SequenceTable.Holder(name: $0, instance: "") },
                    layout: layout, chain: context.chain, kvBytes: memory.kvBytes),
                by: nil, at: now.instant)
            guard gone.isEmpty else { continue }
            contexts[name]?.sequence = memory.sequence
        }
        for entry in contexts.all {
            guard let sequence = entry.sequence else { continue }
            sequences.name(sequence, ContextName(entry.record), pinned: entry.record.pinned)
        }
        if !known.isEmpty { say("contexts are known from before", ["contexts": "\(known.count)"]) }
    }

    // MARK: what is shown

    /// - Throws: `notFound`, also for what is another owner's.
    package func context(_ name: ContextName) throws(CoordinatorError) -> ContextRecord {
        guard let entry = contexts[name] else { throw ContextTable.unknown(name.name) }
        return shown(entry)
    }

    /// Those of an owner, last used first.
    package func contexts(of owner: String) -> [ContextRecord] { contexts.all(of: owner).map(shown) }

    /// Of all owners.
    var allContexts: [ContextRecord] { contexts.all.map(shown) }

    private func shown(_ entry: ContextTable.Entry) -> ContextRecord {
        var record = entry.record
        if let sequence = entry.sequence.flatMap({ sequences[$0] }), sequence.isComplete {
            let tokens = entry.tiles * Layout.tileTokens
            record.state = sequence.isStored ? .stored : .ready
            record.keptTokens = UInt64(tokens)
            record.shares = sequence.workers.enumerated().map { rank, worker in
                let count = sequence.layout.count(of: rank, in: tokens)
                return .with {
                    $0.rank = UInt32(rank)
                    $0.worker = worker
                    $0.tokens = UInt64(count)
                    $0.kvBytes = UInt64(count * model.kvBytesPerToken)
                }
            }
            record.kvBytes = record.shares.reduce(0) { $0 + $1.kvBytes }
        } else if let job = jobs[record.job], case .ahead = job.end {
            record.state = .ingesting
        } else {
            record.state = .gone
        }
        return record
    }
}
