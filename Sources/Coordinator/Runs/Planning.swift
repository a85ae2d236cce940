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

    /// What outlives the run or was there before it.
    package var kept = KeptParts()
    /// Prefill takes so many tokens at a time; 0: all at once.
    package let slabTokens: Int

    /// - Parameters:
    ///   - weights: the members' speeds, in any unit; nil: by their threads.
    ///   - stripeLimit: most tokens of a stripe.
    ///   - taken: tokens of keys and values that stay on the workers beside it, by worker.
    package init(
        prompt: Int, reserved: Int, members: [MemberRecord], weights: [Double]? = nil, admission: Admission,
        stripeLimit: Int = Layout.usualStripeTokens, taken: [String: Int] = [:]
    ) throws(CoordinatorError) {
        guard !members.isEmpty else { throw CoordinatorError(.notPossible, JobPlan.noWorkers) }
        if let text = admission.memoryText(tokens: prompt + reserved, members: members, taken: taken) {
            throw CoordinatorError(.notPossible, text)
        }
        kvBytesPerToken = admission.model.kvBytesPerToken
        let rowBytes = max(1, kvBytesPerToken / max(1, admission.model.layers))
        // No stripe is made narrower for that than a tile of attention.
        var widest = stripeLimit
        while widest > Layout.tileTokens,
            RingSchedule.inboxStripes(ranks: members.count) * widest * rowBytes > Self.inboxBytes
        {
            widest /= 2
        }
        do throws(RingError) {
            layout = try Layout(
                tokens: prompt, reserved: reserved, speeds: weights ?? members.map { Double($0.threads) },
                capacities: members.map { admission.capacity($0, taken: taken) }, widest: widest)
        } catch { throw CoordinatorError(.notPossible, "this job cannot be planned: \(error)") }
        self.members = members
        promptTokens = prompt
        self.reserved = reserved
        slabTokens = Self.slabTokens(layout, tokens: prompt, past: 0, model: admission.model)
    }

    /// The plan of a job that continues a sequence: in its layout.
    /// - Parameters:
    ///   - members: in the order of its ranks.
    ///   - past: fewer tokens than the prompt's.
    package init(
        prompt: Int, reserved: Int, members: [MemberRecord], continuing past: RunPast, layout: Layout,
        model: any ModelDescription
    ) {
        self.members = members
        self.layout = layout
        promptTokens = prompt
        self.reserved = reserved
        kvBytesPerToken = model.kvBytesPerToken
        slabTokens = Self.slabTokens(
            layout, tokens: prompt, past: Int(clamping: past.tokens), model: model)
        kept.past = past
    }

    /// Tokens of the prompt that are in memory already.
    package var pastTokens: Int { Int(clamping: kept.past?.tokens ?? 0) }
    /// The leader computes the question alone, and keys and values stay where they are: exact to rounding.
    package var isStationary: Bool { kept.isStationary }
    /// Whether that is less to send than the past's keys and values: a token's queries and partials are at most this many
    /// times its keys and values, and pass between the leader and each other worker.
    package func isShort(_ question: Int, behind past: Int) -> Bool {
        members.count > 1 && question <= Self.mostStationaryTokens
            && question * Self.queryCost * members.count <= past
    }
    private static let mostStationaryTokens = 512
    private static let queryCost = 32

    /// The longest that workers may take to read the past from their disks, before they accept the plan.
    package var readSeconds: Double {
        guard pastTokens > 0, members.contains(where: { $0.kvDiskBytes > 0 }) else { return 0 }
        let most = members.indices.map { layout.count(of: $0, in: pastTokens) }.max() ?? 0
        return Self.readPatience + Double(most * kvBytesPerToken) / Self.slowestRead
    }
    /// As workers allow it: seconds, and bytes a second of the slowest disk.
    private static let readPatience = 10.0
    private static let slowestRead = 50e6

    /// Tokens of the prompt that stay in memory beyond the run; 0: nothing does.
    package var keptTokens: Int {
        kept.keep.isEmpty ? 0 : Layout.inWholeTiles(promptTokens)
    }
    /// Parts in which prefill takes what is not in memory.
    package var slabs: Int {
        slabTokens == 0
            ? 1 : Layout.slabs(of: pastTokens..<promptTokens, tokens: slabTokens).count
    }
    /// Most tokens of prompt and answer.
    package var tokens: Int { promptTokens + reserved }

    /// What the activations of a slab may take on a worker.
    private static let slabBytes = 1 << 30

    /// As many tokens as keep the activations of each rank within bounds, in whole stripes and tiles; 0: all.
    private static func slabTokens(
        _ layout: Layout, tokens: Int, past: Int, model: any ModelDescription
    ) -> Int {
        let most = (0..<layout.ranks).reduce(0) {
            max($0, layout.count(of: $1, in: tokens) - layout.count(of: $1, in: past))
        }
        let rows = max(1, slabBytes / max(1, model.activationBytesPerToken))
        guard most > rows else { return 0 }
        // Widths of stripes are powers of two, so that the wider of the two is a multiple of both.
        let unit = max(layout.stripeTokens, Layout.tileTokens)
        let slab = Int(Double(tokens - past) * Double(rows) / Double(most))
        return max(unit, slab / unit * unit)
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
            $0.tokenCount = UInt64(positions(of: rank).reduce(0) { $0 + $1.count })
            $0.past = kept.past
            $0.keep = kept.keep
            $0.drop = kept.drop[members[rank].name] ?? []
            $0.release = kept.release[members[rank].name] ?? []
            $0.slabTokens = UInt64(slabTokens)
            $0.stationary = isStationary
            $0.runKey = runKey
            $0.protocol = LariatProtocol.current
            $0.logProbabilities = job.options?.logProbabilities ?? false
            $0.topProbabilities = job.options?.topProbabilities ?? 0
            if rank == leader, let sampling = job.options?.sampling, sampling.repetitionPenalty > 0 {
                $0.recent = prompt.suffix(Int(sampling.repetitionWindow))
            }
        }
    }

    /// What a rank computes of the prompt.
    private func positions(of rank: Int) -> [Range<Int>] {
        if isStationary { return rank == leader ? [pastTokens..<promptTokens] : [] }
        return layout.positions(of: rank, in: pastTokens..<promptTokens)
    }

    /// Tokens that travel in one message: five bytes each at most, twice for scores, so below 1 MiB.
    package static let tokensPerCommand = 100_000

    /// This rank's tokens behind the past, in ascending position, in parts of a command each.
    package func tokenParts(rank: Int, prompt: [UInt32], kind: JobKind) -> [ShardTokens] {
        let positions = positions(of: rank).flatMap { Array($0) }
        return stride(from: 0, to: positions.count, by: Self.tokensPerCommand).map { start in
            let part = positions[start..<min(start + Self.tokensPerCommand, positions.count)]
            return ShardTokens(
                tokens: part.map { prompt[$0] },
                next: kind == .score ? part.map { $0 + 1 < prompt.count ? prompt[$0 + 1] : 0 } : [])
        }
    }
}

/// What a run has to do with sequences in memory.
package struct KeptParts: Sendable {
    /// The beginning of the prompt that is there already.
    package var past: RunPast?
    /// What is behind it is computed by the leader, and keys and values stay where they are.
    package var isStationary = false
    /// The name under which the prompt's whole tiles stay; empty: they do not.
    package var keep = ""
    /// What each worker is to forget first.
    package var drop: [String: [String]] = [:]
    /// What leaves the memory of each worker first and stays on its disk.
    package var release: [String: [String]] = [:]
}
