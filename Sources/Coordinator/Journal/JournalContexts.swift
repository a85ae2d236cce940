// Contexts in the journal: their tokens, what is known of them, and where their keys and values were last.
import Foundation
import GRDB
package import Messages
import Protobuf

extension Journal {
    static func createContexts(_ db: Database) throws {
        try db.execute(
            sql: """
                CREATE TABLE contexts (
                    owner TEXT NOT NULL,           -- the name of a token; empty: none was asked for
                    name TEXT NOT NULL,
                    job INTEGER NOT NULL,          -- that makes it, or did; it may be forgotten
                    record BLOB NOT NULL,          -- lariat.v1.Context
                    template TEXT NOT NULL,        -- of its chat, as its job named it
                    precision TEXT NOT NULL,       -- of the cluster that made it
                    chain BLOB NOT NULL,           -- digests of its tiles, in that precision
                    sequence TEXT NOT NULL,        -- that has its keys and values; empty: none
                    workers TEXT NOT NULL,         -- of the sequence, by rank: these have spaces between
                    stripe INTEGER NOT NULL,
                    weights TEXT NOT NULL,
                    kv_bytes TEXT NOT NULL,
                    PRIMARY KEY (owner, name)
                );
                CREATE INDEX contexts_by_job ON contexts (job);
                CREATE TABLE context_tokens (
                    owner TEXT NOT NULL,
                    name TEXT NOT NULL,
                    tokens BLOB NOT NULL,          -- 32-bit little-endian
                    PRIMARY KEY (owner, name),
                    FOREIGN KEY (owner, name) REFERENCES contexts (owner, name) ON DELETE CASCADE
                );
                -- Digests of the prompt's tiles; NULL: nothing of it is shared, or an earlier version wrote it.
                ALTER TABLE prompts ADD COLUMN chain BLOB;
                """)
    }

    /// With the job that makes it, whose precision the chain of its prompt is in.
    static func insert(
        _ db: Database, _ made: ContextRecord, by job: JobRecord, tokens: Data, chain: TokenChain?,
        template: String
    ) throws {
        var record = made
        record.job = job.id
        let isThere = try Bool.fetchOne(
            db, sql: "SELECT EXISTS (SELECT 1 FROM contexts WHERE owner = ? AND name = ?)",
            arguments: [record.owner, record.name])
        guard isThere != true else {
            throw CoordinatorError(
                .notPossible, "there is a context \(record.name) already; remove it, or take another name")
        }
        try db.execute(
            sql: "INSERT INTO contexts VALUES (?, ?, ?, ?, ?, ?, ?, '', '', 0, '', '')",
            arguments: [
                record.owner, record.name, sequence(job.id), Data(try record.encoded()), template,
                job.precision, Data(chain?.encoded ?? []),
            ])
        try db.execute(
            sql: "INSERT INTO context_tokens VALUES (?, ?, ?)",
            arguments: [record.owner, record.name, tokens])
    }

    /// What a context has become; nothing where it is gone.
    package func save(_ record: ContextRecord, _ memory: ContextMemory?) async throws(CoordinatorError) {
        try await write { db in
            try db.execute(
                sql: """
                    UPDATE contexts SET record = ?, sequence = ?, workers = ?, stripe = ?, weights = ?, kv_bytes = ?
                    WHERE owner = ? AND name = ?
                    """,
                arguments: [
                    Data(try record.encoded()), memory?.sequence ?? "",
                    memory?.workers.joined(separator: " ") ?? "", memory?.stripeTokens ?? 0,
                    Self.list(memory?.weights ?? []), Self.list(memory?.kvBytes ?? []), record.owner,
                    record.name,
                ])
        }
    }

    package func remove(_ name: ContextName) async throws(CoordinatorError) {
        try await write { db in
            try db.execute(
                sql: "DELETE FROM contexts WHERE owner = ? AND name = ?", arguments: [name.owner, name.name])
        }
    }

    /// - Throws: `notFound`.
    package func tokens(of name: ContextName) async throws(CoordinatorError) -> [UInt32] {
        let data = try await read { db in
            try Data.fetchOne(
                db, sql: "SELECT tokens FROM context_tokens WHERE owner = ? AND name = ?",
                arguments: [name.owner, name.name])
        }
        guard let data else { throw ContextTable.unknown(name.name) }
        return Self.tokens(data)
    }

    /// The chat template of a context, as its job named it.
    package func template(of name: ContextName) async throws(CoordinatorError) -> String {
        let text = try await read { db in
            try String.fetchOne(
                db, sql: "SELECT template FROM contexts WHERE owner = ? AND name = ?",
                arguments: [name.owner, name.name])
        }
        guard let text else { throw ContextTable.unknown(name.name) }
        return text
    }

    /// All contexts with the digests of their tokens. Those that cannot be read are left out.
    /// - Parameter precision: of the cluster.
    package func contexts(precision: String) async throws(CoordinatorError) -> [KnownContext] {
        let names = try await read { db in
            try Row.fetchAll(db, sql: "SELECT owner, name FROM contexts ORDER BY owner, name").map {
                ContextName(owner: $0["owner"], name: $0["name"])
            }
        }
        var found: [KnownContext] = []
        // One after another: the tokens of one that was made in another precision may be millions.
        for name in names {
            if let known = try await context(name, precision: precision) { found.append(known) }
        }
        return found
    }

    private func context(
        _ name: ContextName, precision: String
    ) async throws(CoordinatorError) -> KnownContext? {
        try await read { db in
            guard
                let row = try Row.fetchOne(
                    db,
                    sql: """
                        SELECT contexts.*, CASE WHEN precision = ? THEN NULL ELSE tokens END AS tokens
                        FROM contexts JOIN context_tokens USING (owner, name) WHERE owner = ? AND name = ?
                        """, arguments: [precision, name.owner, name.name]),
                let record = try? ContextRecord(decoding: row["record"] as Data)
            else { return nil }
            let chain: TokenChain
            if let tokens = row["tokens"] as Data? {
                let root = TokenChain.Root(
                    fingerprint: record.fingerprint, precision: precision, owner: record.owner,
                    profile: record.profile?.identity ?? "")
                chain = TokenChain(root, tokens: Self.tokens(tokens))
            } else if let known = TokenChain(encoded: [UInt8](row["chain"] as Data)) {
                chain = known
            } else {
                return nil
            }
            let sequence = row["sequence"] as String
            let memory = ContextMemory(
                sequence: sequence,
                workers: (row["workers"] as String).split(separator: " ").map(String.init),
                stripeTokens: row["stripe"], weights: Self.numbers(row["weights"]),
                kvBytes: Self.numbers(row["kv_bytes"]))
            return KnownContext(record: record, chain: chain, memory: sequence.isEmpty ? nil : memory)
        }
    }

    private static func list(_ numbers: [some FixedWidthInteger]) -> String {
        numbers.map { String($0) }.joined(separator: " ")
    }

    private static func numbers<T: FixedWidthInteger>(_ text: String) -> [T] {
        text.split(separator: " ").compactMap { T($0) }
    }
}
