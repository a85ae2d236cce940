// Carries out one run: calls its workers, sends them plans, tokens and commands, and reports what they say.
import Messages
import Protobuf
import Synchronization

/// The calls of one run. What is to happen is decided elsewhere (`RunState`).
final class RunDriver: Sendable {
    private enum Ending: Sendable { case ahead, gentle, cut }
    private struct Calls: Sendable {
        var open: [Int: any WorkerConnection] = [:]
        var isCancelled = false
    }
    /// Workers end their calls themselves when all is done; one that does not is cut off after so long.
    private static let patience: Duration = .seconds(2)

    private let prompt: [UInt32]
    private let dialler: any WorkerDialler
    private let report: @Sendable (RunState.Input) async -> Void
    private let broke: @Sendable (_ worker: String, _ reason: String) async -> Void
    private let ending = Feed(Ending.ahead)
    private let calls = Mutex(Calls())
    private let commands = Mutex<[Int: AsyncStream<RunCommand>.Continuation]>([:])
    /// 128 random bits that only this run's workers are told.
    private let key: String

    /// - Parameters:
    ///   - report: told what workers say; it waits while more is reported than can be handled.
    ///   - broke: told of a worker whose connection broke, and why.
    init(
        prompt: [UInt32], key: String, dialler: any WorkerDialler,
        report: @escaping @Sendable (RunState.Input) async -> Void,
        broke: @escaping @Sendable (_ worker: String, _ reason: String) async -> Void
    ) {
        self.prompt = prompt
        self.key = key
        self.dialler = dialler
        self.report = report
        self.broke = broke
    }

    /// Random, for the workers of one run.
    static func newKey() -> String {
        (0..<2).map { _ in String(UInt64.random(in: .min ... .max), radix: 16) }.joined()
    }

    /// The last token of the prompt.
    var lastToken: UInt32? { prompt.last }

    /// Calls all workers. Returns after `end`, when all calls are over.
    func run(_ order: RunOrder) async {
        let ranks = order.plan.members.indices
        var streams: [AsyncStream<RunCommand>] = []
        for rank in ranks {
            let (stream, continuation) = AsyncStream<RunCommand>.makeStream()
            streams.append(stream)
            commands.withLock { $0[rank] = continuation }
        }
        await withTaskGroup(of: Void.self) { group in
            for rank in ranks {
                group.addTask { [streams] in await self.converse(rank, order, streams[rank]) }
            }
            var news = ending.news
            while news.value == .ahead { news = await ending.wait(beyond: news.version) }
            for continuation in commands.withLock({ $0.values }) { continuation.finish() }
            if news.value == .gentle {
                group.addTask { try? await Task.sleep(for: Self.patience) }
                for _ in ranks { await group.next() }
            }
            cancelAll()
            group.cancelAll()
        }
    }

    /// Goes out after what this worker was told before. A failure is what the reading side will report.
    func tell(_ rank: Int, _ command: RunCommand) { commands.withLock { $0[rank] }?.yield(command) }

    /// The run is over: calls end, or are cut off at once.
    func end(cuts: Bool) { ending.update { $0 = cuts ? .cut : .gentle } }

    /// One worker's call from dialling to its end.
    private func converse(_ rank: Int, _ order: RunOrder, _ commands: AsyncStream<RunCommand>) async {
        do throws(WorkerFailure) {
            let call = try await dialler.open(order.plan.members[rank])
            guard add(call, rank) else { return call.cancel() }
            // The plan goes out beside reading, so that a worker's refusal is heard at once.
            async let _: Void = send(rank, order, commands, to: call)
            while let event = try await call.next() { await report(.event(rank: rank, event)) }
            await report(.ended(rank: rank, nil))
        } catch {
            if error.connectionLost { await broke(order.plan.members[rank].name, error.message) }
            await report(.ended(rank: rank, error))
        }
    }

    private func send(
        _ rank: Int, _ order: RunOrder, _ commands: AsyncStream<RunCommand>, to call: any WorkerConnection
    ) async {
        do throws(WorkerFailure) {
            try await call.send(
                .plan(
                    order.plan.message(
                        rank: rank, job: order.job, prompt: prompt,
                        profile: order.job.profile ?? ProfileMessage(),
                        epoch: order.epoch, stallSeconds: order.stallSeconds, runKey: key)))
            for part in order.plan.tokenParts(
                rank: rank, prompt: prompt, kind: order.job.options?.kind ?? .generate)
            {
                try await call.send(.tokens(part))
            }
            for await command in commands { try await call.send(command) }
            await call.finishSending()
        } catch {
            // The reading side throws the same and reports it.
        }
    }

    /// False when the run is over already.
    private func add(_ call: any WorkerConnection, _ rank: Int) -> Bool {
        calls.withLock { calls in
            guard !calls.isCancelled else { return false }
            calls.open[rank] = call
            return true
        }
    }

    private func cancelAll() {
        let open = calls.withLock { calls in
            calls.isCancelled = true
            return Array(calls.open.values)
        }
        for call in open { call.cancel() }
    }
}
