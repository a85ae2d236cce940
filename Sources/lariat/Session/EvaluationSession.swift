// Where evaluations run: on the cluster that is named, or on one of their own on this machine.

internal import ContextExtension
internal import Evaluation
import Foundation
internal import GGUF
internal import Messages
import Numerals
internal import Tokenizer
internal import Transformer

/// A model file and a cluster that runs it.
struct EvaluationSession: Sendable {
    let model: Model
    let path: String

    /// Opens the model; starts nothing.
    init(path: String) throws {
        self.path = URL(filePath: path).path(percentEncoded: false)
        guard FileManager.default.isReadableFile(atPath: self.path) else {
            throw Failure(
                "\(path.printable): there is no such model file, or it cannot be read",
                exitCode: ExitStatus.unreadableInput)
        }
        do throws(ModelError) { model = try Model(path: self.path) } catch {
            throw Failure("\(error)", exitCode: ExitStatus.unreadableInput)
        }
    }

    /// Lets `body` evaluate. Ctrl-C ends it and cancels what it runs.
    func with<Value: Sendable>(
        _ options: EvaluationOptions, _ body: @escaping @Sendable (JobEvaluator) async throws -> Value
    ) async throws -> Value {
        let limit = Duration.seconds(options.jobTimeout)
        guard let connection = options.connection else {
            return try await TemporaryCluster.with(options.settings(path)) { cluster in
                try await body(
                    JobEvaluator(
                        coordinator: cluster.coordinator, workers: cluster.workers.count, jobLimit: limit))
            }
        }
        let fingerprint = model.fingerprint
        return try await CoordinatorClient.with(connection, options.log) { coordinator in
            let state = try await coordinator.unary(CoordinatorService.getCluster, ClusterRequest())
            guard state.fingerprint == fingerprint else {
                throw Failure(
                    "the cluster at \(coordinator.address) runs another model (\(state.model.printable), fingerprint "
                        + "\(state.fingerprint.prefix(16))) than \(path.printable) (\(fingerprint.prefix(16))); name the "
                        + "cluster's model, or leave --coordinator out to run on this machine")
            }
            let ready = state.members.count { $0.state.isAble }
            guard ready > 0 else {
                throw Failure(
                    "no worker of the cluster at \(coordinator.address) is ready",
                    exitCode: ExitStatus.tryAgain)
            }
            let evaluator = JobEvaluator(coordinator: coordinator, workers: ready, jobLimit: limit)
            let interrupts = Interrupts(secondEnds: true)
            return try await withThrowingTaskGroup(of: Value?.self) { group in
                group.addTask { try await body(evaluator) }
                group.addTask { await interrupts.next() == nil ? nil : try Self.interrupted() }
                defer { group.cancelAll() }
                while let value = try await group.next() { if let value { return value } }
                throw CancellationError()
            }
        }
    }

    private static func interrupted<Value>() throws -> Value? {
        throw Failure("interrupted", exitCode: ExitStatus.interrupted)
    }

    /// The documents of text files.
    /// - Throws: `Failure` for one that cannot be read, is empty or is too large.
    func documents(_ files: [String]) throws -> [Document] {
        try files.map { file in
            let shown = file.printable
            guard let handle = FileHandle(forReadingAtPath: file) else {
                throw Failure(
                    "\(shown): there is no such text, or it cannot be read",
                    exitCode: ExitStatus.unreadableInput)
            }
            let data: Data
            do { data = try handle.read(upToCount: Self.largestText + 1) ?? Data() } catch {
                throw Failure(
                    "\(shown): cannot be read: \(error.localizedDescription)",
                    exitCode: ExitStatus.unreadableInput)
            }
            guard !data.isEmpty, data.count <= Self.largestText else {
                throw Failure(
                    "\(shown): has \(data.isEmpty ? "no" : "over \(Self.largestText.grouped)") bytes; a text for evaluations has "
                        + "1 to \(Self.largestText)", exitCode: ExitStatus.unreadableInput)
            }
            let tokens = model.tokenizer.encode(Array(data).span).map { UInt32(bitPattern: $0) }
            return Document(name: URL(filePath: file).lastPathComponent, tokens: tokens)
        }
    }

    /// 256 MiB: some 60 million tokens.
    private static let largestText = 256 << 20

    var encode: @Sendable (String) -> [Int32] {
        { [tokenizer = model.tokenizer] in tokenizer.encode($0) }
    }

    /// Whether a token's text ends with a line end.
    var isLineEnd: @Sendable (UInt32) -> Bool {
        { [tokenizer = model.tokenizer] token in
            var stream = tokenizer.stream()
            return (stream.append(TokenID(bitPattern: token)) + stream.finish()).hasSuffix("\n")
        }
    }
}
