// What is asked of an extension of a model's context, and what comes of it.
public import FactorSearch
public import LongRoPE

/// What is asked of an extension.
public struct ExtensionRequest: Sendable {
    /// How candidates are varied and judged.
    public enum Method: String, Sendable, Codable, CaseIterable {
        /// Every pair is free; perplexity of all tokens (arXiv 2402.13753).
        case longrope
        /// Free from the critical pair on, which is searched too; perplexity of hidden needles (arXiv 2502.20082).
        case longrope2
    }

    /// A model that was fine-tuned elsewhere with the factors of a first stage.
    public struct Checkpoint: Sendable {
        /// The factors it was tuned with, and their window.
        public let table: RotaryTable

        public init(table: RotaryTable) { self.table = table }
    }

    public var base: RotaryBase
    /// L', in tokens.
    public var target: Int
    public var method: Method
    /// For all searches together, in seconds.
    public var budget: Double
    public var seed: UInt64
    /// What n-hat may be.
    public var startTokens: [Int]
    public var checkpoint: Checkpoint?
    /// Stands for model and texts in the journal's identity.
    public var fingerprint: String

    public init(
        base: RotaryBase, target: Int, method: Method = .longrope, budget: Double, seed: UInt64 = 1,
        startTokens: [Int] = SearchSpace.paperStartTokens, checkpoint: Checkpoint? = nil, fingerprint: String
    ) {
        self.base = base
        self.target = target
        self.method = method
        self.budget = budget
        self.seed = seed
        self.startTokens = startTokens
        self.checkpoint = checkpoint
        self.fingerprint = fingerprint
    }

    /// Whatever changes the search changes this.
    public var identity: String {
        let tuned = checkpoint.map { "\($0.table.window) \($0.table.factors)" } ?? "none"
        return "1 \(fingerprint) \(base.theta) \(base.rotaryDimension) \(base.originalContext) \(target) "
            + "\(method.rawValue) \(budget) \(seed) \(startTokens) \(tuned)"
    }
}

/// One search of an extension and what it found.
public struct ExtensionStage: Sendable {
    public let name: String
    /// In tokens.
    public let window: Int
    public let rungs: [Rung]
    public let outcome: SearchOutcome
    /// Every evaluation in the order it was asked for, for the picture of the search: on a cheap rung the beginning of
    /// the text, then the same spread over the window.
    public let evaluations: [(trial: Trial, nll: [Double])]
}

/// What an extension found.
public struct ExtensionResult: Sendable {
    /// For every length, the smallest first.
    public let tables: [RotaryTable]
    public let stages: [ExtensionStage]
    /// What was left out and why, in sentences.
    public let remarks: [String]
}

/// A moment of an extension, for a progress line.
public struct ExtensionProgress: Sendable {
    public let stage: String
    public let progress: SearchProgress
    public let rung: String
    /// Evaluations of the running batch.
    public let done: Int
    public let total: Int
}
