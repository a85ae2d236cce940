// A disk whose calls fail, wait, or are the last when a test wants it.
import Dispatch
import Foundation
import KVCache
import Synchronization

/// The system's calls, of which one fails, and perhaps all after it: then the process is as good as dead.
/// It never waits for the disk, but knows what would be lost with the power.
final class FailingDisk: DiskCalls {
    enum Failure: Sendable, Equatable {
        /// The call fails with this number.
        case error(Int32)
        /// Half of the bytes are written, then the call fails.
        case short(Int32)
        /// The call and all later ones fail; what has not been synced is lost.
        case crash
        /// The call is done; all later ones fail, and what has not been synced is lost.
        case crashAfter
    }

    private struct State {
        var calls: [DiskError.Call] = []
        var failAt: Int?
        var failure = Failure.error(EIO)
        var isDead = false
        /// Calls of this kind wait.
        var held: DiskError.Call?
        /// Calls of this kind fail from now on.
        var broken: [DiskError.Call: Int32] = [:]
        var paths: [Int32: String] = [:]
        /// Files with bytes that are not on the disk, and new names that are not, with the old ones.
        var unsynced: Set<String> = []
        var renames: [(old: String, new: String, replaced: Data?)] = []
    }

    private let state = Mutex(State())
    private let system = SystemDisk()
    private let gate = DispatchGroup()
    private let arrivals = DispatchSemaphore(value: 0)

    init() {}

    /// Calls of a kind wait until `letGo`.
    func hold(_ call: DiskError.Call) {
        gate.enter()
        state.withLock { $0.held = call }
    }

    func letGo() {
        state.withLock { $0.held = nil }
        gate.leave()
    }

    /// Waits until a call waits.
    func waitForOne() -> Bool { arrivals.wait(timeout: .now() + .seconds(60)) == .success }

    /// The calls since the last time.
    func takeCalls() -> [DiskError.Call] {
        state.withLock { state in
            defer { state.calls = [] }
            return state.calls
        }
    }

    func fail(at call: Int, _ failure: Failure) {
        state.withLock { ($0.calls, $0.failAt, $0.failure) = ([], call, failure) }
    }

    func set(_ call: DiskError.Call, broken number: Int32?) { state.withLock { $0.broken[call] = number } }

    /// What a power failure takes away.
    func losePower() {
        let (unsynced, renames) = state.withLock { ($0.unsynced, $0.renames) }
        for path in unsynced { truncate(path, 0) }
        for (old, new, replaced) in renames.reversed() {
            Glibc.rename(new, old)
            if let replaced { try? replaced.write(to: URL(filePath: new)) }
        }
    }

    /// - Returns: whether the call is to be done, and the error that follows it.
    private func step(_ call: DiskError.Call) throws(DiskError) -> DiskError? {
        if state.withLock({ $0.held == call }) {
            arrivals.signal()
            gate.wait()
        }
        let (before, after): (DiskError?, DiskError?) = state.withLock { state in
            if state.isDead { return (DiskError(call, EIO), nil) }
            if let number = state.broken[call] { return (DiskError(call, number), nil) }
            defer { state.calls.append(call) }
            guard state.calls.count == state.failAt else { return (nil, nil) }
            switch state.failure {
            case .error(let number): return (DiskError(call, number), nil)
            case .short(let number):
                return call == .write ? (nil, DiskError(call, number)) : (DiskError(call, number), nil)
            case .crash:
                state.isDead = true
                return (DiskError(call, EIO), nil)
            case .crashAfter:
                state.isDead = true
                return (nil, DiskError(call, EIO))
            }
        }
        if let before { throw before }
        return after
    }

    private func done(_ error: DiskError?) throws(DiskError) { if let error { throw error } }

    func makeFolder(_ path: String) throws(DiskError) { try system.makeFolder(path) }
    func list(_ path: String, limit: Int) throws(DiskError) -> [String] {
        try system.list(path, limit: limit)
    }
    func lock(_ path: String) throws(DiskError) -> Int32 { try system.lock(path) }
    func size(_ descriptor: Int32) throws(DiskError) -> (bytes: Int, used: Int) {
        try system.size(descriptor)
    }
    func close(_ descriptor: Int32) { system.close(descriptor) }
    func touch(_ path: String) { system.touch(path) }

    func create(_ path: String) throws(DiskError) -> Int32 {
        let error = try step(.create)
        let file = try system.create(path)
        state.withLock {
            $0.paths[file] = path
            $0.unsynced.insert(path)
        }
        if error != nil { system.close(file) }
        try done(error)
        return file
    }

    func open(_ path: String) throws(DiskError) -> Int32 {
        let error = try step(.open)
        let file = try system.open(path)
        if error != nil { system.close(file) }
        try done(error)
        return file
    }

    func write(
        _ descriptor: Int32, _ bytes: UnsafeRawBufferPointer, at offset: Int
    ) throws(DiskError) -> Int {
        let error = try step(.write)
        let some = error == nil ? bytes : UnsafeRawBufferPointer(rebasing: bytes[..<(bytes.count / 2)])
        let count = try system.write(descriptor, some, at: offset)
        try done(error)
        return count
    }

    func read(
        _ descriptor: Int32, into bytes: UnsafeMutableRawBufferPointer, at offset: Int
    ) throws(DiskError) -> Int {
        let error = try step(.read)
        let count = try system.read(descriptor, into: bytes, at: offset)
        try done(error)
        return count
    }

    func syncData(_ descriptor: Int32) throws(DiskError) {
        let error = try step(.syncData)
        state.withLock { if let path = $0.paths[descriptor] { $0.unsynced.remove(path) } }
        try done(error)
    }

    func rename(_ path: String, to new: String) throws(DiskError) {
        let error = try step(.rename)
        let replaced = try? Data(contentsOf: URL(filePath: new))
        try system.rename(path, to: new)
        state.withLock {
            // What was not synced under the old name is not under the new one.
            if $0.unsynced.remove(path) != nil { $0.unsynced.insert(new) }
            $0.renames.append((path, new, replaced))
        }
        try done(error)
    }

    func syncFolder(_ path: String) throws(DiskError) {
        let error = try step(.syncFolder)
        state.withLock { $0.renames = [] }
        try done(error)
    }

    func remove(_ path: String) throws(DiskError) {
        let error = try step(.remove)
        try system.remove(path)
        try done(error)
    }
}
