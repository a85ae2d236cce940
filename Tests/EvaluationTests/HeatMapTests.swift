// Heat maps: a cell for every value, with its number, in colours that rise in lightness.
import Evaluation
import Foundation
import Testing

@Suite("Heat maps")
struct HeatMapTests {
    /// Relative luminance (WCAG) of "#rrggbb".
    static func luminance(_ colour: String) -> Double {
        let number = Int(colour.dropFirst(), radix: 16) ?? 0
        func part(_ shift: Int) -> Double {
            let share = Double((number >> shift) & 255) / 255
            return share <= 0.03928 ? share / 12.92 : pow((share + 0.055) / 1.055, 2.4)
        }
        return 0.2126 * part(16) + 0.7152 * part(8) + 0.0722 * part(0)
    }

    @Test("A cell and a number for every value, labels for rows and columns")
    func complete() {
        let map = HeatMap(
            "Keys <found>", depths: [0, 0.5, 1], lengths: [8192, 131_072],
            values: [[1, 0.404], [0.996, nil], [0, .nan]])
        let picture = Picture(map.svg())
        #expect(picture.isWellFormed)
        #expect(picture.all("lrt-cell").count == 6)
        #expect(picture.all("lrt-number").map(\.text) == ["100%", "40%", "100%", "-", "0%", "-"])
        #expect(picture.all("lrt-none").count == 2)
        for text in ["Keys <found>", "0%", "50%", "100%", "8k", "128k", "found"] {
            #expect(picture.texts.contains(text), "\(text)")
        }
        #expect(picture.hints.contains("50%, 128k: not measured"))
        #expect(picture.hints.contains("0%, 128k: 40%"))
    }

    @Test("Larger values are lighter, and numbers stand out from their cells")
    func colours() {
        let shares = (0...40).map { Double($0) / 40 }
        let picture = Picture(HeatMap("t", depths: [0], lengths: Array(1...41), values: [shares]).svg())
        let cells = picture.all("lrt-cell").map { Self.luminance($0.attributes["fill"] ?? "") }
        for (a, b) in zip(cells, cells.dropFirst()) { #expect(a < b) }
        for (cell, number) in zip(cells, picture.all("lrt-number")) {
            let text = Self.luminance(number.attributes["fill"] ?? "")
            #expect((max(cell, text) + 0.05) / (min(cell, text) + 0.05) > 4.5)
        }
        // Values outside of 0 to 1 have the colours of the ends and their own numbers.
        let outside = Picture(HeatMap("t", depths: [0], lengths: [1, 2], values: [[-0.5, 7]]).svg())
        #expect(outside.all("lrt-cell").map { $0.attributes["fill"] } == ["#440154", "#fde725"])
        #expect(outside.all("lrt-number").map(\.text) == ["-50%", "700%"])
    }

    @Test("Cells fill the picture without overlap, and it grows when there are many", arguments: [1, 4, 30])
    func layout(count: Int) {
        let map = HeatMap(
            "t", depths: (0..<count).map { Double($0) / 30 }, lengths: (1...count).map { $0 * 1024 },
            values: Array(repeating: Array(repeating: 0.5, count: count), count: count))
        let picture = Picture(map.svg())
        let cells = picture.all("lrt-cell")
        let size =
            picture.elements[0].attributes["viewBox"]?.split(separator: " ").compactMap { Double($0) } ?? []
        #expect(size.count == 4 && (count < 30 ? size[2] == 800 && size[3] == 480 : size[2] > 800))
        for (index, cell) in cells.enumerated() {
            #expect(cell.number("width") >= 30 && cell.number("height") >= 15)
            #expect(cell.number("x") + cell.number("width") < size[2] - 60)
            #expect(cell.number("y") + cell.number("height") < size[3] - 30)
            if index % count > 0 {
                #expect(cells[index - 1].number("x") + cells[index - 1].number("width") < cell.number("x"))
            }
            if index >= count {
                #expect(
                    cells[index - count].number("y") + cells[index - count].number("height")
                        < cell.number("y"))
            }
        }
    }

    @Test("Nothing measured is a picture too")
    func empty() {
        #expect(Picture(HeatMap("t", depths: [], lengths: [], values: []).svg()).isWellFormed)
    }
}
