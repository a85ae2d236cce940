// May this job run here? Every refusal says by how much and what to do.
import LongRoPE
package import Messages
import Numerals
import Sampling
import Tokenizer

/// A job that may run: options with every default filled in, and what is pinned for its whole life.
package struct Admitted: Sendable {
    package var options: JobOptions
    package var profile: ProfileMessage
    /// What there is to say about the choice of the profile; may be empty.
    package var note: String
    /// Tokens of the answer that memory is kept for.
    package var reserved: Int
    /// Keys and values of prompt and answer, all workers together.
    package var kvBytes: Int
}

/// The rules of admission, over one model.
package struct Admission: Sendable {
    package static let defaultAnswer = 256
    /// Tokens that a context keeps free for a question and its answer.
    package static let defaultQuestion = 4096
    /// Likely tokens that a job may ask for at each place: OpenAI's limit.
    package static let mostLikely = 20
    private static let mostStops = 64
    private static let longestStop = 1024
    private static let longestName = 256
    private static let longestSystem = 1 << 20
    private static let longestTemplate = ChatTemplate.longestSource
    /// LongRoPE's exact angle tables end there.
    private static let mostPositions = Int(Int32.max)

    package let model: any ModelDescription

    package init(model: any ModelDescription) { self.model = model }

    /// Checks a job before it is journalled.
    /// - Parameters:
    ///   - members: who is ready now. A job may wait for workers, so none is no refusal, but too little memory of
    ///     those that are there is.
    ///   - seed: for sampling without a seed.
    ///   - context: whose tokens the prompt begins with, and whose profile it has.
    package func admit(
        _ given: JobOptions, prompt: [UInt32], members: [MemberRecord], seed: UInt64,
        about context: ContextRecord? = nil
    ) throws(CoordinatorError) -> Admitted {
        var options = try filled(given, seed: seed)
        if let context, given.maxTokens == 0 {
            // What a short question leaves free is enough for its answer.
            let room = Int(clamping: context.tokens + context.reservedTokens) - prompt.count
            options.maxTokens = UInt32(max(1, min(Self.defaultAnswer, room)))
        }
        guard !prompt.isEmpty else {
            throw CoordinatorError(.invalid, "the prompt is empty; give some text or token ids")
        }
        if let index = prompt.firstIndex(where: { $0 >= model.vocabulary }) {
            throw CoordinatorError(
                .invalid,
                "token id \(prompt[index]) at index \(index) is out of range: \(model.name) has \(model.vocabulary.grouped) "
                    + "tokens, 0 to \(model.vocabulary - 1)")
        }
        let reserved = options.kind == .score ? 0 : Int(options.maxTokens)
        if options.kind == .score, prompt.count < 2 {
            throw CoordinatorError(
                .invalid, "scoring needs at least two tokens: the first has nothing before it")
        }
        if let context {
            return try admit(options, prompt: prompt.count, reserved: reserved, members, about: context)
        }
        let needs = try needs(
            PromptLength(tokens: prompt.count), reserved: reserved, options, members: members)
        return Admitted(
            options: options, profile: needs.profile, note: needs.note, reserved: reserved,
            kvBytes: needs.kvBytes)
    }

    /// A question has the profile of its context, which was chosen for as many tokens as were reserved.
    private func admit(
        _ options: JobOptions, prompt: Int, reserved: Int, _ members: [MemberRecord],
        about context: ContextRecord
    ) throws(CoordinatorError) -> Admitted {
        guard options.rope == nil else {
            throw CoordinatorError(
                .invalid,
                "a question turns positions as its context \(context.name) does; leave the rotary method out")
        }
        guard context.fingerprint == model.fingerprint else {
            throw CoordinatorError(
                .notPossible,
                "the context \(context.name) was made with the model \(context.model) "
                    + "(\(context.fingerprint.prefix(16))), and this coordinator has \(model.name) "
                    + "(\(model.fingerprint.prefix(16))). Start it with the other file, or make the context again."
            )
        }
        let room = Int(clamping: context.reservedTokens)
        let question = prompt - Int(clamping: context.tokens)
        guard question + reserved <= room else {
            throw CoordinatorError(
                .invalid,
                "the context \(context.name) keeps \(room.grouped) tokens free for a question and its answer; this "
                    + "question has \(question.grouped), and \(reserved.grouped) are reserved for its answer. Ask a "
                    + "shorter question, reserve less for its answer with --max-tokens, or make the context again "
                    + "with a larger --reserve.")
        }
        let total = prompt + reserved
        if !members.isEmpty, let text = memoryText(tokens: total, members: members) {
            throw CoordinatorError(.notPossible, text)
        }
        return Admitted(
            options: options, profile: context.profile ?? ProfileMessage(), note: "", reserved: reserved,
            kvBytes: total * model.kvBytesPerToken)
    }

    /// Refuses a prompt that is too long however it is tokenised, even without an answer. What prompt and answer need
    /// together is said exactly, once the prompt's tokens are counted.
    /// - Parameter tokens: that it has at least.
    package func checkLength(
        atLeast tokens: Int, _ given: JobOptions, members: [MemberRecord]
    ) throws(CoordinatorError) {
        let options = try filled(given, seed: 1)
        _ = try needs(
            PromptLength(tokens: max(1, tokens), isAtLeast: true), reserved: 0, options, members: members)
    }

    /// The rotary profile and memory for a prompt of this length and its answer.
    private func needs(
        _ prompt: PromptLength, reserved: Int, _ options: JobOptions, members: [MemberRecord]
    ) throws(CoordinatorError) -> (profile: ProfileMessage, note: String, kvBytes: Int) {
        let total = prompt.tokens + reserved
        guard total <= Self.mostPositions else {
            throw CoordinatorError(
                .invalid, "\(total.grouped) positions are more than \(Self.mostPositions.grouped), the limit")
        }
        // A file's own window may be larger than its table's: a Llama 3 file says how far its factors reach.
        if options.rope == nil, total > model.window, !options.beyondWindow {
            throw CoordinatorError(
                .excess(
                    WindowExcess(
                        prompt: prompt, reserved: reserved, window: model.window, of: model.name,
                        isContext: options.kind == .ingest)))
        }
        let positions = RotaryScaling.positions(promptTokens: prompt.tokens, reservedTokens: reserved)
        if let sliding = model.slidingWindow, positions > sliding {
            throw CoordinatorError(
                .beyondWindow,
                "\(model.name) has a sliding window of \(sliding.grouped) tokens, which Lariat does not have: it can compute "
                    + "up to \(sliding.grouped) positions of prompt and answer exactly, and this job has \(positions.grouped). Shorten "
                    + "the prompt or the answer, or use a model without a sliding window")
        }
        let profile: ProfileMessage
        let note: String
        do {
            (profile, note) = try model.profile(
                promptTokens: prompt.tokens, reservedTokens: reserved, method: options.rope)
        } catch {
            throw CoordinatorError(.invalid, "no rotary profile for \(positions.grouped) positions: \(error)")
        }
        if options.rope != nil, total > Int(clamping: profile.window), !options.beyondWindow {
            throw CoordinatorError(
                .excess(
                    WindowExcess(
                        prompt: prompt, reserved: reserved, window: Int(clamping: profile.window),
                        of: "the rotary table \"\(profile.name)\"", isContext: options.kind == .ingest)))
        }
        let (kvBytes, overflow) = total.multipliedReportingOverflow(by: model.kvBytesPerToken)
        guard !overflow else {
            throw CoordinatorError(.invalid, "\(total.grouped) positions need too much memory")
        }
        if !members.isEmpty, let text = memoryText(tokens: total, members: members) {
            throw CoordinatorError(.notPossible, text)
        }
        return (profile, note, kvBytes)
    }

    /// Nil when keys and values of so many tokens fit these workers.
    /// - Parameter taken: tokens of other keys and values that stay, by worker.
    package func memoryText(
        tokens: Int, members: [MemberRecord], taken: [String: Int] = [:]
    ) -> String? {
        let all = members.reduce(0) { $0 + capacity($1) }
        let room = members.reduce(0) { $0 + capacity($1, taken: taken) }
        guard room < tokens else { return nil }
        if all >= tokens {
            return
                "pinned contexts take \(humanBytes((all - room) * model.kvBytesPerToken)) of the cluster's memory, and "
                + "the keys and values of \(tokens.grouped) tokens do not fit beside them. Let one go with `lariat "
                + "context pin --undo NAME`, remove one, or start more workers."
        }
        let memory = members.reduce(0) { $0 + Int(clamping: $1.memoryBytes) }
        return
            "the keys and values of \(tokens.grouped) tokens need \(humanBytes(tokens * model.kvBytesPerToken)) over "
            + "\(members.count) worker\(members.count == 1 ? "" : "s"); the cluster has \(humanBytes(memory)), enough "
            + "for \(room.grouped) tokens. Start more workers, give them more memory, or submit a shorter prompt."
    }

    /// Most tokens whose keys and values this worker holds.
    /// - Parameter taken: tokens of other keys and values that stay, by worker.
    package func capacity(_ member: MemberRecord, taken: [String: Int] = [:]) -> Int {
        let all = min(Int(clamping: member.memoryBytes) / max(1, model.kvBytesPerToken), Self.mostPositions)
        return max(0, all - (taken[member.name] ?? 0))
    }

    private func filled(_ given: JobOptions, seed: UInt64) throws(CoordinatorError) -> JobOptions {
        var options = given
        if options.kind == .unspecified { options.kind = .generate }
        if options.kind == .unknown {
            throw CoordinatorError(
                .invalid, "the kind of this job is unknown; GENERATE, SCORE and INGEST are possible")
        }
        func limit(_ what: String, _ count: Int, _ most: Int) throws(CoordinatorError) {
            guard count <= most else {
                throw CoordinatorError(.invalid, "\(what): \(count.grouped); the limit is \(most.grouped)")
            }
        }
        try limit("bytes of the job's name", options.name.utf8.count, Self.longestName)
        try limit("bytes of the system message", options.system.utf8.count, Self.longestSystem)
        try limit("bytes of the chat template", options.chatTemplate.utf8.count, Self.longestTemplate)
        try limit("stop strings", options.stop.count, Self.mostStops)
        try limit("likely tokens at each place", Int(options.topProbabilities), Self.mostLikely)
        if options.topProbabilities > 0 { options.logProbabilities = true }
        try limit("rotary tables", options.rope?.tables.count ?? 0, LongRoPETables.largestCount)
        try limit(
            "factors of a rotary table", options.rope?.tables.map(\.factors.count).max() ?? 0,
            RotaryProfile.largestRotaryDimension / 2)
        for stop in options.stop { try limit("bytes of a stop string", stop.utf8.count, Self.longestStop) }
        if options.stop.contains("") { throw CoordinatorError(.invalid, "a stop string is empty") }
        switch options.kind {
        case .generate:
            if options.maxTokens == 0 { options.maxTokens = UInt32(Self.defaultAnswer) }
        case .ingest:
            if options.maxTokens == 0 { options.maxTokens = UInt32(Self.defaultQuestion) }
        case .score, .unspecified, .unknown:
            options.maxTokens = 0
        }
        var sampling = options.sampling ?? SamplingMessage()
        do throws(SamplingError) {
            _ = try SamplingOptions(
                temperature: sampling.temperature, topK: Int(sampling.topK), topP: sampling.topP,
                minP: sampling.minP, repetitionPenalty: sampling.repetitionPenalty,
                repetitionWindow: Int(sampling.repetitionWindow), seed: sampling.seed)
        } catch { throw CoordinatorError(.invalid, "\(error)") }
        if sampling.temperature > 0, sampling.seed == 0 { sampling.seed = max(seed, 1) }
        if sampling.repetitionPenalty > 0, sampling.repetitionWindow == 0 { sampling.repetitionWindow = 64 }
        options.sampling = sampling
        return options
    }
}
