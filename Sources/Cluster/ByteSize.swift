// Sizes of memory as people write them: 2GiB, 512 MB.

/// A number of bytes.
public struct ByteSize: Sendable, Hashable, Comparable, CustomStringConvertible {
    public let bytes: Int

    public init(bytes: Int) { self.bytes = bytes }

    private static let units: [(name: String, bytes: Int)] = [
        ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40),
        ("kB", 1_000), ("KB", 1_000), ("MB", 1_000_000), ("GB", 1_000_000_000), ("TB", 1_000_000_000_000),
        ("B", 1),
    ]

    /// `text` is a number, which may have a fraction, and a unit: KiB, MiB, GiB, TiB (powers of 1024), kB, MB, GB, TB
    /// (powers of 1000) or B. A space may stand between them.
    public init(parsing text: String) throws(ValueError) {
        let problem = ValueError("\(quoted(text)) is not a size; write e.g. 4GiB")
        guard let unit = Self.units.first(where: { text.hasSuffix($0.name) }) else { throw problem }
        var number = text.dropLast(unit.name.count)
        if number.last == " " { number = number.dropLast() }
        let parts = number.split(separator: ".", omittingEmptySubsequences: false)
        guard (1...2).contains(parts.count), number.utf8.count <= 20,
            parts.allSatisfy({ !$0.isEmpty && $0.utf8.allSatisfy { (0x30...0x39).contains($0) } })
        else { throw problem }
        let tooLarge = ValueError("\(quoted(text)) is more than can be counted; write e.g. 4GiB")
        guard let whole = Int(parts[0]) else { throw tooLarge }
        let (product, overflow) = whole.multipliedReportingOverflow(by: unit.bytes)
        let fraction = parts.count == 2 ? Double("0." + parts[1]) ?? 0 : 0
        let (sum, overflowOfSum) = product.addingReportingOverflow(Int(fraction * Double(unit.bytes)))
        guard !overflow, !overflowOfSum else { throw tooLarge }
        bytes = sum
    }

    public static func < (a: ByteSize, b: ByteSize) -> Bool { a.bytes < b.bytes }

    /// With the largest binary unit that leaves 1 or more, and at most two decimals: `2GiB`, `1.5MiB`, `17B`.
    public var description: String {
        guard let unit = Self.units[..<4].last(where: { bytes >= $0.bytes }) else { return "\(bytes)B" }
        let (whole, rest) = bytes.quotientAndRemainder(dividingBy: unit.bytes)
        let hundredths = Int(Double(rest) / Double(unit.bytes) * 100)
        let decimals =
            hundredths % 10 == 0 ? "\(hundredths / 10)" : (hundredths < 10 ? "0" : "") + "\(hundredths)"
        return hundredths == 0 ? "\(whole)\(unit.name)" : "\(whole).\(decimals)\(unit.name)"
    }
}
