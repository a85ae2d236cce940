// What a worker counts about itself, for its page of metrics.
import Observability
import RingAttention
import RingTransport
import Synchronization

/// Sums since the worker's start. Shared by the threads of a job, heartbeats and the page.
final class WorkerStatistics: Sendable {
    private struct State: Sendable {
        var runs = CounterVector()
        var tokens = 0.0
        var compute = 0.0
        var wait = 0.0
        var wire = 0.0
        var sent = CounterVector()
        var received = 0.0
        var attention: Double?
        var linear: Double?
        var linkSpeed: Double?
        var heartbeats = CounterVector()
    }
    private let state = Mutex(State())

    init() {
        state.withLock {
            for result in ["succeeded", "failed"] { $0.runs.add(0, ["result": result]) }
            for result in ["answered", "failed"] { $0.heartbeats.add(0, ["result": result]) }
        }
    }

    func count(heartbeat answered: Bool) {
        state.withLock { $0.heartbeats.add(1, ["result": answered ? "answered" : "failed"]) }
    }

    /// A job's part on this worker is over.
    func count(run succeeded: Bool) {
        state.withLock { $0.runs.add(1, ["result": succeeded ? "succeeded" : "failed"]) }
    }

    /// What a prefill took.
    /// - Parameters:
    ///   - next: the worker that blocks were sent to; nil: none.
    ///   - operations: of attention and of everything else.
    func count(
        prefill timings: RingTimings, tokens: Int, seconds: Double, next: String?,
        operations: (attention: Double, dense: Double)
    ) {
        let waited = timings.wait.seconds
        let attended = timings.attend.seconds
        let wire = timings.steps.dropFirst().reduce(0) { $0 + $1.wire.seconds }
        state.withLock { state in
            state.tokens += Double(tokens)
            state.compute += max(0, seconds - waited)
            state.wait += waited
            state.wire += wire
            state.received += Double(timings.bytesReceived)
            if let next { state.sent.add(Double(timings.bytesSent), ["to": next]) }
            if wire > 0.001 { state.linkSpeed = Double(timings.bytesReceived) / wire }
            if attended > 0.001 { state.attention = operations.attention / attended }
            let dense = seconds - waited - attended
            if dense > 0.001 { state.linear = operations.dense / dense }
        }
    }

    func families() -> [MetricFamily] {
        let state = state.withLock { $0 }
        func measured(_ name: String, _ help: String, _ value: Double?) -> MetricFamily {
            .gauge(name, help, value.map { [Labelled($0, .none)] } ?? [])
        }
        return [
            state.runs.family("lariat_runs_total", "Parts of jobs that are over, by result."),
            .counter(
                "lariat_prefilled_tokens_total", "Prompt tokens whose keys and values this worker computed.",
                state.tokens),
            .counter("lariat_compute_seconds_total", "Time spent computing in prefills.", state.compute),
            .counter("lariat_wait_seconds_total", "Time spent waiting for blocks in prefills.", state.wait),
            .counter(
                "lariat_wire_seconds_total", "Time that blocks took to come in during prefills.", state.wire),
            state.sent.family(
                "lariat_ring_sent_bytes_total",
                "Bytes of blocks sent in prefills, by the worker they went to."),
            .counter(
                "lariat_ring_received_bytes_total", "Bytes of blocks that came in during prefills.",
                state.received),
            measured(
                "lariat_ring_receive_bytes_per_second",
                "Bytes of blocks that came in by the time they took, last prefill.", state.linkSpeed),
            measured(
                "lariat_attention_flops_per_second", "Operations a second of attention, last prefill.",
                state.attention),
            measured(
                "lariat_linear_flops_per_second",
                "Operations a second of everything but attention, last prefill.", state.linear),
            state.heartbeats.family("lariat_heartbeats_total", "Heartbeats sent, by result."),
        ]
    }
}
