// Where one waiting job starts: on the workers that hold its beginning where that pays, else on those that suit it best.
package import Messages

extension Placement {
    /// A job that waits for workers.
    struct Held {
        let job: Waiting
        /// How many.
        let workers: Int
        /// These and no others; nil: any.
        var exactly: Set<String>?
    }
    enum Choice {
        /// By rank.
        case start([MemberRecord], Past?)
        case hold(Held)
    }

    func choice(for job: Waiting, of free: [MemberRecord], _ ends: [Running]) -> Choice {
        let anew = job.anew
        let count = workers(for: anew)
        let usual = fits(anew.tokens, ready) ? choose(free, anew, count) : nil
        guard let past = usablePast(of: job) else {
            return usual.map { .start($0, nil) } ?? .hold(Held(job: job, workers: count))
        }
        let holders = members(past)
        let names = Set(past.workers)
        if names.isSubset(of: free.map(\.name)) { return .start(holders, past) }
        if let usual {
            let wait = Self.wait(for: names, ends)
            let (kept, fresh) = (predict(job, holders), predict(anew, usual))
            // Where nobody knows how long the others take, waiting must promise much.
            guard wait < .infinity ? wait + kept <= fresh : Self.caution * kept <= fresh else {
                return .start(usual, nil)
            }
        }
        return .hold(Held(job: job, workers: holders.count, exactly: names))
    }

    /// What a job would continue if nothing else ran: not on other workers than it asks for, and not where its workers are
    /// slower with it than others without.
    package func usablePast(of job: Waiting) -> Past? {
        guard let past = job.past else { return nil }
        let holders = members(past)
        guard holders.count == past.workers.count else { return nil }
        let anew = job.anew
        guard fits(anew.tokens, ready), let usual = members(for: anew) else { return past }
        if job.workers > 0, usual.count != holders.count { return nil }
        return predict(job, holders) <= predict(anew, usual) ? past : nil
    }

    /// By rank.
    package func members(_ past: Past) -> [MemberRecord] {
        past.workers.compactMap { name in ready.first { $0.name == name } }
    }

    /// Seconds until all of these are free, by prediction; infinity where nobody knows.
    static func wait(for names: Set<String>, _ ends: [Running]) -> Double {
        ends.filter { !$0.workers.isDisjoint(with: names) }.reduce(0) {
            max($0, $1.secondsLeft ?? .infinity)
        }
    }
}
