// Which worker or link a prefill waited for, worked out from what its workers measured. Everybody shows this judgement.
package import Messages
import Protobuf

extension StragglerMessage {
    /// Waits below this part of prefill are not worth a word.
    private static let least = 0.1
    /// A worker is slow, or a link, when it takes so much longer than the others.
    private static let excess = 1.1

    /// - Returns: nil when little was lost, or when neither computing nor a link explains the waits.
    package static func find(in job: JobRecord) -> StragglerMessage? {
        let ring = job.shares.sorted { $0.rank < $1.rank }
        // Whoever holds no tokens has nothing to compute, and waits for everyone.
        let shares = ring.filter { $0.tokens > 0 }
        guard shares.count > 1, shares.allSatisfy(isMeasured) else { return nil }
        let whole = max(
            job.prefillSeconds.isFinite ? job.prefillSeconds : 0,
            shares.map { $0.computeSeconds + $0.waitSeconds }.max() ?? 0)
        guard let longest = shares.map(\.waitSeconds).max(), longest > least * whole else { return nil }
        return slowWorker(shares, whole) ?? slowLink(ring, whole)
    }

    private static func isMeasured(_ share: WorkerShare) -> Bool {
        share.computeSeconds > 0 && share.computeSeconds.isFinite && share.waitSeconds >= 0
            && share.waitSeconds.isFinite
    }

    private static func slowWorker(_ shares: [WorkerShare], _ whole: Double) -> StragglerMessage? {
        let sorted = shares.sorted { $0.computeSeconds < $1.computeSeconds }
        guard let slowest = sorted.last else { return nil }
        let others = sorted.dropLast()
        let median = others[(others.count - 1) / 2].computeSeconds
        let waited = others.map(\.waitSeconds).reduce(0, +) / Double(others.count)
        // What it computes longer must explain the greater part of the waits.
        guard slowest.computeSeconds > excess * median, waited > least * whole,
            slowest.computeSeconds - median > waited / 2
        else { return nil }
        return .with {
            $0.worker = slowest.worker
            $0.computeSeconds = slowest.computeSeconds
            $0.othersSeconds = median
            $0.onlyOther = others.count == 1 ? others[0].worker : ""
            $0.waitedSeconds = waited
            $0.prefillSeconds = whole
        }
    }

    private static func slowLink(_ ring: [WorkerShare], _ whole: Double) -> StragglerMessage? {
        struct Link {
            let to: Int
            let bytes: UInt64
            let wire: Double
            /// Of its receiver's waits, at most what the transfers took.
            let waited: Double
            var secondsPerByte: Double { wire / Double(max(1, bytes)) }
        }
        let links = ring.indices.filter { ring[$0].tokens > 0 }.map { index in
            let steps = ring[index].steps.filter { $0.step > 0 && $0.wireSeconds.isFinite }
            return Link(
                to: index, bytes: sum(steps.map(\.bytes)),
                wire: steps.map { max(0, $0.wireSeconds) }.reduce(0, +),
                waited: steps.map { min(max(0, $0.waitSeconds), max(0, $0.wireSeconds)) }.reduce(0, +))
        }.filter { $0.bytes > 0 && $0.wire > 0 }
        guard let slowest = links.max(by: { $0.secondsPerByte < $1.secondsPerByte }),
            slowest.waited > least * whole, slowest.waited > ring[slowest.to].waitSeconds / 2
        else { return nil }
        let receiver = ring[slowest.to]
        let sender = ring[(slowest.to + ring.count - 1) % ring.count]
        return .with {
            $0.worker = receiver.worker
            $0.sender = sender.worker
            $0.computeSeconds = receiver.computeSeconds
            $0.waitedSeconds = receiver.waitSeconds
            $0.prefillSeconds = whole
            $0.bytes = slowest.bytes
            $0.wireSeconds = slowest.wire
        }
    }

    /// Figures come from other processes: a sum past the largest number stays there.
    private static func sum(_ values: [UInt64]) -> UInt64 {
        values.reduce(0) { sum, value in
            let (result, overflow) = sum.addingReportingOverflow(value)
            return overflow ? .max : result
        }
    }
}
