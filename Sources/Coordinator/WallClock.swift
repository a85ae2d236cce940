// The time of day, for records that people read; waits go by the continuous clock.
import Foundation

/// Microseconds since 1970.
func wallMicroseconds() -> UInt64 { UInt64(max(0, Date().timeIntervalSince1970 * 1e6)) }

extension Scheduler.Time {
    static var now: Scheduler.Time {
        Scheduler.Time(instant: ContinuousClock.now, wallMicroseconds: Coordinator.wallMicroseconds())
    }
}
