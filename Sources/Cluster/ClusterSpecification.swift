// The cluster specification: which processes there are, where they listen, what they load, how they trust each other.
public import Foundation

/// A cluster as its specification file describes it. Paths are absolute, with `~` and `${VAR}` expanded; defaults are
/// filled in. Cluster/README.md holds the schema.
public struct ClusterSpecification: Sendable, Equatable {
    /// The coordinator's data folder where a specification names none.
    public static let usualData = "~/.local/share/lariat"

    /// The numbers that compute and KV use.
    public enum Precision: String, Sendable, CaseIterable {
        /// bfloat16 operands and KV, float32 accumulation.
        case bf16
        /// float32 throughout: the reference.
        case f32
    }

    /// Which kernels run. `auto` takes the best that the processor has.
    public enum InstructionSet: String, Sendable, CaseIterable {
        case auto, scalar, avx2, avx512, avx512bf16
    }

    /// The files of one process for mutual TLS, in PEM.
    public struct TLSFiles: Sendable, Equatable {
        /// The authority that signed every certificate of the cluster.
        public let ca: String
        public let certificate: String
        public let key: String
    }

    /// How the coordinator writes conversations, instead of as the model file says.
    public enum Template: Sendable, Equatable {
        /// The name of a chat template; whoever reads it knows which there are.
        case named(String)
        /// An absolute path.
        case file(String)
    }

    public struct Coordinator: Sendable, Equatable {
        public let listen: HostPort
        /// Where workers and clients reach it; `listen` unless given.
        public let advertise: HostPort
        /// The web page and the OpenAI-compatible API: HTTPS where there is TLS. nil: off.
        public let web: HostPort?
        /// `/metrics`, `/healthz` and `/readyz` in plain HTTP. nil: off.
        public let metrics: HostPort?
        /// Where `lariat cluster up` logs in.
        public let login: Login
        /// The folder of its journal.
        public let data: String
        /// nil: the model file's chat template.
        public let template: Template?
        /// nil: no TLS.
        public let tls: TLSFiles?

        /// The file of the chat template, if it is one.
        public var templateFile: String? {
            if case .file(let path)? = template { path } else { nil }
        }
    }

    /// Where a worker keeps sequences on disk.
    public struct KVDisk: Sendable, Equatable {
        /// A folder in which each worker has one of its own, by its name.
        public let path: String
        /// Most bytes of one worker's folder.
        public let disk: ByteSize
    }

    public struct Worker: Sendable, Equatable {
        public let name: String
        /// Control connections.
        public let listen: HostPort
        /// Block connections.
        public let ring: HostPort
        /// Where the coordinator reaches `listen`.
        public let advertise: HostPort
        /// Where the other workers reach `ring`.
        public let ringAdvertise: HostPort
        /// `/metrics`, `/healthz` and `/readyz` in plain HTTP. nil: off.
        public let metrics: HostPort?
        /// Where `lariat cluster up` logs in.
        public let login: Login
        /// Compute threads; nil: one per core of `cores`, or of the host.
        public let threads: Int?
        /// The cores that compute threads are bound to; empty: no binding.
        public let cores: [Int]
        /// What its KV may use.
        public let memory: ByteSize
        /// nil: sequences are kept in memory only.
        public let kv: KVDisk?
        /// Whether it starts with more threads or memory than its host has.
        public let isForced: Bool
        public let model: String
        /// nil: no TLS.
        public let tls: TLSFiles?
    }

    /// How processes are brought to their hosts and started there.
    public struct Deploy: Sendable, Equatable {
        /// What keeps processes running on the hosts.
        public enum Manager: String, Sendable, CaseIterable {
            /// Processes of the user who logs in, in sessions of their own. Needs nothing but a shell.
            case shell
            /// The units of the Debian package. Needs root, or sudo without a password.
            case systemd
        }

        public let manager: Manager
        /// The program on the hosts, an absolute path.
        public let binary: String
        /// Where specification, certificates and logs lie on the hosts: absolute, or `~/...` in the home of the login.
        public let directory: String
        /// Options for ssh, before Lariat's own.
        public let ssh: [String]
    }

    /// The file, as it was named.
    public let path: String
    public let model: String
    public let precision: Precision
    public let isa: InstructionSet
    public let coordinator: Coordinator
    /// 1 to `mostWorkers`, with different names and addresses, in the order of the file.
    public let workers: [Worker]
    /// The file of API tokens. nil: nobody needs one.
    public let tokens: String?
    /// Whether listening beyond loopback without TLS, or on the web without tokens, was asked for.
    public let isInsecure: Bool
    public let deploy: Deploy
    /// How often a worker reports to the coordinator.
    public let heartbeat: Duration
    /// After how long without a report a worker counts as lost; at least twice `heartbeat`.
    public let lostAfter: Duration
    /// The longest wait for a peer that lives but sends nothing.
    public let stall: Duration
    /// What is allowed but may not be meant, in the order of the file.
    public let remarks: [ClusterError]

    /// What a specification is read for.
    public enum Purpose: Sendable {
        /// Processes will run as it says.
        case running
        /// Certificates will be made for it: `tls` may still be missing.
        case certificates
    }

    public static let largestFile = 1 << 20
    public static let mostWorkers = 256

    /// The folder of the file, absolute: what relative paths start from.
    public var folder: String {
        URL(filePath: path).deletingLastPathComponent().standardizedFileURL.path
    }

    /// The worker of that name.
    public func worker(named name: String) -> Worker? { workers.first { $0.name == name } }

    /// Parses the text of a specification.
    /// - Parameters:
    ///   - path: The file's name: for messages, and its folder is what relative paths start from.
    ///   - environment: Where `${VAR}` and `HOME` are looked up.
    ///   - purpose: With `.certificates`, TLS that is missing is no error.
    public static func parse(
        _ text: String, path: String, environment: [String: String] = ProcessInfo.processInfo.environment,
        for purpose: Purpose = .running
    ) throws(ClusterError) -> ClusterSpecification {
        let paths = PathExpansion(specification: path, environment: environment)
        let root = try YAMLMapping.root(of: text, path: path)
        return try SpecificationReader(path: path, paths: paths, purpose: purpose).read(root)
    }

    /// Reads and parses a specification file of at most 1 MiB.
    public static func load(
        _ path: String, environment: [String: String] = ProcessInfo.processInfo.environment,
        for purpose: Purpose = .running
    ) throws(ClusterError) -> ClusterSpecification {
        func fail(_ problem: String) -> ClusterError {
            ClusterError(path: path, line: nil, key: nil, problem: problem)
        }
        var isFolder = ObjCBool(false)
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
            throw fail("there is no such file")
        }
        guard !isFolder.boolValue else { throw fail("is a folder; name the specification file in it") }
        guard let file = FileHandle(forReadingAtPath: path) else {
            throw fail("cannot be opened; check its permissions")
        }
        defer { try? file.close() }
        let data: Data
        do {
            // One byte more than allowed shows that a file is too large, however large it is.
            data = try file.read(upToCount: largestFile + 1) ?? Data()
        } catch {
            throw fail("cannot be read: \(error.localizedDescription)")
        }
        guard data.count <= largestFile else { throw fail(Self.tooLarge) }
        guard let text = String(validating: data, as: UTF8.self) else {
            let valid = validUTF8Prefix(data)
            throw ClusterError(
                path: path, line: data.prefix(valid).count { $0 == 0x0a } + 1, key: nil,
                problem: "is not UTF-8 text")
        }
        return try parse(text, path: path, environment: environment, for: purpose)
    }

    static let tooLarge = "is larger than 1 MiB, the most that a specification may have"

    /// The number of bytes before the first that is not valid.
    private static func validUTF8Prefix(_ data: Data) -> Int {
        var decoder = UTF8()
        var bytes = data.makeIterator()
        var count = 0
        while case .scalarValue(let scalar) = decoder.decode(&bytes) { count += UTF8.width(scalar) }
        return count
    }
}
