// Who may hold a connection to a port: a number of places, a share of them for each address, and who goes when all
// are taken. A value: no sockets; time is a parameter.

/// The places of one port.
///
/// A connection *waits* while nothing is owed to it: it has not yet said what it wants, or its requests are answered.
/// Strangers that connect and say nothing therefore cannot shut the port: those who wait give way to those who come.
package struct ConnectionPlaces<ID: Hashable & Sendable>: Sendable {
    package typealias Instant = ContinuousClock.Instant

    package enum Arrival: Equatable {
        /// It stays. `leaving` is to be closed for it.
        case admitted(leaving: ID?)
        /// Its address has its share already, and each of these is being served. It counts until it is closed.
        case refused
    }

    private struct Guest {
        let address: String
        /// Counts arrivals: of two that have waited as long, the one that came first is the older.
        let number: Int
        /// nil: it is being served.
        var waitsSince: Instant?
        /// Told to close, but not closed yet: it holds its descriptor until then.
        var isLeaving = false

        var canLeave: Bool { waitsSince != nil && !isLeaving }
    }

    /// Who waits no longer than this stays, though others come: it may be about to speak. Within one address the oldest
    /// gives way at once.
    package static var grace: Duration { .seconds(1) }

    package let total: Int
    package let perAddress: Int
    private var guests: [ID: Guest] = [:]
    private var arrivals = 0

    /// - Parameters:
    ///   - total: places in all, at least 1.
    ///   - perAddress: of these for one address; nil: three quarters.
    package init(total: Int, perAddress: Int? = nil) {
        self.total = max(1, total)
        self.perAddress = max(1, perAddress ?? total - total / 4)
    }

    package var count: Int { guests.count }

    /// While false, those who connect are left in the system's queue.
    package var hasRoom: Bool { guests.count < total }

    /// A connection was taken from the system's queue. It waits.
    package mutating func arrive(_ id: ID, from address: String, at now: Instant) -> Arrival {
        arrivals += 1
        var leaving: ID?
        if guests.values.count(where: { $0.address == address && !$0.isLeaving }) >= perAddress {
            leaving = longestWaiting { $0 == address }
            guard let leaving else {
                guests[id] = Guest(
                    address: address, number: arrivals, waitsSince: nil, isLeaving: true)
                return .refused
            }
            guests[leaving]?.isLeaving = true
        }
        guests[id] = Guest(address: address, number: arrivals, waitsSince: now)
        return .admitted(leaving: leaving ?? makeRoom(at: now))
    }

    /// It is served from now on, and keeps its place until it waits again.
    package mutating func serve(_ id: ID) { guests[id]?.waitsSince = nil }

    /// All that it asked for is answered.
    package mutating func wait(_ id: ID, at now: Instant) { guests[id]?.waitsSince = now }

    /// It is closed.
    package mutating func leave(_ id: ID) { guests[id] = nil }

    /// When all places are taken: who is to be closed for the next one. It is the one that has waited longest of the
    /// address that has most who wait.
    package mutating func makeRoom(at now: Instant) -> ID? {
        guard !hasRoom, !guests.values.contains(where: \.isLeaving) else { return nil }
        var waiting: [String: Int] = [:]
        for guest in guests.values where guest.canLeave { waiting[guest.address, default: 0] += 1 }
        let most = waiting.values.max()
        guard let oldest = longestWaiting(where: { waiting[$0] == most }),
            let since = guests[oldest]?.waitsSince, now - since >= Self.grace
        else { return nil }
        guests[oldest]?.isLeaving = true
        return oldest
    }

    private func longestWaiting(where fits: (String) -> Bool) -> ID? {
        let waiting = guests.compactMap { id, guest -> (id: ID, since: Instant, number: Int)? in
            guard guest.canLeave, fits(guest.address), let since = guest.waitsSince else { return nil }
            return (id, since, guest.number)
        }
        return waiting.min { ($0.since, $0.number) < ($1.since, $1.number) }?.id
    }
}
