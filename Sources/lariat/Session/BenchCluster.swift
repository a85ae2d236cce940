// One measured job on a cluster that lives for the measurement.

internal import Benchmark
internal import Messages
internal import Sampling

/// A temporary cluster that runs prompts of random tokens.
struct BenchCluster: Sendable {
    let cluster: TemporaryCluster
    /// Token ids of prompts are below it.
    let vocabulary: UInt32

    /// Runs a prompt of `tokens` random token ids, the same for the same seed, and generates `generate` tokens.
    func run(tokens: Int, generate: Int, seed: UInt64) async throws -> BenchJob {
        var generator = SplitMix64(seed: seed)
        let ids = (0..<tokens).map { _ in UInt32.random(in: 0..<vocabulary, using: &generator) }
        var options = JobOptions()
        options.kind = .generate
        options.name = "bench"
        options.maxTokens = UInt32(generate)
        options.beyondWindow = true
        options.ignoreEnd = true
        options.workers = UInt32(cluster.workers.count)
        // Every round computes the same prompt.
        options.noReuse = true
        options.sampling = SamplingMessage()
        let job = try await cluster.coordinator.upload(
            CoordinatorService.submit, options, try PromptInput(.ids(ids)))
        let deadline = ContinuousClock.now + cluster.jobLimit
        let style = FollowStyle(output: .none, showsProgress: Terminal.errorIsTerminal)
        let record: JobRecord
        do {
            record = try await JobFollower(coordinator: cluster.coordinator, id: job.id, style: style)
                .follow(within: cluster.jobLimit)
        } catch {
            guard ContinuousClock.now >= deadline, !Task.isCancelled else { throw error }
            throw Failure(
                "a job of \(Quantity.counted(tokens, "token")) did not end within "
                    + "\(Quantity.duration(cluster.jobLimit / .seconds(1))); allow more with --job-timeout, or measure less",
                exitCode: ExitStatus.tryAgain)
        }
        try record.conclude(summary: false)
        return BenchJob(
            record: record,
            peakMemory: cluster.workers.map { Machine.peakMemory(ofProcess: $0.pid) }.max() ?? 0)
    }
}
