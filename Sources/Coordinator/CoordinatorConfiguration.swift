// Everything a coordinator is told at start.
import Foundation
import RingAttention
public import RPC

/// Settings of a coordinator process. Zero is never "unlimited".
public struct CoordinatorConfiguration: Sendable {
    /// Where to listen; port 0 takes any free one.
    public var host: String
    public var port: Int
    /// The journal lives here; created if absent.
    public var dataDirectory: String
    /// The GGUF file whose fingerprint every worker must have.
    public var modelPath: String
    /// "bf16" or "f32"; every worker must use the same.
    public var precision: String
    /// Mutual TLS on its port and on the connections to workers.
    public var tls: TLSFiles?
    /// `/metrics`, `/healthz` and `/readyz` in plain HTTP; nil: not served.
    public var metrics: RPCAddress?
    /// The web page and the OpenAI-compatible API, over HTTPS where there is `tls`; nil: not served.
    public var web: RPCAddress?
    /// The file of API tokens; nil: clients need none.
    public var tokens: String?
    /// Workers are told to send a heartbeat this often.
    public var heartbeatSeconds = 1.0
    /// A worker that was not heard for so long is lost.
    public var lostSeconds = 5.0
    /// After a worker has joined, others may follow: no job starts for so long.
    public var settleSeconds = 1.0
    /// Longest wait of a worker for a peer that lives. One that is gone is noticed much sooner.
    public var stallSeconds = 300.0
    /// Longest wait for a worker to take a plan and its tokens.
    public var acceptSeconds = 30.0
    /// Longest silence of all workers of a job: a layer of a long prompt takes its time.
    public var silenceSeconds = 900.0
    /// Longest wait for a worker that measures itself, for a forecast.
    public var calibrateSeconds = 20.0
    /// Jobs that may wait.
    public var queueLimit = 1000
    /// Finished jobs that are kept.
    public var finishedJobs = 10_000
    /// Log lines kept of one job.
    public var logLines = 10_000
    /// Longest prompt, as bytes of text or four bytes a token; all submissions in progress may hold twice as much.
    public var promptBytes = 256 << 20
    /// Prompts that become tokens at once; at least 2.
    public var tokenisingThreads = min(4, max(2, ProcessInfo.processInfo.activeProcessorCount))
    /// Most tokens of a stripe: what travels, and is dealt out, as one.
    public var stripeTokens = Layout.usualStripeTokens
    /// Shown by GetCluster and offered to workers.
    public var version = "0.1.0"

    public init(
        host: String = "127.0.0.1", port: Int = 7400, dataDirectory: String, modelPath: String,
        precision: String = "bf16", tls: TLSFiles? = nil
    ) {
        self.host = host
        self.port = port
        self.dataDirectory = dataDirectory
        self.modelPath = modelPath
        self.precision = precision
        self.tls = tls
    }
}
