// What people call a job. No I/O.

package import Messages

package enum JobNames {
    /// The ids that a text may be, the likelier first: `j9` and `9` are job 9. None where it cannot be one.
    package static func ids(_ text: String) -> [String] {
        guard (1...40).contains(text.utf8.count) else { return [] }
        return text.utf8.allSatisfy { (0x30...0x39).contains($0) } ? ["j" + text] : [text]
    }

    /// - Parameter jobs: newest first.
    package static func newest(named name: String, in jobs: [JobRecord]) -> String? {
        jobs.first { $0.options?.name == name }?.id
    }
}
