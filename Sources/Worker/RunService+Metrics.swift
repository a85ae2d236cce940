// What a worker's metrics page shows.
import KVCache
import Kernels
import Observability
import RingAttention
import Transformer

extension RunService {
    /// What this prefill says about the worker.
    func count(_ done: RunWork, seconds: Double) {
        let run = done.run
        let (work, rank) = (model.shape.work, run.rank)
        let layout = run.assignment.layout
        let area =
            layout.causalArea(of: rank, in: run.promptTokens)
            - layout.causalArea(of: rank, in: run.assignment.past)
        let layers = Double(model.shape.layers)
        let next = run.members.count > 1 ? run.members[(rank + 1) % run.members.count].name : nil
        statistics.count(
            prefill: done.recorder.timings, tokens: run.assignment.tokens, seconds: seconds, next: next,
            operations: (
                attention: layers * Double(area) * work.attentionOperations,
                dense: layers * Double(run.assignment.tokens) * work.denseOperations
            ))
    }

    /// Everything that is counted and measured here.
    func metrics() -> [MetricFamily] {
        let running = running
        return [
            .gauge(
                "lariat_build_info", "1; what this is is in the labels.",
                [
                    Labelled(
                        1,
                        [
                            "worker": configuration.name, "model": model.name,
                            "isa": configuration.isa.rawValue, "precision": configuration.precision.rawValue,
                            "version": configuration.version,
                        ])
                ]),
            .gauge(
                "lariat_known_epoch", "The newest epoch of the cluster that this worker knows.",
                Double(knownEpoch)),
            .gauge("lariat_runs_running", "Jobs that run here.", (running?.job ?? "").isEmpty ? 0 : 1),
            .gauge(
                "lariat_kv_used_bytes", "Keys and values held: of the job, and kept beyond jobs.",
                Double(store.memory.used)),
            .gauge(
                "lariat_kv_kept_bytes", "Of them, those kept beyond the jobs that computed them.",
                Double(store.bytes)),
            .gauge(
                "lariat_kv_kept_sequences", "Sequences that are kept in memory.", Double(store.inMemory)),
            .gauge(
                "lariat_kv_capacity_bytes", "What keys and values may use.", Double(configuration.memoryBytes)
            ),
            .gauge("lariat_threads", "Compute threads.", Double(configuration.threads)),
        ] + diskMetrics() + statistics.families() + ProcessMetrics.current()
    }

    /// Of the folder of kept sequences; none where there is no folder.
    private func diskMetrics() -> [MetricFamily] {
        guard let folder = store.folder else { return [] }
        let usage = folder.usage
        let counts = usage.counts
        return [
            .gauge(
                "lariat_kv_disk_used_bytes", "Files of kept sequences on disk.", Double(usage.bytes)),
            .gauge(
                "lariat_kv_disk_capacity_bytes", "What kept sequences may use on disk.",
                Double(folder.quota)),
            .gauge("lariat_kv_disk_sequences", "Sequences on disk.", Double(usage.sequences)),
            .gauge("lariat_kv_disk_pages", "Files of pages on disk.", Double(usage.files)),
            .counter(
                "lariat_kv_disk_read_bytes_total", "Pages read from disk, checked.", Double(counts.bytesRead)),
            .counter(
                "lariat_kv_disk_written_bytes_total", "Pages and manifests written to disk.",
                Double(counts.bytesWritten)),
            .counter(
                "lariat_kv_disk_pages_read_total", "Pages read from disk, checked.", Double(counts.pagesRead)),
            .counter(
                "lariat_kv_disk_pages_written_total", "Pages written to disk.", Double(counts.pagesWritten)),
            .counter(
                "lariat_kv_disk_unusable_total",
                "Copies of sequences that were given up: damaged, missing, late or of something else.",
                Double(counts.unusable)),
            .counter(
                "lariat_kv_disk_evictions_total",
                "Sequences that left the disk because others needed the room.",
                Double(counts.evicted)),
            .counter(
                "lariat_kv_disk_not_written_total", "Kept sequences that got no copy on disk.",
                Double(counts.notWritten)),
        ]
    }
}
