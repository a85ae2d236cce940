// What can be wrong with a request to measure a model.

/// A measurement that cannot be made, or scores from which nothing follows, with the figures that say why.
public struct EvaluationError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The kind of problem, for code that has to tell them apart.
    public enum Code: Sendable, Equatable {
        /// A length, depth, stride or count is out of its range: the request is at fault.
        case invalidRequest
        /// The text is shorter than what was asked for needs.
        case textTooShort
        /// Scores that are no numbers, that are missing, or that do not belong together.
        case invalidScores
    }

    public let code: Code
    /// One sentence for people: the thing, the limit and, where there is one, the remedy.
    public let description: String

    init(_ code: Code, _ description: String) {
        self.code = code
        self.description = description
    }

    /// Throws `invalidRequest` unless `depth` is a share of the text.
    static func check(depth: Double) throws(EvaluationError) {
        guard (0...1).contains(depth) else {
            throw EvaluationError(
                .invalidRequest, "the depth is \(depth); it must be from 0 (the start) to 1 (the end)")
        }
    }

    /// Throws `invalidRequest` unless `limit`, where there is one, is 1 or more.
    static func check(limit: Int?) throws(EvaluationError) {
        if let limit, limit < 1 {
            throw EvaluationError(
                .invalidRequest, "\(limit) windows were asked for; ask for 1 or more, or set no limit")
        }
    }
}
