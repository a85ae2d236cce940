// The contexts that there are: whose they are, what decides their keys and values, and which sequence has them.
import Cluster
package import Messages
import Numerals
import Protobuf

/// Where a context's keys and values are.
package struct ContextMemory: Sendable, Equatable {
    /// The id of the sequence that begins with its tokens.
    package var sequence: String
    /// Names, by rank.
    package var workers: [String]
    package var stripeTokens: Int
    /// Of the layout, by rank.
    package var weights: [Int]
    /// Of each rank's part.
    package var kvBytes: [UInt64]

    package init(
        sequence: String, workers: [String], stripeTokens: Int, weights: [Int], kvBytes: [UInt64]
    ) {
        self.sequence = sequence
        self.workers = workers
        self.stripeTokens = stripeTokens
        self.weights = weights
        self.kvBytes = kvBytes
    }
}

/// A context as the journal has it.
package struct KnownContext: Sendable {
    package var record: ContextRecord
    package var chain: TokenChain
    package var memory: ContextMemory?

    package init(record: ContextRecord, chain: TokenChain, memory: ContextMemory? = nil) {
        self.record = record
        self.chain = chain
        self.memory = memory
    }
}

/// Contexts by owner and name.
package struct ContextTable: Sendable {
    package struct Entry: Sendable {
        package var record: ContextRecord
        /// Whole tiles of its tokens, and the digest of the last one.
        package var tiles: Int
        package var digest: TileDigest?
        /// The sequence that begins with them; nil: there is none.
        package var sequence: String?
    }

    /// Of all owners together: each is a row of the journal with all its tokens.
    package static let most = 1000
    package static let longestName = 128

    private var entries: [ContextName: Entry] = [:]

    package init() {}

    package var count: Int { entries.count }

    package subscript(name: ContextName) -> Entry? {
        get { entries[name] }
        set { entries[name] = newValue }
    }

    /// Those of one owner, last used first.
    package func all(of owner: String) -> [Entry] {
        entries.values.filter { $0.record.owner == owner }.sorted {
            $0.record.usedMicroseconds == $1.record.usedMicroseconds
                ? $0.record.name < $1.record.name : $0.record.usedMicroseconds > $1.record.usedMicroseconds
        }
    }

    package var all: [Entry] { entries.sorted { $0.key < $1.key }.map(\.value) }

    /// Whether a context may be made under this name.
    package func check(new name: ContextName) throws(CoordinatorError) {
        try Self.check(name.name)
        if let there = entries[name] {
            throw CoordinatorError(
                .notPossible,
                "there is a context \(name.name) already, made by job \(there.record.job): ask about it, remove it "
                    + "with `lariat context rm \(name.name)`, or take another name")
        }
        guard entries.count < Self.most else {
            throw CoordinatorError(
                .exhausted,
                "there are \(Self.most.grouped) contexts, which is the limit; remove one with `lariat context rm "
                    + "NAME`")
        }
    }

    package static func check(_ name: String) throws(CoordinatorError) {
        guard (1...longestName).contains(name.utf8.count), name.utf8.allSatisfy(\.isNameCharacter) else {
            throw CoordinatorError(
                .invalid,
                "a context's name must be 1 to \(longestName) letters, digits, '-', '_' or '.', not "
                    + "\"\(name.prefix(60))\"")
        }
    }

    package static func unknown(_ name: String) -> CoordinatorError {
        CoordinatorError(
            .notFound,
            "there is no context \(name.prefix(longestName)); `lariat contexts` shows those that there are, "
                + "`lariat context add` makes one")
    }
}

extension ContextName {
    init(_ record: ContextRecord) { self.init(owner: record.owner, name: record.name) }

    /// The context that a job makes or asks about; nil: none.
    init?(of job: JobRecord) {
        guard let name = job.options?.context, !name.isEmpty else { return nil }
        self.init(owner: job.owner, name: name)
    }
}

extension ContextRecord {
    /// The context that a job is to make; nil for other jobs.
    init?(made job: JobRecord) {
        guard let options = job.options, options.kind == .ingest else { return nil }
        self = .with {
            $0.name = options.context
            $0.owner = job.owner
            $0.tokens = job.promptTokens
            $0.createdMicroseconds = job.submittedMicroseconds
            $0.usedMicroseconds = job.submittedMicroseconds
            $0.profile = job.profile
            $0.reservedTokens = UInt64(options.maxTokens)
            $0.model = job.model
            $0.fingerprint = job.fingerprint
            $0.chat = options.chat
        }
    }
}
