// Prompts of millions of tokens from a few short texts: each is encoded once, as it stands in the whole.

/// Encodes texts as continuations of others.
///
/// The end of a line, or of a word before a blank, is a border that no tokenizer in use merges over, so the pieces'
/// tokens in a row are those of the whole text. What an encoder puts in front of every text (a beginning token, a
/// blank) appears in no piece: the piece is encoded behind a short text, and that text's tokens are taken off.
struct PieceEncoder {
    let encode: (String) -> [Int32]

    /// The tokens of `piece` where it follows a text that ends with `anchor`.
    func tokens(_ piece: String, after anchor: String) -> [Int32] {
        let before = encode(anchor)
        let both = encode(anchor + piece)
        return both.starts(with: before) ? Array(both.dropFirst(before.count)) : encode(piece)
    }
}
