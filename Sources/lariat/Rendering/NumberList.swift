// Whole numbers with commas between them: `512,2048,8192`. No I/O.

/// Different whole numbers in the order in which they were written.
package struct NumberList: Equatable, Sendable {
    package let numbers: [Int]

    /// nil unless `text` is 1 to `most` numbers within `range`, each once, with nothing but commas between them.
    package init?(_ text: String, in range: ClosedRange<Int>, atMost most: Int) {
        let parts = text.split(separator: ",", maxSplits: most, omittingEmptySubsequences: false)
        let numbers = parts.compactMap { part in
            part.utf8.allSatisfy { (0x30...0x39).contains($0) } ? Int(part) : nil
        }
        guard numbers.count == parts.count, numbers.count <= most, numbers.allSatisfy(range.contains),
            Set(numbers).count == numbers.count
        else { return nil }
        self.numbers = numbers
    }
}
