// The web port's values: rates of requests, the live view, the last hour, sums for metrics. No sockets.
import Cluster
import Coordinator
import Foundation
import JSONText
import Logging
import Messages
import Observability
import OpenAI
import Protobuf
import TestSupport
import Testing

@Suite struct WebTests {
    private let start = ContinuousClock.now

    @Test(arguments: zip(Finish.allCases, [nil, .stop, .length, .stop, nil, nil] as [FinishReason?]))
    func aJobsEndIsAReason(_ finish: Finish, _ reason: FinishReason?) {
        #expect(FinishReason(finish) == reason)
    }

    @Test func aClientMayAskSoOften() {
        var rate = RequestRate(perSecond: 2, burst: 3)
        for _ in 0..<3 { #expect(rate.take("a", at: start) == nil) }
        #expect(rate.take("a", at: start) == .seconds(0.5))
        #expect(rate.take("b", at: start) == nil)
        #expect(rate.take("a", at: start + .seconds(0.5)) == nil)
        #expect(rate.take("a", at: start + .seconds(0.5)) != nil)
        // Full again, not fuller.
        for _ in 0..<3 { #expect(rate.take("a", at: start + .seconds(1000)) == nil) }
        #expect(rate.take("a", at: start + .seconds(1000)) != nil)
    }

    @Test func manyClientsTakeNoMoreMemory() {
        var rate = RequestRate(perSecond: 1, burst: 1)
        for client in 0..<3 * RequestRate.mostClients {
            #expect(rate.take("\(client)", at: start + .milliseconds(client)) == nil)
        }
        // The last one is remembered.
        let last = 3 * RequestRate.mostClients - 1
        #expect(rate.take("\(last)", at: start + .milliseconds(last)) != nil)
    }

    @Test func theLastHourIsKept() {
        var hour = Throughput(at: start)
        hour.look(at: start + .seconds(9), sums: (50, 5), running: 1, waiting: 0)
        #expect(hour.samples.isEmpty)
        hour.look(at: start + .seconds(10), sums: (100, 20), running: 1, waiting: 2)
        #expect(
            hour.samples == [
                .init(promptTokensPerSecond: 10, generatedTokensPerSecond: 2, running: 1, waiting: 2)
            ])
        // Nobody looked for half a minute: what was done is spread over it. A failed job takes tokens back.
        hour.look(at: start + .seconds(40), sums: (400, 10), running: 0, waiting: 0)
        #expect(hour.samples.map(\.promptTokensPerSecond) == [10, 10, 10, 10])
        #expect(hour.samples.map(\.generatedTokensPerSecond) == [2, 0, 0, 0])
        hour.look(at: start + .seconds(400_000), sums: (400, 10), running: 0, waiting: 0)
        #expect(hour.samples.count == Throughput.most)
    }

    private func cluster(sent: UInt64, layer: UInt32 = 3) -> ClusterState {
        .with {
            $0.members = [
                .with {
                    $0.name = "alpha"
                    $0.job = "j1"
                    $0.progress = .with {
                        $0.layer = layer
                        $0.layers = 30
                        $0.step = 1
                        $0.steps = 3
                        $0.ringBytesSent = sent
                        $0.computeSeconds = 3
                        $0.waitSeconds = 1
                    }
                }
            ]
        }
    }

    private func live(_ view: inout LiveView, sent: UInt64, prompt: Double, _ seconds: Double) throws
        -> [String: Any]
    {
        let text = view.event(
            cluster(sent: sent), tokens: (prompt, 0), at: start + .seconds(seconds)
        ).text
        return try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
    }

    @Test func theLiveViewTakesDifferences() throws {
        var view = LiveView()
        _ = try live(&view, sent: 1000, prompt: 0, 0)
        let second = try live(&view, sent: 3000, prompt: 500, 2)
        let job = try #require((second["progress"] as? [[String: Any]])?.first)
        #expect(job["job"] as? String == "j1" && job["layer"] as? Int == 3 && job["layers"] as? Int == 30)
        let worker = try #require((job["workers"] as? [[String: Any]])?.first)
        #expect(worker["ring_bytes_per_second"] as? Int == 1000)
        #expect(worker["compute_share"] as? Double == 0.75)
        #expect((second["rates"] as? [String: Any])?["prompt_tokens_per_second"] as? Int == 250)
        // No news of the link yet: what was true a moment ago is still shown, for a while.
        let third = try live(&view, sent: 3000, prompt: 500, 3)
        let same = ((third["progress"] as? [[String: Any]])?.first?["workers"] as? [[String: Any]])?.first
        #expect(same?["ring_bytes_per_second"] as? Int == 1000)
        let late = try live(&view, sent: 3000, prompt: 500, 9)
        let idle = ((late["progress"] as? [[String: Any]])?.first?["workers"] as? [[String: Any]])?.first
        #expect(idle?["ring_bytes_per_second"] as? Int == 0)
        #expect((late["rates"] as? [String: Any])?["prompt_tokens_per_second"] as? Int == 0)
    }

    @Test func onlyWhatHasChangedIsTold() {
        var news = JobNews(most: 3)
        var versions: [String: UInt64] = ["j1": 0, "j2": 0]
        #expect(news.look(versions, queue: ["j2"]) == .init(changed: ["j1", "j2"], queue: ["j2"]))
        #expect(news.look(versions, queue: ["j2"]) == .init())
        versions["j1"] = 5
        #expect(news.look(versions, queue: ["j2"]) == .init(changed: ["j1"]))
        // The queue moves on: no job has changed.
        versions["j3"] = 0
        #expect(news.look(versions, queue: ["j3", "j2"]) == .init(changed: ["j3"], queue: ["j3", "j2"]))
        #expect(news.look(versions, queue: ["j2", "j3"]) == .init(queue: ["j2", "j3"]))
        versions["j1"] = nil
        #expect(news.look(versions, queue: []) == .init(ended: ["j1"], queue: []))
    }

    /// Everybody is told of in the end, however busy some are.
    @Test func aLookIsBoundedAndNobodyIsForgotten() {
        var news = JobNews(most: 50)
        let jobs = (1...1000).map { "j\($0)" }
        var told: Set<String> = []
        for look in 0..<30 {
            // Sixty of them change all the time.
            let versions = Dictionary(
                uniqueKeysWithValues: jobs.enumerated().map { ($1, $0 < 60 ? UInt64(look) : 0) })
            let telling = news.look(versions, queue: jobs)
            #expect(telling.changed.count <= 50 && (telling.queue != nil) == (look == 0))
            told.formUnion(telling.changed)
        }
        #expect(told.count == 1000)
    }

    @Test func aSummaryIsShort() {
        let long = String(repeating: "x", count: 1 << 20)
        let job = JobRecord.with {
            $0.id = "j1"
            $0.options = .with {
                $0.name = "name"
                $0.system = long
                $0.stop = [long]
                $0.rope = .with { $0.tables = [.with { $0.factors = Array(repeating: 1, count: 2000) }] }
            }
            $0.text = Array(long.utf8)
            $0.profile = .with { $0.factors = Array(repeating: 1, count: 2000) }
            $0.shares = [.with { $0.steps = Array(repeating: RingStepRecord(), count: 1000) }]
        }
        #expect(job.summary.json.text.utf8.count < 2000)
        #expect(job.summary.options?.name == "name" && job.summary.shares.count == 1)
    }

    @Test func callersAreTokensOrHosts() throws {
        let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let open = try Access(tokens: nil, logger: quiet)
        #expect(open.caller("anything", at: "10.0.0.1:5000") == "10.0.0.1")
        #expect(open.caller(nil, at: "10.0.0.1") == "10.0.0.1")
        #expect(open.caller(nil, at: "[fd00::1]:5000") == "fd00::1")
        #expect(open.caller(nil, at: "fd00::1") == "fd00::1")
        #expect(open.caller(nil, at: nil) == "unknown")
        let folder = try TemporaryDirectory()
        let token = try TokenStore.mint(name: "ann", role: .read)
        try "\(token.line)\n".write(toFile: folder.path + "/tokens", atomically: true, encoding: .utf8)
        let guarded = try Access(tokens: folder.path + "/tokens", logger: quiet)
        #expect(guarded.caller(token.token, at: "10.0.0.1:5000") == "token ann")
    }

    @Test func sumsCountEveryJobOnce() {
        var statistics = CoordinatorStatistics()
        statistics.count(submitted: .generate)
        var gaps = CoordinatorStatistics.tokenGaps
        for _ in 0..<9 { gaps.observe(0.02) }
        statistics.count(
            ended: .with {
                $0.options = .with { $0.kind = .generate }
                $0.state = .succeeded
                $0.submittedMicroseconds = 1_000_000
                $0.startedMicroseconds = 3_500_000
                $0.prefilledTokens = 100
                $0.promptTokens = 100
                $0.generatedTokens = 10
                $0.prefillSeconds = 4
                $0.firstTokenSeconds = 4.1
                $0.decodeSeconds = 0.2
                $0.shares = [
                    .with {
                        $0.worker = "a"
                        $0.computeSeconds = 3
                        $0.ringBytesSent = 7
                    },
                    .with {
                        $0.rank = 1
                        $0.worker = "b"
                        $0.ringBytesSent = 9
                    },
                ]
            }, gaps: gaps)
        let page = PrometheusText.render(statistics.families(running: (50, 1)))
        for line in [
            "lariat_jobs_finished_total{kind=\"generate\",outcome=\"succeeded\"} 1",
            "lariat_jobs_finished_total{kind=\"generate\",outcome=\"failed\"} 0",
            "lariat_prompt_tokens_total 150", "lariat_generated_tokens_total 11",
            "lariat_queue_seconds_sum 2.5",
            "lariat_inter_token_latency_seconds_count 9", "lariat_time_to_first_token_seconds_sum 4.1",
            "lariat_link_bytes_total{from=\"a\",to=\"b\"} 7",
            "lariat_link_bytes_total{from=\"b\",to=\"a\"} 9",
            "lariat_worker_compute_seconds_total{worker=\"a\"} 3",
        ] { #expect(page.contains("\n\(line)\n"), "\(line)") }
    }

    @Test func tokensOpenWhatTheirRoleMayDo() throws {
        let folder = try TemporaryDirectory()
        let path = folder.path + "/tokens"
        let reader = try TokenStore.mint(name: "r", role: .read)
        let admin = try TokenStore.mint(name: "a", role: .admin)
        try "\(reader.line)\n\(admin.line)\n".write(toFile: path, atomically: true, encoding: .utf8)
        let access = try Access(tokens: path, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        #expect(access.decide(reader.token, needs: .read) == .allowed("r"))
        #expect(access.decide(reader.token, needs: .submit) == .forbidden(name: "r", needs: "submit"))
        #expect(access.decide(admin.token, needs: .submit) == .allowed("a"))
        #expect(access.decide(nil, needs: .read) == .unknown)
        #expect(access.decide("lariat-nothing", needs: .read) == .unknown)
        let open = try Access(tokens: nil, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        #expect(open.decide(nil, needs: .admin) == .allowed(nil))
        #expect(throws: CoordinatorError.self) {
            try Access(
                tokens: folder.path + "/none", logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
            )
        }
    }
}
