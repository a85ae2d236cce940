// Who computes what: a job's layout over the workers that are ready, as plans to send.
package import Messages
import Protobuf
package import RingAttention

/// The plan of one job. Ranks follow the order of the ring.
package struct JobPlan: Sendable {
    package let members: [MemberRecord]
    package let layout: Layout
    package let promptTokens: Int
    /// Most tokens of the answer.
    private let reserved: Int
    private let kvBytesPerToken: Int

    /// What the stripes of two rounds, which wait at each worker, may take.
    private static let inboxBytes = 256 << 20
    /// No stripe is made narrower for that than a tile of attention.
    private static let leastStripeTokens = 128

    /// - Parameters:
    ///   - weights: the members' speeds, in any unit; nil: by their threads.
    ///   - stripeLimit: most tokens of a stripe.
    package init(
        prompt: Int, reserved: Int, members: [MemberRecord], weights: [Double]? = nil, admission: Admission,
        stripeLimit: Int = Layout.usualStripeTokens
    ) throws(CoordinatorError) {
        guard !members.isEmpty else { throw CoordinatorError(.notPossible, JobPlan.noWorkers) }
        if let text = admission.memoryText(tokens: prompt + reserved, members: members) {
            throw CoordinatorError(.notPossible, text)
        }
        kvBytesPerToken = admission.model.kvBytesPerToken
        let rowBytes = max(1, kvBytesPerToken / max(1, admission.model.layers))
        var widest = stripeLimit
        while widest > Self.leastStripeTokens,
            RingSchedule.inboxStripes(ranks: members.count) * widest * rowBytes > Self.inboxBytes
        {
            widest /= 2
        }
        do throws(RingError) {
            layout = try Layout(
                tokens: prompt, reserved: reserved, speeds: weights ?? members.map { Double($0.threads) },
                capacities: members.map(admission.capacity), widest: widest)
        } catch { throw CoordinatorError(.notPossible, "this job cannot be planned: \(error)") }
        self.members = members
        promptTokens = prompt
        self.reserved = reserved
    }

    /// The kernels that compute it: one name, or where workers differ one for each rank.
    package var isa: String {
        let names = members.map(\.isa)
        return Set(names).count == 1 ? names[0] : names.joined(separator: ", ")
    }

    /// The rank that computes the answer's tokens: the one that holds the prompt's last.
    package var leader: Int { promptTokens > 0 ? layout.owner(of: promptTokens - 1) : 0 }

    /// Keys that a worker attends together, as far as their arrival allows it.
    package var sweepTokens: Int { Self.sweepTokens(of: layout) }

    package static func sweepTokens(of layout: Layout) -> Int {
        min(
            RingExchange.usualSweepTokens, layout.ranks == 1 ? .max : layout.ranks * layout.stripeTokens)
    }

    package static let noWorkers = "no workers have joined; start one with `lariat worker`"

    /// What each worker will hold.
    package var shares: [WorkerShare] {
        members.indices.map { rank in
            WorkerShare.with {
                $0.rank = UInt32(rank)
                $0.worker = members[rank].name
                $0.tokens = UInt64(layout.count(of: rank, in: promptTokens))
                $0.kvBytes = UInt64(layout.count(of: rank, in: promptTokens + reserved) * kvBytesPerToken)
            }
        }
    }

    /// Keys and values that travel in prefill: each stripe passes every other worker.
    package var ringBytes: Int { promptTokens * kvBytesPerToken * (members.count - 1) }

    /// The plan for one rank.
    /// - Parameter runKey: random, for this run's workers alone.
    package func message(
        rank: Int, job: JobRecord, prompt: [UInt32], profile: ProfileMessage, epoch: UInt64,
        stallSeconds: Double, runKey: String
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
                    $0.weight = UInt32(layout.weights[other])
                }
            }
            $0.kind = job.options?.kind ?? .generate
            $0.promptTokens = UInt64(promptTokens)
            $0.maxTokens = job.options?.maxTokens ?? 0
            $0.sampling = job.options?.sampling
            $0.ignoreEnd = job.options?.ignoreEnd ?? false
            $0.profile = profile
            $0.fingerprint = job.fingerprint
            $0.stripeTokens = UInt32(layout.stripeTokens)
            $0.stallSeconds = stallSeconds
            $0.tokenCount = UInt64(layout.count(of: rank, in: promptTokens))
            $0.runKey = runKey
            $0.protocol = LariatProtocol.current
            $0.logProbabilities = job.options?.logProbabilities ?? false
            $0.topProbabilities = job.options?.topProbabilities ?? 0
            if rank == leader, let sampling = job.options?.sampling, sampling.repetitionPenalty > 0 {
                $0.recent = prompt.suffix(Int(sampling.repetitionWindow))
            }
        }
    }

    /// Tokens that travel in one message: five bytes each at most, twice for scores, so below 1 MiB.
    package static let tokensPerCommand = 100_000

    /// This rank's tokens in ascending position, in parts of a command each.
    package func tokenParts(rank: Int, prompt: [UInt32], kind: JobKind) -> [ShardTokens] {
        let positions = layout.positions(of: rank, in: promptTokens).flatMap { Array($0) }
        return stride(from: 0, to: positions.count, by: Self.tokensPerCommand).map { start in
            let part = positions[start..<min(start + Self.tokensPerCommand, positions.count)]
            return ShardTokens(
                tokens: part.map { prompt[$0] },
                next: kind == .score ? part.map { $0 + 1 < prompt.count ? prompt[$0 + 1] : 0 } : [])
        }
    }
}
