// The compute threads: plain POSIX threads that share out the items of one loop at a time. They are not Swift's
// cooperative threads, which must stay free for the network.
internal import CLariatKernels
internal import Glibc
internal import Synchronization

/// A blocking parallel loop over a fixed set of threads. The calling thread is thread 0.
///
/// Helpers that wake too late for a loop do not hold it up: a loop is a gate through which helpers enter, the caller
/// shuts it when no item is left, and waits only for those inside.
final class ThreadPool: Sendable {
    let threads: Int
    private let loop: SharedLoop
    private let helpers: [pthread_t]

    /// `cores`: one core for each thread; the first is for the caller (see `pinCaller`). `onStart` runs once on each
    /// helper.
    init(threads: Int, cores: [Int]?, onStart: @escaping @Sendable () -> Void) throws(KernelError) {
        guard threads >= 1, threads <= 1024 else { throw .threadCount(threads, limit: 1024) }
        if let cores {
            guard cores.count == threads else {
                throw .cores("it names \(cores.count) cores for \(threads) threads")
            }
            if let bad = cores.first(where: { $0 < 0 || $0 >= 1024 }) {
                throw .cores("core \(bad) is outside 0...1023")
            }
        }
        self.threads = threads
        let loop = SharedLoop()
        self.loop = loop
        var started: [pthread_t] = []
        for thread in 1..<max(threads, 1) {
            var handle = pthread_t()
            let start = HelperStart(loop: loop, thread: thread, onStart: onStart)
            let argument = unsafe Unmanaged.passRetained(start)
            let code = unsafe pthread_create(&handle, nil, helperMain, argument.toOpaque())
            var failure: KernelError? = code == 0 ? nil : .thread(code)
            if code != 0 { unsafe argument.release() } else { started.append(handle) }
            if code == 0, let cores, lariat_place_thread(UInt(handle), Int32(cores[thread])) != 0 {
                failure = .cores("core \(cores[thread]) is not allowed here")
            }
            if let failure {
                loop.shutDown()
                for helper in started { _ = pthread_join(helper, nil) }
                throw failure
            }
        }
        helpers = started
    }

    deinit {
        loop.shutDown()
        for helper in helpers { _ = pthread_join(helper, nil) }
    }

    /// The number of the calling thread when it is inside a loop of this pool.
    var callersThread: Int? { loop.callersThread }

    /// How many threads a loop would run on that is started here.
    var width: Int { callersThread == nil ? threads : 1 }

    /// Runs `body(item, thread)` for every item in `0..<count`, once each, in any order, and returns when all are
    /// done. Loops asked for by several threads run one after the other. A loop inside `body` runs on the thread that
    /// asks for it alone, in order: the same code serves whole matrices and one thread's share of them.
    func forEach(_ count: Int, _ body: (_ item: Int, _ thread: Int) -> Void) {
        guard count > 0 else { return }
        if let thread = loop.callersThread {
            for item in 0..<count { body(item, thread) }
            return
        }
        loop.acquire()
        defer { loop.release() }
        guard count > 1, threads > 1 else {
            loop.alone { for item in 0..<count { body(item, 0) } }
            return
        }
        withoutActuallyEscaping(body) { body in
            loop.run(count, body)
        }
    }
}

/// Places the calling thread on one core.
func placeCaller(core: Int) throws(KernelError) {
    guard lariat_place_thread(UInt(pthread_self()), Int32(core)) == 0 else {
        throw .cores("core \(core) is not allowed here")
    }
}

private final class HelperStart: Sendable {
    let loop: SharedLoop
    let thread: Int
    let onStart: @Sendable () -> Void

    init(loop: SharedLoop, thread: Int, onStart: @escaping @Sendable () -> Void) {
        self.loop = loop
        self.thread = thread
        self.onStart = onStart
    }
}

private func helperMain(_ argument: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    guard let argument = unsafe argument else { return nil }
    let start = unsafe Unmanaged<HelperStart>.fromOpaque(argument).takeRetainedValue()
    start.onStart()
    start.loop.help(thread: start.thread)
    return nil
}

/// The loop that caller and helpers share.
///
/// `gate` counts the helpers inside; `shut` is added while the gate is closed. `body`, `count` and `next` are written
/// only while the gate is shut and nobody is inside, and read only by those inside.
@safe
private final class SharedLoop: @unchecked Sendable {
    private static let shut = Int.min / 2
    /// About 40 microseconds: more than the pause between two loops of one forward pass.
    private static let spins = 3000

    private let gate = Atomic<Int>(SharedLoop.shut)
    private let generation = Atomic<Int>(0)
    private let sleepers = Atomic<Int>(0)
    private let stopped = Atomic<Bool>(false)
    private let next = Atomic<Int>(0)
    private var count = 0
    private var body: ((Int, Int) -> Void)?

    /// Holds the one caller whose loop runs.
    private let caller = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let work = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private let empty = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

    init() {
        unsafe pthread_mutex_init(caller, nil)
        unsafe pthread_mutex_init(mutex, nil)
        unsafe pthread_cond_init(work, nil)
        unsafe pthread_cond_init(empty, nil)
    }

    deinit {
        unsafe pthread_cond_destroy(empty)
        unsafe pthread_cond_destroy(work)
        unsafe pthread_mutex_destroy(mutex)
        unsafe pthread_mutex_destroy(caller)
        unsafe empty.deallocate()
        unsafe work.deallocate()
        unsafe mutex.deallocate()
        unsafe caller.deallocate()
    }

    /// This loop's name for the C side.
    private var name: UnsafeRawPointer { unsafe UnsafeRawPointer(caller) }

    /// The number of the calling thread when it is inside this loop.
    var callersThread: Int? {
        let thread = unsafe lariat_thread_in_loop(name)
        return thread < 0 ? nil : Int(thread)
    }

    func acquire() { unsafe _ = pthread_mutex_lock(caller) }

    /// Runs `body` as thread 0 of a loop without helpers.
    func alone(_ body: () -> Void) {
        unsafe lariat_enter_loop(name, 0)
        body()
        lariat_enter_loop(nil, 0)
    }

    func release() { unsafe _ = pthread_mutex_unlock(caller) }

    func run(_ count: Int, _ body: @escaping (Int, Int) -> Void) {
        self.count = count
        self.body = body
        next.store(0, ordering: .relaxed)
        gate.store(0, ordering: .releasing)
        generation.add(1, ordering: .sequentiallyConsistent)
        if sleepers.load(ordering: .sequentiallyConsistent) > 0 {
            unsafe pthread_mutex_lock(mutex)
            unsafe pthread_cond_broadcast(work)
            unsafe pthread_mutex_unlock(mutex)
        }
        takeItems(thread: 0, body)
        close()
        self.body = nil
    }

    /// Shuts the gate and waits for those inside.
    private func close() {
        gate.add(Self.shut, ordering: .acquiringAndReleasing)
        for _ in 0..<Self.spins {
            if gate.load(ordering: .acquiring) == Self.shut { return }
            lariat_spin_hint()
        }
        unsafe pthread_mutex_lock(mutex)
        while gate.load(ordering: .acquiring) != Self.shut { unsafe _ = pthread_cond_wait(empty, mutex) }
        unsafe pthread_mutex_unlock(mutex)
    }

    private func takeItems(thread: Int, _ body: (Int, Int) -> Void) {
        let count = count
        unsafe lariat_enter_loop(name, Int32(thread))
        while true {
            let item = next.add(1, ordering: .relaxed).oldValue
            guard item < count else { break }
            body(item, thread)
        }
        lariat_enter_loop(nil, 0)
    }

    /// A helper's life: wait for a loop, enter if the gate is open, take items, leave.
    func help(thread: Int) {
        var seen = 0
        while true {
            seen = waitForWork(after: seen)
            if stopped.load(ordering: .acquiring) { return }
            guard enter() else { continue }
            if let body { takeItems(thread: thread, body) }
            let left = gate.subtract(1, ordering: .acquiringAndReleasing).newValue
            if left == Self.shut {
                // Under the lock, so that the caller is either before its check or already waiting.
                unsafe pthread_mutex_lock(mutex)
                unsafe pthread_cond_signal(empty)
                unsafe pthread_mutex_unlock(mutex)
            }
        }
    }

    private func enter() -> Bool {
        var inside = gate.load(ordering: .acquiring)
        while inside >= 0 {
            let (exchanged, current) = gate.compareExchange(
                expected: inside, desired: inside + 1, ordering: .acquiringAndReleasing)
            if exchanged { return true }
            inside = current
        }
        return false
    }

    private func waitForWork(after seen: Int) -> Int {
        for _ in 0..<Self.spins {
            let current = generation.load(ordering: .acquiring)
            if current != seen { return current }
            lariat_spin_hint()
        }
        unsafe pthread_mutex_lock(mutex)
        defer { unsafe pthread_mutex_unlock(mutex) }
        // The sleeper is counted before it looks again and the caller counts after it has advanced: one of the two
        // always sees the other.
        sleepers.add(1, ordering: .sequentiallyConsistent)
        defer { sleepers.subtract(1, ordering: .sequentiallyConsistent) }
        while true {
            let current = generation.load(ordering: .sequentiallyConsistent)
            if current != seen { return current }
            unsafe _ = pthread_cond_wait(work, mutex)
        }
    }

    func shutDown() {
        stopped.store(true, ordering: .releasing)
        generation.add(1, ordering: .sequentiallyConsistent)
        unsafe pthread_mutex_lock(mutex)
        unsafe pthread_cond_broadcast(work)
        unsafe pthread_mutex_unlock(mutex)
    }
}
