// What held up a prefill, in words. The page says the same (Coordinator/Page/state.js).

package import Messages

extension StragglerMessage {
    /// A sentence. `isOver`: the job has ended well, so that the next one knows its speeds.
    package func text(isOver: Bool) -> String {
        let lost = "\(Quantity.duration(waitedSeconds)) of \(Quantity.duration(prefillSeconds))"
        guard sender.isEmpty else {
            let rate = Quantity.bytes(UInt64(max(0, min(Double(bytes) / max(wireSeconds, 1e-9), 1e18))))
            return
                "the link from \(sender) to \(worker) is slow: \(Quantity.bytes(bytes)) in "
                + "\(Quantity.duration(wireSeconds)), \(rate)/s; \(worker) waited \(lost), most of it for blocks on "
                + "their way"
        }
        return
            "\(worker) is the slowest: \(Quantity.duration(computeSeconds)) of computing where "
            + "\(onlyOther.isEmpty ? "the others need" : "\(onlyOther) needs") \(Quantity.duration(othersSeconds)); "
            + "\(onlyOther.isEmpty ? "they" : onlyOther) waited for it \(lost)"
            + (isOver ? "; its share follows its speed from the next job on" : "")
    }
}
