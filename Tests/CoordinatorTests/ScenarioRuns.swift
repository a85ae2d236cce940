// The commands of a scenario that are about a run: what its workers say and how their calls go.
import Coordinator
import Messages
import Protobuf
import RingAttention

extension ScenarioPlayer {
    /// The second word is a job, the third one of its workers, `leader` or `all`.
    mutating func performRun(_ words: ScenarioWords) throws -> [String] {
        let command = try words.at(0)
        let job = try words.at(1)
        guard var run = runs[job] else { throw ScenarioError("\(job) has no run: \(command)") }
        run.turn = try words.number("turn", run.turn)
        switch command {
        case "reached": return take(.reached(run, lastToken: 97))
        case "unreachable":
            let failures = words.plain.dropFirst(2).map {
                Scheduler.Unreached(worker: $0, reason: "connection refused")
            }
            return take(.unreachable(run, Array(failures)))
        case "unreadable":
            return take(
                .unreadable(
                    run,
                    CoordinatorError(.internalFault, "the prompt of job \(job) is not in the journal")))
        case "closed": return take(.ended(run))
        case "begin":
            // The way to prefill in one line.
            return take(.reached(run, lastToken: 97)) + (try performRun(ScenarioWords("accepted \(job) all")))
        default:
            var named = try words.at(2)
            if named == "leader", let plan = orders[job]?.plan { named = plan.members[plan.leader].name }
            let ranks =
                named == "all"
                ? Array((orders[job]?.plan.members ?? []).indices)
                : [rank(of: named, in: job)].compactMap { $0 }
            guard !ranks.isEmpty else { throw ScenarioError("\(named) is not in a run of \(job)") }
            var lines: [String] = []
            for rank in ranks {
                if let reason = words["broke"] {
                    lines += take(.broken(worker: named, reason: reason))
                }
                for input in try inputs(command, words, rank, job) { lines += take(.run(run, input)) }
            }
            return lines
        }
    }

    private func inputs(
        _ command: String, _ words: ScenarioWords, _ rank: Int, _ job: String
    ) throws -> [RunState.Input] {
        let event: RunEvent
        switch command {
        case "accepted": event = .accepted
        case "layers":
            event = .progress(
                PrefillProgress(layers: 10, prefilledLayers: UInt32(try words.at(3)) ?? 0))
        case "says":
            return try words.at(3).utf8.map { byte in
                .event(
                    rank: rank, .token(ChosenToken(token: UInt32(byte), logProbability: 0, likely: nil)))
            }
        case "scores":
            event = .scores(
                Scores(
                    firstPosition: try words.number("first", UInt64(1)),
                    nll: Array(repeating: 2, count: try words.number("count", 1))))
        case "finished":
            var share = orders[job]?.plan.shares[rank]
            share?.computeSeconds = try words.number("compute") ?? 0
            share?.waitSeconds = try words.number("waited") ?? 0
            let finish = Finish.allCases.first { $0.word == words["finish"] ?? "end" }
            event = .finished(
                RunResult(finish: finish ?? .unspecified, share: share, prefillSeconds: 0, decodeSeconds: 0))
        case "fault":
            event = .fault(
                .with {
                    $0.kind = ScenarioText.faults[words["kind"] ?? ""] ?? .own
                    $0.accused = UInt32(words["accused"].flatMap { self.rank(of: $0, in: job) } ?? rank)
                    $0.detail = words["detail"] ?? "no words"
                })
        case "kept":
            guard let plan = orders[job]?.plan else { throw ScenarioError("\(job) has no plan") }
            event = .kept(
                KeptSequence(
                    tokens: UInt64(plan.keptTokens),
                    kvBytes: UInt64(1000 * plan.layout.count(of: rank, in: plan.keptTokens))))
        case "logs":
            event = .log(RunLog(level: "info", text: try words.at(3)))
        case "ended": return [.ended(rank: rank, nil)]
        case "fails":
            return [.ended(rank: rank, WorkerFailure(connectionLost: false, message: try words.at(3)))]
        case "dies":
            return [.ended(rank: rank, WorkerFailure(connectionLost: true, message: "connection reset"))]
        default: throw ScenarioError("\"\(command)\" is no command")
        }
        return [.event(rank: rank, event)]
    }
}
