// Who may connect, and how many: values, without sockets.

import Foundation
import NIOCore
import NIOEmbedded
import Observability
import Testing

struct ConnectionSharesTests {
    @Test func portsGetAllTheyWantWherePossible() {
        let shares = ConnectionShares(openFiles: 65_536, loops: 8, grpcPorts: 1, webPorts: 1)
        #expect(shares.grpc == 1024 && shares.web == 256 && shares.monitoring == 64 && !shares.isReduced)
    }

    /// A shell's limit, a small one, one that is no limit.
    @Test(arguments: [512, 1024, 2048, 1 << 40], [1, 2, 16])
    func portsStayBelowTheLimitByTheReserve(openFiles: Int, loops: Int) {
        for (grpc, web) in [(1, 1), (1, 0), (2, 0)] {
            let shares = ConnectionShares(
                openFiles: openFiles, loops: loops, grpcPorts: grpc, webPorts: web)
            let all = grpc * shares.grpc + web * shares.web + shares.monitoring
            #expect(all <= openFiles - 100 - 3 * loops, "\(shares)")
            #expect(shares.grpc >= 8 && shares.web >= 8 && shares.monitoring >= 8)
            #expect(shares.isReduced == (openFiles < 2048 || openFiles == 2048 && grpc == 2))
        }
    }

    @Test func aPortIsNeverShutByALimit() {
        let shares = ConnectionShares(openFiles: 10, loops: 2, grpcPorts: 2, webPorts: 1)
        #expect(shares.grpc == 8 && shares.web == 8 && shares.monitoring == 8)
    }
}

struct ConnectionPlacesTests {
    private let start = ContinuousClock.now
    private func at(_ seconds: Double) -> ContinuousClock.Instant { start + .seconds(seconds) }

    @Test func thoseWhoWaitGiveWayWhenAllPlacesAreTaken() {
        var places = ConnectionPlaces<Int>(total: 4, perAddress: 4)
        for id in 1...3 {
            #expect(places.arrive(id, from: "a", at: at(Double(id) / 10)) == .admitted(leaving: nil))
        }
        places.serve(1)
        // The last place: from now on one of those who wait is in the way, the longest first.
        #expect(places.arrive(4, from: "b", at: at(5)) == .admitted(leaving: 2))
        #expect(!places.hasRoom)
        // One at a time: its place is free when it is closed.
        #expect(places.makeRoom(at: at(6)) == nil)
        places.leave(2)
        #expect(places.hasRoom && places.count == 3)
        #expect(places.arrive(5, from: "b", at: at(6)) == .admitted(leaving: 4))
    }

    @Test func whoHasJustComeMaySpeak() {
        var places = ConnectionPlaces<Int>(total: 2, perAddress: 2)
        _ = places.arrive(1, from: "a", at: at(0))
        #expect(places.arrive(2, from: "b", at: at(0.1)) == .admitted(leaving: nil))
        #expect(!places.hasRoom && places.makeRoom(at: at(0.9)) == nil)
        #expect(places.makeRoom(at: at(1)) == 1)
    }

    @Test func thoseWhoAreServedStay() {
        var places = ConnectionPlaces<Int>(total: 2, perAddress: 2)
        for id in 1...2 {
            _ = places.arrive(id, from: "a", at: at(0))
            places.serve(id)
        }
        #expect(places.makeRoom(at: at(100)) == nil && !places.hasRoom)
        places.wait(2, at: at(100))
        #expect(places.makeRoom(at: at(100.5)) == nil)
        #expect(places.makeRoom(at: at(101)) == 2)
    }

    @Test func anAddressHasItsShare() {
        var places = ConnectionPlaces<Int>(total: 8)
        #expect(places.perAddress == 6)
        for id in 1...6 { _ = places.arrive(id, from: "a", at: at(Double(id) / 100)) }
        // Its own oldest goes, at once; others have their places.
        #expect(places.arrive(7, from: "a", at: at(0.1)) == .admitted(leaving: 1))
        places.leave(1)
        for id in 2...7 { places.serve(id) }
        #expect(places.arrive(8, from: "a", at: at(10)) == .refused)
        #expect(places.arrive(9, from: "b", at: at(10)) == .admitted(leaving: nil))
        // What was refused counts until it is closed: it has a descriptor.
        #expect(places.count == 8 && !places.hasRoom)
        places.leave(8)
        #expect(places.hasRoom)
    }

    @Test func theAddressWithMostWhoWaitGivesWay() {
        var places = ConnectionPlaces<Int>(total: 5, perAddress: 4)
        _ = places.arrive(1, from: "a", at: at(0))
        for id in 2...4 { _ = places.arrive(id, from: "b", at: at(Double(id) / 10)) }
        #expect(places.arrive(5, from: "c", at: at(9)) == .admitted(leaving: 2))
    }

    /// However they come and go, there are never more than there are places.
    @Test func placesAreNeverExceeded() {
        var random = SystemRandomNumberGenerator()
        var places = ConnectionPlaces<Int>(total: 10)
        var open: Set<Int> = []
        for step in 0..<5000 {
            let now = at(Double(step) / 20)
            if places.hasRoom, Bool.random(using: &random) {
                open.insert(step)
                let address = "\(Int.random(in: 0..<3, using: &random))"
                if case .admitted(let leaving?) = places.arrive(step, from: address, at: now) {
                    #expect(open.contains(leaving) && leaving != step)
                }
            } else if let one = open.randomElement(using: &random) {
                switch Int.random(in: 0..<3, using: &random) {
                case 0: places.serve(one)
                case 1: places.wait(one, at: now)
                default:
                    places.leave(one)
                    open.remove(one)
                }
            }
            #expect(places.count == open.count && places.count <= 10)
        }
    }
}

struct AcceptPauseTests {
    private let start = NIODeadline.uptimeNanoseconds(1_000_000_000)

    @Test(arguments: [EMFILE, ENFILE, ENOBUFS, ENOMEM])
    func withoutDescriptorsOrMemoryAPortWaits(code: CInt) {
        var pause = AcceptPause()
        #expect(pause.rest(at: start) == nil)
        pause.fail(code, at: start)
        #expect(pause.rest(at: start) == .milliseconds(200))
        #expect(pause.rest(at: start + .milliseconds(150)) == .milliseconds(50))
        // It tries again, and waits as long again when there is still nothing.
        #expect(pause.rest(at: start + .milliseconds(200)) == nil)
        pause.fail(code, at: start + .milliseconds(200))
        #expect(pause.rest(at: start + .milliseconds(399)) == .milliseconds(1))
        #expect(pause.rest(at: start + .milliseconds(400)) == nil)
    }

    @Test func whoHasGoneHoldsUpNobody() {
        var pause = AcceptPause()
        pause.fail(ECONNABORTED, at: start)
        #expect(pause.rest(at: start) == nil)
        // Nor does it end a pause.
        pause.fail(EMFILE, at: start)
        pause.fail(ECONNABORTED, at: start + .milliseconds(100))
        #expect(pause.rest(at: start + .milliseconds(100)) == .milliseconds(100))
    }

    /// The door asks for no connection while it pauses, and asks again by itself.
    @Test func aDoorPauses() throws {
        let loop = EmbeddedEventLoop()
        let reads = ReadCounter()
        let listener = EmbeddedChannel(handler: reads, loop: loop)
        let door = ConnectionDoor(total: 2, perAddress: nil) { _ in }
        try door.guardListener(listener).wait()
        try listener.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
        let before = reads.count
        listener.read()
        #expect(reads.count == before + 1)
        listener.pipeline.fireErrorCaught(IOError(errnoCode: EMFILE, reason: "accept"))
        for _ in 0..<5 { listener.read() }
        loop.advanceTime(by: .milliseconds(199))
        #expect(reads.count == before + 1)
        loop.advanceTime(by: .milliseconds(1))
        #expect(reads.count == before + 2)
        listener.read()
        #expect(reads.count == before + 3)
        _ = try listener.finish()
    }
}

/// Stands for the socket: counts how often a connection was asked for.
private final class ReadCounter: ChannelOutboundHandler {
    typealias OutboundIn = Never
    private(set) var count = 0

    func read(context: ChannelHandlerContext) {
        count += 1
        context.read()
    }
}

struct ClientNetworkTests {
    @Test func anAddressOfTheSameNetworkIsTheSameClient() {
        func name(_ ip: String) -> String { ClientNetwork(ip: ip).name }
        #expect(name("10.0.0.1") == "10.0.0.1" && name("10.0.0.2") != name("10.0.0.1"))
        #expect(name("::ffff:10.0.0.1") == "10.0.0.1")
        #expect(name("2001:db8:1:2::1") == name("2001:db8:1:2:ffff::9"))
        #expect(name("2001:db8:1:3::1") != name("2001:db8:1:2::1"))
        #expect(name("fe80::1%eth0") == name("fe80::2%eth1"))
        #expect(name("") == "")
    }
}
