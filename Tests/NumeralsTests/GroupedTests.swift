// Counts as people read them.
import Numerals
import Testing

struct GroupedTests {
    @Test(arguments: [(0, "0"), (999, "999"), (1000, "1,000"), (-65536, "-65,536"), (1_234_567, "1,234,567")])
    func thousandsStandApart(value: Int, text: String) { #expect(value.grouped == text) }

    @Test func theLargestAndTheSmallestHaveAllTheirDigits() {
        #expect(Int.min.grouped == "-9,223,372,036,854,775,808")
        #expect(UInt64.max.grouped == "18,446,744,073,709,551,615")
    }
}
