// What `lariat top` shows: a cluster's last look and its history as lines of text that fit a terminal. No I/O, no clock.

internal import Messages

/// Room for text.
package struct TopSize: Sendable, Equatable {
    package var columns: Int
    /// nil: as many as it takes.
    package var rows: Int?

    package init(columns: Int, rows: Int?) {
        self.columns = columns
        self.rows = rows
    }
}

package struct TopStyle: Sendable, Equatable {
    /// Escape sequences for colours. Nothing is said by colour alone.
    package var colours = false
    /// Block characters for charts, where the terminal's text is UTF-8; else ASCII.
    package var blocks = true
    /// A last line with the keys.
    package var keys = false

    package init(colours: Bool = false, blocks: Bool = true, keys: Bool = false) {
        self.colours = colours
        self.blocks = blocks
        self.keys = keys
    }
}

/// One frame.
package struct TopScreen {
    /// At least these columns are good to read; narrower ones are drawn too.
    private static let chartSpan = 180.0
    private static let mostEnded = 5
    private static let mostAttention = 3
    /// Of a list without a limit of rows.
    private static let mostJobs = 100

    private let history: ClusterHistory
    private let size: TopSize
    private let style: TopStyle
    private let address: String
    private let now: Double
    private let clock: String
    private let skipped: Int

    /// - Parameters:
    ///   - now: on the history's clock.
    ///   - clock: the time of day.
    ///   - skipped: workers that were scrolled away.
    package init(
        _ history: ClusterHistory, size: TopSize, style: TopStyle, coordinator address: String,
        at now: Double,
        clock: String, skipped: Int = 0
    ) {
        self.history = history
        self.size = TopSize(
            columns: min(max(size.columns, 0), 500), rows: size.rows.map { min(max($0, 0), 1000) })
        self.style = style
        self.address = address
        self.now = now
        self.clock = clock
        self.skipped = max(0, skipped)
    }

    /// At most as many lines and columns as there is room for; no line ends.
    package var lines: [String] {
        var lines = head()
        if history.seenAt != nil {
            let footer = style.keys ? 1 : 0
            lines += body(room: size.rows.map { max(0, $0 - lines.count - footer) })
        }
        if let rows = size.rows { lines = Array(lines.prefix(rows)) }
        if style.keys, let rows = size.rows, lines.count < rows {
            lines += Array(repeating: StyledText(), count: rows - lines.count - 1)
            lines.append(StyledText("q quits, j and k scroll the workers", .quiet))
        }
        return lines.map { $0.cut(to: size.columns).text(colours: style.colours) }
    }

    /// The most that can be scrolled away usefully.
    package static func mostSkipped(_ history: ClusterHistory) -> Int {
        max(0, history.cluster.members.count - 1)
    }

    // MARK: The head

    private func head() -> [StyledText] {
        let cluster = history.cluster
        var title = StyledText("lariat top", .title) + StyledText("  \(address)")
        if !cluster.model.isEmpty { title += StyledText("  \(cluster.model)") }
        var facts = StyledText()
        if history.seenAt != nil {
            facts +=
                StyledText(
                    "\(cluster.running) running, \(cluster.queued) waiting",
                    cluster.running > 0 ? .active : .plain)
                + StyledText("  \(workers(cluster.members))  epoch \(cluster.epoch)")
            if !cluster.version.isEmpty { facts += StyledText("  version \(cluster.version)") }
        }
        let room = size.columns - title.width - clock.count
        if room >= 2 { title += StyledText(String(repeating: " ", count: room) + clock, .quiet) }
        var lines = [title]
        if let trouble = history.trouble { lines += warning(trouble) }
        if history.seenAt != nil { lines += [facts] + throughput() }
        return lines
    }

    /// `3 workers: 2 busy, 1 lost`
    private func workers(_ members: [MemberRecord]) -> String {
        let states: [MemberState] = [.busy, .ready, .draining, .aside, .refused, .lost]
        let counts = states.map { state in (state, members.count { $0.state == state }) }.filter { $0.1 > 0 }
        let text = counts.map { "\($0.1) \($0.0.word)" }.joined(separator: ", ")
        let count = members.count == 1 ? "1 worker" : "\(members.count) workers"
        return text.isEmpty ? count : "\(count): \(text)"
    }

    private func warning(_ trouble: ClusterHistory.Trouble) -> [StyledText] {
        var text = "no answer from \(address) for \(Quantity.whole(max(0, now - trouble.since)))"
        if let seen = history.seenAt {
            text += "; this is \(Quantity.whole(max(0, now - seen))) old"
        }
        let wait = trouble.retry - now
        text += wait > 0.5 ? "; next try in \(Quantity.whole(wait))" : "; trying again"
        return [StyledText(text, .bad), StyledText("  " + trouble.text, .bad)]
    }

    private func throughput() -> [StyledText] {
        let rates = [
            ("prompt", history.promptRate, history.promptSeries),
            ("generated", history.generatedRate, history.generatedSeries),
        ]
        return rates.map { name, rate, series in
            let value = rate.map { $0 > 0 ? Quantity.rate($0) : "0" } ?? "-"
            var line = StyledText(name).padded(to: 9) + StyledText("  ")
            line += StyledText(value, .title).padded(to: 7, right: true) + StyledText(" tokens/s  ")
            let columns = min(60, size.columns - line.width - 14)
            guard columns >= 10 else { return line }
            let each = Self.chartSpan / Double(columns)
            line += StyledText(
                Gauge.sparkline(series(columns, each), blocks: style.blocks)
                    .padding(to: columns), .active)
            return line + StyledText("  last 3 min", .quiet)
        }
    }

    // MARK: Workers and jobs

    /// - Parameter room: rows; nil: no limit.
    private func body(room: Int?) -> [StyledText] {
        let places = history.places
        let attention = attentionLines(limit: room.map { $0 < 12 ? 1 : Self.mostAttention })
        let ended = Array(history.ended.prefix(Self.mostEnded))
        let active = history.running + history.waiting
        let jobs = Array((active + ended).prefix(room ?? Self.mostJobs))
        let hidden = active.count - jobs.count { ExitStatus.of($0.state) == nil }

        var workerLines = workerTable(places)
        var jobLines = jobTable(jobs)
        if hidden > 0 { jobLines.append(StyledText("and \(hidden) more", .quiet)) }
        if places.isEmpty {
            workerLines = [StyledText("no worker has registered; start one with `lariat worker`", .warning)]
        }
        if jobs.isEmpty {
            jobLines = [StyledText("no jobs; submit one with `lariat submit \"Once upon a time\"`", .quiet)]
        }
        let contextLines = TopContexts.table(history.contexts, columns: size.columns)
        guard var room else {
            return [StyledText()] + workerLines + attention
                + TopContexts.block(contextLines, rows: contextLines.count + 1) + [StyledText()] + jobLines
        }
        // Contexts get a fifth at least, if that is enough for one, and what the others leave.
        let left = room - workerLines.count - attention.count - jobLines.count - 2
        let contexts = TopContexts.block(contextLines, rows: max(left, room / 5))
        room -= contexts.count
        // Jobs get a third at least, and workers what they need of the rest; a blank line before each, if there is room.
        let needed = workerLines.count + attention.count + jobLines.count
        let gap = needed + 2 <= room || room > 12 ? [StyledText()] : []
        let space = max(0, room - 2 * gap.count - attention.count)
        var forJobs = jobLines.count
        var forWorkers = workerLines.count
        if forJobs + forWorkers > space {
            forJobs = min(forJobs, max(space / 3, space - forWorkers))
            // Titles alone say nothing.
            if forJobs == 1, jobLines.count > 1 { forJobs = 0 }
            forWorkers = max(0, space - forJobs)
        }
        return gap + window(workerLines, rows: forWorkers, skipped: places.isEmpty ? 0 : skipped)
            + attention + contexts + gap
            + fold(jobLines, rows: forJobs, hidden: hidden, active: min(active.count, jobs.count))
    }

    /// The titles and as many workers as fit, from the first that is not scrolled away.
    private func window(_ lines: [StyledText], rows: Int, skipped: Int) -> [StyledText] {
        guard rows >= 2, let titles = lines.first else { return Array(lines.prefix(rows)) }
        let all = lines.dropFirst()
        guard all.count > rows - 1 else { return lines }
        // Never scrolled so far that rows stay empty.
        let space = max(1, rows - 2)
        let skipped = min(skipped, all.count - space)
        let shown = all.dropFirst(skipped).prefix(space)
        let below = all.count - skipped - shown.count
        var more = below > 0 ? "and \(below) more" : "these are the last"
        if skipped > 0 { more += ", \(skipped) above" }
        return [titles] + shown + [StyledText(more, .quiet)]
    }

    /// Jobs that are over give way first; of the others it is said how many are missing.
    private func fold(_ lines: [StyledText], rows: Int, hidden: Int, active: Int) -> [StyledText] {
        guard lines.count > rows else { return lines }
        guard active + 1 > rows || hidden > 0, rows >= 2 else { return Array(lines.prefix(rows)) }
        let shown = min(active, rows - 2)
        return lines.prefix(1 + shown) + [StyledText("and \(active - shown + hidden) more", .quiet)]
    }

    /// Members that need someone, with the reason.
    private func attentionLines(limit: Int?) -> [StyledText] {
        let troubled = history.cluster.members.filter { !$0.state.isAble }
        let shown = troubled.prefix(limit ?? troubled.count)
        var lines = shown.map { member in
            StyledText(
                "! \(member.name) is \(member.state.word)"
                    + (member.reason.isEmpty ? "" : ": \(member.reason)"),
                tone(member.state))
        }
        if shown.count < troubled.count, !lines.isEmpty {
            lines[lines.count - 1] += StyledText(" (and \(troubled.count - shown.count) more)")
        }
        return lines
    }

    private func workerTable(_ places: [ClusterHistory.Place]) -> [StyledText] {
        var table = FittedTable([
            .init(title: "worker", rank: 0), .init(title: "state", rank: 1),
            .init(title: "share", alignsRight: true, rank: 4),
            .init(title: "layer", alignsRight: true, rank: 2),
            .init(title: "step", alignsRight: true, rank: 7),
            .init(title: "computing", alignsRight: true, rank: 5),
            .init(title: "to the next", alignsRight: true, rank: 6),
            .init(title: "KV", alignsRight: true, rank: 3), .init(title: "", rank: 10),
            .init(title: "of", alignsRight: true, rank: 9),
            .init(title: "heard", alignsRight: true, rank: 8), .init(title: "job", rank: 11),
        ])
        for place in places {
            let member = place.member
            let live = member.progress
            let isPrefill = place.job?.state == .prefill
            let tokens = JobReport.sum(place.job?.shares.map(\.tokens) ?? [])
            let used = member.memoryBytes > 0 ? Double(member.kvBytesUsed) / Double(member.memoryBytes) : nil
            let link = history.linkRate(member.name)
            let age = member.lastHeartbeatSeconds + max(0, now - (history.seenAt ?? now))
            var layer = ""
            var step = ""
            if let live, isPrefill, live.layers > 0 {
                layer = "\(live.layer)/\(live.layers)"
                if live.steps > 1 {
                    step = "\(min(UInt64(live.step) + 1, UInt64(live.steps)))/\(live.steps)"
                }
            }
            table.add([
                StyledText(String(member.name.prefix(16))), StyledText(member.state.word, tone(member.state)),
                StyledText(place.share.map { Quantity.share($0.tokens, of: tokens) } ?? ""),
                StyledText(layer), StyledText(step),
                StyledText(place.job == nil ? "" : Gauge.percent(history.computeShare(member.name))),
                StyledText(
                    link.map { $0 > 0 ? Quantity.bytes(UInt64(min($0, 1e18))) + "/s" : "" } ?? ""),
                StyledText(Gauge.percent(used)),
                StyledText(Gauge.bar(used ?? 0, width: 8), .quiet),
                StyledText(Quantity.bytes(member.memoryBytes), .quiet),
                StyledText(Quantity.whole(age), age > 3 ? .warning : .plain),
                StyledText(place.job?.id ?? "", .quiet),
            ])
        }
        return table.lines(width: size.columns)
    }

    private func jobTable(_ jobs: [JobRecord]) -> [StyledText] {
        var table = FittedTable([
            .init(title: "job", rank: 0), .init(title: "state", rank: 1),
            .init(title: "progress", rank: 5), .init(title: "", alignsRight: true, rank: 2),
            .init(title: "left", alignsRight: true, rank: 3),
            .init(title: "tokens", alignsRight: true, rank: 6),
            .init(title: "name, reason", rank: 4, flexible: 10),
        ])
        for job in jobs {
            var state = job.state.word
            if job.state == .queued, job.queuePosition > 0 { state += " #\(job.queuePosition)" }
            var tokens = Quantity.count(job.promptTokens)
            var part: Double?
            if job.state == .prefill, job.promptTokens > 0 {
                part = Double(min(job.prefilledTokens, job.promptTokens)) / Double(job.promptTokens)
                tokens = "\(Quantity.count(job.prefilledTokens))/\(tokens)"
            } else if job.state == .decode {
                let most = UInt64(job.options?.maxTokens ?? 0)
                part = most > 0 ? Double(job.generatedTokens) / Double(most) : nil
                tokens += "+\(Quantity.count(job.generatedTokens))"
            } else if job.generatedTokens > 0 {
                tokens += "+\(Quantity.count(job.generatedTokens))"
            }
            let left = history.remaining(job, at: now).map { seconds in
                // An answer may end before its limit.
                (job.state == .decode ? "< " : "") + Quantity.whole(max(1, seconds))
            }
            var took = ""
            if job.startedMicroseconds > 0, job.finishedMicroseconds > job.startedMicroseconds {
                let microseconds = job.finishedMicroseconds - job.startedMicroseconds
                took = "took \(Quantity.duration(Double(microseconds) / 1e6))"
            }
            let name = job.options?.name ?? ""
            let reason = job.state == .succeeded ? "" : job.reason
            table.add([
                StyledText(job.id), StyledText(state, tone(job.state)),
                StyledText(part.map { Gauge.bar($0, width: 18) } ?? ""),
                StyledText(part.map { Gauge.percent($0) } ?? ""), StyledText(left ?? ""), StyledText(tokens),
                StyledText([name, took, reason].filter { !$0.isEmpty }.joined(separator: ": ")),
            ])
        }
        return table.lines(width: size.columns)
    }

    private func tone(_ state: MemberState) -> Tone {
        switch state {
        case .ready: .good
        case .busy: .active
        case .draining, .aside: .warning
        case .lost, .refused, .unspecified: .bad
        }
    }

    private func tone(_ state: JobState) -> Tone {
        switch state {
        case .prefill, .decode: .active
        case .succeeded: .good
        case .failed: .bad
        case .cancelled, .unspecified: .warning
        case .queued: .plain
        }
    }
}

extension Quantity {
    /// Whole seconds below a minute, where tenths would only flicker.
    fileprivate static func whole(_ seconds: Double) -> String {
        seconds >= 0 && seconds < 59.5 ? "\(Int(seconds.rounded())) s" : duration(seconds)
    }
}

extension String {
    fileprivate func padding(to width: Int) -> String {
        self + String(repeating: " ", count: max(0, width - count))
    }
}
