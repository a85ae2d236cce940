// What the workers of a run report, and what it changes.
import Messages
import Observability
import Protobuf

extension RunState {
    mutating func handle(_ event: RunEvent, from rank: Int, at now: Instant) {
        switch event.kind {
        case .accepted:
            guard phase == .accepting else { return wrong(rank, "accepted the plan twice") }
            ranks[rank].accepted = true
            if ranks.allSatisfy(\.accepted) {
                phase = .prefill
                actions.append(.start)
            }
        case .progress:
            guard phase != .accepting, event.prefilledLayers <= event.layers, event.layers > 0 else {
                return wrong(rank, "reported impossible progress")
            }
            hasBegun = hasBegun || event.prefilledLayers > 0
            ranks[rank].layers = layers * Int(event.prefilledLayers) / Int(event.layers)
            let done = ranks.reduce(0) { $0 + $1.share * Double($1.layers) / Double(layers) }
            let tokens = UInt64((done * Double(record.promptTokens)).rounded(.down))
            record.prefilledTokens = max(record.prefilledTokens, min(tokens, record.promptTokens))
            actions.append(.progress)
        case .token: token(event, from: rank, at: now)
        case .scores: scored(event, from: rank)
        case .log:
            actions.append(
                .log(
                    LogLine.with {
                        $0.level = event.level
                        $0.source = ranks[rank].name
                        $0.text = String(event.text.prefix(4096))
                    }))
        case .finished: finished(event, from: rank, at: now)
        case .trace:
            let room = max(0, Self.mostSpans - ranks[rank].spans)
            ranks[rank].spans += event.spans.count
            guard room > 0 else { return }
            actions.append(
                .trace(
                    TracePart.with {
                        $0.rank = UInt32(rank)
                        $0.worker = ranks[rank].name
                        $0.spans = Array(event.spans.prefix(room))
                    }))
        case .fault: complained(rank, event.fault ?? FaultMessage(), at: now)
        case .unspecified: break
        }
    }

    private mutating func token(_ event: RunEvent, from rank: Int, at now: Instant) {
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
            guard event.logProbability <= 0,
                event.likely?.tokens.count == event.likely?.logProbabilities.count,
                event.likely?.tokens.count ?? 0 <= Admission.mostLikely
            else { return wrong(rank, "sent impossible probabilities") }
        }
        let likely = asks && record.options?.topProbabilities ?? 0 > 0
        let found = output.add(
            event.token, logProbability: asks ? event.logProbability : nil,
            likely: likely ? event.likely ?? LikelyTokens() : nil)
        if found {
            stopped = true
            finish = "stop"
            actions.append(.stop(rank: leader))
        }
    }

    private mutating func scored(_ event: RunEvent, from rank: Int) {
        let end = event.firstPosition.addingReportingOverflow(UInt64(event.nll.count))
        guard phase == .prefill || phase == .decode, record.options?.kind == .score, !end.overflow,
            event.firstPosition > 0, end.partialValue <= record.promptTokens
        else { return wrong(rank, "sent scores out of turn") }
        guard event.nll.allSatisfy(\.isFinite) else {
            return wrong(rank, "computed a score that is no number")
        }
        hasBegun = true
        output.add(scores: event.nll, at: event.firstPosition)
        actions.append(
            .publish(
                JobEvent.with {
                    $0.kind = .scores
                    $0.firstPosition = event.firstPosition
                    $0.nll = event.nll
                }))
    }

    private mutating func finished(_ event: RunEvent, from rank: Int, at now: Instant) {
        guard phase == .prefill || phase == .decode, !ranks[rank].finished else {
            return wrong(rank, "finished out of turn")
        }
        ranks[rank].finished = true
        if let share = event.share, record.shares.indices.contains(rank) {
            var own = share
            own.rank = UInt32(rank)
            own.worker = ranks[rank].name
            record.shares[rank] = own
        }
        if rank == leader {
            record.prefillSeconds = event.prefillSeconds
            record.decodeSeconds = event.decodeSeconds
            if finish.isEmpty { finish = String(event.finish.prefix(64)) }
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
