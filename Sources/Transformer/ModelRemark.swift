// What a person should know of a model file that runs, but perhaps not as its makers meant.
import Tokenizer

/// Something about a model file that a log and `lariat doctor` say once.
public enum ModelRemark: Sendable, Equatable, CustomStringConvertible {
    /// The vocabulary needs a pre-tokenizer and the file names none, so that llama.cpp's `default` is used.
    case noPreTokenizer
    /// Each query of the model sees so many keys only; longer jobs are refused.
    case slidingWindow(tokens: Int)

    public var description: String {
        switch self {
        case .noPreTokenizer:
            "the model file does not say how text is cut into words (tokenizer.ggml.pre is missing), so the form "
                + "\"default\" is used as in llama.cpp; the model was probably trained with another one and answers "
                + "worse. Convert the model again with a newer llama.cpp"
        case .slidingWindow(let tokens):
            "the model has a sliding window of \(tokens) tokens (attention.sliding_window), which Lariat does not have: "
                + "jobs of up to \(tokens) positions are exact, longer ones are refused"
        }
    }

    static func all(shape: ModelShape, tokenizer: Tokenizer) -> [ModelRemark] {
        var remarks: [ModelRemark] = []
        if tokenizer.lacksPreTokenizer { remarks.append(.noPreTokenizer) }
        if let tokens = shape.slidingWindow, tokens < shape.window {
            remarks.append(.slidingWindow(tokens: tokens))
        }
        return remarks
    }
}
