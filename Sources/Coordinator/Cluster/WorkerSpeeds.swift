// How fast workers are beside each other: learnt from measurements and from the prefills they did. No clocks.
import Foundation

/// The speeds that shares are cut by.
///
/// A share follows a worker's threads times what one of its threads does. Speeds differ a little from one prefill to
/// the next, and the same job on the same workers should be cut, and so summed up, in the same way: a speed counts in
/// steps of 9% (an eighth of a doubling) and moves only when what was learnt lies more than `hysteresis` steps away.
package struct WorkerSpeeds: Sendable {
    /// What one worker did while the others of its set did their parts.
    package struct Observation: Sendable {
        /// Tells one start of a worker from another (`MemberTable.identity`).
        package var worker: String
        package var threads: Int
        package var host: String
        /// Cores that it may use, shared or not; 0: not known.
        package var hostCores: Int
        /// Done in `seconds`, in any unit, the same for the whole set.
        package var operations: Double
        package var seconds: Double

        package init(
            worker: String, threads: Int, host: String, hostCores: Int, operations: Double, seconds: Double
        ) {
            self.worker = worker
            self.threads = threads
            self.host = host
            self.hostCores = hostCores
            self.operations = operations
            self.seconds = seconds
        }
    }
    private struct Speed {
        /// Of one thread beside the others' average, as a binary logarithm.
        var learnt: Double
        /// What counts: steps of an eighth of a doubling.
        var step = 0
        var lastUse: UInt64
    }

    /// In steps: 11%, so that the noise of even hosts changes nothing.
    static let hysteresis = 1.25
    private static let stepsPerDoubling = 8.0
    /// Shorter ones say more about start-up than about speed.
    package static let leastSeconds = 0.2
    /// A worker is never taken for more than 64 times faster or slower than the average.
    private static let largestLogarithm = 6.0
    /// Starts of workers that are remembered.
    private static let mostRemembered = 4096

    private var speeds: [String: Speed] = [:]
    private var uses: UInt64 = 0

    package init() {}

    /// Learns from one set of workers that worked at the same time: half of the new counts, all of the first.
    package mutating func learn(_ set: [Observation]) {
        let sound = set.allSatisfy {
            $0.operations.isFinite && $0.operations > 0 && $0.seconds.isFinite
                && $0.seconds >= Self.leastSeconds && $0.threads > 0
        }
        guard set.count > 1, sound else { return }
        let rates = Self.ratesByThread(set)
        // Sets overlap: what is known of some of this one's workers says what its average is worth.
        let logarithms = rates.map { log2($0) }
        let known = set.indices.compactMap { index -> Double? in
            speeds[set[index].worker].map { $0.learnt - logarithms[index] }
        }
        let mean = logarithms.reduce(0, +) / Double(logarithms.count)
        let shift = known.isEmpty ? -mean : known.reduce(0, +) / Double(known.count)
        uses += 1
        for (observation, logarithm) in zip(set, logarithms) {
            let value = min(max(logarithm + shift, -Self.largestLogarithm), Self.largestLogarithm)
            var speed = speeds[observation.worker] ?? Speed(learnt: value, lastUse: uses)
            speed.learnt = (speed.learnt + value) / 2
            speed.lastUse = uses
            let steps = speed.learnt * Self.stepsPerDoubling
            if abs(steps - Double(speed.step)) > Self.hysteresis { speed.step = Int(steps.rounded()) }
            speeds[observation.worker] = speed
        }
        while speeds.count > Self.mostRemembered,
            let oldest = speeds.min(by: { $0.value.lastUse < $1.value.lastUse })
        {
            speeds[oldest.key] = nil
        }
    }

    /// The speed to cut shares by, for each worker: its threads, times its step where one was learnt.
    package func weights(_ workers: [(worker: String, threads: Int)]) -> [Double] {
        workers.map {
            Double($0.threads) * exp2(Double(speeds[$0.worker]?.step ?? 0) / Self.stepsPerDoubling)
        }
    }

    /// Operations a second of one thread. Of workers that share too few cores, what they reach together counts: which
    /// of them the system favours says nothing about the next job.
    private static func ratesByThread(_ set: [Observation]) -> [Double] {
        var rates = set.map { $0.operations / ($0.seconds * Double($0.threads)) }
        for group in Dictionary(grouping: set.indices, by: { set[$0].host }).values where group.count > 1 {
            let threads = group.reduce(0) { $0 + set[$1].threads }
            let cores = group.map { set[$0].hostCores }.min() ?? 0
            guard threads > cores else { continue }
            let operations = group.reduce(0) { $0 + set[$1].operations }
            let time = group.reduce(0) { $0 + set[$1].seconds * Double(set[$1].threads) }
            for index in group { rates[index] = operations / time }
        }
        return rates
    }
}
