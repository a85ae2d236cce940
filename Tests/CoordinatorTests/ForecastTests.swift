// Forecasts over scripted workers: when they are measured, and what is said when they are not.
import Coordinator
import Messages
import Protobuf
import Testing

@Suite(.timeLimit(.minutes(10))) struct ForecastTests {
    @inline(never) private func bench(_ names: [String] = ["alpha", "beta"]) async throws -> Bench {
        try await Bench(TemporaryDirectory(), names: names)
    }

    @inline(never) private func forecast(_ bench: Bench, tokens: Int = 100) async -> Forecast {
        await bench.core.forecast(
            .with {
                $0.maxTokens = 10
                $0.workers = 1024
            }, prompt: (0..<tokens).map { UInt32($0 % 256) })
    }

    @Test func workersAreMeasuredOnce() async throws {
        let bench = try await bench()
        let first = await forecast(bench)
        #expect(first.admissible && first.prefillSeconds > 0 && first.unmeasuredReason == "")
        #expect(first.costs.map(\.worker) == ["alpha", "beta"])
        #expect(first.costs.allSatisfy { $0.computeSeconds > 0 && $0.wireSeconds > 0 })
        #expect(first.costs.map(\.rates) == [sampleRates(sends: true), sampleRates(sends: true)])
        // An answer of ten tokens of a model with 2 MB of weights and 4 layers, on two workers.
        #expect(first.decodeSeconds > 10 * (2e6 / 1e10 + 4 * 5e-4) && first.decodeSeconds < 1)
        #expect(first.totalSeconds == first.prefillSeconds + first.decodeSeconds)
        #expect(await forecast(bench) == first)
        #expect(await forecast(bench, tokens: 500).prefillSeconds > first.prefillSeconds)
        // Each was told the other's address.
        #expect(bench.workers.links("alpha") == ["127.0.0.1:7002"])
        #expect(bench.workers.links("beta") == ["127.0.0.1:7002"])
    }

    @Test func scoresHaveNoAnswer() async throws {
        let bench = try await bench()
        let scored = await bench.core.forecast(.with { $0.kind = .score }, prompt: [1, 2, 3])
        #expect(scored.decodeSeconds == 0 && scored.totalSeconds == scored.prefillSeconds)
        #expect(scored.totalSeconds > 0)
    }

    @Test func sharesAreCutByWhatTheMeasurementShowed() async throws {
        let bench = try await bench()
        var fast = sampleRates(sends: true)
        fast.denseOperationsPerSecond *= 4
        fast.attentionOperationsPerSecond *= 4
        bench.workers.set("alpha", rates: fast)
        let first = await forecast(bench)
        #expect(first.shares[0].tokens > first.shares[1].tokens)
        #expect(await forecast(bench).shares == first.shares)
    }

    @Test func aWorkerAloneSendsNothing() async throws {
        let bench = try await bench(["alpha"])
        let forecast = await forecast(bench)
        #expect(forecast.prefillSeconds > 0 && forecast.costs.map(\.wireSeconds) == [0])
        #expect(bench.workers.links("alpha") == [""])
    }

    @Test func anotherWorkerChangesAll() async throws {
        let bench = try await bench()
        _ = await forecast(bench)
        try await bench.join("gamma")
        #expect(await forecast(bench).costs.map(\.worker) == ["alpha", "beta", "gamma"])
        #expect(bench.workers.links("alpha").count == 2)
        // The same start of the same worker, back after a loss.
        try await bench.join("gamma")
        _ = await forecast(bench)
        #expect(bench.workers.links("alpha").count == 2)
    }

    @Test func aRunningJobIsNotDisturbed() async throws {
        let bench = try await bench()
        bench.workers["alpha"] = .hang
        bench.workers["beta"] = .hang
        let id = try await bench.submit("hello").id
        let unknown = await forecast(bench)
        #expect(unknown.admissible && unknown.prefillSeconds == 0 && unknown.costs.isEmpty)
        #expect(unknown.unmeasuredReason == "not measured yet: a job is running; ask again when none is")
        #expect(bench.workers.links("alpha") == [])
        _ = try await bench.core.cancel(id)
        _ = try await bench.result(id)
        while await bench.core.cluster().running > 0 { try await Task.sleep(for: .milliseconds(2)) }
        #expect(await forecast(bench).prefillSeconds > 0)
    }

    @Test func aJobWaitsForTheMeasurement() async throws {
        let bench = try await bench()
        bench.workers["alpha"] = .answer("yes")
        bench.workers.holdsMeasurements = true
        async let one = forecast(bench)
        async let two = forecast(bench)
        while bench.workers.links("beta").isEmpty { try await Task.sleep(for: .milliseconds(2)) }
        let id = try await bench.submit("hello").id
        #expect(try await bench.core.job(id).state == .queued)
        bench.workers.holdsMeasurements = false
        #expect(await one.prefillSeconds > 0)
        // Both asked for the same measurement, or the second found its result.
        #expect(await two == one)
        #expect(bench.workers.links("alpha").count == 1)
        #expect(try await bench.result(id).state == .succeeded)
    }

    @Test func aWorkerThatCannotBeMeasuredIsNamed() async throws {
        let bench = try await bench()
        bench.workers["beta"] = .refuse("no answer in time")
        let failed = await forecast(bench)
        #expect(failed.admissible && failed.prefillSeconds == 0 && failed.shares.count == 2)
        #expect(failed.unmeasuredReason == "not measured: worker beta cannot be measured: no answer in time")
        // Nothing is kept of it.
        bench.workers["beta"] = .answer("")
        #expect(await forecast(bench).prefillSeconds > 0)
    }

    @Test(
        arguments: [
            { $0.denseOperationsPerSecond = .nan }, { $0.denseOperationsPerSecond = 0 },
            { $0.attentionOperationsPerSecond = .infinity }, { $0.attentionOperationsPerSecond = -1e9 },
            { $0.unpackSeconds = -1 }, { $0.unpackSeconds = .nan }, { $0.linkBytesPerSecond = 0 },
            { $0.linkBytesPerSecond = 1e300 }, { $0.hostCores = 0 },
            { $0.pieceKeys = -1 }, { $0.pieceKeys = .nan },
        ] as [@Sendable (inout WorkerRates) -> Void])
    func impossibleRatesAreRefused(change: @Sendable (inout WorkerRates) -> Void) async throws {
        let bench = try await bench()
        var rates = sampleRates(sends: true)
        change(&rates)
        bench.workers.set("alpha", rates: rates)
        let forecast = await forecast(bench)
        #expect(forecast.prefillSeconds == 0)
        #expect(forecast.unmeasuredReason == "not measured: worker alpha reported impossible rates")
    }
}
