// Tokens that end an answer although no key of the file says so: their names are all there is to go by.
// Source: llama.cpp (src/llama-vocab.cpp, "special_eog_ids"), which goes by the same names.

enum AnswerEnds {
    /// Names that no text has by chance: a token of this name ends an answer, whatever its kind.
    private static let marks: Set<String> = [
        "<|eot_id|>", "<|eom_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|calls|>",
        "<|flush|>",
        "<|endoftext|>", "<|end_of_text|>", "<end_of_turn>", "<end_of_utterance>", "<turn|>",
        "<|tool_response>",
        "<｜end▁of▁sentence｜>", "_<EOT>", "▁<EOT>", "[e~[",
        // Files and repositories that follow each other in training.
        "<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<reponame>",
        "<|file_sep|>",
    ]
    /// Names that may also be a piece of somebody's text: they end an answer unless they are normal tokens.
    private static let words: Set<String> = [
        "</s>", "<eos>", "<EOT>", "[EOT]", "[EOS]", "<PAD>", "[PAD]", "<REPO>",
    ]

    static func tokens(of vocabulary: Vocabulary, kinds: [TokenKind]) -> Set<TokenID> {
        var found: [String: TokenID] = [:]
        var names: Set<String> = []
        for (id, token) in vocabulary.tokens.enumerated() where token.count <= 32 {
            let name = String(decoding: token, as: UTF8.self)
            if name == "<|plamo:eos|>" { names.insert(name) }
            let isEnd =
                switch kinds[id] {
                case .normal: marks.contains(name)
                case .control, .userDefined: marks.contains(name) || words.contains(name)
                case .unknown, .unused, .byte: false
                }
            if isEnd, found[name] == nil { found[name] = TokenID(id) }
        }
        names.formUnion(found.keys)
        // In the form of OpenAI's gpt-oss, and that of Solar, it ends a part of the answer only.
        if names.isSuperset(of: ["<|return|>", "<|call|>"])
            || names.contains("<|flush|>") && !names.isDisjoint(with: ["<|call|>", "<|calls|>"])
        {
            found["<|end|>"] = nil
        }
        if !names.isDisjoint(with: ["<|tool_response>", "<|plamo:eos|>"]) { found["</s>"] = nil }
        return Set(found.values)
    }
}
