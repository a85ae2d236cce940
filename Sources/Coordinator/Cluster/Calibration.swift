// Asks workers how fast they are.
import Messages
import Protobuf

/// Why nothing is known about the time a job would take.
package struct Unmeasured: Error, Equatable, Sendable {
    package let reason: String

    package init(_ reason: String) { self.reason = reason }

    static let jobRuns = Unmeasured("not measured yet: a job is running; ask again when none is")
    static let membersChange = Unmeasured("not measured yet: workers come and go; ask again in a moment")
}

/// One round of measurements.
struct Calibration: Sendable {
    let dialler: any WorkerDialler
    let timeout: Duration

    /// Measures all workers at the same time: those that share cores or a link get what they would get in a job.
    /// - Parameter workers: in the order of the ring.
    /// - Returns: rates in the same order, checked.
    func measure(_ workers: [MemberRecord], epoch: UInt64) async -> Result<[WorkerRates], Unmeasured> {
        await withTaskGroup(of: (index: Int, rates: Result<WorkerRates, Unmeasured>).self) { group in
            for (index, worker) in workers.enumerated() {
                let next = workers.count > 1 ? workers[(index + 1) % workers.count].ringAddress : ""
                let request = CalibrateRequest.with {
                    $0.epoch = epoch
                    $0.nextRingAddress = next
                }
                group.addTask { (index, await measure(worker, request)) }
            }
            var found: [WorkerRates?] = Array(repeating: nil, count: workers.count)
            var failures: [(index: Int, why: Unmeasured)] = []
            for await answer in group {
                switch answer.rates {
                case .success(let rates): found[answer.index] = rates
                case .failure(let why): failures.append((answer.index, why))
                }
            }
            if let first = failures.min(by: { $0.index < $1.index }) { return .failure(first.why) }
            return .success(found.compactMap { $0 })
        }
    }

    private func measure(
        _ worker: MemberRecord, _ request: CalibrateRequest
    ) async -> Result<WorkerRates, Unmeasured> {
        do throws(WorkerFailure) {
            let rates = try await dialler.calibrate(worker, request, timeout: timeout)
            guard Self.isSound(rates, sends: !request.nextRingAddress.isEmpty) else {
                return .failure(Unmeasured("not measured: worker \(worker.name) reported impossible rates"))
            }
            return .success(rates)
        } catch {
            return .failure(
                Unmeasured("not measured: worker \(worker.name) cannot be measured: \(error.message)"))
        }
    }

    /// Whether one can divide by these figures, and whether a machine could reach them.
    static func isSound(_ rates: WorkerRates, sends: Bool) -> Bool {
        let operations: ClosedRange<Double> = 1e3...1e18
        return operations.contains(rates.denseOperationsPerSecond)
            && operations.contains(rates.attentionOperationsPerSecond)
            && (0...1e5).contains(rates.pieceKeys) && (0...3600).contains(rates.unpackSeconds)
            && (1...65_536).contains(rates.hostCores)
            && (sends ? 1...1e15 : 0...0).contains(rates.linkBytesPerSecond)
    }
}
