// Files that are not what they were: never a wrong row, never a crash, and the rest of the folder stays usable.
import Foundation
import KVCache
import Kernels
import Testing

@Suite struct DamageTests {
    private let test = DiskFolder()
    /// A page of 5 rows: 80 bytes, so that every byte of the file can be tried.
    private let rows = 5
    private let seed = 7

    /// A folder with the sequences "a" (which is to be damaged) and "b", closed; the names of the files of "a".
    private func written() throws -> (page: String, manifest: String) {
        let folder = try test.open()
        try test.write("a", rows: rows, seed: seed, into: folder)
        let page = try test.names(".page")[0]
        try test.write("b", rows: rows, seed: seed + 1, into: folder)
        folder.close()
        return (page, SequenceManifest.fileName(of: "a"))
    }

    /// Opens the folder and reads both. "b" must be well, "a" the right rows or a miss.
    /// - Returns: whether "a" is there.
    private func readsBoth(_ what: String) throws -> Bool {
        let folder = try test.open()
        defer { folder.close() }
        let a = folder.read("a", memory: test.memory)
        if let a { #expect(a.rows.written == rows && a.rows.isWritten(seed: seed), "\(what)") }
        #expect((a == nil) != folder.names.contains("a"), "\(what): what was a miss is gone")
        let b = folder.read("b", memory: test.memory)
        #expect(b?.rows.isWritten(seed: seed + 1) == true, "\(what)")
        return a != nil
    }

    /// Puts other bytes in the place of a file of "a", reads, and puts all back.
    private func with(
        _ bytes: [UInt8]?, as name: String, _ all: [String: [UInt8]], _ what: String
    ) throws -> Bool {
        if let bytes {
            try test.put(bytes, name)
        } else {
            try FileManager.default.removeItem(atPath: test.at(name))
        }
        defer { for (name, bytes) in all { try? test.put(bytes, name) } }
        return try readsBoth(what)
    }

    private func contents() throws -> [String: [UInt8]] {
        Dictionary(
            uniqueKeysWithValues: try test.names.filter { $0 != "lock" }.map { ($0, try test.bytes($0)) })
    }

    @Test func everyBitOfAPageCounts() throws {
        let (page, _) = try written()
        let all = try contents()
        let bytes = try #require(all[page])
        #expect(bytes.count == 4096 + 80 + 4 + 36)
        for index in bytes.indices {
            // All bits of what is not padding, one of what is.
            guard index < 90 || index >= 4092 || index % 17 == 0 else { continue }
            for bit in index < 90 || index >= 4092 ? Array(0..<8) : [index % 8] {
                var other = bytes
                other[index] ^= 1 << bit
                #expect(try !with(other, as: page, all, "bit \(bit) of byte \(index)"))
            }
        }
        let faults = test.faults.take()
        #expect(faults.count > 8 * 200, "each is told")
        #expect(try readsBoth("nothing is damaged"))
    }

    @Test func everyBitOfAManifestCounts() throws {
        let (_, manifest) = try written()
        let all = try contents()
        let bytes = try #require(all[manifest])
        for index in bytes.indices {
            for bit in index < 64 ? Array(0..<8) : [0, index % 8] {
                var other = bytes
                other[index] ^= 1 << bit
                #expect(try !with(other, as: manifest, all, "bit \(bit) of byte \(index)"))
            }
        }
    }

    @Test func everyLengthButTheRightOne() throws {
        let (page, manifest) = try written()
        let all = try contents()
        for name in [page, manifest] {
            let bytes = try #require(all[name])
            for length in bytes.indices where length < 70 || length > 4080 || name == manifest {
                #expect(try !with(Array(bytes[..<length]), as: name, all, "\(length) bytes of \(name)"))
            }
            for more in [1, 4096] {
                let longer = bytes + [UInt8](repeating: 0, count: more)
                #expect(try !with(longer, as: name, all, "\(more) more bytes"))
            }
            #expect(try !with(nil, as: name, all, "no \(name)"))
        }
    }

    @Test func aBlockInTheMiddleOfALongPage() throws {
        let shape = KVShape(layers: 3, rowElements: 100, element: .f32)
        let folder = try test.open(shape: shape)
        try test.write("a", rows: 1000, seed: 1, into: folder)
        folder.close()
        let page = try test.names(".page")[0]
        let bytes = try test.bytes(page)
        let body = 1000 * 3 * 400
        for offset in [0, 65_535, 65_536, 700_000, body - 1] {
            var other = bytes
            other[4096 + offset] ^= 0x10
            let manifests = try contents()
            try test.put(other, page)
            let again = try test.open(shape: shape)
            #expect(again.read("a", memory: test.memory) == nil)
            #expect(
                test.faults.take() == [
                    .unusable(
                        sequence: "a", page: String(page.dropLast(5)),
                        .block(offset / 65_536 * 65_536))
                ])
            again.close()
            for (name, bytes) in manifests { try test.put(bytes, name) }
            try test.put(bytes, page)
        }
    }

    @Test func swappedFiles() throws {
        let (page, manifest) = try written()
        let all = try contents()
        let otherPage = try #require(all.keys.first { $0.hasSuffix(".page") && $0 != page })
        let otherManifest = SequenceManifest.fileName(of: "b")
        #expect(try !with(all[otherPage], as: page, all, "the other's page"))
        #expect(try !with(all[otherManifest], as: manifest, all, "the other's manifest"))
        #expect(try !with(all[page], as: manifest, all, "a page as a manifest"))
        #expect(try !with(all[manifest], as: page, all, "a manifest as a page"))
        // A page that is whole in itself, under this name, but not the one of the manifest.
        let third = try test.open(identity: "model 2")
        try test.write("c", rows: rows, seed: 9, into: third)
        third.close()
        #expect(try readsBoth("beside another model"))
    }

    @Test func pagesOfOtherNumbersUnderARightManifest() throws {
        // The same page file, but the folder is asked for other numbers: a manifest is made for them by hand.
        let folder = try test.open()
        try test.write("a", rows: rows, seed: seed, into: folder)
        folder.close()
        let name = SequenceManifest.fileName(of: "a")
        let text = String(decoding: try test.bytes(name), as: UTF8.self)
        let json = text.drop { $0 != "\n" }.dropFirst().replacingOccurrences(of: "model 1", with: "model 2")
        let sum = Array(json.utf8).withUnsafeBytes { crc32c($0) }
        let digits = String(sum, radix: 16)
        let line =
            "lariat-kv-manifest 1 \(String(repeating: "0", count: 8 - digits.count))\(digits) \(json.utf8.count)\n"
        try test.put(Array((line + json).utf8), name)
        let other = try test.open(identity: identity.replacingOccurrences(of: "model 1", with: "model 2"))
        #expect(other.names == ["a"])
        #expect(other.read("a", memory: test.memory) == nil)
        guard case .unusable("a", _?, .other)? = test.faults.take().last else {
            Issue.record("the page says whose numbers it has")
            return
        }
    }

    @Test func linksAndFoldersInTheirPlace() throws {
        let (page, manifest) = try written()
        let all = try contents()
        for name in [page, manifest] {
            try FileManager.default.removeItem(atPath: test.at(name))
            try FileManager.default.createSymbolicLink(
                atPath: test.at(name), withDestinationPath: "/dev/zero")
            #expect(try !readsBoth("a link"))
            for (name, bytes) in all {
                try? FileManager.default.removeItem(atPath: test.at(name))
                try test.put(bytes, name)
            }
        }
    }

    // MARK: versions

    @Test func aNewerManifestIsLeftAloneWithAllPages() throws {
        let (page, manifest) = try written()
        let newer = Array("lariat-kv-manifest 2 whatever it says\n\u{1}".utf8)
        try test.put(newer, manifest)
        var folder = try test.open()
        #expect(folder.names == ["b"] && folder.read("a", memory: test.memory) == nil)
        #expect(try test.bytes(manifest) == newer)
        #expect(try test.names.contains(page), "it may be the newer one's")
        #expect(folder.usage.bytes == (try test.size))
        #expect(!folder.write(try part(sequence(rows: 5, memory: test.memory)), as: "a"))
        #expect(test.faults.take() == [.newerCopy(sequence: "a")])
        folder.close()
        folder = try test.open()
        #expect(try test.bytes(manifest) == newer)
    }

    @Test func aNewerPageIsRefusedAndLeftAlone() throws {
        let (page, manifest) = try written()
        var bytes = try test.bytes(page)
        bytes[8] = 2
        bytes[200] = 1
        try test.put(bytes, page)
        let folder = try test.open()
        #expect(folder.read("a", memory: test.memory) == nil)
        #expect(
            test.faults.take() == [
                .unusable(sequence: "a", page: String(page.dropLast(5)), .newer(2))
            ])
        #expect(folder.names == ["b"])
        folder.sweep()
        folder.close()
        #expect(try test.bytes(page) == bytes)
        // Without a manifest that names it, too.
        try FileManager.default.removeItem(atPath: test.at(manifest))
        let again = try test.open()
        #expect(try test.bytes(page) == bytes)
        #expect(again.usage.bytes == (try test.size))
    }

    /// The files in Fixtures/version-1 were written by the first program that had this format; they hold 1,100 rows of
    /// seed 3 as the sequence "fixture".
    @Test func versionOneStaysReadable() throws {
        let fixture = URL(filePath: #filePath).deletingLastPathComponent().appending(
            path: "Fixtures/version-1")
        try FileManager.default.createDirectory(atPath: test.path, withIntermediateDirectories: true)
        for name in try FileManager.default.contentsOfDirectory(atPath: fixture.path) {
            try FileManager.default.copyItem(
                atPath: fixture.appending(component: name).path, toPath: test.at(name))
        }
        let folder = try test.open()
        let read = try #require(folder.read("fixture", memory: test.memory))
        #expect(read.rows.written == 1100 && read.rows.isWritten(seed: 3))
        #expect(read.profile == "profile" && read.tokens == 1100)
    }

    // MARK: anything

    /// Changes, cuts, doubles and mixes bytes of both kinds of files.
    @Test func mutatedFiles() throws {
        let (page, manifest) = try written()
        let all = try contents()
        var random = SplitMix(state: 20_261_127)
        let start = ContinuousClock.now
        for round in 0..<2000 where ContinuousClock.now - start < .seconds(20) {
            let name = round % 2 == 0 ? page : manifest
            let original = try #require(all[name])
            var bytes = original
            for _ in 0...Int(random.next() % 4) {
                let at = bytes.isEmpty ? 0 : Int(random.next() % UInt64(bytes.count))
                let count = min(Int(random.next() % 64), bytes.count - at)
                switch random.next() % 6 {
                case 0: bytes = Array(bytes[..<at])
                case 1: bytes.insert(contentsOf: bytes[at..<at + count], at: at)
                case 2: bytes.removeSubrange(at..<at + count)
                case 3:
                    for index in at..<at + count { bytes[index] = UInt8(truncatingIfNeeded: random.next()) }
                case 4: for index in at..<at + count { bytes[index] = 0xff }
                default:
                    if !bytes.isEmpty { bytes[at] = [0, 0x7f, 0x80, 0xff, 0x39][Int(random.next() % 5)] }
                }
            }
            let isThere = try with(bytes, as: name, all, "round \(round)")
            if bytes != original { #expect(!isThere, "round \(round)") }
        }
    }

    /// Manifests with a right checksum and wrong content.
    @Test(arguments: [
        ("\"rows\":5", "\"rows\":6"), ("\"rows\":5", "\"rows\":-1"),
        ("\"rows\":5", "\"rows\":9223372036854775807"),
        ("\"rows\":5", "\"rows\":1e300"), ("\"rows\":5", "\"rows\":2000"), ("\"tokens\":5", "\"tokens\":4"),
        ("\"tokens\":5", "\"tokens\":9223372036854775807"), ("\"tokens\":5", "\"tokens\":6"),
        ("\"rank\":0", "\"rank\":1"), ("\"rank\":0", "\"rank\":-1"),
        ("\"stripeTokens\":128", "\"stripeTokens\":0"),
        ("\"weights\":[1]", "\"weights\":[]"), ("\"weights\":[1]", "\"weights\":[-1,9223372036854775807]"),
        ("\"sequence\":\"a\"", "\"sequence\":\"b\""), ("\"sequence\":\"a\"", "\"sequence\":\"\""),
        (" 5 ", " 4 "), (" 5 ", " 1025 "), (" 5 ", " 99999999999999999999 "), (" 5 ", " -5 "),
        (" 4216 ", " 4217 "), (" 4216 ", " 0 "), (" 4216 ", " 999999999999999999 "),
        ("\"pages\":[", "\"pages\":[\"\","), ("\"pages\":[", "\"pages\":[[[[[[[["), ("{", "{\"pages\":[],"),
    ])
    func manifestsThatContradictThemselves(old: String, new: String) throws {
        let (_, name) = try written()
        let text = String(decoding: try test.bytes(name), as: UTF8.self)
        let json = text.drop { $0 != "\n" }.dropFirst()
        let other = json.replacingOccurrences(of: old, with: new)
        #expect(other != json, "\(old) is in \(json)")
        let digits = String(Array(other.utf8).withUnsafeBytes { crc32c($0) }, radix: 16)
        let sum = String(repeating: "0", count: 8 - digits.count) + digits
        try test.put(Array("lariat-kv-manifest 1 \(sum) \(other.utf8.count)\n\(other)".utf8), name)
        #expect(try !readsBoth(new))
    }
}

/// Steele, Lea and Flood's generator: the same numbers in every run.
struct SplitMix {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
        return mixed ^ mixed >> 31
    }
}
