// The processes of a specification on their hosts, by ssh: many hosts at once, each command with a deadline, errors that
// name the host.

package import Cluster
internal import Synchronization

/// A process of the cluster as its host tells of it.
struct RemoteState: Sendable {
    let process: Deployment.Process
    /// What the host answered.
    let answer: Result<Deployment.Answer, Failure>
    /// Of the program there; nil: unknown.
    let version: String?
}

/// Runs the commands of a deployment.
struct RemoteCluster: Sendable {
    let deployment: Deployment
    /// Those that are meant, in the order of the deployment.
    let processes: [Deployment.Process]
    /// The text of the specification, for its copies.
    let text: String

    /// Hosts that are talked to at the same time.
    static let mostHosts = 16
    /// How long a command may take that only looks or copies a small file.
    static let commandTime = Duration.seconds(60)
    /// A larger file is no certificate, key or list of tokens.
    static let largestFile = 1 << 20

    struct Host: Sendable {
        let login: Login
        let processes: [Deployment.Process]
    }

    /// In the order of the processes.
    var hosts: [Host] {
        var order: [Login] = []
        for process in processes where !order.contains(process.login) { order.append(process.login) }
        return order.map { login in Host(login: login, processes: processes.filter { $0.login == login }) }
    }

    /// The files to be sent, read before the first host is touched.
    func readFiles() throws -> [Deployment.File: [UInt8]] {
        var contents: [Deployment.File: [UInt8]] = [:]
        for file in processes.flatMap(\.files) where contents[file] == nil {
            if let source = file.source {
                contents[file] = try AtomicFile.read(source, limit: Self.largestFile)
            } else {
                contents[file] = Array(text.utf8)
            }
        }
        return contents
    }

    // MARK: On one host

    /// The version of the program there.
    func version(on login: Login, within limit: Duration = commandTime) async throws(Failure) -> String {
        let output = try await run(
            deployment.version(on: login), on: login, "the program does not run there", within: limit)
        guard let line = output.split(separator: "\n").last, line.hasPrefix("lariat ") else {
            throw Failure(
                "\(login): the program there (deploy.binary) is no lariat: it does not say its version")
        }
        return String(line.dropFirst("lariat ".count))
    }

    /// Copies each file once.
    func install(_ contents: [Deployment.File: [UInt8]], on host: Host) async throws(Failure) -> Int {
        var sent: Set<Deployment.File> = []
        for process in host.processes {
            for file in process.files where sent.insert(file).inserted {
                let bytes = contents[file] ?? []
                let answer = try await ask(
                    deployment.install(file, bytes: bytes.count, for: process), on: host.login,
                    "\(file.target) cannot be put in place", input: bytes, within: Self.commandTime)
                guard answer == .installed else {
                    throw Failure("\(host.login): \(file.target) cannot be put in place")
                }
            }
        }
        return sent.count
    }

    func start(_ process: Deployment.Process, within limit: Duration) async throws(Failure)
        -> Deployment.Answer
    {
        try await ask(
            deployment.start(process), on: process.login, "\(process.name) does not start", within: limit)
    }

    func stop(_ process: Deployment.Process, within seconds: Int) async throws(Failure) -> Deployment.Answer {
        try await ask(
            deployment.stop(process, within: seconds), on: process.login,
            "\(process.name) cannot be stopped",
            within: .seconds(seconds) + Self.commandTime)
    }

    func status(_ process: Deployment.Process) async throws(Failure) -> Deployment.Answer {
        try await ask(
            deployment.status(process), on: process.login, "\(process.name) cannot be asked for",
            within: Self.commandTime)
    }

    /// The last lines of a process's log; empty if they cannot be had.
    func log(_ process: Deployment.Process, lines: Int) async -> [String] {
        let output = try? await run(
            deployment.log(process, lines: lines), on: process.login, "", within: .seconds(20))
        return output.map { $0.split(separator: "\n").suffix(lines).map(String.init) } ?? []
    }

    private func ask(
        _ command: Deployment.Command, on login: Login, _ what: String, input: [UInt8] = [],
        within limit: Duration
    ) async throws(Failure) -> Deployment.Answer {
        let output = try await run(command, on: login, what, input: input, within: limit)
        guard let answer = Deployment.Answer(output: output) else {
            throw Failure("\(login): \(what): the host gave no answer that is understood")
        }
        return answer
    }

    private func run(
        _ command: Deployment.Command, on login: Login, _ what: String, input: [UInt8] = [],
        within limit: Duration
    ) async throws(Failure) -> String {
        let result = await RemoteCommand.run(command.arguments, input: input, within: limit)
        if let failure = Self.failure(result, on: login, what, within: limit) { throw failure }
        return result.output
    }

    /// What a person reads of a command that did not do its work; nil: it did.
    static func failure(
        _ result: RemoteResult, on login: Login, _ what: String, within limit: Duration
    ) -> Failure? {
        let words = result.lastWords.isEmpty ? "it says nothing more" : result.lastWords
        switch result.end {
        case .exited(0): return nil
        // ssh's own errors; what the host runs ends with other codes.
        case .exited(255):
            return Failure("\(login): ssh cannot log in: \(words)", exitCode: ExitStatus.unreachable)
        case .exited(let code): return Failure("\(login): \(what) (exit code \(code)): \(words)")
        case .signalled(let number):
            return Failure("\(login): \(what): ssh was ended by signal \(number): \(words)")
        case .timedOut:
            let seconds = Int(limit / .seconds(1))
            return Failure(
                "\(login): \(what): not done after \(seconds) s"
                    + (result.lastWords.isEmpty ? "" : ": \(words)"), exitCode: ExitStatus.unreachable)
        case .cancelled:
            return Failure("\(login): \(what): interrupted", exitCode: ExitStatus.interrupted)
        case .notStarted(let problem):
            return Failure("\(problem); is ssh (openssh-client) installed?")
        }
    }

    // MARK: On many

    /// Lets `body` work on each item, on 16 at once; results in the order of the items.
    static func each<Item: Sendable, Value: Sendable>(
        _ items: [Item], _ body: @escaping @Sendable (Item) async throws(Failure) -> Value
    ) async -> [Result<Value, Failure>] {
        await withTaskGroup(of: (Int, Result<Value, Failure>).self) { group in
            var results: [Result<Value, Failure>?] = Array(repeating: nil, count: items.count)
            var next = 0
            func add() {
                guard next < items.count else { return }
                let (index, item) = (next, items[next])
                group.addTask {
                    do throws(Failure) { return (index, .success(try await body(item))) } catch {
                        return (index, .failure(error))
                    }
                }
                next += 1
            }
            for _ in 0..<mostHosts { add() }
            while let (index, result) = await group.next() {
                results[index] = result
                add()
            }
            return results.compactMap(\.self)
        }
    }

    /// Tells every failure, and throws one for all; returns the values where there is none.
    static func all<Value>(_ results: [Result<Value, Failure>]) throws -> [Value] {
        var values: [Value] = []
        var failures: [Failure] = []
        for result in results {
            switch result {
            case .success(let value): values.append(value)
            case .failure(let failure): failures.append(failure)
            }
        }
        guard let first = failures.first else { return values }
        if failures.count == 1 { throw first }
        for failure in failures { Terminal.note(failure.message.printable) }
        let worst = failures.first {
            $0.exitCode == ExitStatus.interrupted || $0.exitCode == ExitStatus.unreachable
        }
        throw Failure("\(failures.count) of \(results.count) failed", exitCode: (worst ?? first).exitCode)
    }
}

/// The processes that an option names.
package enum ProcessSelection {
    /// - Throws: `Failure` that says which there are.
    package static func check(
        _ names: [String], of specification: ClusterSpecification, option: String
    ) throws(Failure) {
        let known = ["coordinator"] + specification.workers.map(\.name)
        if let name = names.first(where: { !known.contains($0) }) {
            throw Failure(
                "\(option): \(specification.path) has no process \(name.debugDescription); it has: "
                    + known.joined(separator: ", "), exitCode: ExitStatus.usage)
        }
    }
}
