// A cluster on this machine from a model and a few numbers, as a specification that its processes read.

internal import Benchmark
internal import Cluster
import Foundation
internal import JSONText
internal import Kernels
internal import WholeFiles

/// What `lariat up --model`, and commands with a cluster of their own, put into a specification.
struct LocalSpecification: Sendable {
    /// Where the coordinator listens.
    struct Ports: Sendable, Equatable {
        var coordinator: Int
        var web: Int?
        var metrics: Int?

        /// What clients and documents take for granted.
        static let usual = Ports(coordinator: 7400, web: 7480, metrics: 7481)
    }

    /// The model file: absolute, or relative to the specification.
    let model: String
    let workers: Int
    /// Compute threads of each worker.
    let threads: Int
    /// What keys and values may use in each worker; nil: what one worker alone would take, shared out.
    var memory: ByteSize?
    let isa: ISA?
    let precision: Precision
    let ports: Ports
    /// The journal's folder: absolute, or relative to the specification.
    let data: String

    /// Compute threads for each of so many workers: all that this process may use.
    static func threads(workers: Int) -> Int { max(1, Machine.usableCores() / workers) }

    /// Writes it, and reads it as every process will.
    func write(to path: String) throws -> ClusterSpecification {
        let text = try text(workerPorts: Self.freePorts(2 * workers))
        try AtomicFile.write(text, to: path, for: .owner, replaces: true)
        return try ClusterSpecification.load(path)
    }

    private func text(workerPorts ports: [Int]) throws -> String {
        // In specifications ${ begins the name of a variable.
        if let path = [model, data].first(where: { $0.contains("${") }) {
            throw Failure(
                "\(path.printable): a path with ${ in it cannot stand in a specification; give it another name",
                exitCode: ExitStatus.usage)
        }
        let share = memory?.bytes ?? Machine.defaultMemory(workers: workers)
        var lines = [
            "# Written by lariat; it is written anew each time.", "model: \(Self.quoted(model))",
            "precision: \(precision.rawValue)", "isa: \(isa?.rawValue ?? "auto")", "coordinator:",
            "  listen: 127.0.0.1:\(self.ports.coordinator)", "  data: \(Self.quoted(data))",
        ]
        if let web = self.ports.web { lines.append("  web: 127.0.0.1:\(web)") }
        if let metrics = self.ports.metrics { lines.append("  metrics: 127.0.0.1:\(metrics)") }
        lines.append("workers:")
        for worker in 0..<workers {
            lines += [
                "  - name: worker-\(worker + 1)", "    listen: 127.0.0.1:\(ports[2 * worker])",
                "    ring: 127.0.0.1:\(ports[2 * worker + 1])", "    threads: \(threads)",
                "    memory: \(max(1, share >> 20))MiB",
            ]
        }
        return lines.joined(separator: "\n") + "\n"
    }

    /// A JSON string is a double-quoted scalar of YAML.
    private static func quoted(_ text: String) -> String { JSONValue.string(text).text }

    /// Ports that nobody listens on now. All are held until the last is found, so that they differ.
    static func freePorts(_ count: Int) throws -> [Int] {
        var listeners: [LoopbackListener] = []
        for _ in 0..<count { listeners.append(try LoopbackListener()) }
        return listeners.map(\.port)
    }
}

/// The model file of a cluster on this machine.
enum ModelFile {
    /// Its absolute path.
    /// - Throws: `Failure` with 66 where it is not there or cannot be read, before any process is started.
    static func path(_ text: String) throws -> String {
        let path = URL(filePath: text).standardizedFileURL.path(percentEncoded: false)
        var isFolder: ObjCBool = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
            throw Failure(
                "\(text.printable): there is no such model file; \(advice)",
                exitCode: ExitStatus.unreadableInput)
        }
        guard !isFolder.boolValue else {
            throw Failure(
                "\(text.printable): is a folder; name the model file (GGUF) in it",
                exitCode: ExitStatus.unreadableInput)
        }
        guard FileManager.default.isReadableFile(atPath: path) else {
            throw Failure(
                "\(text.printable): the model file cannot be read; check its permissions",
                exitCode: ExitStatus.unreadableInput)
        }
        return path
    }

    /// Where a model comes from.
    private static var advice: String {
        for folder in checkouts where FileManager.default.isExecutableFile(atPath: folder + "/Ops/model") {
            return "\(folder == "." ? "" : folder + "/")Ops/model fetches a small one and prints its path"
        }
        return "give the path of a GGUF file"
    }

    /// Here, and where this program was built: CHECKOUT/.build/.../lariat.
    private static var checkouts: [String] {
        let program = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
        return ["."] + (program.range(of: "/.build/").map { [String(program[..<$0.lowerBound])] } ?? [])
    }
}
