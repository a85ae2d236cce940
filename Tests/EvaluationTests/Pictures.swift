// Reads a picture back: is it XML, and what is in it.
import Foundation
import FoundationXML

/// An element of a parsed picture.
struct Element {
    var name: String
    var attributes: [String: String]
    var text = ""

    func has(_ style: String) -> Bool {
        (attributes["class"] ?? "").split(separator: " ").contains { $0 == style }
    }

    func number(_ name: String) -> Double { Double(attributes[name] ?? "") ?? .nan }
}

/// A picture's elements in order, or nothing where it is not well-formed.
final class Picture: NSObject, XMLParserDelegate {
    private(set) var elements: [Element] = []
    private(set) var isWellFormed = false
    private var open: [Int] = []

    init(_ svg: String) {
        super.init()
        let parser = XMLParser(data: Data(svg.utf8))
        parser.delegate = self
        isWellFormed = parser.parse()
    }

    func parser(
        _ parser: XMLParser, didStartElement name: String, namespaceURI: String?, qualifiedName: String?,
        attributes: [String: String]
    ) {
        open.append(elements.count)
        elements.append(Element(name: name, attributes: attributes))
    }

    func parser(_ parser: XMLParser, foundCharacters text: String) {
        if let last = open.last { elements[last].text += text }
    }

    func parser(
        _ parser: XMLParser, didEndElement name: String, namespaceURI: String?, qualifiedName: String?
    ) {
        open.removeLast()
    }

    func all(_ style: String) -> [Element] { elements.filter { $0.has(style) } }
    var texts: [String] { elements.filter { $0.name == "text" }.map(\.text) }
    /// The hints of things that are pointed at.
    var hints: [String] { elements.filter { $0.name == "title" }.dropFirst().map(\.text) }
}

/// The points of a path of absolute M and L, a list for each M.
func strokes(_ path: String) -> [[(x: Double, y: Double)]] {
    path.split(separator: "M").map { stroke in
        stroke.split(separator: "L").map { point in
            let numbers = point.split(separator: " ").map { Double($0) ?? .nan }
            return (numbers[0], numbers[1])
        }
    }
}
