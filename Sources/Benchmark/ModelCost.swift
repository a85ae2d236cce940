// What a model's tokens cost: operations of a prefill, bytes that a token of decode must read.
import GGUF
package import Kernels
import Transformer

/// Counts for one model.
package struct ModelCost: Sendable, Equatable {
    /// Weights of the dense products in all layers: each is used once for every token.
    package let layerWeights: Int
    /// Elements of a token's queries in all layers.
    package let queryElements: Int
    /// Bytes of the weights that every generated token reads, head included, as they lie in the file.
    package let weightBytes: Int
    /// Size of the model file in bytes.
    package let fileBytes: Int
    /// Token ids are below it.
    package let vocabulary: Int
    private let kvBytesBF16: Int
    private let kvBytesF32: Int

    /// Counts of a layer with gated feed-forward, as all families have it.
    package init(
        layers: Int, hidden: Int, heads: Int, kvHeads: Int, headDimension: Int, feedForward: Int,
        vocabulary: Int, weightBytes: Int, fileBytes: Int
    ) {
        let work = ModelWork(
            layers: layers, hidden: hidden, heads: heads, kvHeads: kvHeads, headDimension: headDimension,
            feedForward: feedForward)
        layerWeights = layers * work.weightsPerLayer
        queryElements = layers * work.queryElements
        self.weightBytes = weightBytes
        self.fileBytes = fileBytes
        self.vocabulary = vocabulary
        let elements = layers * 2 * kvHeads * headDimension
        kvBytesBF16 = elements * KVElement.bf16.bytes
        kvBytesF32 = elements * KVElement.f32.bytes
    }

    /// Opens a model file.
    /// - Throws: what is wrong with the file.
    package init(path: String) throws(BenchmarkError) {
        let model: Model
        do throws(ModelError) { model = try Model(path: path) } catch { throw .model(error) }
        let file: GGUFFile
        do throws(GGUFError) { file = try GGUFFile(path: path) } catch { throw .weights(error) }
        let shape = model.shape
        self.init(
            layers: shape.layers, hidden: shape.hidden, heads: shape.heads, kvHeads: shape.kvHeads,
            headDimension: shape.headDimension, feedForward: shape.feedForward,
            vocabulary: shape.vocabulary, weightBytes: model.weightBytes, fileBytes: file.byteCount)
    }

    /// Operations of a prefill: 2 for each weight and token, and causal attention, 2 S^2 for each element of a
    /// query (half of the products are masked, the rest costs 2 operations in the scores and 2 in the sum of values).
    package func prefillOperations(tokens: Int) -> Double {
        let tokens = Double(tokens)
        return 2 * Double(layerWeights) * tokens + 2 * Double(queryElements) * tokens * tokens
    }

    /// Keys and values of one token in all layers.
    package func kvBytesPerToken(_ precision: Precision) -> Int {
        precision == .bf16 ? kvBytesBF16 : kvBytesF32
    }

    /// Bytes that a generated token must read when `tokens` tokens stand before it.
    package func decodeBytes(tokens: Double, _ precision: Precision) -> Double {
        Double(weightBytes) + tokens * Double(kvBytesPerToken(precision))
    }
}
