// Measures what the machine can do, again and again over the life of a benchmark.
package import Kernels
import RingAttention

/// The limits of the machine that were measured, in operations or bytes a second.
package struct PeakRates: Sendable, Equatable {
    package private(set) var values: [Peak: Repeated] = [:]

    package init() {}

    package mutating func add(_ peak: Peak, _ rate: Double) { values[peak, default: Repeated()].add(rate) }

    /// The median of what was measured.
    package subscript(_ peak: Peak) -> Double? { values[peak]?.median }
}

/// A compute engine and memory to measure limits with. Used on compute threads only.
package final class PeakMeter: Sendable {
    package let compute: Compute
    private let memory: Matrix

    /// Memory that no cache of today's processors holds; twice as much is copied within.
    package static let memoryBytes = 256 << 20

    package init(
        threads: Int, isa: ISA, precision: Precision, memoryBytes: Int = PeakMeter.memoryBytes
    ) throws(BenchmarkError) {
        do throws(KernelError) {
            compute = try Compute(threads: threads, isa: isa, precision: precision)
        } catch { throw .kernel(error) }
        memory = Matrix(rows: max(1, memoryBytes / 4096), columns: 1024)
    }

    /// The limit of dense products and attention: of the operands that they have.
    package var densePeak: Peak { compute.usesBF16 ? .bf16 : .f32 }

    /// Operations or bytes a second; nil when there is no such instruction.
    package func rate(of peak: Peak, seconds: Double) -> Double? {
        compute.measure(peak, seconds: seconds, memory: memory)
    }

    /// Measures some limits, `seconds` each, on a thread of its own.
    package func measure(_ peaks: [Peak], seconds: Double, into rates: inout PeakRates) async {
        let measured = await onComputeThread("peak") {
            peaks.map { ($0, self.rate(of: $0, seconds: seconds)) }
        }
        for (peak, rate) in measured {
            if let rate { rates.add(peak, rate) }
        }
    }
}
