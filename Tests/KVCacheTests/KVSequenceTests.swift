// Rows over pages: what sequences share, what they copy, and when memory is free again.
import KVCache
import RingAttention
import Testing

@Suite struct KVSequenceTests {
    private let memory = KVMemory(limit: 1 << 20)
    private let token = smallShape.tokenBytes

    @Test func rowsAcrossPages() throws {
        let rows = 2 * pageRows + 300
        let whole = try sequence(rows: rows, capacity: rows + 50, memory: memory)
        #expect(memory.used == (rows + 50) * token)
        #expect(whole.isWritten())
        var seen: [Range<Int>] = []
        whole.withRows(1000..<2100, layer: 1) { first, memory in
            seen.append(first..<first + memory.count / smallShape.rowBytes)
        }
        #expect(seen == [1000..<1024, 1024..<2048, 2048..<2100])
        #expect(whole.pages(layer: 0, rows: rows).map(\.count) == [1024, 1024, 300].map { $0 * 8 })
        #expect(whole.pages(layer: 0, rows: 1024).count == 1)
        #expect(whole.pages(layer: 0, rows: 0).isEmpty)
    }

    @Test(arguments: [0..<0, 5..<9, 0..<1024, 1023..<1024, 1020..<1030, 0..<2348, 2048..<2348, 1024..<1024])
    func payloadsAreTheRows(rows: Range<Int>) throws {
        let whole = try sequence(rows: 2348, memory: memory)
        for layer in 0..<2 {
            let payload = whole.payload(layer: layer, rows: rows)
            #expect(payload.count == rows.count * smallShape.rowBytes)
            let expected = rows.flatMap { row in (0..<8).map { KVSequence.byte(0, layer, row, $0) } }
            #expect(whole.bytes(rows, layer: layer) == expected)
        }
    }

    @Test func aPayloadOutlivesItsSequence() throws {
        var whole: KVSequence? = try sequence(rows: 100, memory: memory)
        let payload = try #require(whole?.payload(layer: 1, rows: 10..<12))
        whole = nil
        #expect(memory.used == 100 * token, "the payload holds the page")
        #expect(payload.withUnsafeBytes { $0[0] } == KVSequence.byte(0, 1, 10, 0))
    }

    @Test func aContinuationSharesWholePagesAndCopiesTheRest() throws {
        let first = try sequence(rows: 1500, memory: memory)
        let before = memory.used
        let second = try KVSequence(continuing: first, rows: 1400, capacity: 2100, memory: memory)
        #expect(memory.used - before == (2100 - 1024) * token)
        #expect(
            memory.used - before == KVSequence.pageBytes(smallShape, capacity: 2100, continuing: 1400))
        #expect(second.written == 1400 && second.isWritten())
        second.write(upTo: 2100, seed: 3)
        #expect(first.isWritten(), "what the second wrote behind the beginning is not the first's")
        #expect(second.bytes(1400..<1401, layer: 0) == (0..<8).map { KVSequence.byte(3, 0, 1400, $0) })
        #expect(second.bytes(0..<1400, layer: 1) == first.bytes(0..<1400, layer: 1))
    }

    @Test func aContinuationAtAPageBorderCopiesNothing() throws {
        let first = try sequence(rows: 2048, memory: memory)
        let before = memory.used
        let second = try KVSequence(continuing: first, rows: 1024, capacity: 1024, memory: memory)
        #expect(memory.used == before)
        #expect(second.isWritten())
    }

    @Test func aBeginningTakesNoMemory() throws {
        let whole = try sequence(rows: 1500, capacity: 1600, memory: memory)
        let before = memory.used
        let beginning = KVSequence(beginning: whole, rows: 1408)
        #expect(memory.used == before)
        #expect(beginning.written == 1408 && beginning.capacity == 1408 && beginning.isWritten())
        #expect(beginning.writtenBytes == 1408 * token)
        whole.write(upTo: 1600)
        #expect(beginning.isWritten())
    }

    @Test func memoryIsGivenBackWithTheLastOwner() throws {
        var first: KVSequence? = try sequence(rows: 2048, memory: memory)
        var second: KVSequence? = try KVSequence(
            continuing: #require(first), rows: 1024, capacity: 1100, memory: memory)
        #expect(memory.used == (2048 + 76) * token)
        first = nil
        #expect(memory.used == 1100 * token, "the shared page stays, the other goes")
        #expect(second?.isWritten() == true)
        second = nil
        #expect(memory.used == 0)
    }

    @Test func noMoreThanTheLimit() throws {
        let few = KVMemory(limit: 1500 * token)
        let first = try sequence(rows: 1024, memory: few)
        #expect(throws: KVError.memory(needed: 477 * token, free: 476 * token, limit: 1500 * token)) {
            try KVSequence(continuing: first, rows: 1024, capacity: 1501, memory: few)
        }
        #expect(few.used == 1024 * token, "pages of what was not made are given back")
        #expect(throws: KVError.self) { try KVSequence(shape: smallShape, capacity: 2000, memory: few) }
        #expect(few.free == 476 * token)
        #expect(KVSequence.pageBytes(smallShape, capacity: .max, continuing: 0) == .max)
    }
}
