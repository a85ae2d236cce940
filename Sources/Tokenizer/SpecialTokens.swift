// Finding tokens that stand for themselves in text: `<|im_end|>` and its like, and tokens a vocabulary's author defined.

/// The texts of special tokens, as a tree of bytes.
struct SpecialTokens: Sendable {
    /// The tree's edges: the number of a node and a byte (in the lowest eight bits) lead to a node. Node 0 is the root.
    private var edges: [UInt64: UInt64] = [:]
    /// The token whose text ends at a node.
    private var tokens: [UInt64: TokenID] = [:]
    private var begins = [Bool](repeating: false, count: 256)
    /// Those that swallow the white space behind them.
    private var takingSpace: Set<TokenID> = []

    mutating func add(_ text: [UInt8], _ token: TokenID, takesSpace: Bool = false) {
        guard let first = text.first else { return }
        begins[Int(first)] = true
        var node: UInt64 = 0
        for byte in text {
            let edge = node << 8 | UInt64(byte)
            node = edges[edge] ?? UInt64(edges.count + 1)
            edges[edge] = node
        }
        if tokens[node] == nil { tokens[node] = token }
        if takesSpace { takingSpace.insert(token) }
    }

    var isEmpty: Bool { tokens.isEmpty }

    /// Whether the white space that follows the token is a part of it.
    func takesSpace(_ token: TokenID) -> Bool { takingSpace.contains(token) }

    /// The first special token in `text[start..<end]`, the longest of those that begin there, with the white space that
    /// is a part of it. Only those count that `accepts` takes: it is given a token and where its name stands.
    func next(
        _ text: Span<UInt8>, from start: Int, to end: Int, _ accepts: (TokenID, Range<Int>) -> Bool
    ) -> (token: TokenID, range: Range<Int>)? {
        guard !isEmpty else { return nil }
        var at = start
        while at < end {
            if begins[Int(text[at])], let (token, length) = longest(text, at, end, accepts) {
                var stop = at + length
                if takesSpace(token) { stop = WordExpression.run(of: .whiteSpace, text, stop, end) }
                return (token, at..<stop)
            }
            at += 1
        }
        return nil
    }

    /// The longest special token that begins at `start`, of those that `accepts` takes.
    func longest(
        _ text: Span<UInt8>, _ start: Int, _ end: Int, _ accepts: (TokenID, Range<Int>) -> Bool
    ) -> (token: TokenID, length: Int)? {
        var found: (token: TokenID, length: Int)?
        var node: UInt64 = 0
        var at = start
        while at < end, let next = edges[node << 8 | UInt64(text[at])] {
            node = next
            at += 1
            if let token = tokens[node], accepts(token, start..<at) { found = (token, at - start) }
        }
        return found
    }
}
