// How long a prefill takes: from the work of its plan and the measured rates of the workers. Pure arithmetic.
package import Messages
import Protobuf
package import RingAttention

/// Predicts the time of a prefill.
///
/// A layer is: unpack its weights, dense part, ring, dense part. The ring's transfers run beside attention and beside
/// nothing else: it ends when attention is done and everything has arrived. Every block crosses every link but one, so
/// all wait for the slowest link. Hence for each worker
///
///     layers * (unpack + dense + max(attention, slowest link)) + output
///
/// (output: the scores of a score job). The job takes as long as the worker that takes longest, and what its messages
/// take beside their bytes. Rates are of all
/// workers measured at the same time, so workers that share cores have been slowed by each other already; see
/// `sharingCores` for them.
package struct CostModel: Sendable {
    /// One worker's part.
    package struct Cost: Sendable, Equatable {
        /// Unpacking, dense parts, attention.
        package var computeSeconds: Double
        /// Its sending to the next worker.
        package var wireSeconds: Double
    }
    /// What a model costs.
    package struct Work: Sendable {
        package var layers: Int
        /// Of one layer for one token, and for one pair of query and key.
        package var denseOperations: Double
        package var attentionOperations: Double
        /// Behind the last layer, for every token: only score jobs have any.
        package var outputOperations: Double
        /// In all layers.
        package var kvBytesPerToken: Int
        /// Weights that every token of an answer reads.
        package var weightBytes: Int

        package init(
            layers: Int, denseOperations: Double, attentionOperations: Double, outputOperations: Double = 0,
            kvBytesPerToken: Int, weightBytes: Int = 0
        ) {
            self.layers = layers
            self.denseOperations = denseOperations
            self.attentionOperations = attentionOperations
            self.outputOperations = outputOperations
            self.kvBytesPerToken = kvBytesPerToken
            self.weightBytes = weightBytes
        }
    }

    private let work: Work
    private let rates: [WorkerRates]

    /// - Parameter rates: by rank; positive and finite, the link's only where there is a next worker.
    package init(work: Work, rates: [WorkerRates]) {
        self.work = work
        self.rates = rates
    }

    /// The prediction for a prompt of so many tokens, laid out over as many ranks as there are rates.
    /// - Parameters:
    ///   - past: tokens whose keys and values are there already; they travel, too.
    ///   - sweepTokens: keys that are attended together.
    package func predict(
        _ layout: Layout, tokens all: Int, past: Int = 0, sweepTokens: Int
    ) -> (costs: [Cost], prefillSeconds: Double) {
        precondition(layout.ranks == rates.count, "\(rates.count) rates for \(layout.ranks) ranks")
        let layers = Double(work.layers)
        var parts: [(dense: Double, attention: Double, wire: Double)] = []
        for (rank, rates) in rates.enumerated() {
            let tokens = layout.count(of: rank, in: all) - layout.count(of: rank, in: past)
            let dense = Double(tokens) * work.denseOperations / rates.denseOperationsPerSecond
            let pairs =
                Double(layout.causalArea(of: rank, in: all) - layout.causalArea(of: rank, in: past))
                * (1 + rates.pieceKeys / Double(max(sweepTokens, 1)))
            let attention = pairs * work.attentionOperations / rates.attentionOperationsPerSecond
            // All stripes but those of the next worker, where each has made its last hop.
            let sent = layout.ranks > 1 ? all - layout.count(of: (rank + 1) % layout.ranks, in: all) : 0
            let bytes = Double(sent) * Double(work.kvBytesPerToken)
            parts.append(
                (
                    dense: layers * (dense + (tokens > 0 ? rates.unpackSeconds : 0))
                        + Double(tokens) * work.outputOperations / rates.denseOperationsPerSecond,
                    attention: layers * attention, wire: sent > 0 ? bytes / rates.linkBytesPerSecond : 0
                ))
        }
        let slowestLink = parts.reduce(0) { max($0, $1.wire) }
        return (
            parts.map { Cost(computeSeconds: $0.dense + $0.attention, wireSeconds: $0.wire) },
            parts.reduce(0) { max($0, $1.dense + max($1.attention, slowestLink)) }
                + work.ringMessageSeconds(ranks: layout.ranks) * Double(layout.ranks)
        )
    }
}

extension CostModel {
    /// Where a worker computes.
    package struct Place: Sendable {
        package var host: String
        package var threads: Int

        package init(host: String, threads: Int) {
            self.host = host
            self.threads = threads
        }
    }

    /// The rates with those of workers on one host evened out, thread by thread, where the host has fewer cores than
    /// they have threads. Which of them the system favours for a second says nothing about a job: there the ring
    /// makes the favoured one wait and leave its core to the others, so that what they reach together counts.
    package static func sharingCores(_ rates: [WorkerRates], at places: [Place]) -> [WorkerRates] {
        var evened = rates
        for group in Dictionary(grouping: rates.indices, by: { places[$0].host }).values {
            let threads = group.reduce(0) { $0 + places[$1].threads }
            let cores = group.map { Int(rates[$0].hostCores) }.min() ?? 0
            guard group.count > 1, threads > cores else { continue }
            for rate in [\WorkerRates.denseOperationsPerSecond, \.attentionOperationsPerSecond] {
                let sum = group.reduce(0) { $0 + rates[$1][keyPath: rate] }
                for rank in group {
                    evened[rank][keyPath: rate] = sum * Double(places[rank].threads) / Double(threads)
                }
            }
            let pieceKeys = group.reduce(0) { $0 + rates[$1].pieceKeys } / Double(group.count)
            for rank in group { evened[rank].pieceKeys = pieceKeys }
        }
        return evened
    }

    /// - Parameters:
    ///   - scores: whether every token is scored.
    ///   - measured: of these workers, by rank.
    init(_ model: any ModelDescription, _ workers: [MemberRecord], scores: Bool, measured: [WorkerRates]) {
        let places = workers.map { Place(host: $0.host, threads: Int($0.threads)) }
        self.init(work: Work(model, scores: scores), rates: Self.sharingCores(measured, at: places))
    }

    /// Adds the prediction, and what it rests on, to a job's forecast.
    /// - Parameter answers: whether it decodes.
    func predict(_ plan: JobPlan, answers: Bool = true, into forecast: inout Forecast) {
        let (costs, seconds) = predict(
            plan.layout, tokens: plan.promptTokens, past: plan.pastTokens, sweepTokens: plan.sweepTokens)
        forecast.prefillSeconds = seconds
        forecast.decodeSeconds = work.decodeSeconds(
            promptTokens: plan.promptTokens,
            answerTokens: answers ? Int(clamping: forecast.reservedTokens) : 0,
            ranks: plan.members.count)
        forecast.totalSeconds = forecast.prefillSeconds + forecast.decodeSeconds
        forecast.costs = plan.members.indices.map { rank in
            WorkerCost.with {
                $0.worker = plan.members[rank].name
                $0.computeSeconds = costs[rank].computeSeconds
                $0.wireSeconds = costs[rank].wireSeconds
                $0.rates = rates[rank]
            }
        }
    }
}

extension CostModel.Work {
    init(_ model: any ModelDescription, scores: Bool) {
        self.init(
            layers: model.layers, denseOperations: model.denseOperations,
            attentionOperations: model.attentionOperations,
            outputOperations: scores ? model.outputOperations : 0, kvBytesPerToken: model.kvBytesPerToken,
            weightBytes: model.weightBytes)
    }

    /// Of each rank's part of a prompt of so many tokens.
    /// - Parameter past: tokens whose keys and values are there already.
    package func operations(_ layout: Layout, tokens all: Int, past: Int = 0) -> [Double] {
        (0..<layout.ranks).map { rank in
            let tokens = Double(layout.count(of: rank, in: all) - layout.count(of: rank, in: past))
            let pairs = Double(
                layout.causalArea(of: rank, in: all) - layout.causalArea(of: rank, in: past))
            return Double(layers) * (tokens * denseOperations + pairs * attentionOperations)
                + tokens * outputOperations
        }
    }
}
