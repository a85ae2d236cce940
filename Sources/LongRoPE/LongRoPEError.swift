// What can be wrong with a rotary profile or with what a model file says about rotary scaling.

/// A rotary profile that cannot be used, with the figures that say why.
public struct LongRoPEError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The kind of problem, for code that has to tell them apart.
    public enum Code: Sendable, Equatable {
        /// A value of a profile is out of its range.
        case invalidProfile
        /// The model asks for a kind of scaling that is not supported.
        case unsupportedScaling
        /// The model file lacks the factors that this length needs.
        case missingFactors
        /// The number of tokens asked for is not a length.
        case invalidLength
        /// A method, or a file of factors, is not what it should be.
        case invalidMethod
    }

    public let code: Code
    /// One sentence for people: the thing, the limit and, where there is one, the remedy.
    public let description: String

    init(_ code: Code, _ description: String) {
        self.code = code
        self.description = description
    }
}
