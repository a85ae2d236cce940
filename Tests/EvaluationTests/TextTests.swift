// Numbers and tables as text.
import Evaluation
import Testing

@Suite("Figures")
struct FiguresTests {
    @Test(
        "Fixed decimals",
        arguments: [
            (12.7857, 2, "12.79"), (0, 2, "0.00"), (0.004, 2, "0.00"), (-0.004, 2, "0.00"),
            (-0.05, 2, "-0.05"),
            (-1234.5, 0, "-1235"), (99.999, 2, "100.00"), (0.5, 3, "0.500"), (1e20, 2, "1e+20"),
            (.nan, 2, "-"), (.infinity, 2, "∞"), (7, 0, "7"),
        ])
    func fixed(value: Double, decimals: Int, text: String) {
        #expect(Figures.fixed(value, decimals: decimals) == text)
    }

    @Test(
        "Tokens",
        arguments: [
            (512, "512"), (1023, "1023"), (1024, "1k"), (1536, "1.5k"), (8192, "8k"), (10_000, "9.8k"),
            (131_072, "128k"), (1_048_576, "1M"), (1_572_864, "1.5M"), (2_097_152, "2M"),
        ])
    func tokens(count: Int, text: String) { #expect(Figures.tokens(count) == text) }
}

@Suite("Markdown tables")
struct MarkdownTableTests {
    @Test("Columns line up")
    func aligned() {
        var table = MarkdownTable([("method", .left), ("perplexity", .right), ("n", .right)])
        table.add(["YaRN", "12.79", "5"])
        table.add(["LongRoPE, searched", "11.02"])
        #expect(
            table.text == """
                | method             | perplexity |   n |
                | ------------------ | ---------: | --: |
                | YaRN               |      12.79 |   5 |
                | LongRoPE, searched |      11.02 |     |

                """)
    }

    @Test("Pipes, backslashes and line ends stay in their cell")
    func escaped() {
        var table = MarkdownTable([("a|b", .left)])
        table.add(["x\\|y", "dropped"])
        table.add(["one\n\ntwo\tthree"])
        #expect(
            table.text == """
                | a\\|b          |
                | ------------- |
                | x\\\\\\|y        |
                | one two three |

                """)
        #expect(MarkdownTable([]).text == "")
    }
}
