// What `lariat show` says of what held up a prefill, and of jobs that wait or run.

import Messages
import Protobuf
import Testing
import lariat

@Suite struct StragglerTextTests {
    private let worker = StragglerMessage.with {
        $0.worker = "beta"
        $0.computeSeconds = 14.5
        $0.othersSeconds = 9
        $0.waitedSeconds = 4.5
        $0.prefillSeconds = 15
    }

    @Test func aSlowWorker() {
        #expect(
            worker.text(isOver: true)
                == "beta is the slowest: 14.5 s of computing where the others need 9.00 s; they waited for it 4.50 s of "
                + "15.0 s; its share follows its speed from the next job on")
        #expect(!worker.text(isOver: false).contains("next job"))
        var one = worker
        one.onlyOther = "alpha"
        #expect(
            one.text(isOver: false)
                == "beta is the slowest: 14.5 s of computing where alpha needs 9.00 s; alpha waited for it 4.50 s of 15.0 s"
        )
    }

    @Test func aSlowLink() {
        var link = worker
        link.worker = "gamma"
        link.sender = "beta"
        link.waitedSeconds = 6
        link.bytes = 1 << 20
        link.wireSeconds = 5.8
        #expect(
            link.text(isOver: true)
                == "the link from beta to gamma is slow: 1.00 MiB in 5.80 s, 177 KiB/s; gamma waited 6.00 s of 15.0 s, "
                + "most of it for blocks on their way")
        for odd in [-Double.infinity, -1, 0, .nan, .infinity, 1e300] {
            link.wireSeconds = odd
            link.waitedSeconds = odd
            #expect(link.text(isOver: true).contains("gamma waited"))
        }
    }

    @Test func showSaysIt() {
        var job = JobRecord()
        job.state = .succeeded
        #expect(!JobReport(job).lines().contains { $0.contains("slowest") })
        job.straggler = worker
        #expect(JobReport(job).lines().last == worker.text(isOver: true))
    }
}

@Suite struct JobOutlookTests {
    private func member(_ name: String, _ state: MemberState, job: String = "", layer: UInt32 = 0)
        -> MemberRecord
    {
        .with {
            $0.name = name
            $0.state = state
            $0.memoryBytes = 1 << 30
            $0.kvBytesUsed = job.isEmpty ? 0 : 1 << 28
            $0.job = job
            if layer > 0 {
                $0.progress = .with {
                    $0.layer = layer
                    $0.layers = 30
                    $0.ringBytesSent = 77
                    $0.computeSeconds = 9
                    $0.waitSeconds = 1
                }
            }
        }
    }

    private var running: JobRecord {
        .with {
            $0.id = "j4"
            $0.state = .prefill
            $0.promptTokens = 1000
            $0.prefilledTokens = 400
            $0.options = .with { $0.maxTokens = 24 }
            $0.shares = [
                .with {
                    $0.worker = "alpha"
                    $0.kvBytes = 1024 << 10
                    $0.tokens = 1000
                }
            ]
        }
    }

    private func waiting(_ id: String, _ position: UInt32) -> JobRecord {
        .with {
            $0.id = id
            $0.state = .queued
            $0.queuePosition = position
            $0.promptTokens = 2000
            $0.options = .with { $0.maxTokens = 48 }
            $0.reason = "waits for other jobs"
        }
    }

    @Test func whyItWaits() {
        let cluster = ClusterState.with {
            $0.members = [
                member("alpha", .busy, job: "j4", layer: 12), member("beta", .busy, job: "j4", layer: 15),
                member("gamma", .ready), member("delta", .draining),
            ]
        }
        let active = [waiting("j7", 3), waiting("j6", 2), waiting("j5", 1), running]
        let lines = JobReport(JobOutlook(active[0], cluster: cluster, active: active, at: 0)).lines()
        #expect(lines.contains("state      queued (number 3 in the queue)"))
        #expect(lines.contains("reason     waits for other jobs"))
        #expect(lines.contains("before it  j4 (prefill, 40%, about 15.0 s left), j5 and j6 (wait too)"))
        #expect(
            lines.contains(
                "workers    it takes one, or all 3 if that is faster; gamma is free; alpha and beta are busy; delta is draining"
            ))
        // 1 KiB a token in the job that runs.
        #expect(lines.contains("KV memory  about 2.00 MiB for 2,048 tokens; 2.50 GiB of 3.00 GiB are free"))
    }

    @Test func waitingForSomeWorkers() {
        var job = waiting("j5", 1)
        job.options?.workers = 2
        let cluster = ClusterState.with {
            $0.members =
                ["a", "b", "c"].map { member($0, .busy) } + (0..<9).map { member("x\($0)", .lost) }
        }
        let facts = JobOutlook(job, cluster: cluster, active: [job], at: 0).facts
        #expect(facts.map(\.name) == ["before it", "workers", "KV memory"])
        #expect(facts[0].value == "no other job")
        #expect(
            facts[1].value == "it takes 2 of 3; a, b and c are busy; x0, x1, x2, x3, x4 and 4 more are lost")
        #expect(facts[2].value == "3.00 GiB of 3.00 GiB are free")
        let none = JobOutlook(job, cluster: ClusterState(), active: [], at: 0).facts
        #expect(none.map(\.value) == ["no other job", "none takes jobs", ""])
    }

    @Test func underWay() {
        let cluster = ClusterState.with { $0.members = [member("alpha", .busy, job: "j4", layer: 10)] }
        let outlook = JobOutlook(running, cluster: cluster, active: [], at: 0)
        #expect(outlook.facts[0].value == "[########------------] 40%, layer 10 of 30")
        #expect(outlook.facts[1].value == "about 20.0 s")
        // The shares show what the workers have told.
        #expect(outlook.live.shares[0].computeSeconds == 9 && outlook.live.shares[0].ringBytesSent == 77)
        let silent = JobOutlook(running, cluster: ClusterState(), active: [], at: 0)
        #expect(silent.facts[1].value == "not known yet")
        #expect(silent.live == running)
    }

    @Test func decoding() {
        var job = running
        job.state = .decode
        job.startedMicroseconds = 1_000_000
        job.firstTokenSeconds = 4
        job.generatedTokens = 5
        job.options?.maxTokens = 10
        let facts = JobOutlook(job, cluster: ClusterState(), active: [], at: 7_000_000).facts
        #expect(facts[0].value == "[##########----------] 50% of at most 10 tokens")
        #expect(facts[1].value == "at most 2.50 s")
        // Clocks that disagree say nothing.
        #expect(JobOutlook(job, cluster: ClusterState(), active: [], at: 0).facts[1].value == "not known yet")
        job.state = .succeeded
        #expect(JobOutlook(job, cluster: ClusterState(), active: [], at: 0).facts.isEmpty)
    }
}
