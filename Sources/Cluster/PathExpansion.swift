// Paths as a specification writes them: `~`, `${VAR}`, relative to the specification's folder.
import Foundation

struct PathExpansion {
    /// The specification's folder, absolute.
    let folder: String
    let environment: [String: String]

    init(specification path: String, environment: [String: String]) {
        folder = URL(filePath: path).deletingLastPathComponent().standardizedFileURL.path
        self.environment = environment
    }

    /// An absolute path.
    func expand(_ text: String) throws(ValueError) -> String {
        var path = try expandVariables(text)
        if path.hasPrefix("~") {
            guard path == "~" || path.hasPrefix("~/") else {
                throw ValueError(
                    "\(quoted(text)): only ~ and ~/ stand for a home folder; write the folder out")
            }
            guard let home = environment["HOME"], home.hasPrefix("/") else {
                throw ValueError("\(quoted(text)): HOME is not set in the environment; write the folder out")
            }
            path = home + path.dropFirst()
        }
        if !path.hasPrefix("/") { path = folder + "/" + path }
        return URL(filePath: path).standardizedFileURL.path
    }

    private func expandVariables(_ text: String) throws(ValueError) -> String {
        var result = ""
        var rest = text[...]
        while let start = rest.range(of: "${") {
            result += rest[..<start.lowerBound]
            guard let end = rest[start.upperBound...].firstIndex(of: "}") else {
                throw ValueError("\(quoted(text)): ${ without its closing }")
            }
            let name = String(rest[start.upperBound..<end])
            guard let value = environment[name] else {
                throw ValueError(
                    "\(quoted(text)): the variable \(quoted(name)) is not set in the environment")
            }
            result += value
            rest = rest[rest.index(after: end)...]
        }
        return result + rest
    }
}
