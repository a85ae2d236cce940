// Membership: who may join, who is lost, and how the epoch counts.
import Coordinator
import RPC
import Testing

@Suite struct MemberTableTests {
    private let start = ContinuousClock.now

    private func table() -> MemberTable {
        MemberTable(
            requirements: MemberTable.Requirements(
                model: "bytes", fingerprint: "f00d", precision: "f32", lostAfter: .seconds(5)), epoch: 100)
    }

    private func beat(_ name: String) -> HeartbeatRequest {
        .with {
            $0.name = name
            $0.instance = "1"
        }
    }

    @Test func theEpochCountsChanges() throws {
        var table = table()
        #expect(try table.register(member("beta"), instance: "1", at: start) == 101)
        #expect(try table.register(member("alpha"), instance: "1", at: start) == 102)
        // The same again is no change; another size is.
        #expect(try table.register(member("alpha"), instance: "1", at: start) == 102)
        #expect(try table.register(member("alpha", threads: 2), instance: "1", at: start) == 103)
        #expect(table.ready.map(\.name) == ["alpha", "beta"])
        #expect(try table.heartbeat(beat("alpha"), at: start).epoch == 103)
        let left = table.leave(name: "alpha", instance: "1")
        let again = table.leave(name: "alpha", instance: "1")
        #expect(left && !again)
        #expect(table.epoch == 104)
    }

    @Test func silenceIsLoss() throws {
        var table = table()
        _ = try table.register(member("alpha"), instance: "1", at: start)
        _ = try table.register(member("beta"), instance: "1", at: start)
        _ = try table.heartbeat(beat("beta"), at: start + .seconds(4))
        #expect(table.expire(at: start + .seconds(5)) == [])
        #expect(table.expire(at: start + .seconds(6)) == ["alpha"])
        #expect(table.expire(at: start + .seconds(6)) == [])
        #expect(table.reason("alpha") == "not heard for 6 s")
        #expect(table.ready.map(\.name) == ["beta"])
        #expect(table.epoch == 103)
        #expect(throws: CoordinatorError(.notFound, "worker alpha is not in the cluster; register again")) {
            try table.heartbeat(beat("alpha"), at: start + .seconds(7))
        }
        // Another instance of a lost name may come at once.
        #expect(try table.register(member("alpha"), instance: "2", at: start + .seconds(7)) == 104)
        #expect(table.all(busy: ["beta"], at: start + .seconds(8)).map(\.state) == ["ready", "busy"])
    }

    @Test func ourOwnPauseIsNobodysSilence() throws {
        var table = table()
        _ = try table.register(member("alpha"), instance: "1", at: start)
        #expect(table.expire(at: start + .seconds(1)) == [])
        #expect(table.expire(at: start + .seconds(100)) == [])
        for tick in 1...40 {
            #expect(table.expire(at: start + .seconds(100) + .milliseconds(100 * tick)) == [])
        }
        // Silent for one second before the pause, and for more than four after it.
        #expect(table.expire(at: start + .seconds(104.2)) == ["alpha"])
    }

    @Test func aLostConnectionIsLossUntilTheWorkerRegistersAgain() throws {
        var table = table()
        _ = try table.register(member("alpha"), instance: "1", at: start)
        #expect(table.whyNobody == nil)
        let lost = table.lose("alpha", reason: "connection refused")
        let again = table.lose("alpha", reason: "connection refused")
        #expect(lost && !again)
        #expect(table.whyNobody?.contains("alpha") == true && table.reason("alpha") == "connection refused")
        #expect(throws: CoordinatorError.self) { try table.heartbeat(beat("alpha"), at: start) }
        _ = try table.register(member("alpha"), instance: "1", at: start)
        #expect(table.ready.map(\.name) == ["alpha"])
    }

    @Test func aLiveNameIsTaken() throws {
        var table = table()
        _ = try table.register(member("alpha"), instance: "1", at: start)
        #expect {
            try table.register(member("alpha"), instance: "2", at: start)
        } throws: {
            "\($0)".hasPrefix(
                "a worker named alpha is in the cluster already, at 127.0.0.1:7001: give this one another --name"
            )
        }
    }

    @Test func otherModelsAndModesAreRefused() throws {
        var table = table()
        _ = try table.register(member("alpha"), instance: "1", at: start)
        var other = member("beta")
        other.fingerprint = "dead"
        #expect(
            throws: CoordinatorError(
                .notPossible,
                "worker beta has another model file: bytes.gguf (dead), the coordinator has bytes (f00d); copy the "
                    + "same file to both")
        ) { try table.register(other, instance: "1", at: start) }
        other = member("beta")
        other.precision = "bf16"
        #expect { try table.register(other, instance: "1", at: start) } throws: {
            "\($0)".contains("--precision")
        }
        other = member("beta")
        other.isa = "scalar"
        #expect { try table.register(other, instance: "1", at: start) } throws: {
            "\($0)".contains("same --isa")
        }
        #expect(table.ready.map(\.name) == ["alpha"])
        #expect(table.all(busy: [], at: start).map(\.state) == ["ready", "refused"])
        // It is told from the ready ones, and comes in with the right settings.
        #expect(try table.register(member("beta"), instance: "1", at: start) == 102)
    }

    @Test(arguments: ["", "a b", "ä", String(repeating: "a", count: 65), "a/b"])
    func badNames(_ name: String) {
        var table = table()
        #expect(throws: CoordinatorError.self) { try table.register(member(name), instance: "1", at: start) }
    }

    @Test func badFiguresAreRefused() {
        for change in [
            { $0.address = "nowhere" }, { $0.ringAddress = "h:0" }, { $0.threads = 0 },
            { $0.memoryBytes = 0 }, { $0.memoryBytes = .max },
        ] as [(inout MemberRecord) -> Void] {
            var table = table()
            var bad = member("alpha")
            change(&bad)
            #expect(throws: CoordinatorError.self) { try table.register(bad, instance: "1", at: start) }
            #expect(table.epoch == 100)
        }
    }

    @Test func aDrainingWorkerGetsNothingNew() throws {
        var table = table()
        for name in ["alpha", "beta"] { _ = try table.register(member(name), instance: "1", at: start) }
        var far = member("far")
        far.address = "[2001:db8::7]:7001"
        _ = try table.register(far, instance: "1", at: start)
        #expect(try table.drain("alpha", undo: false) == ["alpha"])
        #expect(table.epoch == 104)
        #expect(table.ready.map(\.name) == ["beta", "far"])
        #expect(table.all(busy: ["alpha"], at: start).map(\.state) == ["draining", "ready", "ready"])
        #expect(try table.heartbeat(beat("alpha"), at: start).drains)
        #expect(try !table.heartbeat(beat("beta"), at: start).drains)
        // Asking twice is no change, and a process that registers again drains on.
        #expect(try table.drain("alpha", undo: false) == ["alpha"])
        _ = try table.register(member("alpha"), instance: "1", at: start)
        #expect(table.epoch == 104 && table.ready.map(\.name) == ["beta", "far"])
        #expect(try table.drain("alpha", undo: true) == ["alpha"])
        #expect(table.ready.map(\.name) == ["alpha", "beta", "far"])
        // By host: all of its workers.
        #expect(try table.drain("127.0.0.1", undo: false) == ["alpha", "beta"])
        #expect(try table.drain("2001:db8::7", undo: false) == ["far"])
        #expect(table.whyNobody?.contains("alpha, beta, far draining") == true)
        // A new start of the name is a new worker.
        let left = table.leave(name: "alpha", instance: "1")
        #expect(left)
        _ = try table.register(member("alpha"), instance: "2", at: start)
        #expect(table.ready.map(\.name) == ["alpha"])
    }

    @Test func heartbeatsTellWhetherAJobHasGotOn() throws {
        var table = table()
        _ = try table.register(member("alpha"), instance: "1", at: start)
        #expect(try !table.heartbeat(beat("alpha"), at: start).hasGotOn)
        var working = beat("alpha")
        working.job = "j1"
        working.progress = .with { $0.computeSeconds = 1 }
        #expect(try table.heartbeat(working, at: start).hasGotOn)
        #expect(try !table.heartbeat(working, at: start).hasGotOn)
        working.progress?.computeSeconds = 1.5
        #expect(try table.heartbeat(working, at: start).hasGotOn)
    }

    @Test func aWorkerThatShutsDownDrainsForGood() throws {
        var table = table()
        _ = try table.register(member("alpha"), instance: "1", at: start)
        var goodbye = beat("alpha")
        goodbye.draining = true
        let first = try table.heartbeat(goodbye, at: start)
        let second = try table.heartbeat(goodbye, at: start)
        #expect(first.epoch == 102 && first.drains && second.epoch == 102 && second.drains)
        #expect(table.ready.isEmpty)
        #expect {
            try table.drain("alpha", undo: true)
        } throws: {
            "\($0)" == "worker alpha is shutting down, which cannot be undone; start it again"
        }
    }

    @Test func drainingSomebodyUnknownNamesThoseThatAreThere() throws {
        var table = table()
        #expect { try table.drain("zeta", undo: false) } throws: { "\($0)".hasSuffix("there are none") }
        _ = try table.register(member("alpha"), instance: "1", at: start)
        #expect { try table.drain("zeta", undo: false) } throws: {
            "\($0)" == "no worker and no host of the cluster is named \"zeta\"; there are alpha on 127.0.0.1"
        }
    }
}
