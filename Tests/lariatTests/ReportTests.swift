// Tables, summaries, readiness and exit codes.

import JSONText
import Messages
import Protobuf
import RPC
import Testing
import lariat

@Suite struct ReportTests {
    private var job: JobRecord {
        var job = JobRecord()
        job.id = "j7"
        job.options = .with { $0.kind = .generate }
        job.state = .succeeded
        job.finish = .end
        job.promptTokens = 3000
        job.prefilledTokens = 3000
        job.generatedTokens = 11
        job.prefillSeconds = 6
        job.decodeSeconds = 0.5
        job.firstTokenSeconds = 6.1
        job.shares = ([("beta", 1, 1000), ("alpha", 0, 2000)] as [(String, UInt32, UInt64)]).map {
            name, rank, tokens in
            .with {
                $0.worker = name
                $0.rank = rank
                $0.tokens = tokens
                $0.kvBytes = tokens << 10
                $0.ringBytesSent = 1 << 20
                $0.ringBytesReceived = 3 << 20
                $0.computeSeconds = 5
                $0.waitSeconds = 0.5
            }
        }
        return job
    }

    @Test func aForecastSaysWhatItRestsOn() {
        var forecast = Forecast()
        forecast.admissible = true
        forecast.prefillSeconds = 65
        forecast.shares = job.shares
        forecast.costs = ["alpha", "beta"].map { name in
            .with {
                $0.worker = name
                $0.computeSeconds = 64
                $0.wireSeconds = 1.5
                $0.rates = .with {
                    $0.denseOperationsPerSecond = 1.5e12
                    $0.attentionOperationsPerSecond = 2e11
                    $0.unpackSeconds = 0.002
                    $0.linkBytesPerSecond = 1.25e8
                }
            }
        }
        // A job that scores has no answer.
        #expect(
            !ClusterReport.forecast(forecast).contains { $0.hasPrefix("decode") || $0.hasPrefix("total") })
        forecast.reservedTokens = 200
        forecast.decodeSeconds = 15
        forecast.totalSeconds = 80
        let lines = ClusterReport.forecast(forecast)
        func ends(_ name: String, _ text: String) -> Bool {
            lines.contains { $0.hasPrefix(name) && $0.hasSuffix(text) }
        }
        #expect(ends("prefill", "about 1 min 05 s"))
        #expect(ends("decode", "about 15.0 s for 200 tokens"))
        #expect(ends("total", "about 1 min 20 s"))
        #expect(
            lines.suffix(7) == [
                "worker  tokens  share        KV     compute    wire",
                "alpha    2,000  66.7%  1.95 MiB  1 min 04 s  1.50 s",
                "beta     1,000  33.3%  1000 KiB  1 min 04 s  1.50 s", "",
                "measured  dense GFLOP/s  attention GFLOP/s  unpacking a layer  link MB/s",
                "alpha             1,500                200               2 ms        125",
                "beta              1,500                200               2 ms        125",
            ])
    }

    @Test func aForecastWithoutTimeSaysWhy() {
        var forecast = Forecast()
        forecast.admissible = true
        forecast.unmeasuredReason = "not measured yet: a job is running"
        forecast.shares = job.shares
        let lines = ClusterReport.forecast(forecast)
        #expect(lines.contains { $0.hasPrefix("prefill") && $0.hasSuffix(forecast.unmeasuredReason) })
        #expect(!lines.contains { $0.contains("GFLOP") || $0.contains("compute") })
    }

    @Test func tableAligns() {
        var table = Table([("name", .left), ("n", .right)])
        table.add(["a", "1"])
        table.add(["longer\u{1b}", "1,000", "dropped"])
        table.addRule()
        table.add(["é"])
        #expect(
            table.lines() == ["name         n", "a            1", "longer?  1,000", "-------  -----", "é"])
    }

    /// The ring's steps are listed for jobs of several workers, ranks in order.
    @Test func ringSteps() {
        var job = job
        #expect(JobReport.steps(job.shares).isEmpty)
        for index in job.shares.indices {
            job.shares[index].steps = [
                .with { $0.computeSeconds = 2 },
                .with {
                    $0.step = 1
                    $0.computeSeconds = 3
                    $0.waitSeconds = 0.5
                    $0.wireSeconds = 2
                    $0.bytes = 4 << 20
                },
            ]
        }
        #expect(
            JobReport.steps(job.shares) == [
                "ring step      worker  compute    wait    wire  received   bandwidth",
                "own block      alpha    2.00 s       -       -         -           -",
                "from 1 before  alpha    3.00 s  500 ms  2.00 s  4.00 MiB  2.00 MiB/s",
                "own block      beta     2.00 s       -       -         -           -",
                "from 1 before  beta     3.00 s  500 ms  2.00 s  4.00 MiB  2.00 MiB/s",
            ])
        #expect(JobReport(job).lines().contains { $0.hasPrefix("from 1 before") })
    }

    @Test func rates() {
        #expect(JobReport(job).prefillRate == 500)
        // The first token comes from prefill: ten steps in half a second.
        #expect(JobReport(job).decodeRate == 20)
        #expect(JobReport(JobRecord()).prefillRate == nil)
        #expect(JobReport(JobRecord()).decodeRate == nil)
    }

    @Test func summary() {
        #expect(
            JobReport(job).summary
                == "j7: 3,000 prompt tokens in 6.00 s (500 tokens/s), 11 tokens in 500 ms (20.0 tokens/s), "
                + "first token after 6.10 s")
    }

    @Test func sharesAreInOrderOfRankWithTotals() {
        let lines = JobReport(job).lines().suffix(5)
        #expect(
            Array(lines) == [
                "worker  tokens   share        KV      sent  received  compute    wait",
                "alpha    2,000   66.7%  1.95 MiB  1.00 MiB  3.00 MiB   5.00 s  500 ms",
                "beta     1,000   33.3%  1000 KiB  1.00 MiB  3.00 MiB   5.00 s  500 ms",
                "------  ------  ------  --------  --------  --------  -------  ------",
                "total    3,000  100.0%  2.93 MiB  2.00 MiB  6.00 MiB   10.0 s  1.00 s",
            ])
    }

    /// Figures come from elsewhere: none of them may end the process.
    @Test func hugeFigures() {
        var job = job
        job.shares[0].tokens = .max
        job.shares[1].tokens = .max
        job.prefillSeconds = .infinity
        job.decodeSeconds = .nan
        job.submittedMicroseconds = .max
        job.promptTokens = .max
        #expect(!JobReport(job).lines().isEmpty)
        #expect(!JobReport(job).summary.isEmpty)
        #expect(JobReport.list([job, JobRecord()]).count == 3)
    }

    @Test func exitCodeByOutcome() {
        #expect(JobState.allCases.map(ExitStatus.of) == [nil, nil, nil, nil, 0, 1, 2])
    }

    @Test func everyStatusHasAnExitCode() {
        for code in RPCStatus.Code.allCases {
            #expect((ExitStatus.of(code) == 0) == (code == .ok), "\(code)")
        }
        #expect(ExitStatus.of(.unavailable) == 69)
        #expect(ExitStatus.of(.resourceExhausted) == 75)
        #expect(ExitStatus.of(.notFound) == 64)
    }

    @Test func unreachableSaysWhatToDo() {
        let failure = Failure(
            RPCStatus(.unavailable, "connection refused"), coordinator: "127.0.0.1:7400",
            with: .init(tls: false, token: false), isConnecting: true)
        #expect(
            failure.message
                == "no coordinator answers at 127.0.0.1:7400 (connection refused); start one with `lariat up --model FILE`, "
                + "or name another with --coordinator")
        #expect(failure.exitCode == 69)
        // As the transport words it.
        let wordy = Failure(
            RPCStatus(
                .unavailable,
                "cannot connect to 127.0.0.1:7400: connection refused; "
                    + "is it running, and is the port open?"), coordinator: "127.0.0.1:7400",
            with: .init(tls: false, token: false), isConnecting: true)
        #expect(wordy == failure)
    }

    @Test func doctorShowsVersionsAndTooManyThreads() {
        var cluster = state([("alpha", .ready, ""), ("beta", .ready, "")])
        for index in cluster.members.indices {
            cluster.members[index].version = "9.8.7"
            cluster.members[index].hostCores = 2
            cluster.members[index].threads = index == 0 ? 2 : 16
        }
        #expect(ClusterReport.members(cluster).filter { $0.contains("9.8.7") }.count == 2)
        #expect(
            ClusterReport.notes(cluster) == [
                "worker beta computes with 16 threads on 2 cores: they wait for each other; give it fewer threads"
            ])
    }

    /// Somebody is there who does not speak with us: most likely one side has TLS.
    @Test(arguments: [(false, "it may want TLS: --tls-ca"), (true, "it may be without TLS")])
    func closedConnectionsSpeakOfTLS(tls: Bool, words: String) {
        let failure = Failure(
            RPCStatus(.unavailable, "the connection to 127.0.0.1:7400 was closed by the other side"),
            coordinator: "127.0.0.1:7400", with: .init(tls: tls, token: false), isConnecting: true)
        #expect(failure.message.contains(words) && failure.exitCode == 69)
    }

    /// A port without TLS answers a handshake in HTTP.
    @Test func aFailedHandshakeSpeaksOfTLS() {
        let failure = Failure(
            RPCStatus(.unavailable, "the TLS handshake with 127.0.0.1:7400 failed: wrong version number"),
            coordinator: "127.0.0.1:7400", with: .init(tls: true, token: false), isConnecting: true)
        #expect(failure.message.contains("it may be without TLS") && failure.exitCode == 69)
        #expect(!failure.message.contains("lariat up"))
    }

    @Test(arguments: [
        (false, "give one with --token-file or LARIAT_TOKEN"), (true, "does not know this API token"),
    ])
    func missingTokensAreToldInTheTermsOfACommand(token: Bool, words: String) {
        let failure = Failure(
            RPCStatus(
                .unauthenticated, "a valid API token is needed: send it as \"authorization: Bearer TOKEN\""),
            coordinator: "127.0.0.1:7400", with: .init(tls: false, token: token))
        #expect(failure.message.contains(words) && failure.exitCode == 77)
        #expect(!failure.message.contains("Bearer"))
    }

    @Test(arguments: [
        ("lariat-abc\n", "lariat-abc"), ("  lariat-abc  ", "lariat-abc"),
    ]) func aTokenIsOneWord(text: String, token: String) throws {
        #expect(try TokenOptions.token(text, of: "--token-file t", 66) == token)
    }

    @Test(arguments: [
        ("", "empty"), ("\n\n", "empty"), ("ann submit 0123\nben read 4567\n", "6 words in 2 lines"),
        ("lariat-abc\nlariat-def", "2 words in 2 lines"), ("schl\u{fc}ssel", "ASCII"),
        (String(repeating: "x", count: 2000), "1,024"),
    ]) func whatIsNoToken(text: String, words: String) {
        let failure = #expect(throws: Failure.self) { try TokenOptions.token(text, of: "--token-file t", 66) }
        #expect(failure?.message.contains(words) == true && failure?.exitCode == 66)
        #expect(failure?.message.contains("lariat-") == false, "a token is shown")
    }

    @Test func oneIsNoPlural() {
        var one = job
        one.promptTokens = 1
        one.generatedTokens = 1
        one.firstTokenSeconds = 0
        #expect(JobReport(one).summary == "j7: 1 prompt token in 6.00 s (500 tokens/s), 1 token in 500 ms")
        #expect(Quantity.counted(0, "job") == "0 jobs")
        #expect(Quantity.counted(1234, "box", plural: "boxes") == "1,234 boxes")
    }

    /// What was not worked out is not shown as zero.
    @Test func aRefusedForecastHasNoZeros() {
        let lines = ClusterReport.forecast(
            .with {
                $0.reason = "the prompt is too long"
                $0.promptTokens = 9000
            })
        #expect(lines == ["admissible     no: the prompt is too long", "prompt tokens  9,000"])
    }

    @Test func namesOfJobs() {
        #expect(JobNames.ids("9") == ["j9"])
        #expect(JobNames.ids("j9") == ["j9"])
        #expect(JobNames.ids(String(repeating: "9", count: 41)).isEmpty)
        let jobs = [("j3", "other"), ("j2", "book"), ("j1", "book")].map { id, name in
            JobRecord.with {
                $0.id = id
                $0.options = .with { $0.name = name }
            }
        }
        #expect(JobNames.newest(named: "book", in: jobs) == "j2")
        #expect(JobNames.newest(named: "boo", in: jobs) == nil)
    }

    /// Events are small; the last line is the record with the answer.
    @Test func aStreamOfJSONEndsWithTheAnswer() {
        var stream = JSONStream()
        var full = job
        full.profile = .with { $0.factors = [Double](repeating: 1.5, count: 32) }
        full.text = []
        func line(_ content: JobEvent.Content) -> String { stream.line(JobEvent(content)).text }
        func tokens(_ text: String) -> JobEvent.Content {
            .tokens(AnswerPart(text: Array(text.utf8), tokens: []))
        }
        #expect(line(.progress(full)).utf8.count < 250)
        #expect(line(tokens("The ans")).contains("\"text\":\"The ans\""))
        _ = line(tokens("wer."))
        let last = line(.end(full))
        #expect(last.hasPrefix("{\"id\":\"j7\""))
        #expect(last.contains("\"text\":\"The answer.\"") && last.contains("\"state\":\"SUCCEEDED\""))
    }

    /// A line that fills the terminal keeps its last column: nothing is wiped behind it.
    @Test func framesWipeBeforeTheyWrite() {
        #expect(
            String(decoding: FullScreen.frame(["one", "two"]), as: UTF8.self)
                == "\u{1b}[H\u{1b}[Kone\r\n\u{1b}[Jtwo")
    }

    private func state(_ members: [(String, MemberState, String)]) -> ClusterState {
        .with {
            $0.members = members.map { name, state, reason in
                .with {
                    $0.name = name
                    $0.state = state
                    $0.reason = reason
                }
            }
        }
    }

    @Test func readiness() {
        let some = state([("a", .ready, ""), ("b", .busy, ""), ("c", .refused, "another model")])
        #expect(Readiness(some, expected: ["a", "b"]).isReady)
        #expect(
            Readiness(some, expected: ["a", "c", "d"]).missing == [
                "c is refused: another model", "d has not registered",
            ])
        #expect(!Readiness(some, expected: []).isReady)
        #expect(Readiness(state([]), expected: []).missing == ["no worker has registered"])
        #expect(!Readiness(state([("a", .lost, "")]), expected: []).isReady)
    }

    @Test func logLine() {
        #expect(
            LogText.line(
                microseconds: 1_795_470_087_007_000, level: "info", source: "beta", message: "two\nlines",
                metadata: [("z", "1"), ("a", "with blank")])
                == "2026-11-23 21:41:27.007 info beta: two?lines a=\"with blank\" z=1")
    }
}
