// A disk that fails at any call: the copy is lost, never the rows, and a folder that is opened again holds the old or
// the new state.
import Foundation
import KVCache
import Testing

@Suite struct FailingDiskTests {
    private let test = DiskFolder()
    private let disk = FailingDisk()

    /// How many calls it takes to write a sequence of two pages beside another.
    private func callsOfWriting() throws -> Int {
        let other = DiskFolder()
        let folder = try other.open(disk: disk)
        try other.write("old", rows: 1200, seed: 1, into: folder)
        _ = disk.takeCalls()
        try other.write("new", rows: 1500, seed: 2, into: folder)
        let calls = disk.takeCalls()
        #expect(calls.filter { $0 == .rename }.count == 3 && calls.filter { $0 == .syncData }.count == 3)
        #expect(calls.last == .syncFolder)
        let lastPage = try #require(calls.dropLast().lastIndex(of: .syncFolder))
        #expect(calls[lastPage...].filter { $0 == .rename }.count == 1, "the manifest is last")
        return calls.count
    }

    private func check(
        _ call: Int, _ failure: FailingDisk.Failure, losesPower: Bool, replaces: Bool
    ) throws {
        let what: Comment = "call \(call), \(failure), power \(losesPower), replaces \(replaces)"
        let test = DiskFolder()
        let disk = FailingDisk()
        let folder = try test.open(disk: disk)
        try test.write("old", rows: 1200, seed: 1, into: folder)
        let name = replaces ? "old" : "new"
        let rows = try sequence(rows: 1500, seed: 2, memory: test.memory)
        disk.fail(at: call, failure)
        // Where the last wait for the disk failed, there is a copy, but no promise.
        let isWritten = folder.write(try part(rows), as: name) && test.faults.take().isEmpty
        #expect(rows.isWritten(seed: 2), what)
        folder.close()
        if losesPower { disk.losePower() }

        let again = try test.open(disk: FailingDisk())
        let old = again.read("old", memory: test.memory)
        let new = again.read("new", memory: test.memory)
        if replaces {
            let rows = try #require(old?.rows, what)
            #expect(rows.written == 1200 ? rows.isWritten(seed: 1) : rows.isWritten(seed: 2), what)
            #expect(rows.written == 1500 || !isWritten, what)
            #expect(try test.names(".manifest").count == 1, what)
        } else {
            #expect(old?.rows.isWritten(seed: 1) == true && old?.rows.written == 1200, what)
            if let new { #expect(new.rows.isWritten(seed: 2) && new.rows.written == 1500, what) }
            #expect(new != nil || !isWritten, what)
        }
        again.sweep()
        #expect(try test.names(".partial").isEmpty, what)
        #expect(try test.names(".page").count == again.usage.files, what)
        #expect(again.usage.bytes == (try test.size), what)
        #expect(again.write(try part(rows), as: "more"), "it goes on: \(what)")
    }

    @Test func everyCallMayFail() throws {
        let calls = try callsOfWriting()
        for call in 1...calls {
            for failure in [
                FailingDisk.Failure.error(ENOSPC), .error(EIO), .error(EACCES), .short(ENOSPC),
            ] {
                try check(call, failure, losesPower: false, replaces: false)
            }
            try check(call, .error(EIO), losesPower: false, replaces: true)
        }
    }

    @Test func everyCallMayBeTheLast() throws {
        let calls = try callsOfWriting()
        for call in 1...calls {
            for failure in [FailingDisk.Failure.crash, .crashAfter] {
                for losesPower in [false, true] {
                    try check(call, failure, losesPower: losesPower, replaces: false)
                    try check(call, failure, losesPower: losesPower, replaces: true)
                }
            }
        }
    }

    @Test func aFullDiskIsLeftInPeaceUntilSomethingGoes() throws {
        let folder = try test.open(disk: disk)
        try test.write("a", rows: 10, seed: 1, into: folder)
        let rows = try part(sequence(rows: 20, seed: 2, memory: test.memory))
        disk.set(.write, broken: ENOSPC)
        #expect(!folder.write(rows, as: "b"))
        #expect(test.faults.take() == [.notWritten(sequence: "b", DiskError(.write, ENOSPC))])
        disk.set(.write, broken: nil)
        _ = disk.takeCalls()
        #expect(!folder.write(rows, as: "b"))
        #expect(disk.takeCalls().isEmpty, "the disk is not asked")
        #expect(test.faults.take().isEmpty, "it was told once")
        #expect(folder.usage.counts.notWritten == 2)
        folder.remove("a")
        #expect(folder.write(rows, as: "b"))
        #expect(folder.read("b", memory: test.memory) != nil)
    }

    @Test func afterAMinuteAFullDiskIsTriedAgain() {
        var patience = DiskPatience()
        let now = ContinuousClock.now
        #expect(patience.mayWrite(at: now))
        patience.failed(DiskError(.write, EIO), at: now)
        #expect(patience.mayWrite(at: now), "only a full disk")
        patience.failed(DiskError(.write, ENOSPC), at: now)
        #expect(!patience.mayWrite(at: now + .seconds(59)))
        #expect(patience.mayWrite(at: now + .seconds(60)))
        patience.roomWasMade()
        #expect(patience.mayWrite(at: now))
    }

    @Test func aFolderThatBecameUnwritable() throws {
        let folder = try test.open(disk: disk)
        try test.write("a", rows: 1100, seed: 1, into: folder)
        for call in [DiskError.Call.create, .remove, .rename] { disk.set(call, broken: EROFS) }
        let rows = try part(sequence(rows: 20, seed: 2, memory: test.memory))
        #expect(!folder.write(rows, as: "b"))
        #expect(test.faults.take().contains(.notWritten(sequence: "b", DiskError(.create, EROFS))))
        #expect(folder.read("a", memory: test.memory)?.rows.isWritten(seed: 1) == true)
    }

    @Test func whatCannotBeDeletedCountsAndIsTriedAgain() throws {
        let folder = try test.open(disk: disk)
        try test.write("a", rows: 1100, seed: 1, into: folder)
        disk.set(.remove, broken: EIO)
        folder.remove("a")
        folder.sweep()
        #expect(folder.names.isEmpty)
        #expect(folder.usage.bytes >= 1100 * smallShape.tokenBytes)
        #expect(test.faults.take().allSatisfy { $0 == .notDeleted(DiskError(.remove, EIO)) })
        disk.set(.remove, broken: nil)
        folder.sweep()
        #expect(folder.usage.bytes == 0)
        #expect(try test.names(".page").isEmpty)
    }

    @Test(arguments: [DiskError.Call.open, .read])
    func whatCannotBeReadIsAMiss(call: DiskError.Call) throws {
        let folder = try test.open(disk: disk)
        do {
            try test.write("a", rows: 1100, seed: 1, into: folder)
            try test.write("b", rows: 1100, seed: 2, into: folder)
        }
        disk.set(call, broken: EIO)
        #expect(folder.read("a", memory: test.memory) == nil)
        disk.set(call, broken: nil)
        guard case .unusable("a", _?, .system(DiskError(call, EIO)))? = test.faults.take().first else {
            Issue.record("it is told what failed")
            return
        }
        #expect(folder.names == ["b"])
        #expect(folder.read("b", memory: test.memory)?.rows.isWritten(seed: 2) == true)
        #expect(test.memory.used == 0)
    }

    @Test func withoutMemoryTheCopyStays() throws {
        let folder = try test.open()
        try test.write("a", rows: 1100, seed: 1, into: folder)
        #expect(folder.read("a", memory: KVMemory(limit: 1050 * smallShape.tokenBytes)) == nil)
        #expect(folder.names == ["a"] && test.faults.take().isEmpty)
        #expect(folder.read("a", memory: test.memory) != nil)
    }
}
