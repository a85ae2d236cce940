// Chat templates by name or from a file: what --template and cluster specifications name.

package import Cluster
import Foundation
import Numerals
import Tokenizer

/// Reads what somebody names as a chat template.
package enum TemplateFile {
    /// The names that may stand in a file's place, for messages.
    package static var names: String { ChatTemplate.names.joined(separator: ", ") }

    /// - Returns: the text of a file in Jinja that can be run.
    /// - Throws: what is wrong with it, without its path.
    package static func text(of path: String) throws(Failure) -> String {
        func wrong(_ problem: String) -> Failure {
            Failure(problem, exitCode: ExitStatus.unreadableInput)
        }
        let data: Data
        do {
            guard let handle = FileHandle(forReadingAtPath: path) else {
                throw CocoaError(.fileReadNoSuchFile)
            }
            data = try handle.read(upToCount: ChatTemplate.longestSource + 1) ?? Data()
        } catch {
            throw wrong("is neither a template's name nor a file that can be read; the names are \(names)")
        }
        guard data.count <= ChatTemplate.longestSource else {
            throw wrong("the file is longer than \(ChatTemplate.longestSource.grouped) bytes, the limit")
        }
        guard let text = String(validating: data, as: UTF8.self) else {
            throw wrong("the file is not UTF-8 text")
        }
        if let problem = ChatTemplate(text, from: "").problem { throw wrong(problem) }
        guard text.contains("{") else {
            throw wrong("the file has no Jinja in it, so it would leave out every message")
        }
        return text
    }

    /// What a coordinator is given for a specification's template: a name that it knows, or a file's text.
    /// - Throws: what is wrong, and how to put it right.
    package static func choice(_ template: ClusterSpecification.Template) throws(Failure) -> String {
        switch template {
        case .file(let path):
            do throws(Failure) { return try text(of: path) } catch {
                throw Failure("\(path.printable): \(error.message)", exitCode: error.exitCode)
            }
        case .named(let name):
            guard ChatTemplate.names.contains(name) else {
                throw Failure(
                    "coordinator.template: there is no chat template called \(name.printable); the names are "
                        + "\(names), and a file of that name is written ./\(name.printable)",
                    exitCode: ExitStatus.unreadableInput)
            }
            return name
        }
    }
}
