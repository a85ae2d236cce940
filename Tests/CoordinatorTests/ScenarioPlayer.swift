// The commands of a scenario: each becomes inputs of a scheduler, and its effects become lines.
import Coordinator
import Messages
import Protobuf

struct ScenarioError: Error, CustomStringConvertible {
    let description: String

    init(_ text: String) { description = text }
}

/// A command's words: plain ones in order, and `name=value` pairs.
struct ScenarioWords {
    private(set) var plain: [String] = []
    private var values: [String: String] = [:]

    init(_ line: String) {
        var words: [String] = []
        var word = ""
        var isQuoted = false
        for character in line {
            switch character {
            case "\"": isQuoted.toggle()
            case " " where !isQuoted:
                if !word.isEmpty { words.append(word) }
                word = ""
            default: word.append(character)
            }
        }
        if !word.isEmpty { words.append(word) }
        for word in words {
            if let sign = word.firstIndex(of: "="), sign > word.startIndex {
                values[String(word[..<sign])] = String(word[word.index(after: sign)...])
            } else {
                plain.append(word)
            }
        }
    }

    subscript(_ name: String) -> String? { values[name] }

    func number(_ name: String) throws -> Double? {
        guard let text = values[name] else { return nil }
        guard let number = Double(text) else { throw ScenarioError("\(name)=\(text) is no number") }
        return number
    }

    func number<T: FixedWidthInteger>(_ name: String, _ otherwise: T) throws -> T {
        T(try number(name) ?? Double(otherwise))
    }

    func at(_ index: Int) throws -> String {
        guard plain.indices.contains(index) else {
            throw ScenarioError("a word is missing in \"\(plain.joined(separator: " "))\"")
        }
        return plain[index]
    }
}

/// Plays commands to a scheduler: the clock, the workers and the journal are this value's.
struct ScenarioPlayer {
    private let start = ContinuousClock.now
    var time = Duration.zero
    var scheduler: Scheduler
    private var starts: UInt64 = 0
    private var configuration: CoordinatorConfiguration
    private let model: ByteModel
    private var nextSequence: Int64 = 1
    /// Workers that send heartbeats while time passes, with what each says.
    private var beating: [String: HeartbeatRequest] = [:]
    private var instances: [String: String] = [:]
    private var draining: Set<String> = []
    private var lastBeat = Duration.zero
    /// The newest run of each job, and its order once it has started.
    var runs: [String: RunID] = [:]
    var orders: [String: RunOrder] = [:]
    /// As the journal has them.
    private(set) var records: [String: JobRecord] = [:]
    /// As the journal has them, with their tokens.
    var contexts: [String: KnownContext] = [:]
    var contextTokens: [String: [UInt32]] = [:]
    /// The plan of the last run of a job that kept something.
    var keepers: [String: JobPlan] = [:]
    private var lastPrompt: [UInt32] = []
    private var journalIsFull = false

    init() {
        var model = ByteModel()
        model.layers = 10
        model.window = 1_000_000
        self.model = model
        configuration = CoordinatorConfiguration(dataDirectory: "", modelPath: "", precision: "f32")
        configuration.settleSeconds = 0
        scheduler = Scheduler(
            configuration: configuration, model: model, start: 0,
            at: Scheduler.Time(instant: start, wallMicroseconds: 0))
    }

    private var now: Scheduler.Time {
        Scheduler.Time(
            instant: start + time, wallMicroseconds: UInt64((time / .microseconds(1)).rounded()))
    }

    // MARK: inputs

    /// One input, then what a journal that works says to its effects.
    mutating func take(_ input: Scheduler.Input) -> [String] {
        var lines: [String] = []
        var following: [Scheduler.Input] = []
        for effect in scheduler.step(input, at: now) {
            lines += ScenarioText.lines(effect)
            switch effect {
            case .accept(let admitted):
                if journalIsFull {
                    following.append(.notSubmitted(.exhausted))
                } else {
                    var job = admitted
                    job.record.id = "j\(nextSequence)"
                    records[job.record.id] = job.record
                    if var context = job.context, let chain = job.chain {
                        context.job = job.record.id
                        contexts[context.name] = KnownContext(record: context, chain: chain)
                        contextTokens[context.name] = lastPrompt
                    }
                    following.append(.submitted(job, sequence: nextSequence))
                    nextSequence += 1
                }
            case .save(let context, let memory):
                contexts[context.name]?.record = context
                contexts[context.name]?.memory = memory
            case .journal(let record, let events):
                if journalIsFull {
                    let full = CoordinatorError(.exhausted, "the disk is full; free some space")
                    following.append(.unwritten(record.id, full))
                } else {
                    records[record.id] = record
                    if let options = record.options, options.kind == .ingest,
                        [.failed, .cancelled].contains(record.state)
                    {
                        contexts[options.context] = nil
                    }
                    if events.contains(where: \.isEnd) { following.append(.written(record.id)) }
                }
            case .reach(let id, _): runs[id.job] = id
            case .start(let id, let order):
                orders[id.job] = order
                if !order.plan.kept.keep.isEmpty { keepers[id.job] = order.plan }
            default: break
            }
        }
        for input in following { lines += take(input) }
        return lines
    }

    mutating func perform(_ command: String) throws -> [String] {
        let words = ScenarioWords(command)
        switch try words.at(0) {
        case "coordinator": return try set(words)
        case "join": return try join(words)
        case "submit": return try submit(words)
        case "cancel": return take(.cancel(try words.at(1)))
        case "drain", "undrain":
            let undo = try words.at(0) == "undrain"
            return take(
                .drain(
                    .with {
                        $0.target = words.plain.dropFirst().first ?? ""
                        $0.undo = undo
                    }))
        case "leave": return try leave(words)
        case "beat": return try beat(words)
        case "silent":
            for name in words.plain.dropFirst() { beating[name] = nil }
            return []
        case "broken": return take(.broken(worker: try words.at(1), reason: try words.at(2)))
        case "wait": return try wait(words)
        case "jump": return try jump(words)
        case "journal":
            journalIsFull = try words.at(1) == "full"
            return []
        case "closing": return take(.closing)
        case "stop": return take(.stop)
        case "restart": return try restart(words)
        case "measured": return try measured(words)
        case "want":
            return take(
                .wanted(
                    words.plain.dropFirst().compactMap { name in
                        scheduler.members.ready.first { $0.name == name }
                    }))
        case "show": return show()
        case "remove", "pin", "unpin", "contexts", "sequences": return try performContext(words)
        default: return try performRun(words)
        }
    }

    private mutating func set(_ words: ScenarioWords) throws -> [String] {
        if let seconds = try words.number("settle") { configuration.settleSeconds = seconds }
        if let seconds = try words.number("lost") { configuration.lostSeconds = seconds }
        if let seconds = try words.number("accept") { configuration.acceptSeconds = seconds }
        if let seconds = try words.number("silence") { configuration.silenceSeconds = seconds }
        configuration.queueLimit = try words.number("queue", configuration.queueLimit)
        scheduler = Scheduler(configuration: configuration, model: model, start: starts, at: now)
        return []
    }

    private mutating func join(_ words: ScenarioWords) throws -> [String] {
        var lines: [String] = []
        for name in words.plain.dropFirst() {
            var record = member(name)
            record.threads = try words.number("threads", record.threads)
            record.memoryBytes = try words.number("memory", record.memoryBytes)
            record.kvDiskBytes = try words.number("disk", 0)
            record.order = try words.number("order", record.order)
            record.hostCores = try words.number("cores", record.hostCores)
            record.isa = words["isa"] ?? record.isa
            record.fingerprint = words["fingerprint"] ?? record.fingerprint
            if let host = words["host"] {
                record.address = "\(host):7001"
                record.ringAddress = "\(host):7002"
            }
            let instance = words["instance"] ?? "i-\(name)"
            let request = RegisterRequest.with {
                $0.member = record
                $0.instance = instance
                $0.held = held(words, by: name)
            }
            let answer = take(.register(request))
            instances[name] = instance
            if !answer.contains(where: { $0.hasPrefix("reject") }) { beating[name] = heartbeat(name) }
            lines += answer
        }
        return lines
    }

    private mutating func submit(_ words: ScenarioWords) throws -> [String] {
        let options = JobOptions.with {
            $0.kind =
                words.plain.contains("score") ? .score : words.plain.contains("ingest") ? .ingest : .generate
            $0.context = words["name"] ?? words["about"] ?? ""
            $0.noReuse = words.plain.contains("anew")
            $0.stop = words["stop"].map { [$0] } ?? []
        }
        var filled = options
        filled.maxTokens = try words.number("answer", options.kind == .ingest ? 500 : 10)
        filled.workers = words["workers"] == "best" ? 0 : try words.number("workers", 1024)
        let tokens: Int = try words.number("tokens", 2048)
        // The alphabet again and again; from `differs` on one that begins elsewhere.
        let differs: Int = try words.number("differs", 1 << 40)
        let by: Int = try words.number("by", 1)
        lastPrompt = (0..<tokens).map { UInt32(97 + ($0 < differs ? $0 : $0 + by) % 26) }
        if let about = words["about"], let before = contextTokens[about] { lastPrompt = before + lastPrompt }
        return take(.asked(filled, prompt: lastPrompt, seed: 7, owner: words["owner"] ?? ""))
    }

    private mutating func leave(_ words: ScenarioWords) throws -> [String] {
        let name = try words.at(1)
        beating[name] = nil
        return take(
            .leave(
                .with {
                    $0.name = name
                    $0.instance = instances[name] ?? "i-\(name)"
                }))
    }

    /// `beat NAME job=j1 layer=3 waits=beta compute=9 waited=1 draining`: what it says is said again while time passes.
    private mutating func beat(_ words: ScenarioWords) throws -> [String] {
        let name = try words.at(1)
        let job = words["job"] ?? ""
        if words.plain.contains("draining") { draining.insert(name) }
        var progress: RunProgress?
        if ["layer", "waits", "compute"].contains(where: { words[$0] != nil }) {
            var given = RunProgress()
            given.layer = try words.number("layer", UInt32(0))
            given.computeSeconds = try words.number("compute") ?? 0
            given.waitSeconds = try words.number("waited") ?? 0
            if let waited = words["waits"], let rank = rank(of: waited, in: job) {
                given.waitsFor = UInt32(rank + 1)
            }
            progress = given
        }
        let request = heartbeat(name, job, progress)
        beating[name] = request
        return take(.heartbeat(request))
    }

    private func heartbeat(
        _ name: String, _ job: String = "", _ progress: RunProgress? = nil
    ) -> HeartbeatRequest {
        .with {
            $0.name = name
            $0.instance = instances[name] ?? "i-\(name)"
            $0.job = job
            $0.progress = progress
            $0.draining = draining.contains(name)
        }
    }

    /// Time passes in steps of a tenth of a second; every second the workers that live say so.
    private mutating func wait(_ words: ScenarioWords) throws -> [String] {
        guard let seconds = Double(try words.at(1)) else { throw ScenarioError("wait how long?") }
        let end = time + .milliseconds(Int64((seconds * 1000).rounded()))
        var lines: [String] = []
        while time < end {
            time += .milliseconds(100)
            var found: [String] = []
            if time - lastBeat >= .seconds(1) {
                lastBeat = time
                for (_, request) in beating.sorted(by: { $0.key < $1.key }) {
                    found += take(.heartbeat(request)).filter { !$0.hasPrefix("reply") }
                }
            }
            found += take(.tick)
            lines += found.map { "\(ScenarioText.seconds(time)) s: \($0)" }
        }
        return lines
    }

    /// The coordinator itself stands still for so long.
    private mutating func jump(_ words: ScenarioWords) throws -> [String] {
        guard let seconds = Double(try words.at(1)) else { throw ScenarioError("jump how far?") }
        time += .milliseconds(Int64((seconds * 1000).rounded()))
        return take(.tick)
    }

    /// A new process with what the journal holds: those that wait, as `Journal.recover` gives them.
    private mutating func restart(_ words: ScenarioWords) throws -> [String] {
        starts += 1
        scheduler = Scheduler(configuration: configuration, model: model, start: starts, at: now)
        beating = [:]
        runs = [:]
        orders = [:]
        for (id, fingerprint) in words.plain.dropFirst().compactMap({ id in
            words["fingerprint"].map { (id, $0) }
        }) {
            records[id]?.fingerprint = fingerprint
        }
        let waiting = records.filter { $0.value.state == .queued }.compactMap { id, record in
            Journal.sequence(id).map { (sequence: $0, record: record) }
        }
        let known = contexts.sorted { $0.key < $1.key }.map(\.value)
        return take(.restarted(waiting.sorted { $0.sequence < $1.sequence })) + take(.contexts(known))
    }

    /// `measured 1 2 4`: each worker's speed, in the order of the measurement; or `measured failed WHY`.
    private mutating func measured(_ words: ScenarioWords) throws -> [String] {
        if try words.at(1) == "failed" { return take(.measured(.failure(Unmeasured(try words.at(2))))) }
        let rates = words.plain.dropFirst().map { text in
            WorkerRates.with {
                $0.denseOperationsPerSecond = 1e9 * (Double(text) ?? 1)
                $0.attentionOperationsPerSecond = 1e9 * (Double(text) ?? 1)
                $0.linkBytesPerSecond = 1e6
                $0.hostCores = 4
            }
        }
        return take(.measured(.success(Array(rates))))
    }

    private func show() -> [String] {
        let cluster = scheduler.cluster(at: now.instant)
        var lines = cluster.members.map { member in
            "\(member.name) \(member.state)" + (member.reason.isEmpty ? "" : ": \(member.reason)")
        }
        for (id, kept) in records.sorted(by: {
            Journal.sequence($0.key) ?? 0 < Journal.sequence($1.key) ?? 0
        }) {
            let record = scheduler.shown(kept)
            var line = "\(id) \(record.state)"
            if record.queuePosition > 0 { line += ", place \(record.queuePosition)" }
            if record.attempt > 1 { line += ", attempt \(record.attempt)" }
            lines.append(line + (record.reason.isEmpty ? "" : ": \(record.reason)"))
        }
        return lines
    }

    func rank(of worker: String, in job: String) -> Int? {
        orders[job]?.plan.members.firstIndex { $0.name == worker }
    }
}
