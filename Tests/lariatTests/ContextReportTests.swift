// What is said about contexts, and about what a job found in memory.

import Messages
import Protobuf
import Testing
import lariat

@Suite struct ContextReportTests {
    private var context: ContextRecord {
        var context = ContextRecord()
        context.name = "book"
        context.state = .ready
        context.tokens = 120_000
        context.keptTokens = 119_936
        context.kvBytes = 3 << 29
        context.shares = (["beta", "alpha"] as [String]).enumerated().map { index, name in
            .with {
                $0.worker = name
                $0.rank = UInt32(1 - index)
                $0.tokens = 59_968
                $0.kvBytes = 3 << 28
            }
        }
        context.createdMicroseconds = 1_790_000_000_000_000
        context.usedMicroseconds = 1_790_000_060_000_000
        context.questions = 1_234
        context.reservedTokens = 4_096
        context.job = "j3"
        return context
    }

    @Test func aListHasALineForEach() {
        var gone = ContextRecord()
        gone.name = "other\u{1b}[2J"
        gone.state = .gone
        gone.tokens = 7
        gone.pinned = true
        #expect(
            ContextReport.list([context, gone]) == [
                "context    state   tokens    memory  workers  last used (UTC)      questions  pinned",
                "book       ready  120,000  1.50 GiB        2  2026-09-21 14:14:20      1,234",
                "other?[2J  gone         7         -        -  -                            0  yes",
            ])
    }

    @Test func theFactsOfOne() {
        let lines = ContextReport(context).lines()
        #expect(lines.contains("in memory  119,936 of 120,000 tokens, 1.50 GiB on 2 workers"))
        #expect(lines.contains("kept free  4,096 tokens for a question and its answer"))
        #expect(lines.contains("made       2026-09-21 14:13:20 UTC"))
        #expect(lines.contains { $0.hasPrefix("chat") && $0.hasSuffix("no") })
        #expect(lines.suffix(2).map { $0.prefix(5) } == ["alpha", "beta "])
    }

    @Test func whatIsNotInMemoryIsSaidSo() {
        var gone = context
        gone.state = .gone
        gone.keptTokens = 0
        gone.kvBytes = 0
        gone.shares = []
        #expect(!ContextReport(gone).lines().contains { $0.hasPrefix("in memory") })
        #expect(ContextReport(gone).summary.contains("the first question computes it again"))
        #expect(
            ContextReport(context).summary
                == "context \"book\" is ready: 119,936 of 120,000 tokens, 1.50 GiB on 2 workers")
    }

    private var job: JobRecord {
        var job = JobRecord()
        job.id = "j9"
        job.options = .with {
            $0.kind = .generate
            $0.context = "book"
        }
        job.state = .succeeded
        job.promptTokens = 120_064
        job.prefilledTokens = 120_064
        job.cachedTokens = 119_936
        job.generatedTokens = 11
        job.prefillSeconds = 0.5
        job.decodeSeconds = 0.5
        job.firstTokenSeconds = 0.6
        return job
    }

    @Test func theRateIsThatOfWhatWasComputed() {
        #expect(JobReport(job).prefillRate == 256)
        #expect(
            JobReport(job).summary
                == "j9: 120,064 prompt tokens, 119,936 of them in memory, in 500 ms (256 tokens/s), 11 tokens in 500 ms "
                + "(20.0 tokens/s), first token after 600 ms")
        let lines = JobReport(job).lines()
        #expect(lines.contains("of the prompt, 119,936 tokens were in memory and not computed"))
        #expect(lines.contains("context            book"))
    }

    @Test func moreInMemoryThanThereIsGivesNoRate() {
        var wrong = job
        wrong.cachedTokens = .max
        #expect(JobReport(wrong).prefillRate == nil)
    }
}
