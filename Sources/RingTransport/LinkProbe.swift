// How fast blocks travel to the next worker: `lariat.v1.Ring/Probe`, both ends.
import Kernels
package import Logging
import Messages
import NIOCore
import Numerals
package import RPC
import RingAttention

/// A stream of blocks that belong to no job, made, checked and sent as those of a job are.
package enum LinkProbe {
    /// Most that one probe may bring.
    static let mostBytes = 1 << 30
    /// A probe ends when it has sent this much, or for so long.
    private static let bytes = 256 << 20
    private static let duration: Duration = .milliseconds(400)
    private static let timeout: Duration = .seconds(5)

    /// Bytes per second to the worker that takes blocks at `address`, its receiving included.
    package static func bytesPerSecond(
        to address: RPCAddress, tls: TLSFiles?, logger: Logger
    ) async throws(RPCStatus) -> Double {
        do throws(RPCStatus) {
            let client = try await RPCClient.connect(
                to: address, tls: tls, timeout: timeout, logger: logger)
            do throws(RPCStatus) {
                let call = client.call(RingService.probe, timeout: timeout)
                // On a thread of its own: making checksums is work.
                let (sent, start) = try await onComputeThread("lariat probe") {
                    () throws(RPCStatus) -> (Int, ContinuousClock.Instant) in try send(on: call)
                }
                _ = try await call.next()
                await client.close()
                return Double(sent) / max((ContinuousClock.now - start) / .seconds(1), 1e-9)
            } catch {
                await client.close()
                throw error
            }
        } catch {
            throw RPCStatus(
                .unavailable, "the next worker, at \(address), does not take blocks: \(error.message)")
        }
    }

    private static func send(
        on call: RPCCall<RingHeader, RingReply>
    ) throws(RPCStatus) -> (Int, ContinuousClock.Instant) {
        let pattern = (0..<RingHeader.tensorLimit).map { UInt8(truncatingIfNeeded: $0) }
        let start = ContinuousClock.now
        var sent = 0
        while sent < bytes, ContinuousClock.now - start < duration {
            let tensor = ByteBuffer(bytes: pattern)
            var header = RingHeader()
            header.checksum = tensor.withUnsafeReadableBytes { crc32c($0) }
            let prefix: [UInt8]
            do { prefix = try header.encodedPrefix(tensorBytes: pattern.count) } catch {
                throw RPCStatus(.internal, "\(error)")
            }
            try call.sendBlocking(raw: [ByteBuffer(bytes: prefix), tensor], deadline: start + timeout)
            sent += pattern.count
        }
        call.finishSending()
        return (sent, start)
    }

    /// Takes a probe's messages and keeps nothing.
    package static func discard(_ next: () async throws -> ReceivedMessage?) async throws {
        var received = 0
        while let frame = try await next()?.bytes {
            let intact = try frame.withUnsafeReadableBytes { bytes in
                let (header, tensor) = try RingHeader.split(bytes)
                return crc32c(UnsafeRawBufferPointer(rebasing: bytes[tensor])) == header.checksum
            }
            guard intact else { throw RPCStatus(.dataLoss, "a probe arrived damaged (checksum)") }
            received += frame.readableBytes
            guard received <= mostBytes else {
                throw RPCStatus(.resourceExhausted, "a probe of more than \(mostBytes.grouped) bytes")
            }
        }
    }
}
