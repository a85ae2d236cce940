// Measurements as tables for people and as one JSON object for programs. No I/O.

package import Benchmark
package import JSONText
package import Kernels
import Messages

/// Where a measurement was made.
package struct BenchMachine: Sendable, Equatable {
    /// The processor's name; empty when it has none.
    package var processor: String
    /// Compute threads of all processes together.
    package var threads: Int
    package var isa: ISA

    package init(processor: String, threads: Int, isa: ISA) {
        self.processor = processor
        self.threads = threads
        self.isa = isa
    }
}

/// One measurement with its surroundings.
package struct BenchReport {
    private let bench: String
    private let machine: BenchMachine
    private let peaks: PeakRates

    /// - Parameters:
    ///   - bench: the command's name.
    ///   - peaks: what was measured of the machine besides; may be empty.
    package init(bench: String, machine: BenchMachine, peaks: PeakRates) {
        self.bench = bench
        self.machine = machine
        self.peaks = peaks
    }

    /// Facts, then the table.
    package func lines(_ table: [String]) -> [String] {
        var facts = FactList()
        facts.add("processor", machine.processor)
        facts.add("threads", "\(machine.threads)")
        facts.add("instruction set", machine.isa.rawValue)
        for peak in Peak.allCases {
            if let rate = peaks[peak] { facts.add(peak.title, "\(Self.billions(rate)) \(peak.unit)") }
        }
        return facts.lines() + [""] + table
    }

    /// `{"bench", "machine", "peak", "runs"}`; rates of `peak` are in billions a second.
    package func json(runs: [JSONValue]) -> JSONValue {
        .object([
            ("bench", .string(bench)),
            (
                "machine",
                .object([
                    ("cpu", .string(machine.processor)), ("threads", .integer(Int64(machine.threads))),
                    ("isa", .string(machine.isa.rawValue)),
                ])
            ),
            (
                "peak",
                .object(
                    Peak.allCases.compactMap { peak in
                        peaks[peak].map { (peak.key, .number($0 / 1e9)) }
                    })
            ),
            ("runs", .array(runs)),
        ])
    }

    // MARK: Tables

    package static func table(_ results: [KernelResult]) -> [String] {
        var table = Table([
            ("kind", .left), ("kernel", .left), ("rate", .right), ("unit", .left), ("of peak", .right),
            ("elements/s", .right),
        ])
        for result in results {
            table.add([
                result.group.rawValue, result.name, billions(result.rate), result.yardstick.unit,
                percent(result.share), result.elementsPerSecond.map { billions($0) + " G" } ?? "",
            ])
        }
        return table.lines()
    }

    package static func table(_ results: [PrefillResult]) -> [String] {
        var table = Table([
            ("tokens", .right), ("workers", .right), ("threads", .right), ("prefill", .right),
            ("tokens/s", .right), ("of peak", .right), ("wait", .right), ("memory", .right),
            ("model file", .right), ("KV", .right), ("rest", .right),
        ])
        for result in results {
            table.add([
                Quantity.count(UInt64(result.tokens)), "\(result.workers)", "\(result.threads)",
                Quantity.duration(result.seconds.median ?? .nan), Quantity.rate(result.tokensPerSecond),
                percent(result.peakShare), percent(result.waitShare), Quantity.bytes(result.peakMemory),
                Quantity.bytes(result.modelBytes), Quantity.bytes(result.kvBytes),
                Quantity.bytes(result.restBytes),
            ])
        }
        return table.lines()
    }

    package static func table(_ results: [DecodeResult]) -> [String] {
        var table = Table([
            ("context", .right), ("workers", .right), ("threads", .right), ("generated", .right),
            ("tokens/s", .right), ("weights", .right), ("read a token", .right), ("of memory", .right),
            ("wait", .right),
        ])
        for result in results {
            table.add([
                Quantity.count(UInt64(result.context)), "\(result.workers)", "\(result.threads)",
                Quantity.count(UInt64(result.generated)), Quantity.rate(result.rates.median),
                Quantity.bytes(result.weightBytes), Quantity.bytes(UInt64(result.tokenBytes)),
                percent(result.memoryShare), percent(result.waitShare),
            ])
        }
        return table.lines()
    }

    package static func table(_ result: RingResult) -> [String] {
        var table = Table([
            ("workers", .right), ("threads each", .right), ("prefill", .right), ("tokens/s", .right),
            ("ratio", .right),
        ])
        for (workers, seconds) in [(1, result.seconds.first), (result.workers, result.seconds.second)] {
            let median = seconds.median ?? .nan
            table.add([
                "\(workers)", "\(result.threadsInAll / workers)", Quantity.duration(median),
                Quantity.rate(Double(result.tokens) / median),
                workers == 1 ? "" : Quantity.number(result.seconds.ratio ?? .nan, decimals: 3),
            ])
        }
        var lines = table.lines()
        for (turn, shares) in result.shares.enumerated() {
            var table = Table([
                ("worker", .left), ("tokens", .right), ("compute", .right), ("wait", .right),
                ("wait share", .right), ("sent", .right),
            ])
            for share in shares {
                table.add([
                    share.worker, Quantity.count(share.tokens), Quantity.duration(share.computeSeconds),
                    Quantity.duration(share.waitSeconds), percent([share].waitShare),
                    Quantity.bytes(share.ringBytesSent),
                ])
            }
            lines += ["", "ring, turn \(turn + 1)"] + table.lines()
            let steps = JobReport.steps(shares)
            if !steps.isEmpty { lines += [""] + steps }
        }
        return lines
    }

    package static func table(_ results: [WireResult]) -> [String] {
        var table = Table([
            ("transfer", .right), ("block", .right), ("blocks", .right), ("plain TCP", .right),
            ("ratio", .right),
        ])
        for result in results {
            table.add([
                Quantity.bytes(UInt64(result.bytes)), Quantity.bytes(UInt64(result.blockBytes)),
                billions(result.rates.first.median) + " GB/s", billions(result.rates.second.median) + " GB/s",
                Quantity.number(result.rates.ratio ?? .nan, decimals: 3),
            ])
        }
        return table.lines()
    }

    /// `123.4` for 1.234e11; `-` when not known.
    private static func billions(_ value: Double?) -> String {
        guard let value, value.isFinite else { return "-" }
        return Quantity.number(value / 1e9, decimals: value >= 1e11 ? 1 : 2)
    }

    private static func percent(_ share: Double?) -> String {
        guard let share, share.isFinite else { return "-" }
        return Quantity.number(share * 100, decimals: 1) + "%"
    }
}

extension Peak {
    fileprivate var title: String {
        switch self {
        case .f32, .bf16, .int8: "\(rawValue) arithmetic"
        case .read: "reading memory"
        case .copy: "copying memory"
        }
    }

    fileprivate var unit: String {
        switch self {
        case .f32, .bf16: "GFLOP/s"
        case .int8: "GOP/s"
        case .read, .copy: "GB/s"
        }
    }

    fileprivate var key: String {
        switch self {
        case .f32, .bf16: "\(rawValue)_gflops"
        case .int8: "int8_gops"
        case .read, .copy: "memory_\(rawValue)_gbytes"
        }
    }
}

// MARK: JSON

extension JSONValue {
    fileprivate static func number(_ value: Double?) -> JSONValue { value.map { .number($0) } ?? .null }
    fileprivate static func numbers(_ values: Repeated) -> JSONValue {
        .array(values.values.map { .number($0) })
    }
    fileprivate static func integer(_ value: Int) -> JSONValue { .integer(Int64(value)) }
}

extension KernelResult {
    package var json: JSONValue {
        .object([
            ("group", .string(group.rawValue)), ("kernel", .string(name)),
            ("counts", .string(yardstick.name)), ("per_second", .number(rate)),
            ("peak_per_second", .number(peak)), ("peak_share", .number(share)),
            ("elements_per_second", .number(elementsPerSecond)), ("all_per_second", .numbers(rounds.first)),
        ])
    }
}

extension PrefillResult {
    package var json: JSONValue {
        .object([
            ("tokens", .integer(tokens)), ("workers", .integer(workers)), ("threads", .integer(threads)),
            ("seconds", .number(seconds.median)), ("all_seconds", .numbers(seconds)),
            ("tokens_per_second", .number(tokensPerSecond)), ("peak_share", .number(peakShare)),
            ("wait_share", .number(waitShare)), ("peak_memory_bytes", .unsigned(peakMemory)),
            ("model_bytes", .unsigned(modelBytes)), ("kv_bytes", .unsigned(kvBytes)),
            ("rest_bytes", .unsigned(restBytes)),
        ])
    }
}

extension DecodeResult {
    package var json: JSONValue {
        .object([
            ("context", .integer(context)), ("workers", .integer(workers)), ("threads", .integer(threads)),
            ("generated", .integer(generated)), ("tokens_per_second", .number(rates.median)),
            ("all_tokens_per_second", .numbers(rates)), ("weight_bytes", .unsigned(weightBytes)),
            ("bytes_per_token", .number(tokenBytes)), ("memory_share", .number(memoryShare)),
            ("wait_share", .number(waitShare)),
        ])
    }
}

extension RingResult {
    /// One object for the worker alone, one for the ring.
    package var json: [JSONValue] {
        [
            .object([
                ("tokens", .integer(tokens)), ("workers", .integer(1)), ("threads", .integer(threadsInAll)),
                ("seconds", .number(seconds.first.median)), ("all_seconds", .numbers(seconds.first)),
            ]),
            .object([
                ("tokens", .integer(tokens)), ("workers", .integer(workers)),
                ("threads", .integer(threadsInAll / workers)), ("seconds", .number(seconds.second.median)),
                ("all_seconds", .numbers(seconds.second)), ("ratio", .number(seconds.ratio)),
                ("shares", .array(shares.map { .array($0.map(\.json)) })),
            ]),
        ]
    }
}

extension WireResult {
    package var json: JSONValue {
        .object([
            ("bytes", .integer(bytes)), ("block_bytes", .integer(blockBytes)),
            ("bytes_per_second", .number(rates.first.median)),
            ("all_bytes_per_second", .numbers(rates.first)),
            ("tcp_bytes_per_second", .number(rates.second.median)),
            ("all_tcp_bytes_per_second", .numbers(rates.second)), ("ratio", .number(rates.ratio)),
        ])
    }
}
