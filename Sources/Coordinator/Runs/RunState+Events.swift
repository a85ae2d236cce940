// What the workers of a run report, and what it changes.
import Messages
import Observability
import Protobuf

extension RunState {
    mutating func handle(_ event: RunEvent, from rank: Int, at now: Instant) {
        switch event {
        case .accepted:
            guard phase == .accepting else { return wrong(rank, "accepted the plan twice") }
            ranks[rank].accepted = true
            if ranks.allSatisfy(\.accepted) {
                phase = .prefill
                actions.append(.start)
            }
        case .progress(let progress):
            guard phase != .accepting, progress.prefilledLayers <= progress.layers, progress.layers > 0 else {
                return wrong(rank, "reported impossible progress")
            }
            hasBegun = hasBegun || progress.prefilledLayers > 0
            ranks[rank].layers = layers * Int(progress.prefilledLayers) / Int(progress.layers)
            let done = ranks.reduce(0) { $0 + $1.share * Double($1.layers) / Double(layers) }
            let new = Double(record.promptTokens) - Double(record.cachedTokens)
            let tokens = record.cachedTokens + UInt64((done * new).rounded(.down))
            record.prefilledTokens = max(record.prefilledTokens, min(tokens, record.promptTokens))
            actions.append(.progress)
        case .token(let token): chose(token, from: rank, at: now)
        case .scores(let scores): scored(scores, from: rank)
        case .log(let log):
            actions.append(
                .log(
                    LogLine.with {
                        $0.level = log.level
                        $0.source = ranks[rank].name
                        $0.text = String(log.text.prefix(4096))
                    }))
        case .finished(let result): finished(result, from: rank, at: now)
        case .trace(let trace):
            let room = max(0, Self.mostSpans - ranks[rank].spans)
            ranks[rank].spans += trace.spans.count
            guard room > 0 else { return }
            actions.append(
                .trace(
                    TracePart.with {
                        $0.rank = UInt32(rank)
                        $0.worker = ranks[rank].name
                        $0.spans = Array(trace.spans.prefix(room))
                    }))
        case .fault(let fault): complained(rank, fault, at: now)
        case .kept(let part): kept(part, by: rank)
        }
    }

    private mutating func kept(_ part: KeptSequence, by rank: Int) {
        guard phase == .prefill || phase == .decode, keptTokens > 0, ranks[rank].kept == nil,
            part.tokens == UInt64(keptTokens)
        else { return wrong(rank, "kept what it was not asked to keep") }
        hasBegun = true
        ranks[rank].kept = part.kvBytes
        let parts = ranks.compactMap(\.kept)
        if parts.count == ranks.count { actions.append(.kept(parts)) }
    }

    private mutating func chose(_ token: ChosenToken, from rank: Int, at now: Instant) {
        guard phase == .prefill || phase == .decode, rank == leader, record.options?.kind == .generate else {
            return wrong(rank, "sent a token out of turn")
        }
        if stopped || ranks[rank].finished { return }
        hasBegun = true
        if phase == .prefill {
            phase = .decode
            record.state = .decode
            record.prefilledTokens = record.promptTokens
            record.firstTokenSeconds = (now - startedAt) / .seconds(1)
            publishState()
        }
        guard record.generatedTokens < UInt64(record.options?.maxTokens ?? 0) else {
            return wrong(rank, "sent more tokens than were asked for")
        }
        record.generatedTokens += 1
        if let lastToken { tokenGaps.observe(now - lastToken) }
        lastToken = now
        let asks = record.options?.logProbabilities == true
        if asks {
            guard token.logProbability <= 0,
                token.likely?.tokens.count == token.likely?.logProbabilities.count,
                token.likely?.tokens.count ?? 0 <= Admission.mostLikely
            else { return wrong(rank, "sent impossible probabilities") }
        }
        let likely = asks && record.options?.topProbabilities ?? 0 > 0
        let found = output.add(
            token.token, logProbability: asks ? token.logProbability : nil,
            likely: likely ? token.likely ?? LikelyTokens() : nil)
        if found {
            stopped = true
            finish = .stop
            actions.append(.stop(rank: leader))
        }
    }

    private mutating func scored(_ scores: Scores, from rank: Int) {
        let end = scores.firstPosition.addingReportingOverflow(UInt64(scores.nll.count))
        guard phase == .prefill || phase == .decode, record.options?.kind == .score, !end.overflow,
            scores.firstPosition > 0, end.partialValue <= record.promptTokens
        else { return wrong(rank, "sent scores out of turn") }
        guard scores.nll.allSatisfy(\.isFinite) else {
            return wrong(rank, "computed a score that is no number")
        }
        hasBegun = true
        output.add(scores: scores.nll, at: scores.firstPosition)
        actions.append(.publish(JobEvent(.scores(scores))))
    }

    private mutating func finished(_ result: RunResult, from rank: Int, at now: Instant) {
        guard phase == .prefill || phase == .decode, !ranks[rank].finished else {
            return wrong(rank, "finished out of turn")
        }
        ranks[rank].finished = true
        if let share = result.share, record.shares.indices.contains(rank) {
            var own = share
            own.rank = UInt32(rank)
            own.worker = ranks[rank].name
            record.shares[rank] = own
        }
        if rank == leader {
            record.prefillSeconds = result.prefillSeconds
            record.decodeSeconds = result.decodeSeconds
            if finish == .unspecified { finish = result.finish }
        }
        if ranks.allSatisfy(\.finished) { record.straggler = StragglerMessage.find(in: record) }
        if finishing == nil { finishing = now }
    }

    /// Where a worker stands: shown is what the prefill waits for so far.
    mutating func advanced(_ rank: Int, _ progress: RunProgress) {
        guard phase == .prefill else { return }
        ranks[rank].computeSeconds = progress.computeSeconds
        ranks[rank].waitSeconds = progress.waitSeconds
        var live = record
        for index in ranks.indices where live.shares.indices.contains(index) {
            live.shares[index].computeSeconds = ranks[index].computeSeconds
            live.shares[index].waitSeconds = ranks[index].waitSeconds
        }
        let found = StragglerMessage.find(in: live)
        if found != record.straggler { actions.append(.progress) }
        record.straggler = found
    }
}
