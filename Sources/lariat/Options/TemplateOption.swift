// --template: how a conversation is written, instead of the model file's own template.

internal import ArgumentParser
import Foundation
import Tokenizer

/// A chat template by name, or from a file in Jinja.
struct TemplateOption: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Chat template instead of the model file's own: \(ChatTemplate.names.joined(separator: ", ")), or a file in Jinja.",
            valueName: "name|file"), completion: .file())
    var template: String?

    /// What the coordinator is given: a name that it knows, or a file's text. A wrong one is told before anybody is asked.
    func choice() throws -> String? {
        guard let template else { return nil }
        guard !ChatTemplate.names.contains(template) else { return template }
        let shown = template.printable
        let data: Data
        do {
            guard let handle = FileHandle(forReadingAtPath: template) else {
                throw CocoaError(.fileReadNoSuchFile)
            }
            data = try handle.read(upToCount: ChatTemplate.longestSource + 1) ?? Data()
        } catch {
            throw Failure(
                "--template \(shown): is neither a template's name nor a file that can be read; the names are "
                    + ChatTemplate.names.joined(separator: ", "), exitCode: ExitStatus.unreadableInput)
        }
        guard data.count <= ChatTemplate.longestSource else {
            throw Failure(
                "--template \(shown): the file is longer than \(ChatTemplate.longestSource) bytes, the limit",
                exitCode: ExitStatus.unreadableInput)
        }
        guard let text = String(validating: data, as: UTF8.self) else {
            throw Failure(
                "--template \(shown): the file is not UTF-8 text", exitCode: ExitStatus.unreadableInput)
        }
        if let problem = ChatTemplate(text, from: "").problem {
            throw Failure("--template \(shown): \(problem)", exitCode: ExitStatus.unreadableInput)
        }
        guard text.contains("{") else {
            throw Failure(
                "--template \(shown): the file has no Jinja in it, so it would leave out every message",
                exitCode: ExitStatus.unreadableInput)
        }
        return text
    }
}
