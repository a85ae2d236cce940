// How many bytes of prompts may be held in memory while they arrive and become tokens, and by whom.

/// Bytes held, by caller. Each caller may hold as much as is then still free for the others: alone half of all, a second
/// one a half of the rest, and so on. Nobody can take all, and a caller without company is hardly limited (the dynamic
/// thresholds of switches that share a buffer: Choudhury and Hahne, 1998).
///
/// Those who only ask for a forecast share bytes of their own, so that they never keep a submission out.
package struct PromptBudget: Sendable {
    package enum Purpose: Sendable { case submission, forecast }

    private struct Pool: Sendable {
        let bytes: Int
        var held = 0
        var byCaller: [String: Int] = [:]

        func room(for caller: String) -> Int { max(0, (bytes - held - (byCaller[caller] ?? 0)) / 2) }
    }
    private var submissions: Pool
    private var forecasts: Pool
    private subscript(purpose: Purpose) -> Pool {
        get { purpose == .submission ? submissions : forecasts }
        set { if purpose == .submission { submissions = newValue } else { forecasts = newValue } }
    }

    /// - Parameter longest: bytes that a submission of somebody alone may have; of a forecast's prompt a quarter.
    package init(longest: Int) {
        submissions = Pool(bytes: 2 * longest)
        forecasts = Pool(bytes: longest / 2)
    }

    /// Bytes that the prompt of somebody alone may have.
    package func longest(_ purpose: Purpose) -> Int { self[purpose].bytes / 2 }

    /// - Throws: `.exhausted`, with what is left.
    package mutating func hold(
        _ bytes: Int, for caller: String, _ purpose: Purpose
    ) throws(CoordinatorError) {
        let room = self[purpose].room(for: caller)
        guard bytes <= room else {
            let whose =
                self[purpose].byCaller[caller] == nil ? "" : " beside the prompts that it is sending already"
            throw CoordinatorError(
                .exhausted,
                purpose == .submission
                    ? "this client may send \(humanBytes(room)) of prompts now\(whose); submit again in a moment"
                    : "this client may send \(humanBytes(room)) of prompts for forecasts now\(whose); ask again in a "
                        + "moment, or with a shorter prompt")
        }
        self[purpose].held += bytes
        self[purpose].byCaller[caller, default: 0] += bytes
    }

    /// Gives back what was held.
    package mutating func release(_ bytes: Int, of caller: String, _ purpose: Purpose) {
        self[purpose].held -= bytes
        let left = (self[purpose].byCaller[caller] ?? 0) - bytes
        self[purpose].byCaller[caller] = left > 0 ? left : nil
    }

    /// Bytes held by all, forecasts included.
    package var held: Int { submissions.held + forecasts.held }
}
