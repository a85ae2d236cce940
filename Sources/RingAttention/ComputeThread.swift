// Runs long computations on a thread of their own: never on the cooperative pool, which the network needs.

/// Runs `body` on a new thread and waits for its result without blocking a task thread.
package func onComputeThread<Value: Sendable, Failure: Error>(
    _ name: String, _ body: @escaping @Sendable () throws(Failure) -> Value
) async throws(Failure) -> Value {
    let result = await withCheckedContinuation {
        (continuation: CheckedContinuation<Result<Value, Failure>, Never>) in
        RingThread.start(name, stackBytes: 8 << 20) {
            do throws(Failure) {
                continuation.resume(returning: .success(try body()))
            } catch {
                continuation.resume(returning: .failure(error))
            }
        }
    }
    return try result.get()
}
