// Which tokens of a text to run and which of them to score, so that perplexity at a length means one thing.

import Numerals

/// One run of the model: the tokens it gets, and those of them whose likelihood counts.
public struct PerplexityWindow: Sendable, Hashable {
    /// The document that the positions below count in.
    public let document: Int
    /// The tokens to run, one after another from position 0 of the model.
    public let tokens: Range<Int>
    /// The tokens whose negative log-likelihood, given those before them in the window, counts: part of `tokens`.
    public let scored: Range<Int>
}

/// The ways to cut texts into windows of one length.
///
/// A model says nothing about the first token it gets. So the first token of a window is not scored, except where
/// the model is given a beginning token: that one takes a place of the window, and every other can be scored.
public struct PerplexityWindows: Sendable, Hashable {
    /// The number of tokens the model gets in each window.
    public let length: Int
    /// Whether the caller puts the model's beginning token before each window's tokens. It counts in `length`.
    public let addsBeginning: Bool

    /// Throws `invalidRequest` for a length below 2, which leaves nothing to score.
    public init(length: Int, addsBeginning: Bool = false) throws(EvaluationError) {
        guard length >= 2 else {
            throw EvaluationError(
                .invalidRequest,
                "a window of \(length) tokens has nothing to score; the length must be 2 or more")
        }
        self.length = length
        self.addsBeginning = addsBeginning
    }

    /// The tokens of the text in one window.
    private var textLength: Int { addsBeginning ? length - 1 : length }

    /// The first window of each document that is long enough, in order, at most `limit`.
    ///
    /// `lengths` are the documents' numbers of tokens. This is what LongRoPE's search measures: documents cut to the
    /// length, one run each.
    /// - Throws: `textTooShort` when no document is long enough.
    public func prefixes(
        ofDocuments lengths: [Int], limit: Int? = nil
    ) throws(EvaluationError) -> [PerplexityWindow] {
        try EvaluationError.check(limit: limit)
        let long = lengths.indices.filter { lengths[$0] >= textLength }
        guard !long.isEmpty else {
            throw EvaluationError(
                .textTooShort,
                lengths.isEmpty
                    ? "there are no documents to score; give at least one of \(textLength.grouped) tokens"
                    : (lengths.count == 1
                        ? "the only document has "
                        : "the longest of \(lengths.count.grouped) documents has ")
                        + "\((lengths.max() ?? 0).grouped) tokens; \(need); \(Self.remedy)")
        }
        return long.prefix(limit ?? .max).map { window(document: $0, start: 0) }
    }

    /// Windows side by side from the start of a text of `tokens` tokens, at most `limit`; what is left at the end is
    /// not scored.
    /// - Throws: `textTooShort` when there is not one window.
    public func successive(
        tokens: Int, document: Int = 0, limit: Int? = nil
    ) throws(EvaluationError) -> [PerplexityWindow] {
        try EvaluationError.check(limit: limit)
        try check(tokens)
        let count = min(tokens / textLength, limit ?? .max)
        return (0..<count).map { window(document: document, start: $0 * textLength) }
    }

    /// Windows that move by `stride` tokens over a text of `tokens` tokens, at most `limit`.
    ///
    /// The first window counts whole; each later one counts its last `stride` tokens, so every token is counted
    /// once, and all but the first window's have at least `length` - `stride` tokens before them. The last window
    /// ends with the text and counts what is left. All windows have the same length.
    /// - Throws: `textTooShort`, or `invalidRequest` for a stride that leaves nothing in common.
    public func sliding(
        tokens: Int, stride: Int, document: Int = 0, limit: Int? = nil
    ) throws(EvaluationError) -> [PerplexityWindow] {
        try EvaluationError.check(limit: limit)
        guard (1..<length).contains(stride) else {
            throw EvaluationError(
                .invalidRequest,
                "the stride is \(stride.grouped) tokens; for a window of \(length.grouped) it must be "
                    + "1 to \((length - 1).grouped)")
        }
        try check(tokens)
        var windows = [window(document: document, start: 0)]
        var end = textLength
        while end < tokens, windows.count < limit ?? .max {
            let next = stride < tokens - end ? end + stride : tokens
            windows.append(
                PerplexityWindow(
                    document: document, tokens: (next - textLength)..<next, scored: end..<next))
            end = next
        }
        return windows
    }

    private func window(document: Int, start: Int) -> PerplexityWindow {
        let tokens = start..<(start + textLength)
        return PerplexityWindow(
            document: document, tokens: tokens, scored: addsBeginning ? tokens : tokens.dropFirst())
    }

    private func check(_ tokens: Int) throws(EvaluationError) {
        guard tokens >= textLength else {
            throw EvaluationError(
                .textTooShort, "the corpus has \(tokens.grouped) tokens; \(need); \(Self.remedy)")
        }
    }

    private var need: String {
        "a window of \(length.grouped) needs at least \(textLength.grouped)"
            + (addsBeginning ? " and the beginning token" : "")
    }

    private static let remedy = "use a longer text or a shorter window"
}
