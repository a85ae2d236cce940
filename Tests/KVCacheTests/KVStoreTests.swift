// What stays of sequences in memory, and what goes first.
import KVCache
import Testing

@Suite struct KVStoreTests {
    private let memory = KVMemory(limit: 1 << 20)
    private let token = smallShape.tokenBytes

    private func store(_ names: [String], rows: Int = 100) throws -> KVStore {
        let store = KVStore(memory: memory)
        for (seed, name) in names.enumerated() {
            store.keep(try part(sequence(rows: rows, seed: seed, memory: memory)), as: name)
        }
        return store
    }

    @Test func keepsFindsAndDrops() throws {
        let store = try store(["a", "b"])
        #expect(store.sequence("a")?.rows.isWritten(seed: 0) == true)
        #expect(store.sequence("b")?.rows.isWritten(seed: 1) == true)
        #expect(store.sequence("c") == nil)
        #expect(store.bytes == 200 * token)
        store.keep(try part(sequence(rows: 50, seed: 9, memory: memory)), as: "a")
        #expect(store.sequence("a")?.rows.isWritten(seed: 9) == true)
        #expect(memory.used == 150 * token)
        store.drop(["a", "c"])
        #expect(store.sequence("a") == nil && store.sequences.keys.sorted() == ["b"])
        #expect(memory.used == 100 * token)
    }

    @Test func roomIsMadeByLastUse() throws {
        let store = try store(["a", "b", "c"])
        _ = store.sequence("a")
        store.makeRoom(memory.limit - 250 * token)
        #expect(store.sequences.keys.sorted() == ["a", "c"])
        store.makeRoom(memory.limit - 100 * token)
        #expect(store.sequences.keys.sorted() == ["a"])
        store.makeRoom(memory.limit - 100 * token)
        #expect(store.sequences.count == 1, "there is room already")
        store.makeRoom(.max)
        #expect(store.sequences.isEmpty && memory.used == 0)
    }

    @Test func roomIsMadeThoughPagesAreShared() throws {
        let store = KVStore(memory: memory)
        do {
            let first = try sequence(rows: 1024, memory: memory)
            let second = try KVSequence(continuing: first, rows: 1024, capacity: 1100, memory: memory)
            second.write(upTo: 1100)
            store.keep(try part(first), as: "first")
            store.keep(try part(second), as: "second")
        }
        #expect(store.bytes == 1100 * token, "what several share counts once")
        #expect(store.sequence("first").map(KVStore.bytes(of:)) == 1024 * token)
        #expect(store.sequence("second").map(KVStore.bytes(of:)) == 1100 * token)
        store.makeRoom(memory.limit - 1100 * token + 1)
        #expect(memory.used == 0, "the first alone freed nothing")
    }

    @Test func whatIsInUseGoesOn() throws {
        let store = try store(["a"])
        let used = try #require(store.sequence("a"))
        store.drop(["a"])
        #expect(store.bytes == 0)
        #expect(memory.used == 100 * token && used.rows.isWritten(seed: 0))
        let more = try KVSequence(continuing: used.rows, rows: 100, capacity: 120, memory: memory)
        more.write(upTo: 120)
        #expect(more.isWritten())
    }
}
