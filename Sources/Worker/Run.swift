// A run: one job's part on this worker, as the coordinator's plan describes it, checked.
package import Cluster
package import LongRoPE
package import Messages
package import RPC
import RingAttention
package import RingTransport
package import Sampling
package import Transformer

/// A plan that this worker can carry out.
package struct Run: Sendable {
    package let job: String
    package let attempt: UInt64
    package let epoch: UInt64
    package let kind: JobKind
    package let assignment: ShardAssignment
    package let members: [Member]
    package let profile: RotaryProfile
    package let sampling: SamplingOptions
    package let ignoreEnd: Bool
    package let stall: Duration
    package let promptTokens: Int
    package let maxTokens: Int
    /// The prompt's last tokens, for the leader's repetition penalty.
    package let recent: [Int32]
    /// What a caller must know to send blocks.
    package let key: String
    package let logProbabilities: Bool
    /// How many of the likeliest tokens are told for each place.
    package let topProbabilities: Int
    /// The kept sequence that the prompt begins with, as far as `assignment.past`; nil: none.
    package let past: String?
    /// The name under which the prompt stays in memory; nil: it does not.
    package let keep: String?
    /// Kept sequences that go first.
    package let drop: [String]
    /// Kept sequences that leave memory first.
    package let release: [String]

    package struct Member: Sendable {
        package let name: String
        package let ringAddress: HostPort
    }

    var rank: Int { assignment.rank }

    /// The run as its ring sees it.
    package var session: RingSession {
        RingSession(
            job: job, attempt: attempt, epoch: epoch, rank: rank,
            peers: members.map { .init(name: $0.name, address: RPCAddress($0.ringAddress)) }, key: key,
            profileIdentity: profile.identity, layout: assignment.layout, tokens: promptTokens,
            stall: stall)
    }

    /// Checks a plan against this worker's model and memory, before anything is allocated for it.
    package init(_ plan: RunPlan, model: Model, kvTokenBytes: Int, memoryBytes: Int) throws(RPCStatus) {
        func refuse(_ why: String) -> RPCStatus { RPCStatus(.invalidArgument, "the plan is refused: \(why)") }
        if let words = LariatProtocol.mismatch(of: "this worker", with: "the coordinator", plan.protocol) {
            throw RPCStatus(.failedPrecondition, words)
        }
        guard !plan.job.isEmpty, plan.job.utf8.count <= 128 else { throw refuse("it names no job") }
        guard plan.fingerprint == model.fingerprint else {
            throw RPCStatus(
                .failedPrecondition,
                "this worker has the model \(model.fingerprint.prefix(12)), and the job was submitted for "
                    + "\(plan.fingerprint.prefix(12))")
        }
        switch plan.kind {
        case .generate, .score, .ingest: break
        case .unspecified, .unknown: throw refuse("its kind is unknown")
        }
        guard let profile = plan.profile else { throw refuse("it has no rotary profile") }
        guard plan.promptTokens >= 1, plan.promptTokens <= UInt64(Layout.maximumTokens) else {
            throw refuse("a prompt of \(plan.promptTokens) tokens")
        }
        guard plan.stallSeconds.isFinite, plan.stallSeconds > 0, plan.stallSeconds <= 86_400 else {
            throw refuse("a stall limit of \(plan.stallSeconds) s")
        }
        guard plan.members.count == Set(plan.members.map(\.rank)).count,
            plan.members.map(\.rank) == Array(0..<UInt32(plan.members.count))
        else { throw refuse("its members are not ranks 0, 1, 2, ... in order") }

        guard plan.recent.count <= SamplingOptions.largestWindow,
            plan.recent.allSatisfy({ $0 < UInt32(model.shape.vocabulary) })
        else { throw refuse("its recent tokens are too many or out of range") }

        guard (16...64).contains(plan.runKey.utf8.count) else { throw refuse("it has no run key") }
        guard plan.topProbabilities <= 20 else {
            throw refuse("\(plan.topProbabilities) likely tokens at each place; 20 are possible")
        }

        let sequences = [plan.keep, plan.past?.sequence ?? "past"] + plan.drop + plan.release
        guard sequences.allSatisfy({ $0.utf8.count <= 256 }), plan.past?.sequence != ""
        else { throw refuse("a sequence in it has no name, or one of more than 256 bytes") }
        guard !plan.stationary || plan.past != nil && plan.kind == .generate else {
            throw refuse("without a past nothing stays where it is")
        }
        guard plan.kind != .score || plan.past == nil else {
            throw refuse("scores are of a whole prompt, and it continues a sequence")
        }

        job = plan.job
        past = plan.past?.sequence
        keep = plan.keep.isEmpty ? nil : plan.keep
        drop = plan.drop
        release = plan.release
        key = plan.runKey
        logProbabilities = plan.logProbabilities
        topProbabilities = Int(plan.topProbabilities)
        recent = plan.recent.map { Int32($0) }
        attempt = plan.attempt
        epoch = plan.epoch
        kind = plan.kind
        ignoreEnd = plan.ignoreEnd
        stall = .seconds(plan.stallSeconds)
        promptTokens = Int(plan.promptTokens)
        maxTokens = plan.kind == .generate ? Int(plan.maxTokens) : 0
        do {
            members = try plan.members.map {
                Member(name: $0.name, ringAddress: try HostPort(parsing: $0.ringAddress))
            }
        } catch { throw refuse("\(error)") }
        do throws(LongRoPEError) {
            self.profile = try RotaryProfile(profile)
        } catch { throw refuse("\(error)") }
        guard self.profile.identity == profile.identity else {
            throw refuse("its rotary profile does not match its identity \(profile.identity)")
        }
        guard self.profile.rotaryDimension == model.scaling.rotaryDimension else {
            throw refuse(
                "its profile rotates \(self.profile.rotaryDimension) dimensions, the model \(model.scaling.rotaryDimension)"
            )
        }
        do throws(SamplingError) {
            sampling = try SamplingOptions(plan.sampling ?? SamplingMessage())
        } catch { throw refuse("\(error)") }
        do throws(RingError) {
            assignment = try ShardAssignment(
                rank: Int(plan.rank),
                layout: Layout(
                    stripeTokens: Int(plan.stripeTokens), weights: plan.members.map { Int($0.weight) }),
                past: Int(clamping: plan.past?.tokens ?? 0), promptTokens: promptTokens,
                maxTokens: maxTokens, slabTokens: plan.slabTokens == 0 ? nil : Int(clamping: plan.slabTokens),
                isStationary: plan.stationary)
        } catch { throw refuse("\(error)") }
        guard plan.tokenCount == UInt64(assignment.tokens) else {
            throw refuse("\(plan.tokenCount) tokens are announced for a shard of \(assignment.tokens)")
        }
        let (bytes, overflow) = assignment.capacity.multipliedReportingOverflow(by: kvTokenBytes)
        guard !overflow, bytes <= memoryBytes else {
            throw RPCStatus(
                .resourceExhausted,
                "the keys and values of \(assignment.capacity) tokens need \(bytes) bytes and this worker may use "
                    + "\(memoryBytes); give it more memory, or the job more workers")
        }
    }
}

extension RotaryProfile {
    init(_ message: ProfileMessage) throws(LongRoPEError) {
        try self.init(
            name: message.name, theta: message.theta, rotaryDimension: Int(message.rotaryDimension),
            factors: message.factors, startTokens: Int(clamping: message.startTokens),
            attentionFactor: message.attentionFactor, window: Int(clamping: message.window),
            gap: message.gap.map {
                PositionGap(every: Int(clamping: $0.every), length: Int(clamping: $0.length))
            })
    }
}

extension SamplingOptions {
    init(_ message: SamplingMessage) throws(SamplingError) {
        try self.init(
            temperature: message.temperature, topK: Int(message.topK), topP: message.topP, minP: message.minP,
            repetitionPenalty: message.repetitionPenalty,
            repetitionWindow: message.repetitionWindow == 0 ? 64 : Int(message.repetitionWindow),
            seed: message.seed)
    }
}
