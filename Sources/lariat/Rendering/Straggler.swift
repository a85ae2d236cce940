// Which worker or link a prefill waited for, worked out from what its workers measured. No I/O.

package import Messages

/// What held up a ring, where that cost enough to matter.
package struct Straggler: Sendable, Equatable {
    package enum Cause: Sendable, Equatable {
        /// It computes for longer than the others, of which the median is `others` seconds; `only` is the name of the
        /// other worker where there is one alone.
        case computing(others: Double, only: String?)
        /// Its blocks come slowly from `sender`: `bytes` in `wire` seconds.
        case link(from: String, bytes: UInt64, wire: Double)
    }

    /// The worker that computes longest, or the one that the slow link leads to.
    package let worker: String
    package let cause: Cause
    /// Seconds of computing.
    package let compute: Double
    /// Seconds: of the others, in the mean, where computing is the cause; else of the worker itself.
    package let waited: Double
    /// Seconds of prefill.
    package let prefill: Double

    /// Waits below this part of prefill are not worth a word.
    private static let least = 0.1
    /// A worker is slow, or a link, when it takes so much longer than the others.
    private static let excess = 1.1

    /// - Returns: nil when little was lost, or when neither computing nor a link explains the waits.
    package static func find(in job: JobRecord) -> Straggler? {
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

    private static func slowWorker(_ shares: [WorkerShare], _ whole: Double) -> Straggler? {
        let sorted = shares.sorted { $0.computeSeconds < $1.computeSeconds }
        guard let slowest = sorted.last else { return nil }
        let others = sorted.dropLast()
        let median = others[(others.count - 1) / 2].computeSeconds
        let waited = others.map(\.waitSeconds).reduce(0, +) / Double(others.count)
        // What it computes longer must explain the greater part of the waits.
        guard slowest.computeSeconds > excess * median, waited > least * whole,
            slowest.computeSeconds - median > waited / 2
        else { return nil }
        return Straggler(
            worker: slowest.worker,
            cause: .computing(others: median, only: others.count == 1 ? others[0].worker : nil),
            compute: slowest.computeSeconds,
            waited: waited, prefill: whole)
    }

    private static func slowLink(_ ring: [WorkerShare], _ whole: Double) -> Straggler? {
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
                to: index, bytes: JobReport.sum(steps.map(\.bytes)),
                wire: steps.map { max(0, $0.wireSeconds) }.reduce(0, +),
                waited: steps.map { min(max(0, $0.waitSeconds), max(0, $0.wireSeconds)) }.reduce(0, +))
        }.filter { $0.bytes > 0 && $0.wire > 0 }
        guard let slowest = links.max(by: { $0.secondsPerByte < $1.secondsPerByte }),
            slowest.waited > least * whole, slowest.waited > ring[slowest.to].waitSeconds / 2
        else { return nil }
        let receiver = ring[slowest.to]
        let sender = ring[(slowest.to + ring.count - 1) % ring.count]
        return Straggler(
            worker: receiver.worker,
            cause: .link(from: sender.worker, bytes: slowest.bytes, wire: slowest.wire),
            compute: receiver.computeSeconds, waited: receiver.waitSeconds, prefill: whole)
    }

    /// A sentence. `isOver`: the job has ended well, so that the next one knows its speeds.
    package func text(isOver: Bool) -> String {
        let lost = "\(Quantity.duration(waited)) of \(Quantity.duration(prefill))"
        switch cause {
        case .computing(let others, let only):
            return
                "\(worker) is the slowest: \(Quantity.duration(compute)) of computing where "
                + "\(only.map { "\($0) needs" } ?? "the others need") \(Quantity.duration(others)); "
                + "\(only ?? "they") waited for it \(lost)"
                + (isOver ? "; its share follows its speed from the next job on" : "")
        case .link(let sender, let bytes, let wire):
            let rate = Quantity.bytes(UInt64(min(Double(bytes) / wire, 1e18)))
            return
                "the link from \(sender) to \(worker) is slow: \(Quantity.bytes(bytes)) in "
                + "\(Quantity.duration(wire)), \(rate)/s; \(worker) waited \(lost), most of it for blocks on their way"
        }
    }
}
