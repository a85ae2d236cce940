// Numbers as people read them.

import Testing
import lariat

@Suite struct QuantityTests {
    @Test(
        arguments: [
            (0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567"),
            (UInt64.max, "18,446,744,073,709,551,615"),
        ] as [(UInt64, String)])
    func count(value: UInt64, text: String) { #expect(Quantity.count(value) == text) }

    @Test(
        arguments: [
            (0, "0 B"), (1023, "1023 B"), (1024, "1.00 KiB"), (1536, "1.50 KiB"), (12_345_678, "11.8 MiB"),
            (512 << 20, "512 MiB"), (1 << 30, "1.00 GiB"), ((1 << 30) - 1, "1.00 GiB"),
            (UInt64.max, "16.0 EiB"),
        ] as [(UInt64, String)])
    func bytes(value: UInt64, text: String) { #expect(Quantity.bytes(value) == text) }

    @Test(
        arguments: [
            (0, "0 ms"), (0.85, "850 ms"), (0.9996, "1.00 s"), (5.634, "5.63 s"), (59.94, "59.9 s"),
            (59.96, "1 min 00 s"),
            (123, "2 min 03 s"), (3599.6, "1 h 00 min"), (3840, "1 h 04 min"), (266_400, "3 d 02 h"),
            (-1, "-"),
            (.nan, "-"), (.infinity, "-"), (1e300, "more than 30 years"),
        ] as [(Double, String)])
    func duration(value: Double, text: String) { #expect(Quantity.duration(value) == text) }

    @Test(
        arguments: [
            (22.94, "22.9"), (220.4, "220"), (2204.4, "2,204"), (1.234, "1.23"), (0, "-"), (.infinity, "-"),
        ] as [(Double, String)])
    func rate(value: Double, text: String) { #expect(Quantity.rate(value) == text) }

    @Test func rateUnknown() { #expect(Quantity.rate(nil) == "-") }

    @Test func share() {
        #expect(Quantity.share(1, of: 3) == "33.3%")
        #expect(Quantity.share(0, of: 0) == "-")
    }

    // Reference: GNU date -u.
    @Test(
        arguments: [
            (0, "-"), (1_000_000, "1970-01-01 00:00:01"), (951_782_400_000_000, "2000-02-29 00:00:00"),
            (1_795_470_087_000_000, "2026-11-23 21:41:27"), (4_107_542_399_000_000, "2100-02-28 23:59:59"),
            (4_107_542_400_000_000, "2100-03-01 00:00:00"),
        ] as [(UInt64, String)])
    func time(microseconds: UInt64, text: String) {
        #expect(Quantity.time(microseconds: microseconds) == text)
    }

    @Test func timeInMilliseconds() {
        #expect(
            Quantity.time(microseconds: 1_795_470_087_007_999, milliseconds: true)
                == "2026-11-23 21:41:27.007")
        // The largest number that a message can hold must not trap.
        #expect(!Quantity.time(microseconds: .max).isEmpty)
    }

    @Test func printable() { #expect("a\u{1b}[31mb\nc\u{9b}é".printable == "a?[31mb?c?é") }
}
