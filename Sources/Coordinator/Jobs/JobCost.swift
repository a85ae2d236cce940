// What a job takes from its start to its end, well enough to choose its workers by.
package import Messages
import Protobuf
import RingAttention

/// Seconds of a job on some workers: the cost model's prefill, and decoding.
/// Workers that were never measured count by their threads.
package struct JobCost: Sendable {
    /// For workers that were not measured: operations a second of one thread, bytes a second of a link.
    private static let threadOperations = 2e10
    private static let linkBytes = 1e8

    private let work: CostModel.Work
    private let measured: [String: WorkerRates]

    /// - Parameter measured: by worker.
    package init(work: CostModel.Work, measured: [String: WorkerRates] = [:]) {
        self.work = work
        self.measured = measured
    }

    /// - Parameters:
    ///   - promptTokens: 1 or more; `answerTokens`: of the answer, 0 for a job that scores.
    ///   - past: tokens of the prompt whose keys and values are there already.
    ///   - members: in the order of the ring, 1 or more.
    /// - Returns: seconds; infinity for what cannot be planned.
    package func seconds(
        promptTokens: Int, answerTokens: Int, past: Int = 0, on members: [MemberRecord]
    ) -> Double {
        guard
            let layout = try? Layout(
                tokens: promptTokens, speeds: members.map { Double(max(1, $0.threads)) })
        else { return .infinity }
        let model = CostModel(work: work, rates: rates(members))
        return model.predict(
            layout, tokens: promptTokens, past: past, sweepTokens: JobPlan.sweepTokens(of: layout)
        ).prefillSeconds
            + work.decodeSeconds(
                promptTokens: promptTokens, answerTokens: answerTokens, ranks: members.count)
    }

    /// All as measured, or all by their threads: the two do not compare.
    private func rates(_ members: [MemberRecord]) -> [WorkerRates] {
        let known = members.compactMap { measured[$0.name] }
        if known.count == members.count {
            return members.count == 1
                ? known
                : known.map { rates in
                    var rates = rates
                    if rates.linkBytesPerSecond <= 0 { rates.linkBytesPerSecond = Self.linkBytes }
                    return rates
                }
        }
        let threads = Dictionary(grouping: members, by: \.host).mapValues {
            $0.reduce(0) { $0 + Int($1.threads) }
        }
        return members.map { member in
            // Workers of one host share its cores.
            let cores = Int(member.hostCores)
            let all = max(1, threads[member.host] ?? 1)
            let share = cores > 0 ? min(1, Double(cores) / Double(all)) : 1
            let operations = Self.threadOperations * Double(max(1, member.threads)) * share
            return .with {
                $0.denseOperationsPerSecond = operations
                $0.attentionOperationsPerSecond = operations
                $0.linkBytesPerSecond = Self.linkBytes
            }
        }
    }
}

extension CostModel.Work {
    /// A message to another worker and its answer, with the threads that wake up for them.
    private static let roundTrip = 5e-4
    /// Weights, keys and values that decoding reads in a second. Nobody measures it: it depends on the host's memory
    /// more than on its processor, and two cores of an ordinary host reach one to three times as much.
    private static let decodeBytes = 1e10

    /// What a layer's messages to all workers take beside their bytes, for all layers; 0 for one worker.
    package func ringMessageSeconds(ranks: Int) -> Double { ranks > 1 ? Double(layers) * Self.roundTrip : 0 }

    /// One worker reads the weights for each token, all read their part of the keys and values.
    /// - Parameters:
    ///   - promptTokens: that stand before the answer; `answerTokens`: 0 or more.
    ///   - ranks: workers that hold the keys and values, 1 or more.
    package func decodeSeconds(promptTokens: Int, answerTokens: Int, ranks: Int) -> Double {
        let held = Double(promptTokens) + Double(answerTokens) / 2
        let bytes = Double(weightBytes) + held * Double(kvBytesPerToken) / Double(ranks)
        return Double(answerTokens) * (bytes / Self.decodeBytes + ringMessageSeconds(ranks: ranks))
    }
}

extension JobCost {
    /// How long a running job still takes, from how far it has come; nil while it says too little.
    /// - Parameter elapsed: seconds since its start.
    package static func secondsLeft(_ record: JobRecord, elapsed: Double) -> Double? {
        switch record.state {
        case .prefill:
            let cached = Double(record.cachedTokens)
            let done =
                (Double(record.prefilledTokens) - cached) / max(1, Double(record.promptTokens) - cached)
            return done >= 0.05 ? elapsed * (1 - done) / done : nil
        case .decode:
            let most = Double(record.options?.maxTokens ?? 0)
            let (done, seconds) = (Double(record.generatedTokens), elapsed - record.firstTokenSeconds)
            return done >= 2 && seconds > 0 ? max(0, most - done) * seconds / (done - 1) : nil
        default: return nil
        }
    }
}
