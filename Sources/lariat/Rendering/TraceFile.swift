// A job's timeline in the Trace Event Format, which Perfetto (ui.perfetto.dev) and chrome://tracing open. No I/O.

internal import JSONText
package import Messages

/// Writes a timeline piece by piece: `beginning`, what `events` gives for each part, `end`.
///
/// Every worker is a process with three tracks: what it computed, what it waited for, and the blocks that came in from
/// the worker before it. Times count from each worker's own start of the job; their clocks are not compared, so that
/// tracks of different workers may be shifted by the time that the order to start took on the network.
package struct TraceFile {
    private enum Track: UInt64, CaseIterable {
        case compute = 1
        case wait, link

        /// Never the number of a process: a thread with that number is taken for the main one.
        func thread(of rank: Int) -> UInt64 { 10 * UInt64(rank + 1) + rawValue }
    }

    /// Names of the job's workers by rank.
    private let workers: [String]
    private var named: Set<Int> = []
    /// Where each track ends so far: slices of a track must not overlap.
    private var ends: [Int: [Track: UInt64]] = [:]
    private var isFirst = true

    package init(workers: [String]) { self.workers = workers }

    package static let beginning = "{\"displayTimeUnit\":\"ms\",\"traceEvents\":["
    package static let end = "]}\n"

    /// The events of one part, as text that continues the list.
    package mutating func events(_ part: TracePart) -> String {
        let rank = Int(part.rank)
        var events: [JSONValue] = []
        if named.insert(rank).inserted { events += names(rank, part.worker) }
        for span in part.spans.sorted(by: { $0.startMicroseconds < $1.startMicroseconds }) {
            if let event = event(span, rank) { events.append(event) }
        }
        var text = ""
        for event in events {
            text += isFirst ? "\n" : ",\n"
            isFirst = false
            text += event.text
        }
        return text
    }

    private func names(_ rank: Int, _ worker: String) -> [JSONValue] {
        func metadata(_ name: String, _ thread: UInt64, _ value: JSONValue, _ key: String) -> JSONValue {
            .object([
                ("ph", .string("M")), ("name", .string(name)), ("pid", .unsigned(UInt64(rank + 1))),
                ("tid", .unsigned(thread)), ("args", .object([(key, value)])),
            ])
        }
        let previous =
            workers.isEmpty ? "?" : workers[(rank + workers.count - 1) % workers.count]
        let process = [
            metadata("process_name", 0, .string("\(worker) (rank \(rank))"), "name"),
            metadata("process_sort_index", 0, .unsigned(UInt64(rank)), "sort_index"),
        ]
        return Track.allCases.reduce(into: process) { events, track in
            let name =
                switch track {
                case .compute: "compute"
                case .wait: "wait"
                case .link: "blocks from \(previous)"
                }
            let thread = track.thread(of: rank)
            events.append(metadata("thread_name", thread, .string(name), "name"))
            events.append(metadata("thread_sort_index", thread, .unsigned(track.rawValue), "sort_index"))
        }
    }

    private mutating func event(_ span: TraceSpanMessage, _ rank: Int) -> JSONValue? {
        let track: Track
        let name: String
        switch span.kind {
        case .dense: (track, name) = (.compute, "dense")
        case .attention: (track, name) = (.compute, "attention, step \(span.step)")
        case .decode: (track, name) = (.compute, "token \(span.layer)")
        case .wait: (track, name) = (.wait, "wait, step \(span.step)")
        case .transfer: (track, name) = (.link, "block, step \(span.step)")
        case .unspecified: return nil
        }
        let begin = max(span.startMicroseconds, ends[rank]?[track] ?? 0)
        let end = max(begin, span.startMicroseconds &+ span.durationMicroseconds)
        ends[rank, default: [:]][track] = end
        var arguments: [(String, JSONValue)] = []
        if span.kind != .decode { arguments.append(("layer", .unsigned(UInt64(span.layer)))) }
        if span.bytes > 0 { arguments.append(("bytes", .unsigned(span.bytes))) }
        return .object([
            ("ph", .string("X")), ("name", .string(name)), ("pid", .unsigned(UInt64(rank + 1))),
            ("tid", .unsigned(track.thread(of: rank))), ("ts", .unsigned(begin)),
            ("dur", .unsigned(end - begin)),
            ("args", .object(arguments)),
        ])
    }
}
