// What is kept in memory beyond runs, as metrics.
import Messages
package import Observability

extension Scheduler {
    package var keptFamilies: [MetricFamily] {
        let states = ContextState.allCases.filter { $0 != .unspecified }
        let contexts = allContexts
        return [
            .gauge(
                "lariat_kept_sequences", "Sequences whose keys and values are in memory beyond their runs.",
                Double(sequences.count)),
            .gauge(
                "lariat_kept_bytes", "Keys and values that outlive their runs, on all workers.",
                Double(sequences.keptTokens * model.kvBytesPerToken)),
            .gauge(
                "lariat_pinned_bytes", "Of them, those that pinned contexts give up for no job.",
                Double(sequences.pinnedTokens().values.reduce(0, +) * model.kvBytesPerToken)),
            .gauge(
                "lariat_contexts", "Contexts, by state.",
                states.map { state in
                    Labelled(Double(contexts.count { $0.state == state }), ["state": state.word])
                }),
        ]
    }
}
