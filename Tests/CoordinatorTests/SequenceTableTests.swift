// Kept sequences as a value: what is found, what shares memory, what is given up, and how long all of it takes.
import Coordinator
import Messages
import RingAttention
import Testing

@Suite struct SequenceTableTests {
    private let start = ContinuousClock.now
    private let root = TokenChain.Root(fingerprint: "f00d", precision: "f32", owner: "", profile: "p")

    private func tokens(_ count: Int, seed: UInt32 = 0, from: Int = 0) -> [UInt32] {
        (0..<count).map { $0 < from ? UInt32($0) : UInt32($0) &+ seed &* 1_000_003 }
    }

    private func chain(_ count: Int, seed: UInt32 = 0, from: Int = 0) -> TokenChain {
        TokenChain(root, tokens: tokens(count, seed: seed, from: from))
    }

    private func layout(_ weights: [Int] = [1, 1], stripe: Int = 128) throws -> Layout {
        try Layout(stripeTokens: stripe, weights: weights)
    }

    private func entry(
        _ id: String, _ chain: TokenChain, workers: [String] = ["alpha", "beta"], layout: Layout? = nil
    ) throws -> SequenceTable.Entry {
        SequenceTable.Entry(
            id: id, holders: workers.map { SequenceTable.Holder(name: $0, instance: "i-\($0)") },
            layout: try layout ?? self.layout(Array(repeating: 1, count: workers.count)), chain: chain,
            kvBytes: workers.map { _ in 1 })
    }

    private func run(_ turn: UInt64) -> RunID { RunID(job: "j\(turn)", turn: turn) }

    /// Puts a sequence in whose run is over.
    private func put(
        _ table: inout SequenceTable, _ entry: SequenceTable.Entry, past: RunPast? = nil, turn: UInt64 = 1
    ) {
        #expect(table.insert(entry, past: past, by: run(turn), at: start).isEmpty)
        table.release(entry.id, by: run(turn))
    }

    // MARK: digests

    @Test func aDigestCoversAllThatDecidesTheBits() {
        let whole = chain(300)
        #expect(whole.tiles == 2 && whole.tokens == 256)
        #expect(chain(256) == whole && chain(1000).prefix(2) == whole)
        #expect(chain(300, seed: 1).digests[0] != whole.digests[0])
        // What differs behind the first tile leaves that one alone.
        let late = chain(300, seed: 1, from: 200)
        #expect(late.digests[0] == whole.digests[0] && late.digests[1] != whole.digests[1])
        for other in [
            TokenChain.Root(fingerprint: "beef", precision: "f32", owner: "", profile: "p"),
            TokenChain.Root(fingerprint: "f00d", precision: "bf16", owner: "", profile: "p"),
            TokenChain.Root(fingerprint: "f00d", precision: "f32", owner: "eve", profile: "p"),
            TokenChain.Root(fingerprint: "f00d", precision: "f32", owner: "", profile: "q"),
            // Words do not run into each other.
            TokenChain.Root(fingerprint: "f00", precision: "f32", owner: "", profile: "dp"),
        ] {
            #expect(TokenChain(other, tokens: tokens(300)).digests[0] != whole.digests[0])
        }
        #expect(TokenChain(encoded: whole.encoded) == whole)
        #expect(TokenChain(encoded: [1, 2, 3]) == nil)
        #expect(TileDigest(whole.digests[1].hexadecimal) == whole.digests[1])
        #expect(whole.digests[1].hexadecimal.utf8.count == 32 && TileDigest("f00d") == nil)
        #expect(chain(127).tiles == 0)
    }

    // MARK: finding

    @Test func theLongestBeginningIsFound() throws {
        var table = SequenceTable()
        put(&table, try entry("a", chain(1024)))
        put(&table, try entry("b", chain(2048, seed: 1, from: 512)))
        func longest(_ chain: TokenChain, _ most: Int = .max) -> String {
            let found = table.longest(chain, most: most) { _ in true }
            return found.map { "\($0.entry.id) \($0.tokens)" } ?? "none"
        }
        #expect(longest(chain(5000)) == "a 1024")
        #expect(longest(chain(5000, seed: 1, from: 512)) == "b 2048")
        #expect(longest(chain(1500, seed: 1, from: 512)) == "b 1408")
        // Both have this one: the last used of them.
        #expect(longest(chain(5000, seed: 2, from: 512)) == "b 512")
        table.touch("a")
        #expect(longest(chain(5000, seed: 2, from: 512)) == "a 512")
        #expect(longest(chain(5000), 1023) == "a 896")
        #expect(longest(chain(5000), 127) == "none")
        #expect(longest(chain(5000, seed: 3)) == "none")
        // What does not suit is passed over, also where it has more.
        let other = table.longest(chain(5000), most: .max) { $0.id != "a" }
        #expect(other?.entry.id == "b" && other?.tokens == 512)
        table.remove("b")
        #expect(longest(chain(5000, seed: 1, from: 512)) == "a 512")
    }

    @Test func tenThousandAreFoundAndListedAtOnce() throws {
        var table = SequenceTable()
        let clock = ContinuousClock()
        let shared = try layout([1])
        for index in 0..<10_000 {
            put(
                &table,
                try entry(
                    "s\(index)", chain(1024, seed: UInt32(index), from: 128), workers: ["alpha"],
                    layout: shared))
        }
        let prompts = (0..<100).map { chain(1100, seed: UInt32($0 * 97), from: 128) }
        let looking = clock.measure {
            for (index, prompt) in prompts.enumerated() {
                let found = table.longest(prompt, most: 1099) { _ in true }
                #expect(found?.entry.id == "s\(index * 97)" && found?.tokens == 1024)
            }
        }
        let listing = clock.measure { #expect(table.all.count == 10_000) }
        // Generous: a hundred look-ups and a list take milliseconds.
        #expect(looking < .seconds(1) && listing < .seconds(1))
        #expect(table.tokens(on: "alpha") == 10_000 * 1024)
    }

    @Test func theTableIsBounded() throws {
        var table = SequenceTable(mostSequences: 3)
        for index in 0..<3 { put(&table, try entry("s\(index)", chain(256, seed: UInt32(index)))) }
        table.touch("s0")
        let gone = table.insert(try entry("s3", chain(256, seed: 3)), by: run(9), at: start)
        #expect(gone.map(\.id) == ["s1"] && table.count == 3 && table["s1"] == nil)
        // All are in use: there is no place for another one.
        table.use("s0", by: run(1))
        table.use("s2", by: run(1))
        let refused = table.insert(try entry("s4", chain(256, seed: 4)), by: run(10), at: start)
        #expect(refused.map(\.id) == ["s4"] && table["s4"] == nil)
    }

    // MARK: memory

    @Test func whatIsSharedCountsOnce() throws {
        var table = SequenceTable()
        put(&table, try entry("a", chain(1024)))
        #expect(table.tokens(on: "alpha") == 512 && table.tokens(on: "beta") == 512)
        put(
            &table, try entry("b", chain(2048, seed: 1, from: 512)),
            past: RunPast(sequence: "a", tokens: 512))
        #expect(table.keptTokens == 1024 + 1536)
        // The beginning stays as long as somebody needs it, and no longer.
        table.remove("a")
        #expect(table.keptTokens == 2048 && table.tokens(on: "beta") == 1024)
        put(
            &table, try entry("c", chain(4096, seed: 1, from: 512)),
            past: RunPast(sequence: "b", tokens: 2048))
        #expect(table.keptTokens == 4096)
        table.remove("b")
        #expect(table.keptTokens == 4096)
        table.remove("c")
        #expect(table.keptTokens == 0 && table.tokens(on: "alpha") == 0)
    }

    /// Workers take memory in pages: what a part takes beyond its tokens is there as long as the part is.
    @Test func whatPagesTakeCounts() throws {
        var table = SequenceTable(kvBytesPerToken: 10)
        func entry(_ id: String, _ chain: TokenChain, _ bytes: [UInt64]) throws -> SequenceTable.Entry {
            SequenceTable.Entry(
                id: id,
                holders: ["alpha", "beta"].map { SequenceTable.Holder(name: $0, instance: "i") },
                layout: try layout(), chain: chain, kvBytes: bytes)
        }
        put(&table, try entry("a", chain(256), [10_240, 1280]))
        #expect(table.tokens(on: "alpha") == 1024 && table.tokens(on: "beta") == 128)
        // Fewer than the tokens need cannot be.
        put(
            &table, try entry("b", chain(512, seed: 1, from: 256), [0, 0]),
            past: RunPast(sequence: "a", tokens: 256))
        #expect(table.tokens(on: "alpha") == 1024 + 128 && table.tokens(on: "beta") == 256)
        table.remove("a")
        #expect(table.tokens(on: "alpha") == 1024 + 128)
        table.remove("b")
        #expect(table.keptTokens == 0)
    }

    @Test func theLeastRecentlyUsedGoFirst() throws {
        var table = SequenceTable()
        for (index, id) in ["a", "b", "c", "d"].enumerated() {
            put(&table, try entry(id, chain(1024, seed: UInt32(index))))
        }
        put(&table, try entry("far", chain(1024, seed: 9), workers: ["gamma"]))
        table.touch("a")
        table.name("b", ContextName(owner: "", name: "book"), pinned: true)
        table.use("c", by: run(7))
        #expect(table.evict(toFit: ["alpha": 2048, "beta": 2048]).gone.isEmpty)
        // Neither the pinned one, nor the one in use, nor one that is elsewhere.
        #expect(table.evict(toFit: ["alpha": 1536, "beta": 2048]).gone.map(\.id) == ["d"])
        #expect(table.evict(toFit: ["alpha": 0, "beta": 0]).gone.map(\.id) == ["a"])
        #expect(table.all.map(\.id).sorted() == ["b", "c", "far"])
        #expect(table.pinnedTokens() == ["alpha": 512, "beta": 512])
        #expect(table.pinnedTokens(and: "c") == ["alpha": 1024, "beta": 1024])
        table.pin("b", false)
        table.release("c", by: run(7))
        #expect(table.evict(toFit: ["alpha": 0]).gone.map(\.id) == ["b", "c"])
    }

    // MARK: what contains what

    @Test func whatIsContainedGoesUnlessItHasAName() throws {
        var table = SequenceTable()
        put(&table, try entry("short", chain(512)))
        put(&table, try entry("named", chain(640)))
        put(&table, try entry("other", chain(640, seed: 1, from: 256)))
        put(&table, try entry("narrow", chain(512), layout: try layout([2, 1])))
        put(&table, try entry("elsewhere", chain(512), workers: ["alpha", "gamma"]))
        table.name("named", ContextName(owner: "", name: "book"), pinned: false)
        put(&table, try entry("long", chain(1024)))
        #expect(table.absorb(into: "long").map(\.id) == ["short"])
        #expect(Set(table.all.map(\.id)) == ["named", "other", "narrow", "elsewhere", "long"])
    }

    /// A context that is removed leaves its keys and values in no sequence.
    @Test func whatIsCondemnedGoesWhenItsRunsAreOver() throws {
        var table = SequenceTable()
        put(&table, try entry("free", chain(1024)))
        put(&table, try entry("used", chain(2048)))
        put(&table, try entry("named", chain(768)))
        put(&table, try entry("other", chain(1024, seed: 1, from: 256)))
        table.name("named", ContextName(owner: "", name: "book"), pinned: false)
        table.use("used", by: run(5))
        let gone = table.condemn(beginningWith: chain(512).digests[3])
        #expect(gone.map(\.id) == ["free"])
        // Nobody else continues the one in use.
        let found = table.longest(chain(3000), most: .max) { _ in true }
        #expect(found?.entry.id == "named" && found?.tokens == 768)
        let last = table.release("used", by: run(5))
        #expect(last?.id == "used" && table["used"] == nil && table["other"] != nil)
    }

    // MARK: workers

    @Test func allPartsMustBeThere() throws {
        var table = SequenceTable()
        let holder = { SequenceTable.Holder(name: $0, instance: "new") }
        _ = table.insert(try entry("a", chain(1024)), by: nil, at: start)
        #expect(table.longest(chain(2000), most: .max) { _ in true } == nil)
        #expect(table.confirm("a", by: holder("beta"), rank: 0, tokens: 1024) == false)
        #expect(table.confirm("a", by: holder("alpha"), rank: 0, tokens: 896) == false)
        #expect(table.confirm("a", by: holder("alpha"), rank: 5, tokens: 1024) == false)
        #expect(table.confirm("b", by: holder("alpha"), rank: 0, tokens: 1024) == false)
        #expect(table.confirm("a", by: holder("alpha"), rank: 0, tokens: 1024) == true)
        #expect(table["a"]?.isComplete == false)
        #expect(table.confirm("a", by: holder("beta"), rank: 1, tokens: 2048) == true)
        #expect(table["a"]?.isComplete == true && table["a"]?.holders.map(\.instance) == ["new", "new"])
        #expect(table.longest(chain(2000), most: .max) { _ in true }?.tokens == 1024)
        // One that is away is waited for, and not for ever.
        table.lose("a", worker: "beta", at: start)
        #expect(table["a"]?.isComplete == false && table.held(by: "beta") == ["a"])
        #expect(table.expire(at: start + SequenceTable.patience).isEmpty)
        #expect(table.expire(at: start + SequenceTable.patience + .seconds(1)).map(\.id) == ["a"])
        #expect(table.count == 0 && table.held(by: "alpha").isEmpty && table.keptTokens == 0)
    }
}
