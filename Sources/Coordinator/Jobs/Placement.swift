// Which waiting jobs start now, and on which workers: a value, without clocks or sockets.
package import Messages

/// The state of the cluster as far as it decides who starts where.
///
/// Jobs start in order. One that lacks free workers holds up those behind it, so that no job waits for ever; but a job
/// behind it may pass where, by prediction, that delays it by nothing: it ends before the workers that the first one
/// waits for are free, or it takes workers that the first one does not need.
package struct Placement {
    package struct Waiting: Sendable, Equatable {
        package var id: String
        /// How many workers it asks for at most; 0: as many as are best for it.
        package var workers: Int
        package var promptTokens: Int
        /// That are reserved for its answer.
        package var answerTokens: Int
        /// Every token of the prompt gets a score.
        package var scores: Bool
        /// It decodes; else what is reserved for answers is memory alone.
        package var answers = true
        /// Jobs that came later and started earlier.
        package var passed: Int
        /// The kept sequence that it could continue.
        package var past: Past?

        package init(
            id: String, workers: Int = 0, promptTokens: Int, answerTokens: Int, scores: Bool = false,
            passed: Int = 0, past: Past? = nil
        ) {
            self.id = id
            self.workers = workers
            self.promptTokens = promptTokens
            self.answerTokens = answerTokens
            self.scores = scores
            self.passed = passed
            self.past = past
        }

        package var tokens: Int { promptTokens + answerTokens }
        /// The same job, computed from its first token on.
        var anew: Waiting {
            var job = self
            job.past = nil
            return job
        }
    }
    /// A beginning of a prompt that workers hold.
    package struct Past: Sendable, Equatable {
        package var sequence: String
        package var tokens: Int
        /// By rank.
        package var workers: [String]

        package init(sequence: String, tokens: Int, workers: [String]) {
            self.sequence = sequence
            self.tokens = tokens
            self.workers = workers
        }
    }
    package struct Running: Sendable, Equatable {
        package var workers: Set<String>
        /// Seconds until its end, by prediction; nil: nobody knows.
        package var secondsLeft: Double?

        package init(workers: Set<String>, secondsLeft: Double?) {
            self.workers = workers
            self.secondsLeft = secondsLeft
        }
    }
    package struct Start: Sendable, Equatable {
        package var id: String
        /// By rank.
        package var workers: [String]
        /// Jobs that it passes.
        package var passes: [String]
        /// What it continues.
        package var past: Past?

        package init(id: String, workers: [String], passes: [String], past: Past? = nil) {
            self.id = id
            self.workers = workers
            self.passes = passes
            self.past = past
        }
    }

    /// A job is passed so often at most, whatever the predictions say.
    package static let mostPassed = 16
    /// Jobs behind a held one that are looked at.
    package static let lookahead = 64
    /// Predictions may be out by such a factor.
    static let caution = 2.0

    /// In the order of the ring.
    package var ready: [MemberRecord]
    package var running: [Running]
    /// Whether keys and values of so many tokens fit these workers.
    package var fits: (_ tokens: Int, _ members: [MemberRecord]) -> Bool
    /// Seconds that a job takes on these workers.
    package var predict: (_ job: Waiting, _ members: [MemberRecord]) -> Double

    package init(
        ready: [MemberRecord], running: [Running], fits: @escaping (Int, [MemberRecord]) -> Bool,
        predict: @escaping (Waiting, [MemberRecord]) -> Double
    ) {
        self.ready = ready
        self.running = running
        self.fits = fits
        self.predict = predict
    }

    /// The jobs that start now.
    /// - Parameter waiting: in order. No more of them are looked at than it takes: a queue may be long.
    package func starts(_ waiting: some Sequence<Waiting>) -> [Start] {
        var starts: [Start] = []
        var taken = running.reduce(into: Set<String>()) { $0.formUnion($1.workers) }
        var ends = running
        var held: Held?
        var looked = 0
        for job in waiting {
            if held != nil {
                looked += 1
                if looked > Self.lookahead { break }
            }
            // What cannot run on all that are there holds up nobody.
            guard job.past != nil || fits(job.tokens, ready) else { continue }
            let free = ready.filter { !taken.contains($0.name) }
            guard !free.isEmpty else { break }
            let choice = choice(for: job, of: free, ends)
            guard case .start(let chosen, let past) = choice else {
                if held == nil, case .hold(let now) = choice {
                    held = now
                    // Nobody may pass it any more: all behind it wait.
                    if job.passed >= Self.mostPassed { break }
                }
                continue
            }
            let seconds = predict(past == nil ? job.anew : job, chosen)
            let names = chosen.map(\.name)
            if let held, !mayPass(held, seconds: seconds, taking: names, of: free.count, ends) { continue }
            starts.append(
                Start(id: job.id, workers: names, passes: held.map { [$0.job.id] } ?? [], past: past))
            taken.formUnion(names)
            ends.append(Running(workers: Set(names), secondsLeft: seconds))
        }
        return starts
    }

    /// How many workers a job takes: as many as it asks for, else one where that is predicted to be faster than all.
    package func workers(for job: Waiting) -> Int {
        if job.workers > 0 { return min(job.workers, ready.count) }
        guard ready.count > 1, let one = ready.first(where: { fits(job.tokens, [$0]) }) else {
            return ready.count
        }
        return predict(job, [one]) <= predict(job, ready) ? 1 : ready.count
    }

    /// The workers that a job would take if nothing else ran; nil when it does not fit them.
    package func members(for job: Waiting) -> [MemberRecord]? { choose(ready, job, workers(for: job)) }

    /// The workers that a job takes of these, and more than it asks for where its keys and values need them. Nil while
    /// too few are free.
    func choose(_ free: [MemberRecord], _ job: Waiting, _ count: Int) -> [MemberRecord]? {
        guard count > 0, free.count >= count else { return nil }
        if count == 1, let one = free.first(where: { fits(job.tokens, [$0]) }) { return [one] }
        return (count...free.count).lazy.map { Array(free.prefix($0)) }.first { fits(job.tokens, $0) }
    }

    /// Whether a job of so many seconds delays nobody who came before it.
    /// - Parameters:
    ///   - names: workers that it takes.
    ///   - free: workers that are free without it.
    private func mayPass(
        _ held: Held, seconds: Double, taking names: [String], of free: Int, _ ends: [Running]
    ) -> Bool {
        if let exactly = held.exactly {
            if exactly.isDisjoint(with: names) { return true }
            let before = Self.wait(for: exactly, ends)
            return before < .infinity && Self.caution * seconds <= before
        }
        let left = free - names.count
        let there = Set(ready.map(\.name))
        let busy = ends.map { ($0.workers.intersection(there).count, $0.secondsLeft ?? .infinity) }
        // When the held job's workers are free: those that stay free now, and those that become so in time.
        func start(with free: Int) -> Double {
            var (count, when) = (free, 0.0)
            for (workers, seconds) in busy.sorted(by: { $0.1 < $1.1 }) where count < held.workers {
                count += workers
                when = max(when, seconds)
            }
            return count < held.workers ? .infinity : when
        }
        let now = ready.count - busy.reduce(0) { $0 + $1.0 }
        let before = start(with: now)
        // A time that nobody knows is no promise. Predictions may be out by a factor of two.
        guard before < .infinity else { return false }
        return start(with: left) <= before || Self.caution * seconds <= before
    }
}

extension Placement.Waiting {
    init(_ record: JobRecord, passed: Int, past: Placement.Past? = nil) {
        let options = record.options ?? JobOptions()
        self.init(
            id: record.id, workers: Int(options.workers), promptTokens: Int(clamping: record.promptTokens),
            answerTokens: Int(options.maxTokens), scores: options.kind == .score, passed: passed,
            past: past)
        answers = options.kind != .ingest
    }
}
