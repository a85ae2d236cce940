// Sequences in memory and on disk behind it, through one store.
import Dispatch
import Foundation
import KVCache
import Synchronization
import Testing

@Suite struct TwoTierTests {
    private let test = DiskFolder()
    private let disk = FailingDisk()
    private let token = smallShape.tokenBytes

    private func store(quota: Int = 1 << 22, mostWaiting: Int = 16) throws -> KVStore {
        KVStore(
            memory: test.memory, folder: try test.open(quota: quota, disk: disk), mostWaiting: mostWaiting)
    }

    private func keep(_ name: String, rows: Int = 100, seed: Int, in store: KVStore) throws {
        store.keep(try part(sequence(rows: rows, seed: seed, memory: test.memory)), as: name)
    }

    private func settle(_ store: KVStore) { #expect(store.settle(within: .seconds(60))) }

    private func isRight(_ name: String, seed: Int, in store: KVStore) -> Bool {
        store.sequence(name)?.rows.isWritten(seed: seed) == true
    }

    @Test func leavesMemoryAndComesBack() throws {
        let store = try store()
        try keep("a", rows: 1500, seed: 1, in: store)
        settle(store)
        let listed = try #require(store.sequences["a"])
        #expect(listed.memoryBytes == 1500 * token && listed.diskBytes > 1500 * token)
        #expect(listed.tokens == 1500 && listed.rank == 0)
        store.release(["a", "nobody"])
        #expect(test.memory.used == 0 && store.bytes == 0)
        #expect(store.sequences["a"]?.memoryBytes == 0 && store.sequences["a"]?.diskBytes == listed.diskBytes)
        #expect(store.description("a")?.tokens == 1500, "without reading it")
        #expect(test.memory.used == 0)
        #expect(isRight("a", seed: 1, in: store))
        #expect(store.bytes == 1500 * token)
        #expect(store.folder?.usage.counts.pagesRead == 2)
        #expect(isRight("a", seed: 1, in: store))
        #expect(store.folder?.usage.counts.pagesRead == 2, "it is in memory now")
        store.drop(["a"])
        #expect(store.sequence("a") == nil && store.sequences.isEmpty && store.description("a") == nil)
        store.close(within: .seconds(60))
        #expect(try test.names == ["lock"])
    }

    @Test func survivesTheProcess() throws {
        var store = try store()
        for number in 0..<5 { try keep("\(number)", rows: 1000 + number, seed: number, in: store) }
        store.close(within: .seconds(60))
        store = try self.store()
        #expect(store.sequences.count == 5 && store.inMemory == 0)
        for number in 0..<5 { #expect(isRight("\(number)", seed: number, in: store)) }
        #expect(test.faults.take().isEmpty)
    }

    @Test func whatIsKeptAnewIsNotTheOld() throws {
        let store = try store()
        try keep("a", seed: 1, in: store)
        settle(store)
        disk.set(.create, broken: EROFS)
        try keep("a", seed: 2, in: store)
        settle(store)
        #expect(isRight("a", seed: 2, in: store))
        store.release(["a"])
        #expect(store.sequence("a") == nil, "the old copy is not taken for the new rows")
    }

    // MARK: room

    @Test func roomIsMadeByThoseThatAreOnDisk() throws {
        let store = try store()
        disk.set(.create, broken: EROFS)
        try keep("memory", seed: 1, in: store)
        settle(store)
        disk.set(.create, broken: nil)
        try keep("disk 1", seed: 2, in: store)
        try keep("disk 2", seed: 3, in: store)
        settle(store)
        store.makeRoom(test.memory.limit - 200 * token)
        #expect(
            store.sequences.filter { $0.value.memoryBytes > 0 }.keys.sorted() == ["disk 2", "memory"],
            "the oldest is in memory only")
        store.makeRoom(test.memory.limit)
        #expect(store.sequences.keys.sorted() == ["disk 1", "disk 2"], "it is lost in the end")
        #expect(isRight("disk 1", seed: 2, in: store) && isRight("disk 2", seed: 3, in: store))
    }

    @Test func loadingMakesRoom() throws {
        let few = KVMemory(limit: 1500 * token)
        let store = KVStore(memory: few, folder: try test.open())
        for (name, seed) in [("a", 1), ("b", 2)] {
            store.makeRoom(1000 * token)
            store.keep(try part(sequence(rows: 1000, seed: seed, memory: few)), as: name)
            settle(store)
        }
        #expect(store.sequences["a"]?.memoryBytes == 0)
        #expect(isRight("a", seed: 1, in: store))
        #expect(store.sequences["b"]?.memoryBytes == 0)
        #expect(isRight("b", seed: 2, in: store))
    }

    @Test func aCopyGivenUpIsTriedAgainWhenTheSequenceIsUsed() throws {
        let store = try store()
        disk.set(.create, broken: EIO)
        try keep("a", seed: 1, in: store)
        settle(store)
        #expect(test.faults.take() == [.notWritten(sequence: "a", DiskError(.create, EIO))])
        disk.set(.create, broken: nil)
        #expect(isRight("a", seed: 1, in: store))
        settle(store)
        #expect(store.folder?.names == ["a"])
    }

    // MARK: the queue

    @Test func theOldestWaitingOneIsLeftUnwritten() throws {
        let store = try store(mostWaiting: 2)
        disk.hold(.create)
        try keep("0", seed: 0, in: store)
        #expect(disk.waitForOne())
        for number in 1...3 { try keep("\(number)", seed: number, in: store) }
        #expect(test.faults.take() == [.queueFull(sequence: "1", waiting: 2)])
        disk.letGo()
        settle(store)
        #expect(store.folder?.names == ["0", "2", "3"])
        #expect(isRight("1", seed: 1, in: store), "it is in memory")
    }

    @Test func whatIsReleasedBeforeItIsWrittenIsWritten() throws {
        let store = try store()
        disk.hold(.create)
        try keep("a", seed: 1, in: store)
        try keep("b", seed: 2, in: store)
        #expect(disk.waitForOne())
        store.release(["a", "b"])
        #expect(test.memory.used == 200 * token)
        disk.letGo()
        settle(store)
        #expect(test.memory.used == 0)
        #expect(isRight("a", seed: 1, in: store) && isRight("b", seed: 2, in: store))
    }

    @Test func whatIsDroppedWhileItIsWrittenIsGone() throws {
        let store = try store()
        // The page has its name, the manifest waits for the disk.
        disk.hold(.syncFolder)
        try keep("a", seed: 1, in: store)
        #expect(disk.waitForOne())
        store.drop(["a"])
        disk.letGo()
        settle(store)
        #expect(store.sequences.isEmpty)
        store.close(within: .seconds(60))
        #expect(try test.names == ["lock"])
        #expect(test.memory.used == 0)
    }

    @Test func memoryThatIsNeededIsTakenFromWhatWaits() throws {
        let store = try store()
        disk.hold(.create)
        try keep("a", seed: 1, in: store)
        #expect(disk.waitForOne())
        try keep("b", seed: 2, in: store)
        store.release(["b"])
        store.makeRoom(test.memory.limit - 100 * token)
        #expect(test.memory.used == 100 * token, "only what is being written holds its pages")
        disk.letGo()
        settle(store)
        #expect(test.memory.used == 0)
    }

    // MARK: late

    @Test func aDiskThatHangsIsAMiss() throws {
        let store = try store()
        try keep("a", seed: 1, in: store)
        try keep("b", seed: 2, in: store)
        settle(store)
        store.release(["a", "b"])
        disk.hold(.read)
        #expect(store.sequence("a", within: .milliseconds(20)) == nil)
        #expect(test.faults.take() == [.unusable(sequence: "a", page: nil, .late)])
        #expect(store.sequences.keys.sorted() == ["b"])
        disk.letGo()
        #expect(isRight("b", seed: 2, in: store))
        #expect(store.sequence("a") == nil)
    }

    @Test func onlySoManyThreadsHang() throws {
        let store = try store()
        for number in 0..<6 { try keep("\(number)", seed: number, in: store) }
        settle(store)
        store.release((0..<6).map { "\($0)" })
        disk.hold(.read)
        for number in 0..<6 { #expect(store.sequence("\(number)", within: .milliseconds(20)) == nil) }
        #expect(store.sequences.keys.sorted() == ["4", "5"], "these have not been asked for")
        disk.letGo()
    }

    @Test func aLoadThatNobodyWaitsForEndsAndTheCopyStays() throws {
        let store = try store()
        try keep("a", rows: 2000, seed: 1, in: store)
        settle(store)
        store.release(["a"])
        #expect(store.sequence("a", isCancelled: { true }) == nil)
        #expect(test.memory.used == 0 && test.faults.take().isEmpty)
        #expect(isRight("a", seed: 1, in: store))
    }

    // MARK: at once

    @Test func manyThreads() throws {
        let quota = 40 * 20_000
        let store = try store(quota: quota, mostWaiting: 3)
        let wrong = Mutex(0)
        let (token, memory) = (token, test.memory)
        DispatchQueue.concurrentPerform(iterations: 4) { thread in
            var random = SplitMix(state: UInt64(thread))
            for _ in 0..<300 {
                let number = Int(random.next() % 12)
                let name = "\(number)"
                switch random.next() % 8 {
                case 0, 1:
                    store.makeRoom(2000 * token)
                    if let rows = try? sequence(
                        rows: 100 + number * 150, seed: number, memory: memory),
                        let part = try? part(rows)
                    {
                        store.keep(part, as: name)
                    }
                case 2: store.drop([name])
                case 3: store.release([name])
                case 4: store.makeRoom(Int(random.next() % UInt64(memory.limit)))
                default:
                    if let found = store.sequence(name), !found.rows.isWritten(seed: number) {
                        wrong.withLock { $0 += 1 }
                    }
                }
            }
        }
        settle(store)
        #expect(wrong.withLock { $0 } == 0)
        #expect(store.folder.map { $0.usage.bytes <= quota } == true)
        let names = store.sequences.filter { $0.value.diskBytes > 0 }.keys.sorted()
        store.close(within: .seconds(60))
        let again = try self.store(quota: quota)
        #expect(again.sequences.keys.sorted() == names)
        #expect(again.folder?.usage.bytes == (try test.size))
        for name in names { #expect(isRight(name, seed: Int(name) ?? -1, in: again)) }
        #expect(test.faults.take().allSatisfy { if case .unusable = $0 { false } else { true } })
    }
}
