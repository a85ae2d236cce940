// What a worker is told when it starts.
public import Cluster
import Foundation
public import Kernels
public import RPC

/// One worker's settings, from the cluster specification or the command line.
public struct WorkerConfiguration: Sendable {
    /// Unique in the cluster.
    public var name: String
    /// Where it listens for the coordinator, and for blocks from other workers. Port 0: any free one.
    public var listen: HostPort
    public var ring: HostPort
    /// What others should dial, where that differs from what it listens on.
    public var advertise: HostPort?
    public var advertiseRing: HostPort?
    /// `/metrics`, `/healthz` and `/readyz` in plain HTTP; nil: not served.
    public var metrics: HostPort?
    public var coordinator: HostPort
    public var modelPath: String
    public var threads: Int
    /// Cores that this process may use: what the workers of a host share.
    public var hostCores = ProcessInfo.processInfo.activeProcessorCount
    /// Cores to compute on, one for each thread; nil: wherever the system likes.
    public var cores: [Int]?
    /// What keys and values may use, in bytes.
    public var memoryBytes: Int
    /// Where sequences are kept on disk; nil: in memory only.
    public var kvDisk: KVDisk?
    public var isa: ISA
    public var precision: Precision
    /// Shown to others.
    public var version = ""
    /// Its place in the ring among the workers of its specification, from 1; 0: by its name.
    public var order = 0
    /// Mutual TLS on both listeners and on every connection made.
    public var tls: TLSFiles?

    /// The second tier of kept sequences.
    public struct KVDisk: Sendable {
        /// A folder in which the worker has one of its own, by its name.
        public var path: String
        /// Most bytes of that.
        public var bytes: Int

        public init(path: String, bytes: Int) {
            self.path = path
            self.bytes = bytes
        }
    }

    public init(
        name: String, listen: HostPort, ring: HostPort, coordinator: HostPort, modelPath: String,
        threads: Int,
        memoryBytes: Int, isa: ISA = .best, precision: Precision = .bf16
    ) {
        self.name = name
        self.listen = listen
        self.ring = ring
        self.coordinator = coordinator
        self.modelPath = modelPath
        self.threads = threads
        self.memoryBytes = memoryBytes
        self.isa = isa
        self.precision = precision
    }
}
