// Files of API tokens: good ones, bad ones, and that no secret is ever shown.
import Cluster
import Foundation
import Testing

@Suite("API tokens")
struct TokenStoreTests {
    /// Of `abc`, the example of FIPS 180.
    static let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

    @Test("A minted token is found again, with its role")
    func minted() throws {
        let (first, second) = (
            try TokenStore.mint(name: "ann", role: .submit), try TokenStore.mint(name: "bob", role: .read)
        )
        #expect(first.token != second.token)
        #expect(first.token.wholeMatch(of: /lariat-[A-Za-z0-9_-]{43}/) != nil)
        #expect(
            first.line.wholeMatch(of: /ann submit [0-9a-f]{64}/) != nil && !first.line.contains(first.token))
        let store = try TokenStore.parse("# team\n\(first.line) # until May\r\n\n\t\(second.line)", path: "t")
        #expect(store.role(of: first.token)?.name == "ann" && store.role(of: first.token)?.role == .submit)
        #expect(
            store.role(of: second.token)?.name == "bob" && store.count == 2 && store.names == ["ann", "bob"])
        for wrong in [
            "", "lariat-", String(first.token.dropLast()), first.token + " ",
            String(repeating: "x", count: 1 << 20),
        ] {
            #expect(store.role(of: wrong) == nil)
        }
    }

    @Test("Hashes are SHA-256 of the text, so other tools make lines too")
    func hash() throws {
        let store = try TokenStore.parse("x admin \(Self.abc.uppercased())", path: "t")
        #expect(store.role(of: "abc")?.role == .admin && store.role(of: "abd") == nil)
        #expect(TokenStore.Role.read < .submit && TokenStore.Role.submit < .admin)
    }

    @Test(
        "Each error has its line",
        arguments: [
            ("a read", "t:1: 2 words stand here; a line is NAME ROLE SHA256"),
            ("\n#\na read \(abc) x", "t:3: 4 words stand here"), ("a b read \(abc)", "t:1: 4 words"),
            ("a root \(abc)", "t:1: the second word is no role; write read, submit, admin"),
            ("a/b read \(abc)", "t:1: \"a/b\" is not a name"),
            ("a read \(abc.dropLast())", "t:1: the third word is not a SHA-256"),
            ("a read \(abc)\nb read \(abc.uppercased())", "t:2: this token stands in line 1 already"),
            ("a read \(abc)\na read \(abc.dropLast())0", "t:2: \"a\" stands in line 1 already"),
        ])
    func errors(text: String, expected: String) {
        let error = #expect(throws: ClusterError.self) { try TokenStore.parse(text, path: "t") }
        #expect(error?.description.hasPrefix(expected) == true, "\(error?.description ?? "none")")
    }

    @Test("10,000 lines are allowed, and none; more are not, nor more than a mebibyte")
    func sizes() throws {
        errors(
            text: String(repeating: "#\n", count: 10_001),
            expected: "t:10001: a file of tokens may have 10,000 lines")
        errors(text: String(repeating: "#", count: (1 << 20) + 1), expected: "t: is larger than 1 MiB")
        #expect(try TokenStore.parse("", path: "t").count == 0)
        #expect(try TokenStore.parse(String(repeating: "#\n", count: 10_000), path: "t").count == 0)
    }

    @Test("A token in the wrong place is not repeated in the message, nor shown by descriptions")
    func secrets() throws {
        let minted = try TokenStore.mint(name: "ann", role: .read)
        for text in [
            "\(minted.token) read \(Self.abc)", "ann read \(minted.token)", "ann \(minted.token) \(Self.abc)",
        ] {
            let error = #expect(throws: ClusterError.self) { try TokenStore.parse(text, path: "t") }
            #expect(error?.description.contains(minted.token) == false)
        }
        let store = try TokenStore.parse(minted.line, path: "t")
        var dumped = ""
        dump(minted, to: &dumped)
        dump(store, to: &dumped)
        let hex = String(minted.line.suffix(64))
        for shown in ["\(minted)", String(reflecting: minted), "\(store)", String(reflecting: store), dumped]
        {
            #expect(!shown.contains(minted.token) && !shown.contains(hex), "\(shown)")
        }
        #expect("\(store)" == "1 token")
    }

    @Test("A file that everybody may read is remarked; one that is not there is an error")
    func files() throws {
        let path = FileManager.default.temporaryDirectory.appending(component: "tokens-\(UUID())").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        let missing = #expect(throws: ClusterError.self) { try TokenStore.load(path) }
        #expect(missing?.problem.hasPrefix("there is no such file of tokens") == true)
        let line = Data("a read \(Self.abc)\n".utf8)
        for (mode, remarks) in [(0o640, 0), (0o600, 0), (0o644, 1)] {
            #expect(FileManager.default.createFile(atPath: path, contents: line))
            try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: path)
            let store = try TokenStore.load(path)
            #expect(store.count == 1 && store.remarks.count == remarks)
        }
    }

    @Test("Lines are added and removed, and everything else stays")
    func changes() throws {
        let minted = try TokenStore.mint(name: "ann", role: .read)
        let text = "# people"
        let added = try TokenStore.adding(minted, to: text, path: "t")
        #expect(added == "# people\n\(minted.line)\n")
        #expect(try TokenStore.adding(minted, to: "", path: "t") == minted.line + "\n")
        let twice = #expect(throws: ClusterError.self) { try TokenStore.adding(minted, to: added, path: "t") }
        #expect(twice?.line == 2 && twice?.problem.contains("has a token already") == true)
        #expect(try TokenStore.removing("ann", from: added + "# end", path: "t") == "# people\n# end")
        let missing = #expect(throws: ClusterError.self) {
            try TokenStore.removing("bob", from: added, path: "t")
        }
        #expect(missing?.problem.contains("its names are ann") == true)
        #expect(throws: ClusterError.self) { try TokenStore.removing("ann", from: "ann read x", path: "t") }
        #expect(throws: ClusterError.self) { try TokenStore.adding(minted, to: "x", path: "t") }
    }

    @Test("No bytes crash it")
    func damage() {
        let good = Array("ann submit \(Self.abc)\nbob read \(Self.abc.dropLast())0".utf8)
        var errors = 0
        for at in good.indices {
            for byte in [0x00, 0x09, 0x0a, 0x20, 0x23, 0x7a, 0xff] as [UInt8] {
                var bytes = good
                bytes[at] = byte
                if (try? TokenStore.parse(String(decoding: bytes, as: UTF8.self), path: "t")) == nil {
                    errors += 1
                }
            }
        }
        #expect(errors > 300)
    }
}
