// The commands of a scenario that are about contexts and about what outlives a run.
import Coordinator
import Messages
import Protobuf
import RingAttention

extension ScenarioPlayer {
    /// `remove NAME`, `pin NAME`, `unpin NAME`, `contexts`, `sequences`.
    mutating func performContext(_ words: ScenarioWords) throws -> [String] {
        let owner = words["owner"] ?? ""
        switch try words.at(0) {
        case "remove":
            let name = try words.at(1)
            contexts[name] = nil
            return take(.removed(ContextName(owner: owner, name: name)))
        case "pin", "unpin":
            let name = ContextName(owner: owner, name: try words.at(1))
            return take(.pinned(name, try words.at(0) == "pin"))
        case "contexts":
            return scheduler.contexts(of: owner).map { context in
                let shares = context.shares.map { ", \($0.worker) \($0.tokens)" }.joined()
                return
                    "\(context.name) \(context.state): \(context.keptTokens) of \(context.tokens) tokens\(shares)"
                    + (context.pinned ? ", pinned" : "") + ", asked \(context.questions)"
            }
        default:
            return scheduler.keptSequences.all.map { entry in
                let words = [
                    entry.isComplete ? "" : "incomplete", entry.runs.isEmpty ? "" : "in use",
                    entry.isPinned ? "pinned" : "",
                    entry.contexts.map(\.name).sorted().joined(separator: " "),
                ].filter { !$0.isEmpty }
                return
                    "\(ScenarioText.short(entry.id)) \(entry.tokens) on \(entry.workers.joined(separator: ", "))"
                    + (words.isEmpty ? "" : ": \(words.joined(separator: ", "))")
            }
        }
    }

    /// `held=j1`: what this job kept; several with commas. `strange=ID`: one that nobody knows.
    func held(_ words: ScenarioWords, by worker: String) -> [HeldSequence] {
        let jobs = (words["held"] ?? "").split(separator: ",").map(String.init)
        var held = jobs.compactMap { job -> HeldSequence? in
            guard let plan = keepers[job], let rank = plan.members.firstIndex(where: { $0.name == worker })
            else { return nil }
            return .with {
                $0.sequence = plan.kept.keep
                $0.rank = UInt32(rank)
                $0.tokens = UInt64(plan.keptTokens)
                let isStored = words["on"] == "disk"
                $0.kvBytes =
                    isStored ? 0 : UInt64(1000 * plan.layout.count(of: rank, in: plan.keptTokens))
            }
        }
        if let strange = words["strange"] { held.append(.with { $0.sequence = strange }) }
        return held
    }
}
