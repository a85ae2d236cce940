// Back-off of workers that were of no use, and the order of the ring.
import Coordinator
import Messages
import Testing

@Suite struct SetAsideTests {
    private let start = ContinuousClock.now

    @Test func itGrowsAndIsBounded() {
        var aside = SetAside()
        #expect(!aside.holds(at: start))
        var now = start
        for seconds in [10, 20, 40, 80, 160, 320, 600, 600] {
            aside.fail("why", at: now)
            #expect(aside.reason == "set aside for \(seconds) s: why")
            #expect(aside.holds(at: now + .seconds(seconds) - .milliseconds(1)))
            #expect(!aside.holds(at: now + .seconds(seconds)))
            now += .seconds(seconds)
        }
        for _ in 0..<100 { aside.fail("why", at: now) }
        #expect(!aside.holds(at: now + SetAside.longest))
    }

    @Test func aSuccessForgivesAll() {
        var aside = SetAside()
        aside.fail("why", at: start)
        aside.fail("why", at: start)
        aside.succeed()
        #expect(!aside.holds(at: start))
        aside.fail("why", at: start)
        #expect(aside.reason == "set aside for 10 s: why")
    }

    @Test func timeForgivesToo() {
        var aside = SetAside()
        for _ in 0..<5 { aside.fail("why", at: start) }
        aside.fail("why", at: start + .seconds(160) + SetAside.forgiven + .seconds(1))
        #expect(aside.reason == "set aside for 10 s: why")
    }
}

@Suite struct RingOrderTests {
    @Test(arguments: [
        ("w2", "w10"), ("w02", "w10"), ("a", "b"), ("a", "a1"), ("a9b", "a10a"), ("node1", "node1-b"),
        ("w01", "w1"),
        ("1a", "a1"), ("w10", "x2"), ("w99999999999999999999", "w100000000000000000000"),
    ]) func numbersCountAsNumbers(_ first: String, _ second: String) {
        #expect(MemberRecord.naturally(first, before: second))
        #expect(!MemberRecord.naturally(second, before: first))
        #expect(!MemberRecord.naturally(first, before: first))
    }
}
