// The thread pool, the engine's settings, and matrices.
import Kernels
import Synchronization
import Testing

private final class Counters: Sendable {
    let inside = Atomic<Int>(0)
    let total = Atomic<Int>(0)
}

@Suite struct ComputeTests {
    @Test(arguments: [1, 2, 3, 8])
    func everyItemOnce(threads: Int) throws {
        let compute = try Compute(threads: threads, precision: .f32)
        for count in [0, 1, 2, 7, 100, 1000] {
            let seen = Mutex([Int](repeating: 0, count: count))
            let inUse = Mutex(Set<Int>())
            compute.forEach(count) { item, thread in
                let (fresh, _) = inUse.withLock { $0.insert(thread) }
                #expect(fresh && thread >= 0 && thread < threads)
                seen.withLock { $0[item] += 1 }
                inUse.withLock { _ = $0.remove(thread) }
            }
            #expect(seen.withLock { $0.allSatisfy { $0 == 1 } })
        }
    }

    /// Loops so short that helpers come late, leave while the next one starts, or miss it.
    @Test func manyShortLoops() throws {
        let compute = try Compute(threads: 4, precision: .f32)
        let total = Atomic<Int>(0)
        for round in 0..<5000 {
            compute.forEach(round % 6) { item, _ in total.add(item + 1, ordering: .relaxed) }
        }
        let wanted = (0..<5000).reduce(0) { $0 + (0...$1 % 6).reduce(0, +) }
        #expect(total.load(ordering: .relaxed) == wanted)
    }

    @Test func loopsOfSeveralCallersTakeTurns() async throws {
        let compute = try Compute(threads: 2, precision: .f32)
        let counters = Counters()
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<3 {
                group.addTask {
                    for _ in 0..<50 {
                        compute.forEach(4) { _, _ in
                            #expect(counters.inside.add(1, ordering: .relaxed).newValue <= 2)
                            counters.total.add(1, ordering: .relaxed)
                            counters.inside.subtract(1, ordering: .relaxed)
                        }
                    }
                }
            }
        }
        #expect(counters.total.load(ordering: .relaxed) == 600)
    }

    @Test func settingsAreChecked() throws {
        #expect(throws: KernelError.threadCount(0, limit: 1024)) { try Compute(threads: 0, precision: .f32) }
        #expect(throws: KernelError.threadCount(1025, limit: 1024)) {
            try Compute(threads: 1025, precision: .f32)
        }
        #expect(throws: KernelError.self) { try Compute(threads: 2, cores: [0], precision: .f32) }
        #expect(throws: KernelError.self) { try Compute(threads: 1, cores: [5000], precision: .f32) }
        #expect(throws: KernelError.self) { try Compute(threads: 2, cores: [0, 1023], precision: .f32) }
        let compute = try Compute(threads: 2, cores: [0, 0], precision: .bf16)
        #expect(compute.usesBF16 == (compute.isa == .avx512bf16))
        let scalar = try Compute(threads: 1, isa: .scalar, precision: .bf16)
        #expect(!scalar.usesBF16)
        if let missing = ISA.allCases.first(where: { !ISA.available.contains($0) }) {
            #expect(throws: KernelError.self) { try Compute(threads: 1, isa: missing, precision: .f32) }
        }
    }

    @Test func views() {
        let matrix = Matrix(rows: 6, columns: 2, values: (0..<12).map(Float.init))
        let view = matrix.rows(2..<5).rows(1..<3)
        #expect(view.values() == [6, 7, 8, 9])
        view[1, 0] = -1
        #expect(matrix[4, 0] == -1)
        matrix.reshape(rows: 3)
        #expect(matrix.values() == [0, 1, 2, 3, 4, 5])
        #expect(matrix.withRow(1) { $0[1] } == 3)
        matrix.withMutableSpan { $0[5] = 50 }
        #expect(matrix[2, 1] == 50)
        #expect(Matrix(rows: 3, columns: 3).values().allSatisfy { $0 == 0 })
    }

    /// A view outlives the name of its owner.
    @Test func viewsKeepTheirOwner() {
        var view: Matrix?
        do {
            let owner = Matrix(rows: 4, columns: 1, values: [1, 2, 3, 4])
            view = owner.rows(1..<3)
        }
        #expect(view?.values() == [2, 3])
    }
}
