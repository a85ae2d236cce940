// Who computes what: a job's shards over the workers that are ready, as plans to send.
package import Messages
import Protobuf
package import RingAttention

/// The plan of one job. Ranks follow the order of the ring.
package struct JobPlan: Sendable {
    package let members: [MemberRecord]
    package let shards: ShardPlan
    package let pieceTokens: Int
    /// 128 random bits that only this run's workers are told.
    private let runKey: String
    private let kvBytesPerToken: Int
    private let reserved: Int

    /// - Parameters:
    ///   - weights: the members' speeds, in any unit; nil: by their threads.
    ///   - pieceLimit: most tokens of a block that travel in one piece.
    package init(
        prompt: Int, reserved: Int, members: [MemberRecord], weights: [Double]? = nil, admission: Admission,
        pieceLimit: Int
    ) throws(CoordinatorError) {
        guard !members.isEmpty else { throw CoordinatorError(.notPossible, JobPlan.noWorkers) }
        if let text = admission.memoryText(tokens: prompt + reserved, members: members) {
            throw CoordinatorError(.notPossible, text)
        }
        do throws(RingError) {
            shards = try ShardPlan(
                tokens: prompt, weights: weights ?? members.map { Double($0.threads) },
                capacities: members.map(admission.capacity), reserved: reserved)
        } catch { throw CoordinatorError(.notPossible, "this job cannot be planned: \(error)") }
        self.members = members
        self.reserved = reserved
        runKey = (0..<2).map { _ in String(UInt64.random(in: .min ... .max), radix: 16) }.joined()
        kvBytesPerToken = admission.model.kvBytesPerToken
        let largest = members.indices.map { [shards] in shards.count(of: $0) }.max() ?? 0
        // About eight pieces a shard keep sending, receiving and computing busy at once; each piece costs every query
        // a merge, so small ones do not pay. Nothing travels from a single worker: its pieces only bound how long it
        // computes on after a job is cancelled.
        pieceTokens =
            members.count == 1
            ? 4 * pieceLimit : min(pieceLimit, max(512, (largest / 8 + 63) / 64 * 64))
    }

    /// The kernels that compute it: one name, or where workers differ one for each rank.
    package var isa: String {
        let names = members.map(\.isa)
        return Set(names).count == 1 ? names[0] : names.joined(separator: ", ")
    }

    /// The rank that computes the answer's tokens.
    package var leader: Int { shards.leader }

    package static let noWorkers = "no workers have joined; start one with `lariat worker`"

    /// What each worker will hold.
    package var shares: [WorkerShare] {
        let answer = AppendPlan.evenShare(ranks: members.count, appended: reserved)
        return members.indices.map { rank in
            WorkerShare.with {
                $0.rank = UInt32(rank)
                $0.worker = members[rank].name
                $0.tokens = UInt64(shards.count(of: rank))
                $0.kvBytes = UInt64((shards.count(of: rank) + answer) * kvBytesPerToken)
            }
        }
    }

    /// Keys and values that travel in prefill: each block passes every other worker.
    package var ringBytes: Int { shards.tokens * kvBytesPerToken * (members.count - 1) }

    /// The plan for one rank.
    package func message(
        rank: Int, job: JobRecord, prompt: [UInt32], profile: ProfileMessage, epoch: UInt64,
        stallSeconds: Double
    ) -> RunPlan {
        RunPlan.with {
            $0.job = job.id
            $0.attempt = job.attempt
            $0.epoch = epoch
            $0.rank = UInt32(rank)
            $0.members = members.indices.map { other in
                RunMember.with {
                    $0.rank = UInt32(other)
                    $0.name = members[other].name
                    $0.ringAddress = members[other].ringAddress
                    $0.runs = shards.runs[other].map { run in
                        TokenRunMessage.with {
                            $0.start = UInt64(run.lowerBound)
                            $0.count = UInt64(run.count)
                        }
                    }
                }
            }
            $0.kind = job.options?.kind ?? .generate
            $0.promptTokens = UInt64(shards.tokens)
            $0.maxTokens = job.options?.maxTokens ?? 0
            $0.sampling = job.options?.sampling
            $0.ignoreEnd = job.options?.ignoreEnd ?? false
            $0.profile = profile
            $0.fingerprint = job.fingerprint
            $0.pieceTokens = UInt32(pieceTokens)
            $0.appendRun = UInt32(AppendPlan.appendRun)
            $0.stallSeconds = stallSeconds
            $0.tokenCount = UInt64(shards.count(of: rank))
            $0.runKey = runKey
            $0.protocol = LariatProtocol.current
            $0.logProbabilities = job.options?.logProbabilities ?? false
            $0.topProbabilities = job.options?.topProbabilities ?? 0
            if rank == shards.leader, let sampling = job.options?.sampling, sampling.repetitionPenalty > 0 {
                $0.recent = prompt.suffix(Int(sampling.repetitionWindow))
            }
        }
    }

    /// Tokens that travel in one message: five bytes each at most, twice for scores, so below 1 MiB.
    package static let tokensPerCommand = 100_000

    /// This rank's tokens in buffer order, as commands.
    package func tokenCommands(rank: Int, prompt: [UInt32], kind: JobKind) -> [RunCommand] {
        var commands: [RunCommand] = []
        for run in shards.runs[rank] {
            var start = run.lowerBound
            while start < run.upperBound {
                let end = min(run.upperBound, start + Self.tokensPerCommand)
                commands.append(
                    RunCommand.with {
                        $0.tokens = Array(prompt[start..<end])
                        if kind == .score {
                            $0.next = (start + 1..<end + 1).map { $0 < prompt.count ? prompt[$0] : 0 }
                        }
                    })
                start = end
            }
        }
        return commands
    }
}
