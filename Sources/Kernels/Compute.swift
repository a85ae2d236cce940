// The compute engine of one worker: which instructions, how many threads, which precision. The operations are in
// extensions, one file for each kind.
internal import COneDNN

/// The threads and settings that kernels run with. Results depend on `isa` and `precision`, never on `threads`.
///
/// One engine thread drives a `Compute` at a time (calls from several threads wait for each other); that thread takes
/// part in the work. It must not be one of Swift's cooperative threads or a network thread.
public final class Compute: Sendable {
    public let isa: ISA
    /// What was asked for; `usesBF16` says what dense products really use.
    public let precision: Precision
    public let threads: Int
    private let cores: [Int]?
    let pool: ThreadPool
    let scratch: ThreadScratch
    let dense: DenseEngine

    /// - Parameters:
    ///   - threads: compute threads, the caller included; 1...1024.
    ///   - cores: one core number for each thread, or nil to let the system place them. Helpers are placed here,
    ///     the calling thread by `pinCaller()`.
    ///   - isa: the instruction set; an error when this machine does not have it.
    ///   - precision: operands of dense products.
    public init(
        threads: Int, cores: [Int]? = nil, isa: ISA = .best, precision: Precision
    ) throws(KernelError) {
        guard ISA.available.contains(isa) else {
            throw .isaUnavailable(wanted: isa.rawValue, available: ISA.available.map(\.rawValue))
        }
        self.isa = isa
        self.precision = precision
        self.threads = threads
        self.cores = cores
        pool = try ThreadPool(threads: threads, cores: cores) { omp_set_num_threads(1) }
        scratch = ThreadScratch(threads: threads)
        dense = DenseEngine(threads: threads)
    }

    /// Whether dense products have bfloat16 operands: asked for, and instructions for them present. Without, oneDNN
    /// would imitate them at a third of the speed of float32.
    public var usesBF16: Bool { precision == .bf16 && isa >= .avx512bf16 }

    /// Places the calling thread on the first of `cores`. Nothing to do when no cores were given.
    public func pinCaller() throws(KernelError) {
        if let core = cores?.first { try placeCaller(core: core) }
    }

    /// Runs `body(item, thread)` once for every item in `0..<count` and returns when all are done. Items are handed
    /// out one by one; `thread` is in `0..<threads` and no two calls with the same `thread` overlap. Inside `body`
    /// every operation of this engine runs on the calling thread alone: so a body can take its rows through many
    /// operations while they stay in that core's cache.
    package func forEach(_ count: Int, _ body: (_ item: Int, _ thread: Int) -> Void) {
        pool.forEach(count, body)
    }
}
