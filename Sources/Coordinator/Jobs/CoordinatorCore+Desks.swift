// What is done for one job, in order: written to the journal, shown to followers, said to its workers.
import Messages

extension CoordinatorCore {
    func add(_ effect: Scheduler.Effect, to id: String) {
        desks[id]?.add(effect)
        guard desks[id]?.isBusy == false else { return }
        desks[id]?.isBusy = true
        Task { await work(at: id) }
    }

    /// Carries out effects until none is left. A job of which nothing is left to do is the journal's alone.
    private func work(at id: String) async {
        while let effects = desks[id]?.take(), !effects.isEmpty { await carryOut(effects, of: id) }
        desks[id]?.isBusy = false
        if !scheduler.holds(id) { desks[id] = nil }
    }

    private func carryOut(_ effects: [Scheduler.Effect], of id: String) async {
        var lines: [LogLine] = []
        for case .log(_, let more) in effects { lines += more }
        // First, so that whoever is told of the end finds them. One that cannot be written is no reason to end a job.
        if !lines.isEmpty { try? await journal.log(lines, job: id) }
        for case .trace(_, let part) in effects { try? await journal.trace(part, job: id) }
        let isWritten = await write(effects, of: id)
        for effect in effects {
            switch effect {
            case .start(let run, let order) where isWritten: start(run, order)
            case .tell(_, let rank, let command) where isWritten: desks[id]?.driver?.tell(rank, command)
            case .finish(let run, let cuts): finish(run, cuts: cuts)
            default: break
            }
        }
    }

    /// Writes all events in one transaction, then shows the newest record.
    /// - Returns: false when the journal refused.
    private func write(_ effects: [Scheduler.Effect], of id: String) async -> Bool {
        var events: [JobEvent] = []
        var newest: JobRecord?
        var isOver = false
        for effect in effects {
            switch effect {
            case .journal(let record, let more):
                events += more
                newest = record
            case .notify(let record, let over):
                newest = record
                isOver = isOver || over
            default: break
            }
        }
        var last = desks[id]?.feed.value.lastEvent ?? 0
        let holdsEnd = events.contains(where: \.isEnd)
        if let newest, !events.isEmpty {
            do throws(CoordinatorError) { last = try await journal.append(events, to: newest) } catch {
                take(.unwritten(id, error))
                return false
            }
        }
        for case .forget in effects { try? await journal.forgetOld() }
        guard let newest, let feed = desks[id]?.feed else { return true }
        let number = last
        feed.update {
            $0.lastEvent = number
            $0.record = newest
            $0.ended = $0.ended || isOver || holdsEnd
        }
        if holdsEnd { take(.written(id)) }
        return true
    }

    private func start(_ id: RunID, _ order: RunOrder) {
        guard let driver = desks[id.job]?.driver else { return }
        desks[id.job]?.isRunning = true
        Task {
            await driver.run(order)
            over(id)
        }
    }

    private func finish(_ id: RunID, cuts: Bool) {
        // One whose beginning could not be written was never called.
        guard desks[id.job]?.isRunning == true else { return over(id) }
        desks[id.job]?.driver?.end(cuts: cuts)
    }

    private func over(_ id: RunID) {
        desks[id.job]?.driver = nil
        desks[id.job]?.isRunning = false
        take(.ended(id))
        if !scheduler.holds(id.job), desks[id.job]?.isBusy == false { desks[id.job] = nil }
    }
}
