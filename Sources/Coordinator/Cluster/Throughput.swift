// The last hour in samples: tokens a second, jobs that ran and waited. A value; the clock is an argument.

/// Samples of a fixed length, the newest last, an hour of them at most.
package struct Throughput: Sendable {
    package struct Sample: Sendable, Equatable {
        package var promptTokensPerSecond: Double
        package var generatedTokensPerSecond: Double
        package var running: Int
        package var waiting: Int

        package init(
            promptTokensPerSecond: Double, generatedTokensPerSecond: Double, running: Int, waiting: Int
        ) {
            self.promptTokensPerSecond = promptTokensPerSecond
            self.generatedTokensPerSecond = generatedTokensPerSecond
            self.running = running
            self.waiting = waiting
        }
    }

    package static let interval: Duration = .seconds(10)
    package static let most = 360

    package private(set) var samples: [Sample] = []
    private var began: ContinuousClock.Instant
    private var tokens: (prompt: Double, generated: Double)

    package init(at now: ContinuousClock.Instant) {
        began = now
        tokens = (0, 0)
    }

    /// Ends the sample that is due, or several when nobody looked for long.
    /// - Parameter sums: tokens since the start; they never shrink but when a job fails.
    package mutating func look(
        at now: ContinuousClock.Instant, sums: @autoclosure () -> (prompt: Double, generated: Double),
        running: Int, waiting: Int
    ) {
        let due = Int((now - began) / Self.interval)
        guard due > 0 else { return }
        let sums = sums()
        // What was done since the last look is spread over the time that it took.
        let seconds = Double(due) * (Self.interval / .seconds(1))
        let sample = Sample(
            promptTokensPerSecond: max(0, sums.prompt - tokens.prompt) / seconds,
            generatedTokensPerSecond: max(0, sums.generated - tokens.generated) / seconds,
            running: running, waiting: waiting)
        samples += Array(repeating: sample, count: min(due, Self.most))
        if samples.count > Self.most { samples.removeFirst(samples.count - Self.most) }
        began += Self.interval * due
        tokens = sums
    }
}
