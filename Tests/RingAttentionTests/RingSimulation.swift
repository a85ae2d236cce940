// A ring on a virtual clock: the schedule with given costs, links that hold nothing, and bounded queues.
import RingAttention

/// Finds when every send, receipt and attention happens, as the threads of `RingExchange` would do them. No time
/// passes; a ring that cannot go on is seen at once.
struct RingSimulation {
    let schedules: [RingSchedule]
    /// Room in every inbox, and in every forward queue.
    let capacity: Int
    /// Seconds of attention of a rank over a stripe.
    let attend: (_ rank: Int, _ stripe: Int) -> Double
    /// Seconds a stripe takes over one link.
    let transfer: (_ stripe: Int) -> Double

    /// When each rank has attended and sent everything; nil: the ring is stuck.
    func run() -> [Double]? {
        let ranks = schedules.count
        let stripes = schedules[0].stripes
        var taken: [[Double]] = .init(repeating: [], count: ranks)  // sends, when the sender has them in hand
        var sent: [[Double]] = .init(repeating: [], count: ranks)  // sends, end; = receipt at the next rank
        var started: [[Double]] = .init(repeating: [], count: ranks)  // received stripes, start of attention
        var attended: [[Double]] = .init(repeating: [], count: ranks)
        func places(_ lists: [[Int]]) -> [[Int: Int]] {
            lists.map { list in Dictionary(uniqueKeysWithValues: list.enumerated().map { ($1, $0) }) }
        }
        let receiptOf = places(schedules.map(\.receives))
        let sendOf = places(schedules.map(\.sends))
        let forwarded = schedules.map { schedule in schedule.receives.filter { schedule.forwards($0) } }
        let forwardOf = places(forwarded)

        func arrival(_ rank: Int, _ stripe: Int) -> Double? {
            if schedules[rank].hops(stripe) == 0 { return 0 }
            guard let at = receiptOf[rank][stripe] else { return nil }
            let times = sent[schedules[rank].previous]
            return at < times.count ? times[at] : nil
        }
        /// When rank has room for its receipt number `at`.
        func room(_ rank: Int, _ at: Int, _ stripe: Int) -> Double? {
            var time = 0.0
            if at >= capacity {
                guard at - capacity < started[rank].count else { return nil }
                time = started[rank][at - capacity]
            }
            if let place = forwardOf[rank][stripe], place >= capacity {
                guard let send = sendOf[rank][forwarded[rank][place - capacity]], send < taken[rank].count
                else { return nil }
                time = max(time, taken[rank][send])
            }
            return time
        }

        var moved = true
        while moved {
            moved = false
            for (rank, schedule) in schedules.enumerated() {
                let at = taken[rank].count
                if at < schedule.sends.count, sent[rank].count == at,
                    let ready = arrival(rank, schedule.sends[at])
                {
                    taken[rank].append(max(ready, sent[rank].last ?? 0))
                    moved = true
                }
                let out = sent[rank].count
                if out < taken[rank].count, let room = room(schedule.next, out, schedule.sends[out]) {
                    sent[rank].append(max(taken[rank][out], room) + transfer(schedule.sends[out]))
                    moved = true
                }
                let done = attended[rank].count
                if done < stripes, let ready = arrival(rank, done) {
                    let start = max(ready, attended[rank].last ?? 0)
                    if schedule.hops(done) > 0 { started[rank].append(start) }
                    attended[rank].append(start + attend(rank, done))
                    moved = true
                }
            }
        }
        for (rank, schedule) in schedules.enumerated()
        where sent[rank].count < schedule.sends.count || attended[rank].count < stripes { return nil }
        return (0..<ranks).map { max(sent[$0].last ?? 0, attended[$0].last ?? 0) }
    }
}
