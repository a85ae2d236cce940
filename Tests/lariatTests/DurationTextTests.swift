// Durations: what people may write.
import Testing
import lariat

@Suite("Durations")
struct DurationTextTests {
    @Test(
        "Hours, minutes and seconds, or seconds alone",
        arguments: [
            ("90s", 90.0), ("45m", 2700), ("1h", 3600), ("2h30m", 9000), ("1.5h", 5400), ("600", 600),
            ("1h5s", 3605),
        ])
    func read(text: String, seconds: Double) { #expect(DurationText.seconds(text) == seconds) }

    @Test(
        "Anything else is refused",
        arguments: ["", "h", "1x", "1h5", "1h1h", "5m1h", "-1s", "-1", "nan", "inf", "1e999h", "m5"])
    func refused(text: String) { #expect(DurationText.seconds(text) == nil) }
}
