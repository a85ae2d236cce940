// A prompt, read piece by piece from arguments, files and standard input.

import CoreFoundation
import Dispatch
import Foundation
package import Messages
import Protobuf

/// Reads a prompt as the parts of a submission, each at most 1 MiB; never holds more than one.
package actor PromptInput {
    /// What a text is made of.
    package enum Piece: Equatable, Sendable {
        case text(String)
        case file(String)
        /// - isNamed: somebody asked for it. Else it is what happens to be piped in: it may be empty, and when nothing
        ///   comes for `patience` it is left out, with a word.
        case standardInput(isNamed: Bool)
    }

    package enum Source: Equatable, Sendable {
        /// Joined in this order, with a blank line between.
        case text([Piece])
        /// "-" is standard input.
        case tokens(file: String)
        /// Token ids that are known already.
        case ids([UInt32])
    }

    /// Largest input.
    static let byteLimit: UInt64 = 1 << 30
    private static let pieceBytes = 1 << 20
    /// A token id takes at most 5 bytes in a message.
    private static let pieceTokens = 200_000
    /// How long a pipe that nobody named may take for its first byte.
    static let patience = 5.0

    /// A piece with its open file.
    private struct Opened {
        let name: String
        let handle: FileHandle?
        /// The text of an argument that has not gone out.
        var rest: [UInt8] = []
        /// Whether it may give nothing.
        var isOptional = false
        var hasBegun = false
        var check = TextCheck()
    }

    private var opened: [Opened] = []
    private let isTokens: Bool
    private var parser = TokenListParser()
    private var tokens: [UInt32] = []
    private var bytesRead: UInt64 = 0
    private var hasInk = false
    private var hasSentTokens = false
    /// Of the text so far: how many line ends it ends with.
    private var lineEnds = 0
    /// Parts that are read and have not gone out: two at most.
    private var ready: [SubmitPart] = []
    private let reading = DispatchQueue(label: "prompt input")

    /// Opens the files; nothing is read yet.
    package init(_ source: Source) throws {
        switch source {
        case .text(let pieces):
            isTokens = false
            opened = try pieces.map(Self.open)
        case .tokens(let path):
            isTokens = true
            opened = [try Self.open(path == "-" ? .standardInput(isNamed: true) : .file(path))]
        case .ids(let ids):
            isTokens = true
            tokens = ids
        }
    }

    /// Reads the first part, so that an input that is empty or wrong from its start is told before anybody is asked.
    package func prepare() async throws {
        if let part = try await read() { ready.append(part) }
    }

    /// The next part, or nil at the end. The first part is never nil: an empty prompt is an error.
    package func next() async throws -> SubmitPart? {
        if !ready.isEmpty { return ready.removeFirst() }
        return try await read()
    }

    private func read() async throws -> SubmitPart? {
        isTokens
            ? try await nextTokens() : try await nextText().map { text in SubmitPart.with { $0.text = text } }
    }

    // MARK: Text

    private func nextText() async throws -> [UInt8]? {
        while !opened.isEmpty {
            guard let piece = try await readText() else {
                let done = opened.removeFirst()
                if done.isOptional, done.hasBegun {
                    // Somebody's loop may not have meant its list to be read.
                    Terminal.note(
                        "the prompt begins with standard input (\(Quantity.counted(bytesRead, "byte")))")
                }
                continue
            }
            let isFirst = bytesRead == UInt64(piece.count)
            let blank = opened[0].hasBegun || isFirst ? 0 : max(0, 2 - lineEnds)
            opened[0].hasBegun = true
            let ends = piece.reversed().prefix { $0 == 0x0a }.count
            lineEnds = ends == piece.count ? lineEnds + ends : ends
            guard blank > 0 else { return piece }
            ready.append(SubmitPart.with { $0.text = piece })
            return [UInt8](repeating: 0x0a, count: blank)
        }
        guard hasInk else {
            throw Failure(
                bytesRead == 0
                    ? "the prompt is empty; there is nothing to read"
                    : "the prompt has nothing but white space; there is nothing to read",
                exitCode: ExitStatus.unreadableInput)
        }
        return nil
    }

    /// The next bytes of the first piece, checked; nil at its end.
    private func readText() async throws -> [UInt8]? {
        if opened[0].isOptional, !opened[0].hasBegun, let handle = opened[0].handle {
            let descriptor = handle.fileDescriptor
            let answers = await blocking { StandardInput.answers(descriptor, within: Self.patience) }
            guard answers else {
                Terminal.note(
                    "standard input is open, but nothing came for \(Int(Self.patience)) s: it is left out. To wait for it, "
                        + "name it with --file -; where nothing is to come, add </dev/null")
                return nil
            }
        }
        let bytes: [UInt8]
        if opened[0].rest.isEmpty {
            bytes = try await readFile()
        } else {
            bytes = Array(opened[0].rest.prefix(Self.pieceBytes))
            opened[0].rest.removeFirst(bytes.count)
            bytesRead += UInt64(bytes.count)
        }
        do throws(TextCheck.Fault) {
            if bytes.isEmpty { try opened[0].check.finish() } else { try opened[0].check.feed(bytes) }
        } catch {
            throw Failure(
                "\(opened[0].name.printable) \(error.problem) at byte \(Quantity.count(error.offset)); "
                    + error.remedy.replacing("FILE", with: opened[0].name.printable),
                exitCode: ExitStatus.unreadableInput)
        }
        hasInk = hasInk || opened[0].check.hasInk
        return bytes.isEmpty ? nil : bytes
    }

    // MARK: Token ids

    private func nextTokens() async throws -> SubmitPart? {
        while tokens.count < Self.pieceTokens, let file = opened.first {
            do {
                let piece = try await readFile()
                if piece.isEmpty {
                    tokens += parser.finish()
                    opened.removeFirst()
                } else {
                    tokens += try parser.feed(piece)
                }
            } catch let error as TokenListParser.ParseError {
                throw Failure("\(file.name): \(error)", exitCode: ExitStatus.unreadableInput)
            }
        }
        guard !tokens.isEmpty else {
            if !hasSentTokens {
                throw Failure("there are no token ids to read", exitCode: ExitStatus.unreadableInput)
            }
            return nil
        }
        hasSentTokens = true
        let part = Array(tokens.prefix(Self.pieceTokens))
        tokens.removeFirst(part.count)
        return SubmitPart.with { $0.tokens = part }
    }

    // MARK: Files

    /// The next bytes of the first file; none at its end.
    private func readFile() async throws -> [UInt8] {
        guard let file = opened.first, let handle = file.handle else { return [] }
        let result: Result<[UInt8], any Error> = await blocking {
            Result { Array(try handle.read(upToCount: Self.pieceBytes) ?? Data()) }
        }
        let piece: [UInt8]
        do { piece = try result.get() } catch {
            throw Failure(
                "\(file.name): cannot be read: \(error.localizedDescription)",
                exitCode: ExitStatus.unreadableInput)
        }
        bytesRead += UInt64(piece.count)
        guard bytesRead <= Self.byteLimit else { throw Self.tooLarge(file.name, atLeast: bytesRead) }
        return piece
    }

    /// A pipe may keep a reader waiting: not on a thread of the cooperative pool.
    private func blocking<Value: Sendable>(_ body: @escaping @Sendable () -> Value) async -> Value {
        await withCheckedContinuation { continuation in
            reading.async { continuation.resume(returning: body()) }
        }
    }

    private static func open(_ piece: Piece) throws -> Opened {
        switch piece {
        case .text(let text): Opened(name: "TEXT", handle: nil, rest: Array(text.utf8))
        case .standardInput(let isNamed):
            Opened(name: "standard input", handle: .standardInput, isOptional: !isNamed)
        case .file(let path): Opened(name: path, handle: try open(path))
        }
    }

    private static func open(_ path: String) throws -> FileHandle {
        func fail(_ problem: String) -> Failure {
            Failure("\(path.printable): \(problem)", exitCode: ExitStatus.unreadableInput)
        }
        var status = stat()
        guard stat(path, &status) == 0 else {
            throw fail(errno == ENOENT ? "there is no such file" : String(cString: strerror(errno)))
        }
        let kind = status.st_mode & S_IFMT
        guard kind != S_IFDIR else { throw fail("is a folder; name a file in it") }
        if kind == S_IFREG, UInt64(max(0, status.st_size)) > byteLimit {
            throw tooLarge(path, atLeast: UInt64(status.st_size))
        }
        guard let handle = FileHandle(forReadingAtPath: path) else {
            throw fail("cannot be opened (\(String(cString: strerror(errno)))); check its permissions")
        }
        return handle
    }

    private static func tooLarge(_ name: String, atLeast bytes: UInt64) -> Failure {
        Failure(
            "\(name.printable): with it the prompt has \(Quantity.count(bytes)) bytes or more; at most "
                + "\(Quantity.count(byteLimit)) (1 GiB) can be submitted. Submit a part of it.",
            exitCode: ExitStatus.unreadableInput)
    }
}
