// A worker that is earlier than its coordinator is no reason to warn anybody.
import Logging
import Testing
import Worker

@Suite struct JoinTroubleTests {
    @Test func quietAtFirst() {
        let start = ContinuousClock.now
        var trouble = JoinTrouble(since: start)
        let levels: [Logger.Level?] = [0, 200, 600, 1400, 3000].map {
            trouble.level(for: "refused", at: start + .milliseconds($0))
        }
        #expect(levels == [.info, nil, nil, .warning, nil])
        #expect(trouble.level(for: "other", at: start + .seconds(4)) == .warning)
    }

    /// One that was a member and lost its coordinator says so at once.
    @Test func loudLater() {
        let start = ContinuousClock.now
        var trouble = JoinTrouble(since: start)
        #expect(trouble.level(for: "gone", at: start + .seconds(3600)) == .warning)
    }
}
