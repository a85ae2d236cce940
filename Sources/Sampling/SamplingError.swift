// What can be wrong with sampling options or with the logits that a model gives.

/// Options out of range, or logits from which no token can be chosen.
public struct SamplingError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The kind of problem, for code that has to tell them apart.
    public enum Code: Sendable, Equatable {
        /// An option is out of its range: the request is at fault.
        case invalidOption
        /// A logit is not a number or +infinity: the computation went wrong.
        case invalidLogit
        /// There is no logit, or every one is -infinity.
        case noCandidate
    }

    public let code: Code
    /// One sentence for people.
    public let description: String

    init(_ code: Code, _ description: String) {
        self.code = code
        self.description = description
    }
}
