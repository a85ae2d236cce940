// `system_fingerprint`: another split, other kernels, another precision or file give another one, the same plan the same.

import Coordinator
import Messages
import Protobuf
import Testing

@Suite struct FingerprintTests {
    private func fingerprint(
        _ tokens: [UInt64] = [60, 40], isa: String = "avx2", precision: String = "f32", file: String = "f00d",
        version: String = "1.0", workers: [String] = ["alpha", "beta", "gamma"]
    ) -> String? {
        JobRecord.with {
            $0.id = "j\(tokens.count)"
            $0.fingerprint = file
            $0.precision = precision
            $0.isa = isa
            $0.shares = tokens.indices.map { rank in
                .with {
                    $0.rank = UInt32(rank)
                    $0.worker = workers[rank]
                    $0.tokens = tokens[rank]
                    $0.computeSeconds = Double.random(in: 0...1)
                }
            }
        }.systemFingerprint(version: version)
    }

    @Test func theSamePlanTheSame() {
        #expect(fingerprint() == "fp_ec736091acb07ed4", "FNV-1a of the parts, a line each")
        // Who they are and how long they took does not matter.
        #expect(fingerprint() == fingerprint(workers: ["x", "y"]))
    }

    @Test func anythingElseIsAnother() {
        let all = [
            fingerprint(), fingerprint([59, 41]), fingerprint([40, 60]), fingerprint([60, 40, 0]),
            fingerprint([100]), fingerprint(isa: "avx512bf16"), fingerprint(isa: "avx2, scalar"),
            fingerprint(precision: "bf16"), fingerprint(file: "beef"), fingerprint(version: "1.1"),
        ]
        #expect(Set(all).count == all.count)
    }

    @Test func nothingIsPromisedBeforeThereIsAPlan() { #expect(fingerprint([]) == nil) }

    /// As the coordinator makes it: by the plan, from members of different kinds.
    @Test func plansNameTheirKernels() throws {
        var mixed = [member("a"), member("b")]
        let admission = Admission(model: ByteModel())
        func isa() throws -> String {
            try JobPlan(prompt: 10, reserved: 1, members: mixed, admission: admission).isa
        }
        #expect(try isa() == "avx2")
        mixed[1].isa = "scalar"
        #expect(try isa() == "avx2, scalar")
    }
}
