// Measures what this worker can do, for the coordinator's forecasts: `lariat.v1.Worker/Calibrate`.
import Cluster
import Foundation
import Messages
import RPC
import RingAttention
import RingTransport
import Transformer

extension RunService {
    /// Measures computing, then the link to the next worker. The coordinator asks all workers at once, so that those
    /// that share cores or a link measure what they will get.
    func calibrate(_ request: CalibrateRequest, _ context: RPCContext) async throws -> WorkerRates {
        try check(epoch: request.epoch, of: "the request")
        let next: HostPort?
        do {
            next = request.nextRingAddress.isEmpty ? nil : try HostPort(parsing: request.nextRingAddress)
        } catch { throw RPCStatus(.invalidArgument, "\(error)") }
        return try await whileIdle {
            var rates = WorkerRates()
            rates.hostCores = UInt32(clamping: self.configuration.hostCores)
            do throws(ModelError) {
                let measured = try await onComputeThread("lariat measure") {
                    () throws(ModelError) -> ComputeRates in
                    try self.pinCaller()
                    return try ComputeRates.measure(
                        engine: self.engine, isCancelled: { context.isCancelled })
                }
                rates.denseOperationsPerSecond = measured.dense
                rates.attentionOperationsPerSecond = measured.attention
                rates.pieceKeys = measured.pieceKeys
                rates.unpackSeconds = measured.unpackSeconds
            } catch { throw RPCStatus(context.isCancelled ? .cancelled : .internal, "\(error)") }
            if let next {
                rates.linkBytesPerSecond = try await LinkProbe.bytesPerSecond(
                    to: RPCAddress(next), tls: self.configuration.tls, logger: self.logger)
            }
            return rates
        }
    }
}
