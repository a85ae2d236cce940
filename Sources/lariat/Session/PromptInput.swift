// A prompt, read piece by piece from an argument, a file or standard input.

import Dispatch
import CoreFoundation
import Foundation
package import RPC

/// Reads a prompt as the parts of a submission, each at most 1 MiB; never holds more than one.
package actor PromptInput {
    package enum Source: Equatable, Sendable {
        case text(String)
        /// "-" is standard input; `then` follows after a blank line.
        case file(String, then: String?)
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

    private let name: String
    private let handle: FileHandle?
    private var pending: [[UInt8]]
    private let isTokens: Bool
    private var parser = TokenListParser()
    private var tokens: [UInt32] = []
    private var bytesRead: UInt64 = 0
    private var isFileDone = false
    private var hasSentTokens = false
    private var first: SubmitPart?
    private let reading = DispatchQueue(label: "prompt input")

    /// Opens the source; nothing is read yet.
    package init(_ source: Source) throws {
        switch source {
        case .text(let text):
            name = "TEXT"
            handle = nil
            isFileDone = true
            isTokens = false
            pending = Self.pieces(Array(text.utf8))
        case .file(let path, let then):
            name = path == "-" ? "standard input" : path
            handle = try Self.open(path)
            isTokens = false
            pending = then.map { Self.pieces(Array("\n\n\($0)".utf8)) } ?? []
        case .tokens(let path):
            name = path == "-" ? "standard input" : path
            handle = try Self.open(path)
            isTokens = true
            pending = []
        case .ids(let ids):
            name = "the token ids"
            handle = nil
            isFileDone = true
            isTokens = true
            pending = []
            tokens = ids
        }
    }

    /// Reads the first part, so that an input that is empty or wrong from its start is told before anybody is asked.
    package func prepare() async throws { first = try await read() }

    /// The next part, or nil at the end. The first part is never nil: an empty prompt is an error.
    package func next() async throws -> SubmitPart? {
        if let part = first.take() { return part }
        return try await read()
    }

    private func read() async throws -> SubmitPart? {
        isTokens ? try await nextTokens() : try await nextText()
    }

    private func nextText() async throws -> SubmitPart? {
        if let piece = try await readFile() { return SubmitPart.with { $0.text = piece } }
        guard !pending.isEmpty else {
            if bytesRead == 0 {
                throw Failure(
                    "\(name): empty; there is nothing to read", exitCode: ExitStatus.unreadableInput)
            }
            return nil
        }
        let piece = pending.removeFirst()
        bytesRead += UInt64(piece.count)
        return SubmitPart.with { $0.text = piece }
    }

    private func nextTokens() async throws -> SubmitPart? {
        while tokens.count < Self.pieceTokens, !isFileDone {
            do {
                if let piece = try await readFile() {
                    tokens += try parser.feed(piece)
                } else {
                    tokens += parser.finish()
                }
            } catch let error as TokenListParser.ParseError {
                throw Failure("\(name): \(error)", exitCode: ExitStatus.unreadableInput)
            }
        }
        guard !tokens.isEmpty else {
            if !hasSentTokens {
                throw Failure("\(name): holds no token ids", exitCode: ExitStatus.unreadableInput)
            }
            return nil
        }
        hasSentTokens = true
        let part = Array(tokens.prefix(Self.pieceTokens))
        tokens.removeFirst(part.count)
        return SubmitPart.with { $0.tokens = part }
    }

    /// The file's next bytes; nil at its end.
    private func readFile() async throws -> [UInt8]? {
        guard let handle, !isFileDone else { return nil }
        // A pipe may keep a reader waiting: not on a thread of the cooperative pool.
        let result: Result<[UInt8], any Error> = await withCheckedContinuation { continuation in
            reading.async {
                continuation.resume(
                    returning: Result { Array(try handle.read(upToCount: Self.pieceBytes) ?? Data()) })
            }
        }
        let piece: [UInt8]
        do { piece = try result.get() } catch {
            throw Failure(
                "\(name): cannot be read: \(error.localizedDescription)", exitCode: ExitStatus.unreadableInput
            )
        }
        guard !piece.isEmpty else {
            isFileDone = true
            return nil
        }
        bytesRead += UInt64(piece.count)
        guard bytesRead <= Self.byteLimit else { throw Self.tooLarge(name, atLeast: bytesRead) }
        return piece
    }

    private static func open(_ path: String) throws -> FileHandle {
        if path == "-" { return .standardInput }
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
            "\(name.printable): has \(Quantity.count(bytes)) bytes or more; at most \(Quantity.count(byteLimit)) "
                + "(1 GiB) can be submitted. Submit a part of it.", exitCode: ExitStatus.unreadableInput)
    }

    private static func pieces(_ bytes: [UInt8]) -> [[UInt8]] {
        stride(from: 0, to: bytes.count, by: pieceBytes).map {
            Array(bytes[$0..<min($0 + pieceBytes, bytes.count)])
        }
    }
}
