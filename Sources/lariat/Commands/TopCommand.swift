// lariat top: the cluster, its workers and its jobs, live.

internal import ArgumentParser
internal import Cluster
import Foundation
internal import Logging

struct TopCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "top", abstract: "Show the cluster live: throughput, workers, contexts, jobs.",
        discussion: """
            On a terminal it fills the screen until q or Ctrl-C; elsewhere it prints a frame after each look. Rates are \
            means of the last five seconds, links of the last eight. A coordinator that does not answer is asked again, \
            less and less often. NO_COLOR and TERM=dumb are honoured.
            """)

    @Option(help: ArgumentHelp("Look this often.", valueName: "seconds"))
    var interval = 1.0
    @Flag(help: "Print one frame, after two looks an interval apart, and end.")
    var once = false
    @Flag(help: "No colours.")
    var noColor = false
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var log: LogOptions

    /// Where nothing says how wide it is.
    private static let plainColumns = 120
    /// After a signal the terminal is given back by force when it takes no more text.
    private static let patience = Duration.seconds(2)

    func validate() throws {
        guard (0.2...3600).contains(interval) else {
            throw ValidationError("--interval: from 0.2 to 3600 seconds")
        }
    }

    func execute() async throws {
        var poller = ClusterPoller(
            try connection.address(), tls: connection.tls.files, token: try connection.token.text(),
            interval: .seconds(interval),
            logger: log.logger("client", normally: .critical))
        var history = ClusterHistory()
        let clock = MonotonicClock()
        // Whoever has mistyped an address shall know at once.
        try await look(&poller, &history, clock)
        let isLive = Terminal.outputIsTerminal && !Terminal.isDumb && !once && !output.json
        if isLive {
            try await fill(poller, history, clock)
        } else {
            try await print(&poller, &history, clock)
        }
        await poller.close()
    }

    /// One look that must succeed.
    private func look(
        _ poller: inout ClusterPoller, _ history: inout ClusterHistory, _ clock: MonotonicClock
    ) async throws {
        switch await poller.look() {
        case .seen(let cluster, let jobs, let contexts):
            history.see(cluster, jobs, contexts, at: clock.seconds)
        case .failed(let failure, _): throw failure
        }
    }

    // MARK: Plain frames

    private func print(
        _ poller: inout ClusterPoller, _ history: inout ClusterHistory, _ clock: MonotonicClock
    ) async throws {
        if once {
            try await Task.sleep(for: poller.pause)
            try await look(&poller, &history, clock)
            return try await printFrame(poller, history, clock)
        }
        while true {
            try await printFrame(poller, history, clock)
            if !output.json { try await Terminal.print("") }
            try await Task.sleep(for: poller.pause)
            switch await poller.look() {
            case .seen(let cluster, let jobs, let contexts):
                history.see(cluster, jobs, contexts, at: clock.seconds)
            case .failed(let failure, let retry):
                let now = clock.seconds
                history.miss(failure.message, at: now, retry: now + retry / .seconds(1))
                if output.json { Terminal.note(failure.message.printable) }
            }
        }
    }

    private func printFrame(
        _ poller: ClusterPoller, _ history: ClusterHistory, _ clock: MonotonicClock
    ) async throws {
        if output.json {
            if history.trouble == nil { try await Terminal.print(json: history.json) }
            return
        }
        let isTerminal = Terminal.outputIsTerminal
        let screen = TopScreen(
            history,
            size: TopSize(columns: isTerminal ? Terminal.size.columns : Self.plainColumns, rows: nil),
            style: TopStyle(colours: isTerminal && coloursAllowed, blocks: Self.isUTF8),
            coordinator: "\(poller.address)", at: clock.seconds, clock: Self.timeOfDay)
        try await Terminal.print(screen.lines)
    }

    // MARK: The whole terminal

    private typealias Events = TerminalEvents<ClusterPoller.Look>

    private func fill(_ start: ClusterPoller, _ history: ClusterHistory, _ clock: MonotonicClock) async throws
    {
        let screen = FullScreen()
        let events = Events()
        events.begin(patience: Self.patience) {
            screen.leave()
            _exit(ExitStatus.interrupted)
        }
        screen.enter()
        // Not awaited: a call that hangs shall not hold up the end. Their deadlines bound them.
        let polling = Task {
            var poller = start
            while !Task.isCancelled {
                try await Task.sleep(for: poller.pause)
                events.post(message: await poller.look())
            }
        }
        // Ages grow while nothing else happens.
        let ticking = Task {
            while !Task.isCancelled {
                try await Task.sleep(for: .seconds(1))
                events.wake()
            }
        }
        defer {
            polling.cancel()
            ticking.cancel()
            screen.leave()
            events.end()
        }
        try await draw(screen, events, history, "\(start.address)", clock)
    }

    /// Until a key or a signal ends it.
    private func draw(
        _ screen: FullScreen, _ events: Events, _ seen: ClusterHistory, _ address: String,
        _ clock: MonotonicClock
    ) async throws {
        var history = seen
        var skipped = 0
        var shown: [String] = []
        while true {
            try Task.checkCancellation()
            let size = Terminal.size
            let lines = TopScreen(
                history, size: TopSize(columns: size.columns, rows: size.rows),
                style: TopStyle(colours: coloursAllowed, blocks: Self.isUTF8, keys: true),
                coordinator: address, at: clock.seconds, clock: Self.timeOfDay, skipped: skipped
            ).lines
            if lines != shown { try await Terminal.write(FullScreen.frame(lines)) }
            shown = lines
            let news = await events.next()
            if news.ending != nil { throw ExitCode(ExitStatus.interrupted) }
            if news.keys.contains(.quit) { return }
            switch news.message {
            case .seen(let cluster, let jobs, let contexts):
                history.see(cluster, jobs, contexts, at: clock.seconds)
            case .failed(let failure, let retry):
                let now = clock.seconds
                history.miss(failure.message, at: now, retry: now + retry / .seconds(1))
            case nil: break
            }
            skipped = scrolled(skipped, news.keys, page: max(1, size.rows / 3), history)
            if news.stops {
                screen.leave()
                // To this thread, which then cannot run on until SIGCONT; one to the process may come a moment late.
                raise(SIGSTOP)
                screen.enter()
                shown = []
            } else if news.continues {
                screen.leave()
                screen.enter()
                shown = []
            }
        }
    }

    private func scrolled(_ from: Int, _ keys: [Key], page: Int, _ history: ClusterHistory) -> Int {
        let most = TopScreen.mostSkipped(history)
        return keys.reduce(min(from, most)) { skipped, key in
            switch key {
            case .up: max(0, skipped - 1)
            case .down: min(most, skipped + 1)
            case .pageUp: max(0, skipped - page)
            case .pageDown: min(most, skipped + page)
            case .home: 0
            case .end: most
            case .quit: skipped
            }
        }
    }

    // MARK: The environment

    private var coloursAllowed: Bool {
        let environment = ProcessInfo.processInfo.environment
        return !noColor && (environment["NO_COLOR"] ?? "").isEmpty && !Terminal.isDumb
    }

    private static var isUTF8: Bool {
        let environment = ProcessInfo.processInfo.environment
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].lazy.compactMap { environment[$0] }.first { !$0.isEmpty }
        return locale?.uppercased().replacing("-", with: "").contains("UTF8") ?? false
    }

    /// `21:41:27 UTC`
    private static var timeOfDay: String {
        let microseconds = UInt64(max(0, Date().timeIntervalSince1970) * 1e6)
        return Quantity.time(microseconds: microseconds).suffix(8) + " UTC"
    }
}

/// Seconds that only go forward.
private struct MonotonicClock {
    private let start = ContinuousClock.now
    var seconds: Double { (.now - start) / .seconds(1) }
}
