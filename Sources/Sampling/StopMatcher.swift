// Stop strings in streamed text: what may be shown already, and where to stop.

/// Finds stop strings in text that arrives in pieces, and holds back only what could be the beginning of one.
///
/// The stop string that is complete first ends the text; of several that end on the same byte, the one that starts
/// first. So the result does not depend on how the text was cut into pieces. Comparison is by bytes of UTF-8. Time is
/// linear in the text (Aho and Corasick, 1975). Empty stop strings are ignored.
public struct StopMatcher: Sendable {
    private struct State: Sendable {
        /// The length of the beginning of a stop string that the state stands for.
        var depth: Int
        /// The state of its longest proper end that begins a stop string as well.
        var fallback = 0
        /// The length of the longest stop string that is complete here; 0 where none is.
        var match = 0
    }
    private struct Edge: Hashable, Sendable {
        var state: Int
        var byte: UInt8
    }

    private var states = [State(depth: 0)]
    private var edges: [Edge: Int] = [:]
    private var state = 0
    /// Text that was not emitted yet, from `heldStart` on.
    private var held: [UInt8] = []
    private var heldStart = 0
    /// Whether a stop string was found. All further text is dropped.
    public private(set) var stopped = false

    public init(stops: [String]) {
        for stop in stops { insert(stop) }
        linkFallbacks()
    }

    private mutating func insert(_ stop: String) {
        var state = 0
        for byte in stop.utf8 {
            let edge = Edge(state: state, byte: byte)
            if let next = edges[edge] {
                state = next
            } else {
                states.append(State(depth: states[state].depth + 1))
                state = states.count - 1
                edges[edge] = state
            }
        }
        states[state].match = states[state].depth
    }

    private mutating func linkFallbacks() {
        // Shallow states first, since a fallback is always shallower.
        for (edge, child) in edges.sorted(by: { states[$0.value].depth < states[$1.value].depth }) {
            if edge.state != 0 {
                states[child].fallback = target(from: states[edge.state].fallback, byte: edge.byte)
            }
            if states[child].match == 0 { states[child].match = states[states[child].fallback].match }
        }
    }

    private func target(from start: Int, byte: UInt8) -> Int {
        var state = start
        while true {
            if let next = edges[Edge(state: state, byte: byte)] { return next }
            if state == 0 { return 0 }
            state = states[state].fallback
        }
    }

    /// Takes the next piece of text and returns what may be shown now, without any stop string.
    public mutating func push(_ text: String) -> (emit: String, stopped: Bool) {
        guard !stopped else { return ("", true) }
        for byte in text.utf8 {
            held.append(byte)
            state = target(from: state, byte: byte)
            if states[state].match > 0 {
                stopped = true
                let emit = take(keeping: states[state].match)
                held = []
                heldStart = 0
                return (emit, true)
            }
        }
        return (take(keeping: states[state].depth), false)
    }

    /// The text ended: what was held back, or nothing after a stop string.
    public mutating func finish() -> String {
        state = 0
        return stopped ? "" : take(keeping: 0)
    }

    /// Removes and returns the held text but for its last `count` bytes. Stop strings begin and pieces end at whole
    /// Unicode scalars, so the cut is never inside one.
    private mutating func take(keeping count: Int) -> String {
        let end = held.count - count
        let text = String(decoding: held[heldStart..<end], as: UTF8.self)
        heldStart = end
        if heldStart * 2 >= held.count {
            held.removeSubrange(..<heldStart)
            heldStart = 0
        }
        return text
    }
}
