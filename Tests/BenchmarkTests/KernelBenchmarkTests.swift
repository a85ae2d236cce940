// Every measurement runs and gives figures that can be figures; how large they are is never asked.
import Benchmark
import GGUF
import Kernels
import Synchronization
import Testing

@Suite(.serialized, .timeLimit(.minutes(10))) struct KernelBenchmarkTests {
    @Test(arguments: ISA.available) func everyKernelRuns(isa: ISA) async throws {
        let names = Names()
        let report = try await KernelBenchmark(
            threads: 2, isa: isa, seconds: 0.002, sizes: .tiny
        ).run { names.add($0) }
        #expect(Set(report.results.map(\.group)) == Set(KernelGroup.allCases))
        #expect(names.count == report.results.count)
        for result in report.results {
            for value in [result.rate, result.peak, result.share] + [result.elementsPerSecond ?? 1] {
                let value = try #require(value, "\(result.name)")
                #expect(value.isFinite && value > 0, "\(result.name)")
            }
        }
        for group in [KernelGroup.dot, .dequantise] {
            #expect(report.results.count { $0.group == group } == GGUFTensorType.allCases.count)
        }
        let hasBF16 = isa == .avx512bf16
        for peak in Peak.allCases {
            let exists = hasBF16 || (peak != .bf16 && peak != .int8)
            #expect((report.peaks[peak] != nil) == exists, "\(peak)")
        }
    }

    @Test func someGroups() async throws {
        let report = try await KernelBenchmark(
            threads: 1, precision: .f32, seconds: 0.002, groups: [.exp, .norms], sizes: .tiny
        ).run { _ in }
        #expect(Set(report.results.map(\.group)) == [.exp, .norms])
    }

    @Test func threadsAreChecked() async {
        await #expect(throws: BenchmarkError.self) {
            try await KernelBenchmark(threads: 0, sizes: .tiny).run { _ in }
        }
    }
}

/// What was announced.
private final class Names: Sendable {
    private let names = Mutex<[String]>([])
    var count: Int { names.withLock { $0.count } }
    func add(_ name: String) { names.withLock { $0.append(name) } }
}
