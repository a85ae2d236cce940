// Plain TCP over loopback with blocking sockets: what the wire between workers is held against.
import Foundation
import Synchronization
import RingAttention

/// Sends bytes from one thread to another and measures how long that takes.
enum TCPCopy {
    /// Bytes of one write, and at most of one read.
    private static let pieceBytes = 1 << 20

    /// Seconds from the first write until all bytes were read.
    static func seconds(bytes: Int) async throws(BenchmarkError) -> Double {
        let listener = try LoopbackListener()
        let started = Mutex(ContinuousClock.now)
        async let sent: Result<Void, BenchmarkError> = onComputeThread("tcp sender") {
            do throws(BenchmarkError) {
                let connection = try LoopbackListener.connect(to: listener.port)
                defer { close(connection) }
                started.withLock { $0 = ContinuousClock.now }
                try write(bytes, to: connection)
                return .success(())
            } catch { return .failure(error) }
        }
        let received: Result<ContinuousClock.Instant, BenchmarkError> = await onComputeThread("tcp receiver")
        {
            do throws(BenchmarkError) {
                let connection = try listener.accept()
                defer { close(connection) }
                try read(bytes, from: connection)
                return .success(ContinuousClock.now)
            } catch { return .failure(error) }
        }
        // The sender's failure comes first and explains the receiver's.
        try await sent.get()
        let end = try received.get()
        return started.withLock { (end - $0) / .seconds(1) }
    }

    private static func write(_ bytes: Int, to connection: Int32) throws(BenchmarkError) {
        let block = [UInt8](repeating: 0x5a, count: pieceBytes)
        var rest = bytes
        while rest > 0 {
            let count = send(connection, block, min(rest, block.count), Int32(MSG_NOSIGNAL))
            if count < 0, errno == EINTR { continue }
            rest -= Int(try LoopbackListener.check(Int32(count), "send over loopback"))
        }
    }

    private static func read(_ bytes: Int, from connection: Int32) throws(BenchmarkError) {
        var buffer = [UInt8](repeating: 0, count: pieceBytes)
        var rest = bytes
        while rest > 0 {
            let count = recv(connection, &buffer, buffer.count, 0)
            if count < 0, errno == EINTR { continue }
            guard try LoopbackListener.check(Int32(count), "receive over loopback") > 0 else {
                throw .socket("the loopback connection ended \(rest) bytes early")
            }
            rest -= count
        }
    }
}
