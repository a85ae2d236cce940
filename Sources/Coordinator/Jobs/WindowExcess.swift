// By how much a prompt and its answer are longer than a window: figures, and their words for a command line.

import Numerals

/// How long a prompt is.
package struct PromptLength: Equatable, Sendable {
    package var tokens: Int
    /// It has so many tokens or more: they were not counted.
    package var isAtLeast = false

    package init(tokens: Int, isAtLeast: Bool = false) {
        self.tokens = tokens
        self.isAtLeast = isAtLeast
    }
}

/// A prompt and what is reserved for its answer, longer together than the window.
package struct WindowExcess: Equatable, Sendable {
    package var prompt: PromptLength
    package var reserved: Int
    package var window: Int
    /// Whose window it is: a model's name, or a rotary table.
    package var owner: String
    /// What is reserved is for questions and their answers.
    package var isContext = false

    /// - Parameter isContext: what is reserved is for questions and their answers.
    package init(
        prompt: PromptLength, reserved: Int, window: Int, of owner: String, isContext: Bool = false
    ) {
        self.prompt = prompt
        self.isContext = isContext
        self.reserved = reserved
        self.window = window
        self.owner = owner
    }

    /// With the command line's options. `APIError.contextLength` has the words for the HTTP API.
    package var commandLineText: String {
        let least = prompt.isAtLeast ? "at least " : ""
        let answer =
            reserved > 0
            ? " and \(reserved.grouped) are reserved for \(isContext ? "questions" : "the answer")" : ""
        // To be typed: its digits stand together.
        let smaller =
            reserved > 0 && prompt.tokens < window && !prompt.isAtLeast
            ? ", set \(isContext ? "--reserve" : "--max-tokens") to \(window - prompt.tokens) or less" : ""
        return
            "the prompt has \(least)\(prompt.tokens.grouped) tokens\(answer), "
            + "\((prompt.tokens + reserved - window).grouped) more than the window of \(owner), \(window.grouped): "
            + "shorten the prompt\(smaller), extend the window with --rope, or allow it with --beyond-window (answers get worse there unless the model was extended)"
    }
}
