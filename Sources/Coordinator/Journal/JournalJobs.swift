// Jobs in the journal: submitting, running, replaying, listing, forgetting.
import Foundation
package import GRDB
package import Messages
import Numerals
import Protobuf

extension Journal {
    /// Job ids are "j" and the journal's number.
    package static func id(_ sequence: Int64) -> String { "j\(sequence)" }

    /// Nil for what can be no id.
    package static func sequence(_ id: String) -> Int64? {
        guard id.hasPrefix("j"), let number = Int64(id.dropFirst()), number > 0, Self.id(number) == id else {
            return nil
        }
        return number
    }

    /// Writes a new job with its prompt and first event. On disk when this returns.
    /// - Parameters:
    ///   - context: that the job makes, if it makes one.
    ///   - template: of the context's chat, as the job names it.
    /// - Returns: the record with its id, and its number.
    package func submit(
        _ job: JobRecord, prompt: [UInt32], chain: TokenChain? = nil, context: ContextRecord? = nil,
        template: String = ""
    ) async throws(CoordinatorError) -> (record: JobRecord, sequence: Int64) {
        try await write { db in
            try db.execute(
                sql: """
                    INSERT INTO jobs (state, name, reason, submitted_us, finished_us, last_event, record)
                    VALUES (?, '', '', 0, 0, 0, x'')
                    """, arguments: [job.state.rawValue])
            let sequence = db.lastInsertedRowID
            var record = job
            record.id = Self.id(sequence)
            let tokens = prompt.map(\.littleEndian).withUnsafeBytes { Data($0) }
            try db.execute(
                sql: "INSERT INTO prompts (job, tokens, chain) VALUES (?, ?, ?)",
                arguments: [sequence, tokens, chain.map { Data($0.encoded) }])
            if let context {
                try Self.insert(
                    db, context, by: record, tokens: tokens, chain: chain, template: template)
            }
            try Self.append(db, sequence, record, [JobEvent(.state(record))])
            return (record, sequence)
        }
    }

    /// Adds events to a job and stores its record. The numbers follow the last one; with an END event the prompt
    /// goes.
    /// - Returns: the number of the last event.
    @discardableResult
    package func append(_ events: [JobEvent], to record: JobRecord) async throws(CoordinatorError) -> UInt64 {
        let sequence = try Self.known(record.id)
        return try await write { db in try Self.append(db, sequence, record, events) }
    }

    /// The same inside a transaction.
    @discardableResult
    package static func append(
        _ db: Database, _ sequence: Int64, _ record: JobRecord, _ events: [JobEvent]
    ) throws -> UInt64 {
        guard
            let last = try Int64.fetchOne(
                db, sql: "SELECT last_event FROM jobs WHERE sequence = ?", arguments: [sequence])
        else { throw CoordinatorError(.notFound, "there is no job \(record.id)") }
        var number = last
        for event in events {
            number += 1
            // Each event has a copy: the journal must not grow by all of them.
            var numbered = event.mapJob {
                var short = $0.withoutLongOptions
                short.text = []
                return short
            }
            numbered.number = UInt64(number)
            let text = if case .tokens(let part) = event.content { part.text } else { [UInt8]() }
            try db.execute(
                sql: "INSERT INTO events VALUES (?, ?, ?, ?)",
                arguments: [sequence, number, Data(text), Data(try numbered.encoded())])
        }
        var stored = record
        stored.text = []
        stored.queuePosition = 0
        try db.execute(
            sql: """
                UPDATE jobs SET state = ?, name = ?, reason = ?, submitted_us = ?, finished_us = ?, last_event = ?,
                    record = ? WHERE sequence = ?
                """,
            arguments: [
                record.state.rawValue, record.options?.name ?? "", record.reason,
                Int64(clamping: record.submittedMicroseconds), Int64(clamping: record.finishedMicroseconds),
                number,
                Data(try stored.encoded()), sequence,
            ])
        if events.contains(where: \.isEnd) {
            try db.execute(sql: "DELETE FROM prompts WHERE job = ?", arguments: [sequence])
            if record.options?.kind == .ingest, record.state != .succeeded {
                try db.execute(sql: "DELETE FROM contexts WHERE job = ?", arguments: [sequence])
            }
        }
        return UInt64(number)
    }

    package func prompt(_ id: String) async throws(CoordinatorError) -> [UInt32] {
        let sequence = try Self.known(id)
        let data = try await read {
            try Data.fetchOne($0, sql: "SELECT tokens FROM prompts WHERE job = ?", arguments: [sequence])
        }
        guard let data else {
            throw CoordinatorError(.internalFault, "the prompt of job \(id) is not in the journal")
        }
        return Self.tokens(data)
    }

    /// The chain of a waiting job's prompt; nil: nothing of it is shared. The tokens are read only where an earlier
    /// version wrote them.
    package func chain(of job: JobRecord) async throws(CoordinatorError) -> TokenChain? {
        guard TokenChain.shares(job) else { return nil }
        let sequence = try Self.known(job.id)
        let data = try await read {
            try Data.fetchOne($0, sql: "SELECT chain FROM prompts WHERE job = ?", arguments: [sequence])
        }
        if let data { return TokenChain(encoded: [UInt8](data)) }
        return TokenChain(of: job, prompt: try await prompt(job.id))
    }

    static func tokens(_ data: Data) -> [UInt32] {
        data.withUnsafeBytes { bytes in
            (0..<bytes.count / 4).map {
                UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 4 * $0, as: UInt32.self))
            }
        }
    }

    /// A job as last written, with the answer so far; of an answer longer than a message the beginning.
    package func job(_ id: String, textLimit: Int = 3 << 20) async throws(CoordinatorError) -> JobRecord {
        let sequence = try Self.known(id)
        return try await read { db in
            guard
                let data = try Data.fetchOne(
                    db, sql: "SELECT record FROM jobs WHERE sequence = ?", arguments: [sequence])
            else { throw CoordinatorError(.notFound, "there is no job \(id)") }
            var record = Self.record(sequence, data)
            let texts = try Data.fetchCursor(
                db, sql: "SELECT text FROM events WHERE job = ? AND text <> x'' ORDER BY number",
                arguments: [sequence])
            while record.text.count < textLimit, let text = try texts.next() { record.text += text }
            record.text = Array(record.text.prefix(textLimit))
            return record
        }
    }

    /// Events from a number on, as many as fit about a megabyte; at least one if there is any.
    package func events(_ id: String, from number: UInt64) async throws(CoordinatorError) -> [JobEvent] {
        let sequence = try Self.known(id)
        return try await read { db in
            let rows = try Data.fetchCursor(
                db, sql: "SELECT event FROM events WHERE job = ? AND number >= ? ORDER BY number",
                arguments: [sequence, Int64(clamping: number)])
            var events: [JobEvent] = []
            var bytes = 0
            while bytes < 1 << 20, let data = try rows.next() {
                events.append(try JobEvent(decoding: data))
                bytes += data.count + 200
            }
            return events
        }
    }

    /// Jobs before a number, newest first, without text.
    package func jobs(before sequence: Int64, limit: Int, activeOnly: Bool) async throws(CoordinatorError)
        -> [JobRecord]
    {
        try await read { db in
            let last = activeOnly ? JobState.decode : JobState.cancelled
            return try Row.fetchAll(
                db,
                sql: """
                    SELECT sequence, record FROM jobs WHERE sequence < ? AND state <= ? ORDER BY sequence DESC LIMIT ?
                    """, arguments: [sequence, last.rawValue, limit]
            ).map { Self.record($0["sequence"], $0["record"]) }
        }
    }

    /// Adds lines to a job's log until it is full.
    package func log(_ lines: [LogLine], job id: String) async throws(CoordinatorError) {
        let sequence = try Self.known(id)
        let most = limits.logLines
        try await write { db in
            guard
                var count = try Int.fetchOne(
                    db, sql: "SELECT log_lines FROM jobs WHERE sequence = ?", arguments: [sequence])
            else { return }
            for line in lines where count < most {
                count += 1
                var line = line
                if count == most {
                    line.text = "(the log of a job keeps \(most.grouped) lines; later ones are dropped)"
                }
                try db.execute(
                    sql: "INSERT INTO log VALUES (?, ?, ?)",
                    arguments: [sequence, count, Data(try line.encoded())])
            }
            try db.execute(
                sql: "UPDATE jobs SET log_lines = ? WHERE sequence = ?", arguments: [count, sequence])
        }
    }

    /// Log lines after the first `skip`, a thousand at most.
    package func logLines(_ id: String, after skip: Int) async throws(CoordinatorError) -> [LogLine] {
        let sequence = try Self.known(id)
        return try await read { db in
            guard
                try Bool.fetchOne(
                    db, sql: "SELECT EXISTS (SELECT 1 FROM jobs WHERE sequence = ?)", arguments: [sequence])
                    == true
            else { throw CoordinatorError(.notFound, "there is no job \(id)") }
            return try Data.fetchAll(
                db, sql: "SELECT line FROM log WHERE job = ? AND number > ? ORDER BY number LIMIT 1000",
                arguments: [sequence, skip]
            ).map { try LogLine(decoding: $0) }
        }
    }

    /// Adds to a job's timeline.
    package func trace(_ part: TracePart, job id: String) async throws(CoordinatorError) {
        let sequence = try Self.known(id)
        try await write { db in
            try db.execute(
                sql: "INSERT INTO traces (job, part) VALUES (?, ?)",
                arguments: [sequence, Data(try part.encoded())])
        }
    }

    /// A part of a job's timeline after the part with this number, and its own; nil: there is none.
    package func tracePart(
        _ id: String, after number: Int64
    ) async throws(CoordinatorError) -> (number: Int64, part: TracePart)? {
        let sequence = try Self.known(id)
        return try await read { db in
            guard
                let row = try Row.fetchOne(
                    db,
                    sql:
                        "SELECT number, part FROM traces WHERE job = ? AND number > ? ORDER BY number LIMIT 1",
                    arguments: [sequence, number])
            else { return nil }
            return (row["number"], try TracePart(decoding: row["part"] as Data))
        }
    }

    /// Forgets the oldest finished jobs beyond the limit.
    package func forgetOld() async throws(CoordinatorError) {
        let most = limits.finishedJobs
        try await write { db in
            try db.execute(
                sql: """
                    DELETE FROM jobs WHERE sequence IN (
                        SELECT sequence FROM jobs WHERE state >= ? ORDER BY sequence DESC LIMIT -1 OFFSET ?)
                    """, arguments: [JobState.succeeded.rawValue, most])
        }
    }

    private static func known(_ id: String) throws(CoordinatorError) -> Int64 {
        guard let sequence = sequence(id) else {
            throw CoordinatorError(.notFound, "there is no job \(id.prefix(60))")
        }
        return sequence
    }
}
