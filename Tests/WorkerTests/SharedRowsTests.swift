// What the coordinator reckons that a run needs beside its past is what the worker takes.
import KVCache
import Kernels
import Messages
import Testing

@Suite struct SharedRowsTests {
    @Test(arguments: [0, 1, 128, 1023, 1024, 1025, 5000])
    func coordinatorAndWorkerAgree(rows: Int) {
        let shape = KVShape(layers: 3, rowElements: 8, element: .bf16)
        #expect(
            KVSequence.pageBytes(shape, capacity: 6000, continuing: rows)
                == (6000 - RunPast.sharedRows(of: rows)) * shape.tokenBytes)
    }
}
