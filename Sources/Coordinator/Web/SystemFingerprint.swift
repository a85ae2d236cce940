// `system_fingerprint` of OpenAI's API: while it stays the same, so does the answer to a request with a seed.
package import Messages

extension JobRecord {
    /// A digest of all that decides the answer besides the request: the model file, the kernels and the precision of each
    /// worker, how many of the tokens each has in the order of the ring, and the version of Lariat. Sums of floating point
    /// numbers depend on the order of summation, so the same file on other shares may give another answer.
    ///
    /// Nil while the job has no workers.
    package func systemFingerprint(version: String) -> String? {
        guard !shares.isEmpty else { return nil }
        let tokens = shares.sorted { $0.rank < $1.rank }.map { "\($0.tokens)" }.joined(separator: ",")
        let parts = [version, fingerprint, precision, isa, profile?.identity ?? "", tokens]
        // No part can hold the mark between two.
        let digest = fnv1a(parts.map { $0.replacing("\n", with: " ") }.joined(separator: "\n").utf8)
        let digits = String(digest, radix: 16)
        return "fp_" + String(repeating: "0", count: 16 - digits.count) + digits
    }
}

/// The 64-bit FNV-1a hash: the same on every machine and in every version. It is no proof against malice.
private func fnv1a(_ bytes: some Sequence<UInt8>) -> UInt64 {
    bytes.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
}
