// The names that Lariat adds to a GGUF file's metadata for more tables than two. Other engines ignore them.

/// Keys of a GGUF file's metadata: parallel arrays, an element for each table (`factors`: one for each pair of each).
public enum RotaryKeys {
    /// The longest sequence of each table; unsigned integers.
    public static let windows = "lariat.rope.windows"
    /// Factors, table after table; float64.
    public static let factors = "lariat.rope.factors"
    /// Attention factors; float64.
    public static let attentionFactors = "lariat.rope.attention_factors"
    /// N-hat; unsigned integers.
    public static let startTokens = "lariat.rope.start_tokens"
}
