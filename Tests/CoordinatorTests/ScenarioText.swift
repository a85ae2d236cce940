// Effects as the lines of a scenario.
import Coordinator
import Messages

enum ScenarioText {
    static let faults: [String: FaultMessage.Kind] = [
        "own": .own, "busy": .busy, "stale": .stale, "refused": .refused, "unreachable": .unreachable,
        "broken": .broken, "silent": .silent, "wrong-bytes": .wrongBytes, "gave-up": .gaveUp,
        "missing": .missing,
    ]

    static func seconds(_ duration: Duration) -> String {
        let tenths = Int((duration / .milliseconds(100)).rounded())
        return "\(tenths / 10).\(tenths % 10)"
    }

    static func lines(_ effect: Scheduler.Effect) -> [String] {
        switch effect {
        case .reply(let reply): return [self.reply(reply)]
        case .reject(let error): return ["reject, \(error.kind.rawValue): \(error.message)"]
        case .accept(let admitted):
            let job = admitted.record
            return ["accept \(job.promptTokens) tokens and \(job.options?.maxTokens ?? 0) of an answer"]
        case .journal(let job, let events): return events.map { "journal \(job.id) \(event($0))" }
        case .log(let job, let lines): return lines.map { "log \(job) \($0.source): \($0.text)" }
        case .trace(let job, let part): return ["trace \(job) \(part.worker): \(part.spans.count) spans"]
        case .notify(let job, let isOver):
            if isOver { return ["notify \(job.id) over, \(outcome(job))"] }
            let straggler = job.straggler.map { ", \($0.worker) is slow" } ?? ""
            return ["notify \(job.id) \(job.prefilledTokens) of \(job.promptTokens)\(straggler)"]
        case .forget(let job): return ["forget, after \(job)"]
        case .reach(let id, let workers): return ["reach \(id.job): \(names(workers))"]
        case .start(let id, let order):
            let shares = order.plan.shares.map { "\($0.worker) \($0.tokens)" }.joined(separator: ", ")
            return [
                "start \(id.job), epoch \(order.epoch): \(shares); \(order.plan.members[order.plan.leader].name) leads"
                    + kept(order.plan)
            ]
        case .tell(let id, let rank, let command):
            return [
                "tell \(id.job) rank \(rank): \(command == .start ? "start" : command == .stop ? "stop" : "?")"
            ]
        case .finish(let id, let cuts): return ["\(cuts ? "cut" : "finish") \(id.job)"]
        case .save(let context, let memory):
            let place = memory.map { "in \(short($0.sequence))" } ?? "nowhere"
            return [
                "save \(context.name), \(place)\(context.pinned ? ", pinned" : "")"
                    + (context.questions > 0 ? ", asked \(context.questions)" : "")
            ]
        case .measure(let workers, let epoch): return ["measure \(names(workers)), epoch \(epoch)"]
        case .say(let notice):
            let details = notice.details.filter { !$0.value.isEmpty }.sorted { $0.key < $1.key }
                .map { "\($0.key)=\($0.value)" }.joined(separator: " ")
            return ["\(notice.level == .warning ? "warn" : "say") \(notice.text): \(details)"]
        }
    }

    /// A sequence's id, short enough to be read.
    static func short(_ sequence: String) -> String { String(sequence.prefix(4) + sequence.dropFirst(32)) }

    private static func kept(_ plan: JobPlan) -> String {
        var text = ""
        if let past = plan.kept.past {
            text += "; continues \(short(past.sequence)) from \(past.tokens)"
        }
        if !plan.kept.keep.isEmpty { text += "; keeps \(plan.keptTokens) as \(short(plan.kept.keep))" }
        if plan.slabTokens > 0 { text += "; slabs of \(plan.slabTokens)" }
        if plan.isStationary { text += "; stationary" }
        for member in plan.members {
            if let drop = plan.kept.drop[member.name], !drop.isEmpty {
                text += "; \(member.name) drops \(drop.map(short).joined(separator: " "))"
            }
            if let release = plan.kept.release[member.name], !release.isEmpty {
                text += "; \(member.name) releases \(release.map(short).joined(separator: " "))"
            }
        }
        return text
    }

    private static func names(_ workers: [MemberRecord]) -> String {
        workers.map(\.name).joined(separator: ", ")
    }

    private static func reply(_ reply: Scheduler.Reply) -> String {
        switch reply {
        case .epoch(let epoch): "reply epoch \(epoch)"
        case .registered(let epoch, let drop): "reply epoch \(epoch)\(drops(drop))"
        case .beat(let beat):
            "reply epoch \(beat.epoch)\(beat.leave ? ", it may leave" : "")\(drops(beat.drop))"
        case .workers(let names): "reply \(names.joined(separator: ", "))"
        case .unmeasured(let why): "reply \(why.reason)"
        }
    }

    private static func drops(_ sequences: [String]) -> String {
        sequences.isEmpty ? "" : ", drop \(sequences.map(short).sorted().joined(separator: " "))"
    }

    private static func outcome(_ job: JobRecord) -> String {
        "\(job.state)" + (job.finish == .unspecified ? "" : " (\(job.finish.word))")
            + (job.fault.map { " [\(fault($0))]" } ?? "")
            + (job.straggler.map { ", \($0.worker) was slow" } ?? "")
            + (job.reason.isEmpty ? "" : ": \(job.reason)")
    }

    private static func fault(_ fault: JobFault) -> String {
        var words = [fault.kind.name] + fault.accused
        if !fault.witnesses.isEmpty { words.append("seen by \(fault.witnesses.joined(separator: ", "))") }
        switch fault.phase {
        case .prefilling: words.append("at layer \(fault.layer)")
        case .decoding: words.append("after token \(fault.token)")
        case .accepting, .unspecified: break
        }
        return words.joined(separator: " ")
    }

    private static func event(_ event: JobEvent) -> String {
        switch event.content {
        case .state(let job):
            return "\(job.state)" + (job.attempt > 1 ? ", attempt \(job.attempt)" : "")
        case .tokens(let part): return "tokens \"\(String(decoding: part.text, as: UTF8.self))\""
        case .scores(let scores): return "scores from \(scores.firstPosition), \(scores.nll.count) of them"
        case .end(let job): return "end \(outcome(job))"
        case .progress, nil: return "?"
        }
    }
}
