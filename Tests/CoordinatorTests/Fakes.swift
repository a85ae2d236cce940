// A model whose tokens are bytes, and workers that play a script instead of computing.
import Coordinator
import Foundation
import Logging
import Messages
import Protobuf
import RingAttention
import Synchronization

/// Every token is one byte of UTF-8.
struct ByteModel: ModelDescription {
    var name = "bytes"
    var fingerprint = "f00d"
    var vocabulary = 256
    var longestToken = 1
    var layers = 4
    var window = 1000
    var slidingWindow: Int?
    var kvBytesPerToken = 1000
    var activationBytesPerToken = 4000
    var denseOperations = 1e6
    var attentionOperations = 1e3
    var outputOperations = 1e4
    var weightBytes = 2_000_000
    var hasChatTemplate = true

    /// Called before text becomes tokens, with what says whether anybody still waits for them.
    var beforeEncoding: @Sendable (_ text: String, _ isAbandoned: () -> Bool) -> Void = { _, _ in }
    private var isAbandoned: @Sendable () -> Bool = { false }

    init() {}

    func abandoned(when check: @escaping @Sendable () -> Bool) -> any ModelDescription {
        var copy = self
        copy.isAbandoned = check
        return copy
    }

    func encode(_ text: String, literal: Bool) throws -> [UInt32] {
        beforeEncoding(text, isAbandoned)
        return text.utf8.map { UInt32($0) }
    }
    func encodeChat(
        _ turns: [ConversationTurn], template: String, wallMicroseconds: UInt64
    ) throws -> [UInt32] {
        let system = turns.first { $0.role == .system }?.content ?? ""
        let rest = turns.filter { $0.role != .system }.map(\.content).joined(separator: "|")
        return try encode("<\(system)|\(rest)>", literal: true)
    }
    func encodeContinuation(_ text: String, literal: Bool) throws -> [UInt32] {
        try encode(text, literal: literal)
    }
    func encodeChat(
        _ turns: [ConversationTurn], _ part: ConversationPart, marker: String, template: String,
        wallMicroseconds: UInt64
    ) throws -> [UInt32] {
        let all = String(
            decoding: try encodeChat(turns, template: template, wallMicroseconds: wallMicroseconds).map {
                UInt8($0)
            }, as: UTF8.self)
        let parts = all.components(separatedBy: marker)
        return try encode(part == .before ? parts[0] : parts[1], literal: true)
    }
    func bytes(of token: UInt32) -> [UInt8] { [UInt8(truncatingIfNeeded: token)] }
    func textStream(after last: UInt32?) -> any TokenTextStream { Stream() }
    func profile(
        promptTokens: Int, reservedTokens: Int, method: RotaryMethodMessage?
    ) throws -> (profile: ProfileMessage, note: String) {
        let message = ProfileMessage.with {
            $0.name = method?.name ?? "none"
            $0.window = UInt64(method == nil ? window : 2 * window)
        }
        return (message, method == nil ? "" : "by request")
    }

    struct Stream: TokenTextStream {
        var held: [UInt8] = []

        mutating func push(_ token: UInt32) -> String {
            held.append(UInt8(truncatingIfNeeded: token))
            guard let text = String(validating: held, as: UTF8.self) else { return "" }
            held = []
            return text
        }
        mutating func finish() -> String { String(decoding: held, as: UTF8.self) }
    }
}

/// What a worker does when it is told to start.
enum Script: Sendable {
    case answer(String)
    case scores
    /// The connection breaks after so many layers.
    case breakInPrefill(layers: Int)
    /// The connection breaks after this much of the answer.
    case breakInDecode(String)
    /// It never says anything after the start.
    case hang
    /// It takes the plan and never says anything.
    case neverAccepts
    /// It says nothing more after so many layers.
    case hangInPrefill(layers: Int)
    /// It gives up after the start, and says so by rank.
    case complain(FaultMessage.Kind, accused: UInt32)
    /// Refuses the plan in these words.
    case refuse(String)
    /// Cannot be reached.
    case unreachable
    /// Is gone between the look whether it is there and the call.
    case vanish
}

/// Opens scripted workers by name; records what happened to them.
final class ScriptedWorkers: WorkerDialler {
    private struct State: Sendable {
        var scripts: [String: Script] = [:]
        var cancelled: [String: Int] = [:]
        var prompts: [String: [UInt32]] = [:]
        var rates: [String: WorkerRates] = [:]
        var links: [String: [String]] = [:]
        var holdsMeasurements = false
    }
    private let state = Mutex(State())

    subscript(_ name: String) -> Script {
        get { state.withLock { $0.scripts[name] ?? .answer("") } }
        set { state.withLock { $0.scripts[name] = newValue } }
    }

    /// How often a run on this worker was cancelled.
    func cancelled(_ name: String) -> Int { state.withLock { $0.cancelled[name] ?? 0 } }
    /// The tokens that this worker got last.
    func prompt(_ name: String) -> [UInt32] { state.withLock { $0.prompts[name] ?? [] } }

    /// Measurements do not end while this is set.
    var holdsMeasurements: Bool {
        get { state.withLock { $0.holdsMeasurements } }
        set { state.withLock { $0.holdsMeasurements = newValue } }
    }
    /// What this worker says when it is measured.
    func set(_ name: String, rates: WorkerRates) { state.withLock { $0.rates[name] = rates } }
    /// Where this worker was told to send blocks, each time it was measured.
    func links(_ name: String) -> [String] { state.withLock { $0.links[name] ?? [] } }

    func calibrate(
        _ member: MemberRecord, _ request: CalibrateRequest, timeout: Duration
    ) async throws(WorkerFailure) -> WorkerRates {
        state.withLock { $0.links[member.name, default: []].append(request.nextRingAddress) }
        while holdsMeasurements { try? await Task.sleep(for: .milliseconds(2)) }
        if case .refuse(let why) = self[member.name] {
            throw WorkerFailure(connectionLost: false, message: why)
        }
        return state.withLock { $0.rates[member.name] }
            ?? sampleRates(sends: !request.nextRingAddress.isEmpty)
    }

    func open(_ member: MemberRecord) async throws(WorkerFailure) -> any WorkerConnection {
        if case .vanish = self[member.name] {
            throw WorkerFailure(connectionLost: true, message: "connection refused")
        }
        return Connection(name: member.name, script: self[member.name], workers: self)
    }

    func reach(_ member: MemberRecord) async throws(WorkerFailure) {
        if case .unreachable = self[member.name] {
            throw WorkerFailure(connectionLost: true, message: "connection refused")
        }
    }

    private final class Connection: WorkerConnection {
        private enum Said: Sendable {
            case event(RunEvent)
            case end(WorkerFailure?)
        }
        private struct Received: Sendable {
            var plan = RunPlan()
            var tokens: [UInt32] = []
            var next: [UInt32] = []
            var stopped = false
            var over = false
        }
        private let name: String
        private let script: Script
        private let workers: ScriptedWorkers
        private let said: AsyncStream<Said>
        private let mouth: AsyncStream<Said>.Continuation
        private let received = Mutex(Received())

        init(name: String, script: Script, workers: ScriptedWorkers) {
            self.name = name
            self.script = script
            self.workers = workers
            (said, mouth) = AsyncStream.makeStream()
        }

        func send(_ command: RunCommand) async throws(WorkerFailure) {
            if received.withLock({ $0.over }) { throw WorkerFailure(connectionLost: true, message: "closed") }
            let ready = received.withLock { received in
                switch command {
                case .plan(let plan): received.plan = plan
                case .tokens(let part):
                    received.tokens += part.tokens
                    received.next += part.next
                case .start: return false
                case .stop:
                    received.stopped = true
                    return false
                }
                return received.tokens.count == Int(received.plan.tokenCount)
            }
            if ready {
                workers.state.withLock { [tokens = received.withLock { $0.tokens }] in
                    $0.prompts[name] = tokens
                }
                if case .refuse(let why) = script {
                    say(.end(WorkerFailure(connectionLost: false, message: why)))
                } else if case .neverAccepts = script {
                    return
                } else {
                    say(.event(.accepted))
                }
            }
            if command == .start { play() }
        }

        func next() async throws(WorkerFailure) -> RunEvent? {
            for await first in said {
                switch first {
                case .event(let event): return event
                case .end(let failure):
                    if let failure { throw failure }
                    return nil
                }
            }
            return nil
        }

        func finishSending() async { end(nil) }

        func cancel() {
            workers.state.withLock { $0.cancelled[name, default: 0] += 1 }
            end(WorkerFailure(connectionLost: false, message: "cancelled"))
        }

        private func end(_ failure: WorkerFailure?) {
            let over = received.withLock { received in
                defer { received.over = true }
                return received.over
            }
            if !over { mouth.yield(.end(failure)) }
        }

        private func say(_ what: Said) { mouth.yield(what) }

        private func play() {
            let plan = received.withLock { $0.plan }
            let tokens = Int(plan.promptTokens)
            let layout = try? Layout(
                stripeTokens: Int(plan.stripeTokens), weights: plan.members.map { Int($0.weight) })
            let leads = layout?.owner(of: tokens - 1) == Int(plan.rank)
            func layers(_ count: Int) {
                for layer in 0..<count {
                    say(
                        .event(.progress(PrefillProgress(layers: 4, prefilledLayers: UInt32(layer + 1)))))
                }
            }
            func keep() {
                guard !plan.keep.isEmpty else { return }
                say(.event(.kept(KeptSequence(tokens: plan.promptTokens / 128 * 128, kvBytes: 1))))
            }
            func answer(_ text: String) {
                guard leads, plan.kind != .ingest else { return }
                for byte in text.utf8 {
                    say(
                        .event(.token(ChosenToken(token: UInt32(byte), logProbability: 0, likely: nil))))
                }
            }
            switch script {
            case .answer(let text):
                layers(4)
                keep()
                answer(text)
                finish(.end)
            case .scores:
                layers(4)
                for run in layout?.positions(of: Int(plan.rank), in: tokens) ?? [] {
                    let end = min(run.upperBound, tokens - 1)
                    guard end > run.lowerBound else { continue }
                    say(
                        .event(
                            .scores(
                                Scores(
                                    firstPosition: UInt64(run.lowerBound + 1),
                                    nll: (run.lowerBound..<end).map { Float($0) }))))
                }
                finish(.end)
            case .breakInPrefill(let count):
                layers(count)
                say(.end(WorkerFailure(connectionLost: true, message: "connection reset")))
            case .breakInDecode(let text):
                layers(4)
                answer(text)
                say(.end(WorkerFailure(connectionLost: true, message: "connection reset")))
            case .hangInPrefill(let count): layers(count)
            case .complain(let kind, let accused):
                say(
                    .event(
                        .fault(
                            .with {
                                $0.kind = kind
                                $0.accused = accused
                                $0.detail = "that is what \(name) saw"
                            })))
                say(.end(WorkerFailure(connectionLost: false, message: "gave up")))
            case .hang, .neverAccepts, .refuse, .unreachable, .vanish: break
            }
        }

        private func finish(_ how: Finish) {
            say(
                .event(
                    .finished(
                        RunResult(finish: how, share: nil, prefillSeconds: 1, decodeSeconds: 0))))
        }
    }
}

/// Rates that give round figures.
func sampleRates(sends: Bool) -> WorkerRates {
    .with {
        $0.denseOperationsPerSecond = 1e9
        $0.attentionOperationsPerSecond = 1e9
        $0.linkBytesPerSecond = sends ? 1e6 : 0
        $0.hostCores = 4
    }
}

/// A directory of its own, gone with the value.
final class TemporaryDirectory: Sendable {
    let path: String

    init() throws {
        path = FileManager.default.temporaryDirectory.appending(path: "lariat-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }
}

/// A worker that fits `ByteModel`.
func member(_ name: String, memory: UInt64 = 1 << 30, threads: UInt32 = 1) -> MemberRecord {
    .with {
        $0.name = name
        $0.address = "127.0.0.1:7001"
        $0.ringAddress = "127.0.0.1:7002"
        $0.threads = threads
        $0.hostCores = 4
        $0.memoryBytes = memory
        $0.isa = "avx2"
        $0.precision = "f32"
        $0.fingerprint = "f00d"
        $0.model = "bytes.gguf"
        $0.protocol = LariatProtocol.current
    }
}

/// Opens a journal whose last owner has let go of it. A child that another test started at that moment holds a copy of
/// the lock until it runs its own program: that is waited for.
func openJournal(
    _ directory: TemporaryDirectory, limits: Journal.Limits = Journal.Limits()
) async throws -> Journal {
    try await openJournal(at: directory.path, limits: limits)
}

func openJournal(at path: String, limits: Journal.Limits = Journal.Limits()) async throws -> Journal {
    let deadline = ContinuousClock.now + .seconds(60)
    while true {
        do throws(CoordinatorError) {
            return try Journal(directory: path, limits: limits)
        } catch {
            guard error.kind == .notPossible, ContinuousClock.now < deadline else { throw error }
        }
        try await Task.sleep(for: .milliseconds(20))
    }
}

/// A coordinator core over a journal in a directory, with scripted workers.
///
/// `@inline(never)`: inlined into a test, these calls crash the optimiser of Swift 6.3.1.
struct Bench {
    let directory: TemporaryDirectory
    let journal: Journal
    let core: CoordinatorCore
    let workers = ScriptedWorkers()
    private let clock: Clock

    /// Runs as long as the bench.
    private final class Clock: Sendable {
        let task: Task<Void, Never>

        init(_ core: CoordinatorCore) { task = Task { await core.watch() } }

        deinit { task.cancel() }
    }

    @inline(never) init(
        _ directory: TemporaryDirectory, names: [String] = ["alpha", "beta"],
        limits: Journal.Limits = Journal.Limits(), lostSeconds: Double = 600, acceptSeconds: Double = 30
    ) async throws {
        self.directory = directory
        journal = try await openJournal(directory, limits: limits)
        var configuration = CoordinatorConfiguration(
            dataDirectory: directory.path, modelPath: "bytes.gguf", precision: "f32")
        configuration.settleSeconds = 0
        configuration.lostSeconds = lostSeconds
        configuration.acceptSeconds = acceptSeconds
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        core = CoordinatorCore(
            configuration: configuration, model: ByteModel(), journal: journal, dialler: workers,
            start: try await journal.nextStart(at: 1), logger: logger)
        try await core.recover()
        clock = Clock(core)
        for name in names { try await join(name) }
    }

    @inline(never) func join(_ name: String, memory: UInt64 = 1 << 30) async throws {
        _ = try await core.register(
            .with {
                $0.member = member(name, memory: memory)
                $0.instance = "i-\(name)"
            })
    }

    /// On all workers, unless the options say otherwise: short jobs would take one.
    @inline(never) func submit(_ text: String, _ given: JobOptions = JobOptions()) async throws -> JobRecord {
        var options = given
        if options.workers == 0 { options.workers = 1024 }
        return try await core.submit(options, prompt: text.utf8.map { UInt32($0) })
    }

    /// All events of a job up to its end, progress excepted.
    @inline(never) func events(_ id: String, from first: UInt64 = 0) async throws -> [JobEvent] {
        var all: [JobEvent] = []
        try await JobFollower(core: core, id: id).follow(from: first) { event in
            if !event.isProgress { all.append(event) }
        }
        return all
    }

    /// Waits for the job's end and gives its record.
    @inline(never) func result(_ id: String) async throws -> JobRecord {
        _ = try await events(id)
        return try await core.job(id)
    }

    /// Waits until a job looks like this.
    @inline(never) func waitUntil(_ id: String, _ holds: (JobRecord) -> Bool) async throws {
        while !holds(try await core.job(id)) { try await Task.sleep(for: .milliseconds(2)) }
    }
}
