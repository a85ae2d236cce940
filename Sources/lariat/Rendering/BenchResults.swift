// What the measurements of jobs found, worked out from job records. No I/O.

package import Benchmark
package import Messages

/// A job of a measurement, and the memory that its workers had by its end.
package struct BenchJob: Sendable {
    package let record: JobRecord
    /// The most that any worker had since it started, mapped model file included, in bytes.
    package let peakMemory: UInt64

    package init(record: JobRecord, peakMemory: UInt64) {
        self.record = record
        self.peakMemory = peakMemory
    }
}

extension [WorkerShare] {
    /// Waiting's part of all workers' time; nil when none is known.
    var waitShare: Double? {
        let wait = map(\.waitSeconds).reduce(0, +)
        let all = wait + map(\.computeSeconds).reduce(0, +)
        return all > 0 ? wait / all : nil
    }
}

/// nil when one of the two is not known.
private func share(_ rate: Double?, of peak: Double?) -> Double? {
    guard let rate, let peak, rate.isFinite, peak > 0 else { return nil }
    return rate / peak
}

/// Prefill of one length.
package struct PrefillResult: Sendable {
    package let tokens: Int
    package let workers: Int
    /// Of each worker.
    package let threads: Int
    package let seconds: Repeated
    package let waitShare: Double?
    /// Of the arithmetic that the processor can do; nil when it was not measured.
    package let peakShare: Double?
    /// Of the largest worker.
    package let peakMemory: UInt64
    package let modelBytes: UInt64
    /// Keys and values of the worker that holds most.
    package let kvBytes: UInt64

    /// - Parameters:
    ///   - operations: of one prefill, all workers together.
    ///   - peak: operations a second that the threads of all workers can do.
    package init(
        tokens: Int, workers: Int, threads: Int, jobs: [BenchJob], operations: Double, peak: Double?,
        modelBytes: UInt64
    ) {
        self.tokens = tokens
        self.workers = workers
        self.threads = threads
        self.modelBytes = modelBytes
        seconds = Repeated(jobs.map(\.record.prefillSeconds))
        waitShare = Repeated(jobs.compactMap(\.record.shares.waitShare)).median
        peakMemory = jobs.map(\.peakMemory).max() ?? 0
        kvBytes = jobs.flatMap(\.record.shares).map(\.kvBytes).max() ?? 0
        peakShare = share(seconds.median.map { operations / $0 }, of: peak)
    }

    package var tokensPerSecond: Double? {
        seconds.median.flatMap { $0 > 0 ? Double(tokens) / $0 : nil }
    }

    /// What a worker had besides the model file and its keys and values.
    package var restBytes: UInt64 {
        let (known, overflow) = modelBytes.addingReportingOverflow(kvBytes)
        return overflow || known > peakMemory ? 0 : peakMemory - known
    }
}

/// Decode behind one length of context.
package struct DecodeResult: Sendable {
    /// As it was asked for.
    package let context: Int
    package let workers: Int
    /// Of each worker.
    package let threads: Int
    package let generated: Int
    package let rates: Repeated
    /// Bytes of weights, and of weights, keys and values, that a token reads.
    package let weightBytes: UInt64
    package let tokenBytes: Double
    /// Of the speed at which memory can be read; nil when it was not measured.
    package let memoryShare: Double?
    package let waitShare: Double?

    /// - Parameter peak: bytes a second that the threads of all workers can read.
    package init(
        context: Int, workers: Int, threads: Int, jobs: [BenchJob], weightBytes: UInt64, tokenBytes: Double,
        peak: Double?
    ) {
        self.context = context
        self.workers = workers
        self.threads = threads
        self.weightBytes = weightBytes
        self.tokenBytes = tokenBytes
        generated = jobs.map { Int(clamping: $0.record.generatedTokens) }.min() ?? 0
        rates = Repeated(jobs.compactMap { JobReport($0.record).decodeRate })
        waitShare = Repeated(jobs.compactMap(\.record.shares.waitShare)).median
        memoryShare = share(rates.median.map { $0 * tokenBytes }, of: peak)
    }
}

/// One worker against a ring of several, the same prompt and threads in all.
package struct RingResult: Sendable {
    package let tokens: Int
    package let workers: Int
    package let threadsInAll: Int
    /// Seconds of prefill: one worker first, the ring second.
    package private(set) var seconds = Paired()
    /// Of the ring, turn by turn.
    package private(set) var shares: [[WorkerShare]] = []

    package init(tokens: Int, workers: Int, threadsInAll: Int) {
        self.tokens = tokens
        self.workers = workers
        self.threadsInAll = threadsInAll
    }

    package mutating func add(alone: JobRecord, ring: JobRecord) {
        seconds.add(alone.prefillSeconds, ring.prefillSeconds)
        shares.append(ring.shares.sorted { $0.rank < $1.rank })
    }
}

/// Transfers of blocks, and of the same bytes over plain TCP.
package struct WireResult: Sendable {
    package let bytes: Int
    package let blockBytes: Int
    /// Bytes a second: blocks first, plain TCP second.
    package let rates: Paired

    package init(bytes: Int, blockBytes: Int, rates: Paired) {
        self.bytes = bytes
        self.blockBytes = blockBytes
        self.rates = rates
    }
}
