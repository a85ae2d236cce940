// --rope: how positions turn, by a method's name or a file of factors.

internal import ArgumentParser
import Foundation
import LongRoPE
internal import Messages

/// How positions turn, instead of what the model file says.
struct RopeOption: ParsableArguments {
    @Option(
        name: .customLong("rope"),
        help: ArgumentHelp(
            "How positions beyond the trained length turn: \(RotaryMethodName.forms), or a file of LongRoPE factors in "
                + "the form of Hugging Face's rope_scaling (default: as the model file says).",
            valueName: "method|file"), completion: .file())
    var text: String?

    func message() throws -> RotaryMethodMessage? { try text.map { try RotaryMethodMessage(text: $0) } }
}

extension RotaryMethodMessage {
    /// From a method's name, or the name of a file of factors. A wrong one is told before anybody is asked.
    init(text: String) throws {
        self.init()
        if RotaryMethodName.isMethod(text) {
            do { _ = try RotaryMethodName.parse(text) } catch {
                throw Failure("--rope: \(error)", exitCode: ExitStatus.usage)
            }
            name = text
            return
        }
        let shown = text.printable
        guard FileManager.default.fileExists(atPath: text) else {
            throw Failure(
                "--rope \(shown): is neither a method nor a file; use \(RotaryMethodName.forms), or a file of factors",
                exitCode: ExitStatus.usage)
        }
        self.init(try FactorFile(reading: text, saying: "--rope "))
    }

    init(_ file: FactorFile) {
        self.init()
        tables = file.tables.map(RotaryTableMessage.init)
    }
}

extension RotaryTableMessage {
    init(_ table: RotaryTable) {
        self.init()
        name = table.name
        window = UInt64(table.window)
        factors = table.factors
        startTokens = UInt64(table.startTokens)
        attentionFactor = table.attentionFactor ?? 0
    }
}

extension FactorFile {
    /// Reads a file; no more of it than such a file may have.
    /// - Parameter prefix: what messages begin with.
    init(reading path: String, saying prefix: String = "") throws {
        let shown = path.printable
        let data: Data
        do {
            guard let handle = FileHandle(forReadingAtPath: path) else {
                throw CocoaError(.fileReadNoPermission)
            }
            data = try handle.read(upToCount: FactorFile.largestFile + 1) ?? Data()
        } catch {
            throw Failure(
                "\(prefix)\(shown): there is no such file, or it cannot be read: \(error.localizedDescription)",
                exitCode: ExitStatus.unreadableInput)
        }
        do { try self.init(json: data, name: shown) } catch {
            throw Failure("\(prefix)\(error)", exitCode: ExitStatus.unreadableInput)
        }
    }
}
