// --template: how a conversation is written, instead of the model file's own template.

internal import ArgumentParser
import Tokenizer

/// A chat template by name, or from a file in Jinja.
struct TemplateOption: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Chat template instead of the model file's own: \(TemplateFile.names), or a file in Jinja.",
            valueName: "name|file"), completion: .file())
    var template: String?

    /// What the coordinator is given: a name that it knows, or a file's text. A wrong one is told before anybody is asked.
    func choice() throws -> String? {
        guard let template else { return nil }
        guard !ChatTemplate.names.contains(template) else { return template }
        do throws(Failure) { return try TemplateFile.text(of: template) } catch {
            throw Failure("--template \(template.printable): \(error.message)", exitCode: error.exitCode)
        }
    }
}
