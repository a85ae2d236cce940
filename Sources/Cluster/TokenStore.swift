// The file of API tokens: who may do what. It holds hashes only, so that reading it gives nobody a token.
internal import Crypto
internal import Foundation
internal import Numerals

/// The tokens of one file.
public struct TokenStore: Sendable, CustomStringConvertible, CustomDebugStringConvertible {
    /// What the owner of a token may do; each role may do what those below it may.
    public enum Role: String, Sendable, CaseIterable, Comparable {
        /// Look at jobs, answers and the cluster.
        case read
        /// Submit jobs and cancel them, too.
        case submit
        /// Everything.
        case admin

        private var rank: Int {
            switch self {
            case .read: 0
            case .submit: 1
            case .admin: 2
            }
        }

        public static func < (a: Role, b: Role) -> Bool { a.rank < b.rank }
    }

    /// A new token. The text is shown once, to its owner; the line goes into the file.
    public struct Minted: Sendable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
        /// `lariat-` and 32 random bytes in base64url.
        public let token: String
        /// `NAME ROLE SHA256HEX`, without a line end.
        public let line: String

        public var description: String { "a new token (not shown)" }
        public var debugDescription: String { description }
        public var customMirror: Mirror { Mirror(self, children: [:]) }
    }

    private struct Entry: Sendable {
        let name: String
        let role: Role
        /// 32 bytes.
        let hash: [UInt8]
        /// In the file, from 1.
        let lineNumber: Int
    }

    public static let largestFile = 1 << 20
    public static let mostLines = 10_000
    /// A longer text is no token of ours and is not even hashed.
    static let longestToken = 1024

    private let entries: [Entry]
    /// What is allowed but may not be meant: a file that everybody of the host may read.
    public let remarks: [ClusterError]

    public var count: Int { entries.count }
    public var names: [String] { entries.map(\.name) }
    public var description: String { "\(entries.count) token\(entries.count == 1 ? "" : "s")" }
    public var debugDescription: String { description }

    /// Who owns this token, and what they may do; nil if nobody does.
    ///
    /// Every line is compared to its end, so that the time taken tells nothing about the hashes.
    public func role(of token: String) -> (name: String, role: Role)? {
        guard token.utf8.count <= Self.longestToken else { return nil }
        let hash = Self.hash(token)
        var found: Int?
        for (index, entry) in entries.enumerated() {
            var difference: UInt8 = 0
            for (a, b) in zip(entry.hash, hash) { difference |= a ^ b }
            if difference == 0 { found = index }
        }
        return found.map { (entries[$0].name, entries[$0].role) }
    }

    /// Makes a token and the line that lets its owner in.
    /// - Parameter name: 1 to 63 letters, digits, dots, hyphens and underscores.
    public static func mint(name: String, role: Role) throws(ValueError) -> Minted {
        guard isName(name) else { throw notAName(name) }
        var generator = SystemRandomNumberGenerator()
        let bytes = (0..<32).map { _ in UInt8.random(in: 0...255, using: &generator) }
        let text = Data(bytes).base64EncodedString()
            .replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
        let token = prefix + text
        return Minted(token: token, line: "\(name) \(role.rawValue) \(hash(token).hexadecimal)")
    }

    /// - Parameter path: For messages.
    public static func parse(_ text: String, path: String) throws(ClusterError) -> TokenStore {
        try parse(text, path: path, remarks: [])
    }

    /// Reads a file of at most 1 MiB and 10,000 lines.
    public static func load(_ path: String) throws(ClusterError) -> TokenStore {
        func fail(_ problem: String) -> ClusterError {
            ClusterError(path: path, line: nil, key: nil, problem: problem)
        }
        guard let file = FileHandle(forReadingAtPath: path) else {
            throw fail(
                FileManager.default.fileExists(atPath: path)
                    ? "the tokens cannot be opened; check the file's permissions"
                    : "there is no such file of tokens; make it with `lariat cluster token NAME --role ROLE --file FILE`, "
                        + "or remove tokens")
        }
        defer { try? file.close() }
        let data: Data
        do { data = try file.read(upToCount: largestFile + 1) ?? Data() } catch {
            throw fail("the tokens cannot be read: \(error.localizedDescription)")
        }
        guard data.count <= largestFile else { throw fail(tooLarge) }
        guard let text = String(validating: data, as: UTF8.self) else { throw fail("is not UTF-8 text") }
        var status = stat()
        let isOpen = fstat(file.fileDescriptor, &status) == 0 && status.st_mode & 0o007 != 0
        let remark = fail("everybody on this host may read the tokens' hashes; chmod o= \(path)")
        return try parse(text, path: path, remarks: isOpen ? [remark] : [])
    }

    /// The text of a file of tokens with one more line.
    /// - Throws: What was wrong with the file already, a name that stands in it, or no room for one more.
    public static func adding(
        _ minted: Minted, to text: String, path: String
    ) throws(ClusterError) -> String {
        let store = try parse(text, path: path)
        let name = minted.line.prefix { $0 != " " }
        if let line = store.entries.first(where: { $0.name == name })?.lineNumber {
            throw ClusterError(
                path: path, line: line, key: nil,
                problem:
                    "\(quoted(String(name))) has a token already; choose another name, or revoke it first: "
                    + "lariat cluster token --revoke \(name) --file \(path)")
        }
        let start = text.isEmpty || text.hasSuffix("\n") ? text : text + "\n"
        let result = start + minted.line + "\n"
        _ = try parse(result, path: path)
        return result
    }

    /// The text of a file of tokens without the line of that name; every other line stays as it is.
    /// - Throws: What was wrong with the file already, or that the name does not stand in it.
    public static func removing(
        _ name: String, from text: String, path: String
    ) throws(ClusterError) -> String {
        let store = try parse(text, path: path)
        guard let line = store.entries.first(where: { $0.name == name })?.lineNumber else {
            let shown =
                looksLikeToken(name) ? "a token is no name; nothing here" : "nothing here is \(quoted(name))"
            throw ClusterError(
                path: path, line: nil, key: nil,
                problem: shown
                    + (store.count == 0
                        ? "; the file has no tokens" : "; its names are \(listed(store.names))"))
        }
        var lines = text.utf8.split(separator: 0x0a, omittingEmptySubsequences: false)
        lines.remove(at: line - 1)
        return lines.map { String(decoding: $0, as: UTF8.self) }.joined(separator: "\n")
    }

    private static func listed(_ names: [String]) -> String {
        names.prefix(10).joined(separator: ", ") + (names.count > 10 ? " and \(names.count - 10) more" : "")
    }

    private static let tooLarge = "is larger than 1 MiB, the most that a file of tokens may have"

    private static func parse(
        _ text: String, path: String, remarks: [ClusterError]
    ) throws(ClusterError) -> TokenStore {
        guard text.utf8.count <= largestFile else {
            throw ClusterError(path: path, line: nil, key: nil, problem: tooLarge)
        }
        var entries: [Entry] = []
        var names: [String: Int] = [:]
        var hashes: [[UInt8]: Int] = [:]
        var line = 0
        for bytes in text.utf8.split(separator: 0x0a, omittingEmptySubsequences: false) {
            line += 1
            func fail(_ problem: String) -> ClusterError {
                ClusterError(path: path, line: line, key: nil, problem: problem)
            }
            guard line <= mostLines + 1, line <= mostLines || bytes.isEmpty else {
                throw fail(
                    "a file of tokens may have \(mostLines.grouped) lines; remove those that are not used")
            }
            let fields = bytes.prefix { $0 != UInt8(ascii: "#") }
                .split { $0 == 0x20 || $0 == 0x09 || $0 == 0x0d }.map { String(decoding: $0, as: UTF8.self) }
            if fields.isEmpty { continue }
            // A line may hold a token that was put here by mistake, so no message quotes its third word.
            guard fields.count == 3 else {
                throw fail("\(fields.count) words stand here; a line is NAME ROLE SHA256")
            }
            let name = fields[0]
            guard isName(name) else { throw fail(notAName(name).description) }
            guard let role = Role(rawValue: fields[1]) else {
                throw fail(
                    "the second word is no role; write \(Role.allCases.map(\.rawValue).joined(separator: ", "))"
                )
            }
            guard let hash = bytesOfHex(fields[2]) else {
                throw fail(
                    "the third word is not a SHA-256 in 64 hexadecimal digits (the token itself never stands here)"
                )
            }
            if let other = names.updateValue(line, forKey: name) {
                throw fail(
                    "\(quoted(name)) stands in line \(other) already; give each token a name of its own")
            }
            if let other = hashes.updateValue(line, forKey: hash) {
                throw fail("this token stands in line \(other) already")
            }
            entries.append(Entry(name: name, role: role, hash: hash, lineNumber: line))
        }
        return TokenStore(entries: entries, remarks: remarks)
    }

    private static func hash(_ token: String) -> [UInt8] { Array(SHA256.hash(data: Data(token.utf8))) }

    private static func isName(_ text: String) -> Bool {
        (1...63).contains(text.utf8.count) && !looksLikeToken(text)
            && text.utf8.allSatisfy(\.isNameCharacter)
    }

    private static let prefix = "lariat-"

    /// A token that somebody took for a name must not get into lists and messages.
    private static func looksLikeToken(_ text: String) -> Bool {
        text.hasPrefix(prefix) && text.utf8.count >= prefix.utf8.count + 43
    }

    private static func notAName(_ text: String) -> ValueError {
        let shown = looksLikeToken(text) ? "a token" : quoted(text)
        return ValueError(
            "\(shown) is not a name; use 1 to 63 letters, digits, dots, hyphens and underscores")
    }

    private static func bytesOfHex(_ text: String) -> [UInt8]? {
        let digits = text.utf8.compactMap { Character(Unicode.Scalar($0)).hexDigitValue.map(UInt8.init) }
        guard digits.count == 64, text.utf8.count == 64 else { return nil }
        return stride(from: 0, to: 64, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
    }
}
