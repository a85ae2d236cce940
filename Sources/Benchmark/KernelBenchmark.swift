// Measures kernels one by one, each against the limit of the machine that bounds it, in the same rounds.
package import Kernels
import RingAttention

/// Kernels that belong together; what `--only` names.
package enum KernelGroup: String, CaseIterable, Sendable {
    /// Prefill attention over one block of keys and values, packing included.
    case attention
    /// Decode attention: one query over the keys and values of many tokens.
    case decode
    /// Dense products with unpacked weights, for many rows.
    case linear
    /// Products of one row straight from the weights of the file.
    case dot
    /// Weights to float32.
    case dequantise
    /// Tables of cosines and sines.
    case angles
    /// Norms of rows.
    case norms
    /// The users of the exponential: SwiGLU and log-likelihood.
    case exp
}

/// What a kernel's work is counted in, and which limit bounds it.
package enum Yardstick: Sendable, Equatable {
    /// Operations, against the operations of this kind that the processor can do.
    case operations(Peak)
    /// Bytes read, against reading memory.
    case reading
    /// Bytes written, against the bytes that copying memory writes.
    case writing
    /// Bytes read and written, against those of copying memory.
    case moving

    package var peak: Peak {
        switch self {
        case .operations(let peak): peak
        case .reading: .read
        case .writing, .moving: .copy
        }
    }

    /// Turns the limit as measured into this unit.
    var factor: Double { self == .moving ? 2 : 1 }

    /// Of the rate divided by a billion.
    package var unit: String {
        switch self {
        case .operations(.int8): "GOP/s"
        case .operations: "GFLOP/s"
        case .reading, .writing, .moving: "GB/s"
        }
    }

    /// What the unit counts, for programs.
    package var name: String {
        switch self {
        case .operations(let peak): "\(peak.rawValue)_operations"
        case .reading: "bytes_read"
        case .writing: "bytes_written"
        case .moving: "bytes_moved"
        }
    }
}

/// One kernel at one size.
struct KernelCase {
    let group: KernelGroup
    let name: String
    let yardstick: Yardstick
    /// Operations or bytes of one run.
    let work: Double
    /// Weights, angles or values of one run, where that says more than bytes.
    var elements: Double?
    /// Makes its operands; what it returns runs the kernel once.
    let prepare: (Compute) throws(BenchmarkError) -> (() throws(KernelError) -> Void)
}

/// What was measured of one kernel.
package struct KernelResult: Sendable {
    package let group: KernelGroup
    package let name: String
    package let yardstick: Yardstick
    /// Operations or bytes a second, and the limit in the same unit, round by round.
    package let rounds: Paired
    package let elementsPerSecond: Double?

    package var rate: Double? { rounds.first.median }
    package var peak: Double? { rounds.second.median }
    /// The median of each round's share of the limit.
    package var share: Double? { rounds.ratio }
}

/// Everything that one run measured.
package struct KernelReport: Sendable {
    package let peaks: PeakRates
    package let results: [KernelResult]
}

/// A run over some groups of kernels.
package struct KernelBenchmark: Sendable {
    package var threads: Int
    package var isa: ISA
    package var precision: Precision
    /// Time for one kernel; its limit takes half as much again.
    package var seconds: Double
    package var groups: [KernelGroup]
    package var sizes: KernelSizes

    /// Sizes nil: such as the instruction set can do in reasonable time.
    package init(
        threads: Int, isa: ISA = .best, precision: Precision = .bf16, seconds: Double = 0.3,
        groups: [KernelGroup] = KernelGroup.allCases, sizes: KernelSizes? = nil
    ) {
        self.threads = threads
        self.isa = isa
        self.precision = precision
        self.seconds = seconds
        self.groups = groups
        self.sizes = sizes ?? KernelSizes(isa: isa)
    }

    private static let rounds = 5

    /// Measures on a thread of its own. `progress` is told each kernel's name before its turn.
    package func run(
        progress: @escaping @Sendable (String) -> Void
    ) async throws(BenchmarkError) -> KernelReport {
        try await onComputeThread("benchmark") { () throws(BenchmarkError) in
            try measure(progress)
        }
    }

    private func measure(_ progress: (String) -> Void) throws(BenchmarkError) -> KernelReport {
        let meter = try PeakMeter(
            threads: threads, isa: isa, precision: precision, memoryBytes: 2 * sizes.memoryBytes)
        var peaks = PeakRates()
        for peak in Peak.allCases {
            if let rate = meter.rate(of: peak, seconds: seconds / 2) { peaks.add(peak, rate) }
        }
        var results: [KernelResult] = []
        let cases = KernelCase.all(sizes, compute: meter.compute)
        for one in cases where groups.contains(one.group) {
            progress("\(one.group.rawValue): \(one.name)")
            results.append(try measure(one, meter, &peaks))
        }
        return KernelReport(peaks: peaks, results: results)
    }

    private func measure(
        _ one: KernelCase, _ meter: PeakMeter, _ peaks: inout PeakRates
    ) throws(BenchmarkError) -> KernelResult {
        let run = try one.prepare(meter.compute)
        let slice = seconds / Double(Self.rounds)
        let clock = ContinuousClock()
        // Runs until the time is over; returns runs a second.
        func runs(for seconds: Double) throws(BenchmarkError) -> Double {
            let start = clock.now
            var count = 0.0
            var elapsed = 0.0
            repeat {
                do throws(KernelError) { try run() } catch { throw .kernel(error) }
                count += 1
                elapsed = (clock.now - start) / .seconds(1)
            } while elapsed < seconds
            return count / max(elapsed, 1e-9)
        }
        _ = try runs(for: slice / 2)
        var rounds = Paired()
        for _ in 0..<Self.rounds {
            let peak = meter.rate(of: one.yardstick.peak, seconds: slice / 2)
            if let peak { peaks.add(one.yardstick.peak, peak) }
            rounds.add(try runs(for: slice) * one.work, (peak ?? 0) * one.yardstick.factor)
        }
        return KernelResult(
            group: one.group, name: one.name, yardstick: one.yardstick, rounds: rounds,
            elementsPerSecond: one.elements.flatMap { elements in
                rounds.first.median.map { $0 / one.work * elements }
            })
    }
}
