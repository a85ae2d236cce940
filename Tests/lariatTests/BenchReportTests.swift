// Lists of numbers, tables and JSON of measurements.

import Benchmark
import JSONText
import Kernels
import Messages
import Protobuf
import Testing
import lariat

@Suite struct BenchReportTests {
    @Test func lists() {
        func parse(_ text: String) -> [Int]? { NumberList(text, in: 0...8192, atMost: 3)?.numbers }
        #expect(parse("512") == [512])
        #expect(parse("2048,0,8192") == [2048, 0, 8192])
        for bad in [
            "", ",", "1,", "1,,2", "1 2", "1, 2", "-1", "+1", "8193", "1,1", "1,2,3,4", "1e3", "512k", "٣",
            "99999999999999999999",
        ] {
            #expect(parse(bad) == nil, "\(bad)")
        }
    }

    private let machine = BenchMachine(processor: "some processor", threads: 2, isa: .avx2)

    private func job(seconds: Double, wait: Double, generated: UInt64 = 1, memory: UInt64 = 900) -> BenchJob {
        BenchJob(
            record: .with {
                $0.prefillSeconds = seconds
                $0.decodeSeconds = seconds
                $0.generatedTokens = generated
                $0.shares = [
                    .with {
                        $0.rank = 1
                        $0.worker = "worker-2"
                        $0.kvBytes = 100
                        $0.computeSeconds = 4 - wait
                        $0.waitSeconds = wait
                    },
                    .with {
                        $0.worker = "worker-1"
                        $0.kvBytes = 300
                        $0.computeSeconds = 4
                        $0.ringBytesSent = 1 << 20
                    },
                ]
            }, peakMemory: memory)
    }

    @Test func prefill() {
        let result = PrefillResult(
            tokens: 1000, workers: 2, threads: 1,
            jobs: [
                job(seconds: 4, wait: 1), job(seconds: 2, wait: 0.8), job(seconds: 3, wait: 1, memory: 950),
            ],
            operations: 6e11, peak: 4e11, modelBytes: 500)
        #expect(result.seconds.median == 3)
        #expect(result.peakShare == 0.5)
        #expect(result.waitShare == 0.125)
        #expect(result.restBytes == 150)
        var peaks = PeakRates()
        peaks.add(.bf16, 4e11)
        let report = BenchReport(bench: "prefill", machine: machine, peaks: peaks)
        #expect(
            report.lines(BenchReport.table([result])) == [
                "processor        some processor",
                "threads          2",
                "instruction set  avx2",
                "bf16 arithmetic  400.0 GFLOP/s",
                "",
                "tokens  workers  threads  prefill  tokens/s  of peak   wait  memory  model file     KV   rest",
                " 1,000        2        1   3.00 s       333    50.0%  12.5%   950 B       500 B  300 B  150 B",
            ])
        #expect(
            report.json(runs: [result.json]).text
                == #"{"bench":"prefill","machine":{"cpu":"some processor","threads":2,"isa":"avx2"},"#
                + #""peak":{"bf16_gflops":400},"runs":[{"tokens":1000,"workers":2,"threads":1,"seconds":3,"#
                + #""all_seconds":[4,2,3],"tokens_per_second":333.3333333333333,"peak_share":0.5,"#
                + #""wait_share":0.125,"peak_memory_bytes":950,"model_bytes":500,"kv_bytes":300,"#
                + #""rest_bytes":150}]}"#)
    }

    @Test func decode() {
        let result = DecodeResult(
            context: 0, workers: 1, threads: 2,
            jobs: [job(seconds: 2, wait: 0, generated: 33), job(seconds: 1, wait: 0, generated: 33)],
            weightBytes: 1 << 20, tokenBytes: 2e6, peak: 96e6)
        #expect(result.rates.values == [16, 32])
        #expect(result.memoryShare == 0.5)
        let line = BenchReport.table([result]).last ?? ""
        #expect(line.contains("24.0") && line.contains("1.00 MiB") && line.contains("50.0%"), "\(line)")
        #expect(result.json.text.contains(#""context":0,"workers":1,"threads":2,"generated":33"#))
        #expect(result.json.text.contains(#""all_tokens_per_second":[16,32]"#))
    }

    @Test func ring() {
        var result = RingResult(tokens: 3000, workers: 2, threadsInAll: 2)
        result.add(alone: job(seconds: 3, wait: 0).record, ring: job(seconds: 4, wait: 1).record)
        #expect(
            BenchReport.table(result) == [
                "workers  threads each  prefill  tokens/s  ratio",
                "      1             2   3.00 s     1,000",
                "      2             1   4.00 s       750  0.750",
                "",
                "ring, turn 1",
                "worker    tokens  compute    wait  wait share      sent",
                "worker-1       0   4.00 s    0 ms        0.0%  1.00 MiB",
                "worker-2       0   3.00 s  1.00 s       25.0%       0 B",
            ])
        let json = JSONValue.array(result.json).text
        #expect(json.contains(#""workers":2,"threads":1,"seconds":4,"all_seconds":[4],"ratio":0.75"#))
        #expect(json.contains(#""wait_seconds":1"#))
    }

    @Test func wire() {
        var rates = Paired()
        rates.add(1e9, 4e9)
        let result = WireResult(bytes: 256 << 20, blockBytes: 1 << 20, rates: rates)
        #expect(
            BenchReport.table([result]).last == " 256 MiB  1.00 MiB  1.00 GB/s  4.00 GB/s  0.250")
        #expect(result.json.text.contains(#""ratio":0.25"#))
    }

    /// Jobs that did not say how long they took give no figures, and nothing ends the process.
    @Test func nothingKnown() {
        let prefill = PrefillResult(
            tokens: 1, workers: 1, threads: 1, jobs: [BenchJob(record: JobRecord(), peakMemory: 0)],
            operations: 1, peak: 0, modelBytes: .max)
        #expect(BenchReport.table([prefill]).last?.contains("-") == true)
        let decode = DecodeResult(
            context: 1, workers: 1, threads: 1, jobs: [], weightBytes: 0, tokenBytes: 0, peak: nil)
        #expect(decode.json.text.contains(#""tokens_per_second":null"#))
        #expect(!BenchReport.table([decode]).isEmpty)
        #expect(!BenchReport.table(RingResult(tokens: 1, workers: 2, threadsInAll: 2)).isEmpty)
    }
}
