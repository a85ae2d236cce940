// Operations of a prefill: what predictions and benchmarks divide by.

/// Counts of a decoder whose layers have gated feed-forward, as all families have it. A multiplication and an
/// addition are two operations.
public struct ModelWork: Sendable, Equatable {
    public let layers: Int
    /// Weights of one layer's products: each is used once for every token.
    public let weightsPerLayer: Int
    /// Elements of a token's queries in one layer.
    public let queryElements: Int

    public init(
        layers: Int, hidden: Int, heads: Int, kvHeads: Int, headDimension: Int, feedForward: Int
    ) {
        self.layers = layers
        weightsPerLayer = 2 * hidden * (heads + kvHeads) * headDimension + 3 * hidden * feedForward
        queryElements = heads * headDimension
    }

    /// Of one layer, for one token.
    public var denseOperations: Double { 2 * Double(weightsPerLayer) }

    /// Of one layer, for one pair of a query and a key that it sees: scores, and the sum of values.
    public var attentionOperations: Double { 4 * Double(queryElements) }
}

extension ModelShape {
    public var work: ModelWork {
        ModelWork(
            layers: layers, hidden: hidden, heads: heads, kvHeads: kvHeads, headDimension: headDimension,
            feedForward: feedForward)
    }
}
