// What is wrong with a command line before it is parsed: a command that does not exist, an option that stands twice, bytes
// that are no text. What the parser would say of these is less, or nothing.

internal import ArgumentParser
import Foundation

package enum CommandLineCheck {
    /// What people type who come from other programs, and what does it here.
    private static let foreign: [String: String] = [
        "ps": "jobs", "list": "jobs", "ls": "jobs", "queue": "jobs", "squeue": "jobs",
        "run": "submit", "generate": "submit", "prompt": "submit", "complete": "submit",
        "query": "submit", "ingest": "context add", "add": "context add", "talk": "chat",
        "serve": "up", "start": "up", "server": "up", "launch": "up",
        "status": "doctor", "health": "doctor", "check": "doctor", "info": "doctor", "nodes": "doctor",
        "stop": "cancel", "rm": "cancel", "kill": "cancel", "delete": "cancel", "abort": "cancel",
        "scancel": "cancel",
        "get": "show", "describe": "show", "inspect": "show", "result": "show",
        "watch": "top", "monitor": "top", "stats": "top",
        "follow": "attach", "tail": "attach", "log": "logs", "perplexity": "score", "benchmark": "bench",
        "estimate": "plan", "evaluate": "eval", "extrapolate": "extend", "certs": "cluster certs",
        "token": "cluster token", "join": "worker",
    ]
    /// These get models.
    private static let fetching: Set = ["pull", "fetch", "download", "install"]

    /// - Parameter arguments: without the program's name.
    /// - Returns: What a person reads; nil: the parser decides.
    package static func problem(_ arguments: [String]) -> String? {
        var command: any ParsableCommand.Type = Lariat.self
        var path = ""
        var rest = arguments[...]
        if rest.first == "help" { rest = rest.dropFirst() }
        while let word = rest.first, !word.hasPrefix("-") {
            let subcommands = command.configuration.subcommands
            guard !subcommands.isEmpty else { break }
            if let next = subcommands.first(where: { $0._commandName == word }) {
                command = next
                path += word + " "
                rest = rest.dropFirst()
                continue
            }
            // The parser's own.
            if word == "help" || command.configuration.defaultSubcommand != nil { return nil }
            return noCommand(word, path: path, among: subcommands.map { $0._commandName })
        }
        return repeated(rest, in: command)
    }

    /// The arguments of this process that are not UTF-8: the parser would get something else in their place.
    static func garbled() -> String? {
        for index in 1..<max(1, Int(CommandLine.argc)) {
            guard let argument = CommandLine.unsafeArgv[index], String(validatingCString: argument) == nil
            else { continue }
            return
                "argument \(index) is not UTF-8 text; does the terminal use another encoding? Put the text into a "
                + "UTF-8 file, and give it by --file"
        }
        return nil
    }

    // MARK: Commands

    private static func noCommand(_ word: String, path: String, among names: [String]) -> String {
        let shown = word.prefix(60).debugDescription
        let group = path.isEmpty ? "lariat" : "lariat " + path.dropLast()
        let list = "`\(group) --help` lists \(path.isEmpty ? "all commands" : "its commands")"
        if path.isEmpty {
            if fetching.contains(word) {
                return
                    "there is no command \(shown): a model is a file (GGUF) that you have already. In a checkout "
                    + "`Ops/model` fetches a small one; then `lariat up --model FILE`"
            }
            if let command = foreign[word] {
                return "there is no command \(shown); `lariat \(command)` does that here. \(list)"
            }
            if word.contains(where: \.isWhitespace) {
                return "there is no command \(shown); to ask that: lariat submit \(shown)"
            }
        }
        let near = names.map { (name: $0, distance: distance(word, $0)) }
            .filter { $0.distance <= max(1, $0.name.count / 3) }.min { $0.distance < $1.distance }
        let question = near.map { "; did you mean `\(group) \($0.name)`?" } ?? "."
        return "there is no command \(shown)\(question) \(list)"
    }

    /// How many letters must be changed, added, left out or exchanged with a neighbour to make one word of the other
    /// (optimal string alignment).
    package static func distance(_ a: String, _ b: String) -> Int {
        let (a, b) = (Array(a.utf8.prefix(40)), Array(b.utf8.prefix(40)))
        var rows = [Array(0...b.count)]
        for i in 0..<a.count {
            var row = [i + 1]
            for j in 0..<b.count {
                var best = min(rows[i][j + 1] + 1, row[j] + 1, rows[i][j] + (a[i] == b[j] ? 0 : 1))
                if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] {
                    best = min(best, rows[i - 1][j - 1] + 1)
                }
                row.append(best)
            }
            rows.append(row)
        }
        return rows[a.count][b.count]
    }

    // MARK: Options

    /// A command as the parser describes it.
    private struct Description: Decodable {
        struct Command: Decodable {
            let arguments: [Argument]?
        }
        struct Argument: Decodable {
            struct Name: Decodable {
                let kind: String
                let name: String
                var text: String { (kind == "long" ? "--" : "-") + name }
            }
            let kind: String
            let isRepeating: Bool
            let names: [Name]?
        }
        let command: Command
    }

    /// The parser would take the last value of an option and forget those before it without a word.
    private static func repeated(_ arguments: ArraySlice<String>, in command: any ParsableCommand.Type)
        -> String?
    {
        let given = arguments.prefix { $0 != "--" }.filter { $0.hasPrefix("-") && $0 != "-" }
            .map { String($0.prefix { $0 != "=" }) }
        // Only then is the description, which takes its time, worth it.
        guard Set(given).count < given.count || given.contains(where: { !$0.hasPrefix("--") }),
            let description = try? JSONDecoder().decode(
                Description.self, from: Data(command._dumpHelp().utf8))
        else { return nil }
        for argument in description.command.arguments ?? [] where argument.kind == "option" {
            let names = (argument.names ?? []).map(\.text)
            guard !argument.isRepeating, given.count(where: names.contains) > 1, let name = names.last else {
                continue
            }
            return "\(name) stands twice, and takes one value only; leave one out"
        }
        return nil
    }
}
