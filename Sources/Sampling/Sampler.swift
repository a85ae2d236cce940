// From the logits of one position to a token. The steps and their order are llama.cpp's defaults: repetition
// penalty, top-k, top-p, min-p, temperature, draw.
import Foundation

/// Chooses tokens, one after another, for one sequence.
public struct Sampler: Sendable {
    public let options: SamplingOptions
    private var generator: SplitMix64
    private var recent: RecentTokens
    /// Kept between calls so that a token costs no allocation.
    private var penalised: [Float] = []
    private var candidates: [Candidate] = []

    public init(_ options: SamplingOptions) {
        self.options = options
        generator = SplitMix64(seed: options.seed)
        recent = RecentTokens(limit: options.penalises ? options.repetitionWindow : 0)
    }

    /// Notes a token of the prompt or of the answer, for the repetition penalty. `next` does not do it itself.
    public mutating func accept(token: Int32) {
        recent.append(token)
    }

    /// The next token.
    ///
    /// `logits` has one element per token of the vocabulary; -infinity excludes a token. Equal logits rank by token
    /// id, the lowest first. Every call that does not choose greedily uses exactly one random number, so the
    /// n-th token depends on the seed and n only.
    /// - Returns: The token, and the natural logarithm of its probability by the model itself: before penalty,
    ///   limits and temperature.
    /// - Throws: `invalidLogit` for NaN or +infinity, `noCandidate` where nothing can be chosen.
    public mutating func next(
        logits: Span<Float>
    ) throws(SamplingError) -> (token: Int32, logProbability: Float) {
        let largest = try Self.largest(logits)
        let token =
            if options.penalises {
                try choosePenalised(logits)
            } else {
                choose(logits, largest: largest)
            }
        let logProbability = Double(logits[Int(token)]) - logSumExp(logits, largest: logits[Int(largest)])
        return (token, Float(min(0, logProbability)))
    }

    /// The likeliest tokens by the model itself, likeliest first; of equals the lowest id first.
    ///
    /// - Parameter count: how many; 0 to 20 are possible for the users of this, whatever the vocabulary.
    /// - Returns: tokens, and the natural logarithms of their probabilities; fewer where fewer are possible at all.
    /// - Throws: as `next`.
    public static func likeliest(
        _ count: Int, of logits: Span<Float>
    ) throws(SamplingError) -> [(token: Int32, logProbability: Float)] {
        let largest = try largest(logits)
        var candidates: [Candidate] = []
        candidates.keepLargest(min(count, logits.count), of: logits)
        let total = logSumExp(logits, largest: logits[Int(largest)])
        return candidates.filter { $0.logit > -.infinity }.map {
            ($0.token, Float(min(0, Double($0.logit) - total)))
        }
    }

    /// The token of the largest logit, the lowest id among equals.
    static func largest(_ logits: Span<Float>) throws(SamplingError) -> Int32 {
        guard logits.count <= Int(Int32.max) else {
            throw SamplingError(
                .noCandidate, "there are \(logits.count) logits; token ids end at \(Int32.max)")
        }
        // First the value, eight at a time, then its place: twice as quick as both at once.
        var value = -Float.infinity
        var areValid = true
        var index = 0
        var values = SIMD8<Float>(repeating: -.infinity)
        var valid = SIMDMask<SIMD8<Int32>>(repeating: true)
        while index + 8 <= logits.count {
            let eight = logits.eight(from: index)
            valid .&= eight .< SIMD8(repeating: .infinity)
            values.replace(with: eight, where: eight .> values)
            index += 8
        }
        for lane in 0..<8 {
            value = max(value, values[lane])
            areValid = areValid && valid[lane]
        }
        while index < logits.count {
            areValid = areValid && logits[index] < .infinity
            value = max(value, logits[index])
            index += 1
        }
        guard areValid else { throw invalid(logits) }
        guard value > -.infinity, let best = logits.indices.first(where: { logits[$0] == value }) else {
            throw SamplingError(
                .noCandidate,
                logits.isEmpty
                    ? "there are no logits"
                    : "all \(logits.count) logits are -infinity: no token can be chosen")
        }
        return Int32(best)
    }

    private static func invalid(_ logits: Span<Float>) -> SamplingError {
        let index = logits.indices.first { !(logits[$0] < .infinity) } ?? 0
        return SamplingError(
            .invalidLogit,
            "the logit of token \(index) is \(logits[index]): the model's computation went wrong, or its file is "
                + "damaged")
    }

    /// Keskar et al. 2019 (CTRL) as in transformers and llama.cpp: a recent token's logit is divided by the penalty
    /// where positive and multiplied where negative; how often the token occurred does not matter.
    private mutating func choosePenalised(_ logits: Span<Float>) throws(SamplingError) -> Int32 {
        var copy: [Float] = []
        swap(&copy, &penalised)
        defer { swap(&copy, &penalised) }
        copy.removeAll(keepingCapacity: true)
        for index in 0..<logits.count { copy.append(logits[index]) }
        for token in recent.distinct where copy.indices.contains(Int(token)) {
            let logit = copy[Int(token)]
            // Clamped, since a finite logit times the penalty must stay finite.
            let changed = logit > 0 ? logit / options.repetitionPenalty : logit * options.repetitionPenalty
            copy[Int(token)] = min(changed, .greatestFiniteMagnitude)
        }
        return choose(copy.span, largest: try Self.largest(copy.span))
    }

    private mutating func choose(_ logits: Span<Float>, largest: Int32) -> Int32 {
        guard !options.isGreedy else { return largest }
        let top = logits[Int(largest)]
        candidates.removeAll(keepingCapacity: true)
        if options.limitsTopK, options.topK < logits.count {
            candidates.keepLargest(options.topK, of: logits)
            if options.limitsTopP {
                candidates.keepNucleus(options.topP, total: candidates.mass(top), top: top)
            }
        } else if options.limitsTopP {
            candidates.fillNucleus(options.topP, of: logits, top: top)
        } else {
            candidates.keepLargest(logits.count, of: logits)
        }
        if options.limitsMinP {
            // p >= minP * p(top), without probabilities.
            let floor = Double(top) + log(Double(options.minP))
            candidates.removeAll { Double($0.logit) < floor }
        }
        return draw(top: top, otherwise: largest)
    }

    /// Draws from softmax(logit / temperature) over the candidates.
    private mutating func draw(top: Float, otherwise: Int32) -> Int32 {
        let temperature = Double(options.temperature)
        var total = 0.0
        for candidate in candidates { total += exp((Double(candidate.logit) - Double(top)) / temperature) }
        let target = generator.nextUnit() * total
        var sum = 0.0
        for candidate in candidates {
            sum += exp((Double(candidate.logit) - Double(top)) / temperature)
            if sum > target { return candidate.token }
        }
        return otherwise  // rounding only: target < total
    }
}
