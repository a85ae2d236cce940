// Membership: who may join, who is lost, and how the epoch counts.
import Coordinator
import Messages
import Protobuf
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
        #expect(try table.heartbeat(beat("alpha"), isPlaced: true, at: start).epoch == 103)
        let left = table.leave(name: "alpha", instance: "1")
        let again = table.leave(name: "alpha", instance: "1")
        #expect(left && !again)
        #expect(table.epoch == 104)
    }

    @Test func silenceIsLoss() throws {
        var table = table()
        _ = try table.register(member("alpha"), instance: "1", at: start)
        _ = try table.register(member("beta"), instance: "1", at: start)
        _ = try table.heartbeat(beat("beta"), isPlaced: true, at: start + .seconds(4))
        #expect(table.expire(at: start + .seconds(5)) == [])
        #expect(table.expire(at: start + .seconds(6)) == ["alpha"])
        #expect(table.expire(at: start + .seconds(6)) == [])
        #expect(table.reason("alpha") == "not heard for 6 s")
        #expect(table.ready.map(\.name) == ["beta"])
        #expect(table.epoch == 103)
        #expect(throws: CoordinatorError(.notFound, "worker alpha is not in the cluster; register again")) {
            try table.heartbeat(beat("alpha"), isPlaced: true, at: start + .seconds(7))
        }
        // Another instance of a lost name may come at once.
        #expect(try table.register(member("alpha"), instance: "2", at: start + .seconds(7)) == 104)
        #expect(table.all(busy: ["beta"], at: start + .seconds(8)).map(\.state) == [.ready, .busy])
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
        #expect(throws: CoordinatorError.self) {
            try table.heartbeat(beat("alpha"), isPlaced: true, at: start)
        }
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
        #expect(table.all(busy: [], at: start).map(\.state) == [.ready, .refused])
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
        #expect(table.all(busy: ["alpha"], at: start).map(\.state) == [.draining, .ready, .ready])
        #expect(try table.heartbeat(beat("alpha"), isPlaced: true, at: start).drains)
        #expect(try !table.heartbeat(beat("beta"), isPlaced: true, at: start).drains)
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
        #expect(try !table.heartbeat(beat("alpha"), isPlaced: true, at: start).hasGotOn)
        var working = beat("alpha")
        working.job = "j1"
        working.progress = .with { $0.computeSeconds = 1 }
        #expect(try table.heartbeat(working, isPlaced: true, at: start).hasGotOn)
        #expect(try !table.heartbeat(working, isPlaced: true, at: start).hasGotOn)
        working.progress?.computeSeconds = 1.5
        #expect(try table.heartbeat(working, isPlaced: true, at: start).hasGotOn)
    }

    /// What froze there may go on for ever; nobody else is to wait for it.
    @Test func aWorkerThatStillRunsAnEndedJobGetsNone() throws {
        var table = table()
        for name in ["alpha", "beta"] { _ = try table.register(member(name), instance: "1", at: start) }
        var working = beat("beta")
        working.job = "j1"
        _ = try table.heartbeat(working, isPlaced: true, at: start)
        #expect(table.ready.map(\.name) == ["alpha", "beta"])
        // The last word before the end may come a moment after it.
        table.ended("j1", on: ["alpha", "beta"], at: start)
        _ = try table.heartbeat(working, isPlaced: false, at: start + .milliseconds(500))
        #expect(table.ready.map(\.name) == ["alpha", "beta"])
        let epoch = table.epoch
        _ = try table.heartbeat(working, isPlaced: false, at: start + .seconds(2))
        #expect(table.ready.map(\.name) == ["alpha"] && table.epoch == epoch + 1)
        let shown = table.all(busy: [], at: start + .seconds(2))
        #expect(shown.map(\.state) == [.ready, .aside])
        #expect(shown[1].reason == "still runs j1, which ended; restart it if this lasts")
        // It lets go.
        _ = try table.heartbeat(beat("beta"), isPlaced: false, at: start + .seconds(3))
        #expect(table.ready.map(\.name) == ["alpha", "beta"])
        // A job that nobody here has ever placed is none of ours.
        working.job = "j99"
        _ = try table.heartbeat(working, isPlaced: false, at: start + .seconds(3))
        #expect(table.ready.map(\.name) == ["alpha"])
    }

    @Test func whoIsSetAsideComesBack() throws {
        var table = table()
        _ = try table.register(member("alpha"), instance: "1", at: start)
        #expect(table.setAside("nobody", why: "", at: start) == nil)
        #expect(
            table.setAside("alpha", why: "no answer to the plan", at: start)
                == "set aside for 10 s: no answer to the plan")
        #expect(table.ready.isEmpty)
        #expect(
            table.whyNobody
                == "no worker takes jobs (worker alpha set aside for 10 s: no answer to the plan)")
        // Registering again does not help the same process; another one is another worker.
        _ = try table.register(member("alpha"), instance: "1", at: start)
        #expect(table.ready.isEmpty)
        _ = table.expire(at: start + .milliseconds(500))
        func wait(to seconds: Int) throws {
            for tick in 1...(2 * seconds) {
                let now = start + .milliseconds(500 * tick)
                _ = try table.heartbeat(beat("alpha"), isPlaced: false, at: now)
                _ = table.expire(at: now)
            }
        }
        try wait(to: 9)
        #expect(table.ready.isEmpty)
        try wait(to: 10)
        #expect(table.ready.map(\.name) == ["alpha"])
        _ = table.setAside("alpha", why: "again", at: start + .seconds(10))
        #expect(table.all(busy: [], at: start).map(\.reason) == ["set aside for 20 s: again"])
        let left = table.leave(name: "alpha", instance: "1")
        #expect(left)
        _ = try table.register(member("alpha"), instance: "2", at: start + .seconds(11))
        #expect(table.ready.map(\.name) == ["alpha"])
    }

    @Test func otherProtocolsAreRefused() throws {
        var table = table()
        for (theirs, older) in [(UInt32(0), "worker old"), (LariatProtocol.current + 1, "this coordinator")] {
            var other = member("old")
            other.protocol = theirs
            #expect {
                try table.register(other, instance: "1", at: start)
            } throws: {
                let error = $0 as? CoordinatorError
                return error?.kind == .notPossible
                    && error?.message
                        == "this coordinator speaks protocol \(LariatProtocol.current), worker old protocol "
                        + "\(theirs): upgrade Lariat on \(older)"
            }
        }
        #expect(table.ready.isEmpty && table.all(busy: [], at: start).map(\.state) == [.refused])
    }

    @Test func longTextsAreRefused() throws {
        let long = String(repeating: "x", count: 4_100_000)
        for change in [
            { $0.isa = long }, { $0.precision = long }, { $0.fingerprint = long }, { $0.model = long },
            { $0.version = long }, { $0.address = long },
        ] as [(inout MemberRecord) -> Void] {
            var table = table()
            var bad = member("alpha")
            change(&bad)
            #expect(throws: CoordinatorError.self) { try table.register(bad, instance: "1", at: start) }
            #expect(table.all(busy: [], at: start).isEmpty)
        }
    }

    /// What a worker says beyond what is its to say is not kept.
    @Test func onlyItsOwnFieldsAreTaken() throws {
        var table = table()
        var liar = member("alpha")
        liar.reason = String(repeating: "x", count: 4_100_000)
        liar.state = .lost
        liar.job = liar.reason
        _ = try table.register(liar, instance: "1", at: start)
        #expect(try table.all(busy: [], at: start)[0].encoded().count < 500)
        var long = beat("alpha")
        long.job = liar.reason
        #expect(throws: CoordinatorError.self) {
            try table.heartbeat(long, isPlaced: false, at: start)
        }
    }

    @Test func thoseThatAreGoneAreBoundedInNumber() throws {
        var table = table()
        for number in 0..<3000 {
            _ = try table.register(member("w\(number)"), instance: "1", at: start)
            _ = table.lose("w\(number)", reason: "gone")
            if number % 3 == 0 {
                var other = member("r\(number)")
                other.fingerprint = "dead"
                _ = try? table.register(other, instance: "1", at: start)
            }
        }
        #expect(table.all(busy: [], at: start).count <= MemberTable.mostRemembered + 1)
    }

    /// A full cluster with the longest texts that are taken fits the message that shows it.
    @Test func aFullTableFitsAMessage() throws {
        var table = table()
        for number in 0..<MemberTable.mostMembers {
            var full = member(
                String(repeating: "n", count: MemberLimits.name - 4) + "\(1000 + number % 9000)")
            full.name = String(full.name.suffix(MemberLimits.name))
            full.address = String(repeating: "h", count: MemberLimits.address - 5) + ":7001"
            full.ringAddress = full.address
            full.isa = String(repeating: "i", count: MemberLimits.setting)
            full.model = String(repeating: "m", count: MemberLimits.model)
            full.version = String(repeating: "v", count: MemberLimits.version)
            _ = try table.register(full, instance: "1", at: start)
            _ = table.setAside(full.name, why: String(repeating: "r", count: 5000), at: start)
        }
        let state = ClusterState.with { $0.members = table.all(busy: [], at: start) }
        #expect(state.members.count == MemberTable.mostMembers)
        #expect(try state.encoded().count < 4 << 20)
    }

    @Test func theRingFollowsTheSpecification() throws {
        var table = table()
        for (name, order) in [("beta", 0), ("w10", 0), ("w2", 0), ("zeta", 1), ("eta", 2), ("alpha", 0)] {
            var one = member(name)
            one.order = UInt32(order)
            _ = try table.register(one, instance: "1", at: start)
        }
        #expect(table.ready.map(\.name) == ["zeta", "eta", "alpha", "beta", "w2", "w10"])
    }

    @Test func aWorkerThatShutsDownDrainsForGood() throws {
        var table = table()
        _ = try table.register(member("alpha"), instance: "1", at: start)
        var goodbye = beat("alpha")
        goodbye.draining = true
        let first = try table.heartbeat(goodbye, isPlaced: true, at: start)
        let second = try table.heartbeat(goodbye, isPlaced: true, at: start)
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
