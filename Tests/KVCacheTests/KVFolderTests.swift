// Sequences that survive their process: round trips, shared files, limits, and what an opened folder forgets.
import Foundation
import KVCache
import Kernels
import RingAttention
import Testing

@Suite struct KVFolderTests {
    private let test = DiskFolder()
    /// Bytes of a whole page's file of `smallShape`: header, 16 KiB, one checksum, digest, checksum.
    private let pageFile = 4096 + 1024 * 16 + 4 + 36

    @Test(arguments: [0, 1, 128, 1023, 1024, 1025, 2048, 2600])
    func roundTrip(rows: Int) throws {
        var folder = try test.open()
        let before = try test.write("a/../b\n\u{0}", rows: rows, seed: 5, into: folder).allBytes
        #expect(test.memory.used == 0)
        for _ in 0..<2 {
            let found = try #require(folder.read("a/../b\n\u{0}", memory: test.memory))
            #expect(found.rows.allBytes == before)
            #expect(found.rows.isWritten(seed: 5) && found.rows.written == rows)
            #expect(found.description == (try part(found.rows)).description)
            folder.close()
            folder = try test.open()
        }
        #expect(folder.usage.bytes == (try test.size))
        #expect(test.faults.take().isEmpty)
        #expect(try test.names(".page").count == (rows + 1023) / 1024)
    }

    @Test func otherFormsOfRowsAndLayouts() throws {
        let shape = KVShape(layers: 3, rowElements: 1000, element: .f32)
        let memory = KVMemory(limit: 1 << 26)
        let folder = try test.open(quota: 1 << 26, shape: shape)
        let layout = try Layout(stripeTokens: 128, weights: [2, 1, 0])
        let rows = layout.count(of: 0, in: 1920)
        let written = try sequence(rows: rows, capacity: rows + 300, seed: 2, shape: shape, memory: memory)
        let part = SequencePart(rank: 0, layout: layout, tokens: 1920, profile: "yarn ÷ 4", rows: written)
        #expect(folder.write(part, as: "s"))
        folder.close()
        let read = try #require(try test.open(quota: 1 << 26, shape: shape).read("s", memory: memory))
        #expect(read.rows.isWritten(seed: 2))
        #expect(read.description == part.description)
    }

    @Test func filesAreTheirOwnersAlone() throws {
        let folder = try test.open()
        try test.write("a", rows: 10, seed: 1, into: folder)
        for name in try test.names + ["."] {
            let attributes = try FileManager.default.attributesOfItem(atPath: test.at(name))
            let mode = try #require(attributes[.posixPermissions] as? Int)
            #expect(mode & 0o077 == 0, "\(name)")
        }
    }

    @Test func sharedPagesAreOneFile() throws {
        let folder = try test.open()
        let first = try test.write("first", rows: 2148, seed: 1, into: folder)
        let second = try KVSequence(continuing: first, rows: 2048, capacity: 2200, memory: test.memory)
        second.write(upTo: 2200, seed: 1)
        #expect(folder.write(try part(second), as: "second"))
        #expect(folder.write(try part(KVSequence(beginning: first, rows: 1024)), as: "third"))
        #expect(try test.names(".page").count == 4, "two shared, and the rest of each")
        #expect(folder.usage.bytes == (try test.size))
        folder.remove("first")
        folder.sweep()
        #expect(try test.names(".page").count == 3)
        #expect(folder.usage.bytes == (try test.size))
        #expect(folder.read("second", memory: test.memory)?.rows.isWritten(seed: 1) == true)
        folder.remove("second")
        folder.sweep()
        #expect(try test.names(".page").count == 1)
        folder.remove("third")
        folder.sweep()
        #expect(try test.names == ["lock"])
        #expect(folder.usage.bytes == 0)
    }

    @Test func aFileIsOnePageInMemory() throws {
        var folder = try test.open()
        do {
            let first = try test.write("first", rows: 2048, seed: 1, into: folder)
            let second = try KVSequence(continuing: first, rows: 2048, capacity: 2100, memory: test.memory)
            second.write(upTo: 2100, seed: 1)
            #expect(folder.write(try part(second), as: "second"))
            let used = test.memory.used
            let again = try #require(folder.read("first", memory: test.memory))
            #expect(test.memory.used == used, "its pages are in memory already")
            #expect(again.rows.isWritten(seed: 1))
        }
        folder.close()
        folder = try test.open()
        #expect(test.memory.used == 0)
        let second = try #require(folder.read("second", memory: test.memory))
        #expect(test.memory.used == 2100 * smallShape.tokenBytes)
        let first = try #require(folder.read("first", memory: test.memory))
        #expect(test.memory.used == 2100 * smallShape.tokenBytes)
        // What is loaded is not written again when it is kept under another name.
        let before = try test.names(".page")
        #expect(folder.write(try part(first.rows), as: "other"))
        #expect(try test.names(".page") == before)
        #expect(second.rows.isWritten(seed: 1))
    }

    @Test func aLongerBeginningOfAPageIsWrittenAnew() throws {
        let folder = try test.open()
        let rows = try sequence(rows: 300, capacity: 400, seed: 4, memory: test.memory)
        #expect(folder.write(try part(KVSequence(beginning: rows, rows: 200)), as: "short"))
        #expect(folder.write(try part(KVSequence(beginning: rows, rows: 100)), as: "shorter"))
        #expect(try test.names(".page").count == 1, "what has more rows will do")
        #expect(folder.write(try part(KVSequence(beginning: rows, rows: 300)), as: "long"))
        #expect(try test.names(".page").count == 2)
        folder.close()
        let again = try test.open()
        for (name, count) in [("short", 200), ("shorter", 100), ("long", 300)] {
            let read = try #require(again.read(name, memory: test.memory))
            #expect(read.rows.written == count && read.rows.isWritten(seed: 4))
        }
    }

    @Test func theSameNameIsReplaced() throws {
        let folder = try test.open()
        try test.write("a", rows: 1500, seed: 1, into: folder)
        try test.write("a", rows: 100, seed: 2, into: folder)
        folder.sweep()
        #expect(folder.read("a", memory: test.memory)?.rows.isWritten(seed: 2) == true)
        #expect(try test.names(".page").count == 1)
        #expect(folder.usage.bytes == (try test.size))
    }

    // MARK: limits

    @Test func theLimitHoldsAndTheOldestGo() throws {
        let quota = 5 * pageFile + 20_000
        let folder = try test.open(quota: quota)
        for number in 0..<4 {
            try test.write("\(number)", rows: 1024, seed: number, into: folder)
            folder.use("0")
            #expect(try test.size <= quota)
        }
        try test.write("four", rows: 2048, seed: 4, into: folder)
        #expect(folder.names == ["0", "2", "3", "four"], "1 was used longest ago")
        #expect(try test.size <= quota)
        #expect(folder.usage.bytes == (try test.size))
        let rows = try sequence(rows: 6 * 1024, seed: 1, memory: test.memory)
        #expect(!folder.write(try part(rows), as: "large"))
        guard case .tooLarge("large", _, quota)? = test.faults.take().last else {
            Issue.record("it cannot be written")
            return
        }
        #expect(folder.names.count == 4, "nothing goes for what has no room in any case")
        #expect(folder.usage.counts.evicted == 1)
    }

    @Test func aLowerLimitHoldsFromTheStart() throws {
        var folder = try test.open()
        for number in 0..<4 { try test.write("\(number)", rows: 1024, seed: number, into: folder) }
        folder.use("1")
        folder.close()
        folder = try test.open(quota: 2 * pageFile + 4096)
        #expect(try test.size <= 2 * pageFile + 4096)
        #expect(folder.names.count == 2)
    }

    // MARK: what is there at the start

    @Test func whatNoManifestNamesIsDeleted() throws {
        var folder = try test.open()
        try test.write("a", rows: 10, seed: 1, into: folder)
        try test.write("b", rows: 10, seed: 2, into: folder)
        let manifests = try test.names(".manifest")
        folder.close()
        try test.put([1, 2, 3], String(repeating: "0a", count: 16) + ".page")
        try test.put([1, 2, 3], String(repeating: "0b", count: 16) + ".page.partial")
        try test.put([1, 2, 3], manifests[0] + ".partial")
        try test.put([1, 2, 3], "notes.txt")
        try test.put([1, 2, 3], "short.page")
        try FileManager.default.removeItem(atPath: test.at(manifests[0]))
        folder = try test.open()
        #expect(folder.names.count == 1)
        #expect(try test.names(".page").count == 2, "one, and what is not ours")
        #expect(try test.names(".partial").isEmpty)
        #expect(try test.names.contains("notes.txt"))
    }

    @Test func otherNumbersAreNotUsedButKept() throws {
        var folder = try test.open()
        try test.write("a", rows: 1024, seed: 1, into: folder)
        folder.close()
        folder = try test.open(identity: "model 2")
        #expect(folder.names.isEmpty && folder.read("a", memory: test.memory) == nil)
        #expect(folder.usage.bytes == (try test.size))
        folder.close()
        folder = try test.open()
        #expect(folder.read("a", memory: test.memory)?.rows.isWritten(seed: 1) == true)
        folder.close()
        // They go first when there is no room.
        folder = try test.open(quota: 2 * pageFile + 20_000, identity: "model 2")
        try test.write("b", rows: 1024, seed: 2, into: folder)
        try test.write("c", rows: 1024, seed: 3, into: folder)
        #expect(folder.names == ["b", "c"])
        #expect(test.faults.take().isEmpty)
    }

    @Test func theSameNameOfOtherNumbersIsReplaced() throws {
        var folder = try test.open()
        try test.write("a", rows: 100, seed: 1, into: folder)
        folder.close()
        folder = try test.open(identity: "model 2")
        try test.write("a", rows: 100, seed: 2, into: folder)
        #expect(folder.read("a", memory: test.memory)?.rows.isWritten(seed: 2) == true)
        folder.sweep()
        #expect(folder.usage.bytes == (try test.size))
    }

    @Test func oneProcessAtATime() throws {
        let folder = try test.open()
        #expect(throws: KVFolderError.locked(path: test.path)) { try test.open() }
        folder.close()
        let other = try test.open()
        #expect(!folder.write(try part(sequence(rows: 5, memory: test.memory)), as: "late"))
        #expect(other.names.isEmpty)
    }

    @Test func aPlaceThatIsNoFolder() throws {
        try FileManager.default.createDirectory(atPath: test.path, withIntermediateDirectories: true)
        try test.put([1], "file")
        #expect(throws: KVFolderError.system(path: test.at("file"), DiskError(.makeFolder, ENOTDIR))) {
            try KVFolder(
                path: test.at("file"), identity: "", shape: smallShape, quota: 1000, report: { _ in })
        }
    }

    @Test func namesOfWorkersAreNamesOfFolders() {
        #expect(KVFolder.path(of: "node-1.a_b", below: "/kv") == "/kv/node-1.a_b")
        for name in ["", ".", "..", "a/b", "../a", "ä", String(repeating: "a", count: 64), "a b"] {
            let path = KVFolder.path(of: name, below: "/kv")
            #expect(path.hasPrefix("/kv/worker-") && path.utf8.count == 11 + 32)
        }
    }
}
