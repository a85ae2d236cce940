// Options that several commands share: which coordinator, TLS files, JSON, log level.

internal import ArgumentParser
internal import Cluster
import Foundation
internal import Logging
internal import RPC

/// Certificates for mutual TLS. All three, or none.
struct TLSOptions: ParsableArguments {
    @Option(
        name: .customLong("tls-ca"),
        help: ArgumentHelp("Authority that signed the cluster's certificates (PEM).", valueName: "file"),
        completion: .file())
    var ca: String?
    @Option(
        name: .customLong("tls-certificate"),
        help: ArgumentHelp("This process's certificate (PEM).", valueName: "file"), completion: .file())
    var certificate: String?
    @Option(
        name: .customLong("tls-key"), help: ArgumentHelp("Its private key (PEM).", valueName: "file"),
        completion: .file())
    var key: String?

    func validate() throws {
        let given = [ca, certificate, key].compactMap(\.self).count
        guard given == 0 || given == 3 else {
            throw ValidationError(
                "--tls-ca, --tls-certificate and --tls-key belong together: give all three or none")
        }
    }

    /// nil: not given here.
    var files: TLSFiles? {
        guard let ca, let certificate, let key else { return nil }
        return TLSFiles(ca: ca, certificate: certificate, key: key)
    }
}

/// The API token to show, where a coordinator asks for one.
package struct TokenOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "A file that holds an API token, where the coordinator asks for one (default: LARIAT_TOKEN).",
            valueName: "file"), completion: .file())
    var tokenFile: String?

    /// Of LARIAT_TOKEN; nil: none.
    static var ofEnvironment: String? {
        ProcessInfo.processInfo.environment["LARIAT_TOKEN"].flatMap { $0.isEmpty ? nil : $0 }
    }

    /// No token is longer.
    private static let longest = 1024

    /// nil: none.
    func text() throws -> String? {
        guard let tokenFile else {
            return try Self.ofEnvironment.map { try Self.token($0, of: "LARIAT_TOKEN", ExitStatus.usage) }
        }
        guard let file = FileHandle(forReadingAtPath: tokenFile),
            let data = try? file.read(upToCount: 64 << 10),
            let text = String(validating: data, as: UTF8.self)
        else {
            throw Failure(
                "--token-file \(tokenFile.printable): cannot be read as text",
                exitCode: ExitStatus.unreadableInput)
        }
        return try Self.token(text, of: "--token-file \(tokenFile.printable)", ExitStatus.unreadableInput)
    }

    /// A token is one word; what is wrong with it is told without it.
    package static func token(_ text: String, of source: String, _ exitCode: Int32) throws -> String {
        let words = text.split(whereSeparator: \.isWhitespace)
        guard words.count == 1, let word = words.first else {
            let lines = text.split(whereSeparator: \.isNewline).count
            throw Failure(
                words.isEmpty
                    ? "\(source): is empty; it should hold an API token"
                    : "\(source): has \(Quantity.counted(words.count, "word")) in \(Quantity.counted(lines, "line")), where one "
                        + "API token and nothing else should stand. (The coordinator's list of tokens is for its own --tokens.)",
                exitCode: exitCode)
        }
        guard word.utf8.count <= longest, word.utf8.allSatisfy({ (0x21...0x7e).contains($0) }) else {
            throw Failure(
                "\(source): is no API token: one has at most \(Quantity.count(UInt64(longest))) letters, digits and signs of ASCII",
                exitCode: exitCode)
        }
        return String(word)
    }
}

/// Which coordinator to ask, and how.
struct ConnectionOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The coordinator's address (default: LARIAT_COORDINATOR, or 127.0.0.1:7400).",
            valueName: "host:port"))
    var coordinator: String?
    @OptionGroup var tls: TLSOptions
    @OptionGroup var token: TokenOptions

    func address() throws -> HostPort {
        let environment = ProcessInfo.processInfo.environment["LARIAT_COORDINATOR"].flatMap {
            $0.isEmpty ? nil : $0
        }
        let text = coordinator ?? environment ?? "127.0.0.1:7400"
        do throws(ValueError) { return try HostPort(parsing: text) } catch {
            let source = coordinator != nil ? "--coordinator" : "LARIAT_COORDINATOR"
            throw Failure("\(source): \(error)", exitCode: ExitStatus.usage)
        }
    }
}

/// Whether results are for programs.
struct OutputOptions: ParsableArguments {
    @Flag(help: "Print JSON: one object, or one per line.")
    var json = false
}

/// How much is logged to standard error.
struct LogOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "trace, debug, info, notice, warning, error or critical (default: LARIAT_LOG).",
            valueName: "level"), completion: .list(Logger.Level.allCases.map(\.rawValue)))
    var logLevel: String?

    func validate() throws {
        if let logLevel, Logger.Level(rawValue: logLevel) == nil {
            throw ValidationError(
                "--log-level \(logLevel.printable): choose trace, debug, info, notice, warning, error or critical"
            )
        }
    }

    /// The level chosen, or `normal`.
    func level(normally normal: Logger.Level) -> Logger.Level {
        let environment = ProcessInfo.processInfo.environment["LARIAT_LOG"]
        return logLevel.flatMap(Logger.Level.init(rawValue:)) ?? environment.flatMap(
            Logger.Level.init(rawValue:)) ?? normal
    }

    /// A logger to standard error, for this process.
    func logger(_ source: String, normally normal: Logger.Level) -> Logger {
        let level = level(normally: normal)
        var logger = Logger(label: source) { StandardErrorLog(source: $0) }
        logger.logLevel = level
        return logger
    }
}
