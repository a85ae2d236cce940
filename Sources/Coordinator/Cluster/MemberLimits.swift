// What a worker may say of itself: bounded, before anything of it is kept or shown.
import Cluster
package import Messages
import Numerals
import Protobuf

/// The limits of a member's fields. A thousand members with the longest of all fit one message.
package enum MemberLimits {
    package static let name = 64
    package static let instance = 64
    package static let address = 300
    /// Instruction set and precision.
    package static let setting = 16
    package static let fingerprint = 128
    package static let model = 255
    package static let version = 64
    /// The id of the job that a heartbeat names.
    package static let job = 128
    /// A reason, as it is shown.
    package static let reason = 500

    /// The member with those fields alone that a worker says of itself.
    package static func checked(_ member: MemberRecord, instance: String) throws(CoordinatorError)
        -> MemberRecord
    {
        func require(_ holds: Bool, _ text: String) throws(CoordinatorError) {
            guard holds else { throw CoordinatorError(.invalid, "this worker cannot join: \(text)") }
        }
        func limit(_ what: String, _ text: String, _ most: Int) throws(CoordinatorError) {
            try require(
                text.utf8.count <= most,
                "its \(what) has \(text.utf8.count.grouped) bytes; the limit is \(most.grouped)")
        }
        try require(
            member.name.utf8.allSatisfy(\.isNameCharacter) && (1...name).contains(member.name.utf8.count),
            "its name must be 1 to \(name) letters, digits, '-', '_' or '.'")
        try require(
            (1...Self.instance).contains(instance.utf8.count),
            "it gave no instance of 1 to \(Self.instance) bytes")
        for address in [member.address, member.ringAddress] {
            let port = address.split(separator: ":").last.flatMap { Int($0) } ?? 0
            try require(
                address.utf8.count <= Self.address && address.contains(":") && (1...65535).contains(port),
                "its addresses must be host:port, not \"\(address.prefix(60))\"")
        }
        try limit("instruction set", member.isa, setting)
        try limit("precision", member.precision, setting)
        try limit("model's fingerprint", member.fingerprint, fingerprint)
        try limit("model's name", member.model, model)
        try limit("version", member.version, version)
        try require(
            (1...4096).contains(member.threads),
            "it has \(member.threads.grouped) threads; 1 to 4,096 are possible")
        try require(
            member.memoryBytes > 0 && member.memoryBytes <= 1 << 60,
            "its memory for keys and values is \(member.memoryBytes.grouped) bytes")
        try require(member.hostCores <= 65_536, "its host has \(member.hostCores.grouped) cores")
        // State, reason, job and progress are the coordinator's to say.
        return MemberRecord.with {
            $0.name = member.name
            $0.address = member.address
            $0.ringAddress = member.ringAddress
            $0.threads = member.threads
            $0.memoryBytes = member.memoryBytes
            $0.kvDiskBytes = member.kvDiskBytes
            $0.isa = member.isa
            $0.precision = member.precision
            $0.fingerprint = member.fingerprint
            $0.model = member.model
            $0.version = member.version
            $0.hostCores = member.hostCores
            $0.order = member.order
            $0.protocol = member.protocol
        }
    }
}
