// Runs long computations on a thread of their own: never on the cooperative pool, which the network needs.
import Foundation

/// Runs `body` on a new thread and waits for its result without blocking a task thread.
package func onComputeThread<Value: Sendable, Failure: Error>(
    _ name: String, _ body: @escaping @Sendable () throws(Failure) -> Value
) async throws(Failure) -> Value {
    let result = await withCheckedContinuation {
        (continuation: CheckedContinuation<Result<Value, Failure>, Never>) in
        let hasStarted = DispatchSemaphore(value: 0)
        let thread = Thread {
            // For the system's tools. A thread knows itself, which its name needs, once its starter has told it.
            hasStarted.wait()
            Thread.current.name = name
            do throws(Failure) {
                continuation.resume(returning: .success(try body()))
            } catch {
                continuation.resume(returning: .failure(error))
            }
        }
        thread.stackSize = 8 << 20
        thread.start()
        hasStarted.signal()
    }
    return try result.get()
}
