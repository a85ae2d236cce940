// The job journal on disk: SQLite, one coordinator at a time, schema versions, and what a restart finds.
import Foundation
package import GRDB
package import Logging
package import Messages
import Protobuf

/// Jobs, their prompts, events and log lines. A write is on disk when its call returns (WAL, synchronous FULL).
///
/// SQLite does the work on GRDB's own threads; one writer, several readers.
package final class Journal: Sendable {
    package let pool: DatabasePool
    package let directory: String
    package let limits: Limits
    private let lock: DirectoryLock
    private let logger: Logger?

    package struct Limits: Sendable {
        /// Finished jobs that are kept.
        package var finishedJobs = 10_000
        /// Lines kept of one job's log; the last one says so.
        package var logLines = 10_000
        /// Pages the database may have; nil: as many as the disk takes.
        package var pages: Int?

        package init(finishedJobs: Int = 10_000, logLines: Int = 10_000, pages: Int? = nil) {
            self.finishedJobs = finishedJobs
            self.logLines = logLines
            self.pages = pages
        }
    }

    /// Opens or creates the journal in a directory.
    /// - Throws: `CoordinatorError` when another coordinator has it, it is damaged, or from a newer version.
    package init(
        directory: String, limits: Limits = Limits(), logger: Logger? = nil
    ) throws(CoordinatorError) {
        self.directory = directory
        self.logger = logger
        self.limits = limits
        try JournalFiles.makeFolder(directory)
        lock = try DirectoryLock(directory: directory)
        let path = directory + "/" + JournalFiles.database
        try JournalFiles.protect(directory)
        var configuration = Configuration()
        configuration.maximumReaderCount = 4
        configuration.busyMode = .timeout(5)
        let pages = limits.pages
        configuration.prepareDatabase { db in
            guard !db.configuration.readonly else { return }
            try db.execute(sql: "PRAGMA synchronous = FULL")
            if let pages { try db.execute(sql: "PRAGMA max_page_count = \(pages)") }
        }
        do {
            pool = try DatabasePool(path: path, configuration: configuration)
            let problem = try pool.read { try String.fetchOne($0, sql: "PRAGMA quick_check(1)") }
            guard problem == "ok" else {
                throw CoordinatorError(
                    .internalFault,
                    "the journal \(path) is damaged (\(problem ?? "no answer")); move it away to start with an "
                        + "empty one")
            }
            let migrator = Self.migrator
            guard try !pool.read(migrator.hasBeenSuperseded) else {
                throw CoordinatorError(
                    .internalFault,
                    "the journal \(path) was written by a newer version of Lariat; use that one")
            }
            try migrator.migrate(pool)
        } catch let error as CoordinatorError {
            throw error
        } catch {
            let known = Self.explained(error, in: directory, logger)
            guard known.kind == .internalFault else { throw known }
            throw CoordinatorError(.internalFault, "the journal \(path) cannot be opened: \(error)")
        }
    }

    private static var migrator: DatabaseMigrator {
        var migrator = DatabaseMigrator()
        migrator.registerMigration("1") { db in
            try db.execute(
                sql: """
                    CREATE TABLE jobs (
                        sequence INTEGER PRIMARY KEY AUTOINCREMENT,
                        state INTEGER NOT NULL,        -- JobState
                        name TEXT NOT NULL,
                        reason TEXT NOT NULL,
                        submitted_us INTEGER NOT NULL,
                        finished_us INTEGER NOT NULL,  -- 0: not finished
                        last_event INTEGER NOT NULL,
                        log_lines INTEGER NOT NULL DEFAULT 0,
                        record BLOB NOT NULL           -- lariat.v1.Job without its text
                    );
                    CREATE INDEX jobs_by_state ON jobs (state, sequence);
                    CREATE TABLE prompts (
                        job INTEGER PRIMARY KEY REFERENCES jobs (sequence) ON DELETE CASCADE,
                        tokens BLOB NOT NULL           -- 32-bit little-endian; kept until the job ends
                    );
                    CREATE TABLE events (
                        job INTEGER NOT NULL REFERENCES jobs (sequence) ON DELETE CASCADE,
                        number INTEGER NOT NULL,       -- from 1, without gaps
                        text BLOB NOT NULL,            -- what it adds to the answer
                        event BLOB NOT NULL,           -- lariat.v1.JobEvent
                        PRIMARY KEY (job, number)
                    ) WITHOUT ROWID;
                    CREATE TABLE log (
                        job INTEGER NOT NULL REFERENCES jobs (sequence) ON DELETE CASCADE,
                        number INTEGER NOT NULL,
                        line BLOB NOT NULL,            -- lariat.v1.LogLine
                        PRIMARY KEY (job, number)
                    ) WITHOUT ROWID;
                    CREATE TABLE starts (at_us INTEGER NOT NULL);
                    """)
        }
        migrator.registerMigration("2") { db in
            try db.execute(
                sql: """
                    CREATE TABLE traces (
                        number INTEGER PRIMARY KEY AUTOINCREMENT,
                        job INTEGER NOT NULL REFERENCES jobs (sequence) ON DELETE CASCADE,
                        part BLOB NOT NULL             -- lariat.v1.TracePart
                    );
                    CREATE INDEX traces_by_job ON traces (job, number);
                    """)
        }
        migrator.registerMigration("3") { db in try createContexts(db) }
        return migrator
    }

    /// Counts this start. Epochs of one start are above those of all earlier ones.
    /// - Throws: what keeps this coordinator from starting, a full disk for instance.
    package func nextStart(at now: UInt64) async throws(CoordinatorError) -> UInt64 {
        do throws(CoordinatorError) {
            return try await write { db in
                try db.execute(sql: "INSERT INTO starts VALUES (?)", arguments: [Int64(clamping: now)])
                return UInt64(db.lastInsertedRowID)
            }
        } catch {
            throw CoordinatorError(
                error.kind,
                "the coordinator cannot start, because it could not accept jobs: \(error.message)")
        }
    }

    /// Ends the jobs that ran when the last coordinator stopped, and returns those that wait.
    package func recover(at now: UInt64) async throws(CoordinatorError) -> [(
        sequence: Int64, record: JobRecord
    )] {
        try await write { db in
            let running = try Row.fetchAll(
                db, sql: "SELECT sequence, last_event, record FROM jobs WHERE state IN (?, ?)",
                arguments: [JobState.prefill.rawValue, JobState.decode.rawValue])
            for row in running {
                var record = Self.record(row["sequence"], row["record"])
                record.state = .failed
                record.reason = "the coordinator stopped while this job ran; submit it again"
                record.fault = JobFault(.stopped, detail: "the coordinator stopped")
                try Self.close(db, row["sequence"], record, at: now)
            }
            let waiting = try Row.fetchAll(
                db, sql: "SELECT sequence, record FROM jobs WHERE state = ? ORDER BY sequence",
                arguments: [JobState.queued.rawValue])
            return try waiting.compactMap { row in
                let sequence = row["sequence"] as Int64
                let record = Self.record(sequence, row["record"])
                // What cannot be read cannot be run.
                if record.state == .queued { return (sequence, record) }
                try Self.close(db, sequence, record, at: now)
                return nil
            }
        }
    }

    /// Ends a job that does not run.
    private static func close(_ db: Database, _ sequence: Int64, _ ended: JobRecord, at now: UInt64) throws {
        var record = ended
        record.finish = .error
        record.finishedMicroseconds = now
        try append(db, sequence, record, [JobEvent(.end(record))])
    }

    /// A job's record as it was written, or one that says that it cannot be read: one damaged record must not hide the
    /// others.
    static func record(_ sequence: Int64, _ data: Data) -> JobRecord {
        do throws(MessageError) { return try JobRecord(decoding: data) } catch {
            return .with {
                $0.id = id(sequence)
                $0.state = .failed
                $0.finish = .error
                $0.reason = "the journal's record of this job is damaged (\(error)); submit it again"
            }
        }
    }

    /// Runs a write transaction; what fails is said in words that help.
    package func write<T: Sendable>(_ body: @escaping @Sendable (Database) throws -> T)
        async throws(CoordinatorError) -> T
    {
        do { return try await pool.write(body) } catch { throw explained(error) }
    }

    package func read<T: Sendable>(_ body: @escaping @Sendable (Database) throws -> T)
        async throws(CoordinatorError) -> T
    {
        do { return try await pool.read(body) } catch { throw explained(error) }
    }

    private func explained(_ error: any Error) -> CoordinatorError {
        Self.explained(error, in: directory, logger)
    }

    private static func explained(
        _ error: any Error, in directory: String, _ logger: Logger?
    ) -> CoordinatorError {
        if let error = error as? CoordinatorError { return error }
        // Whoever asked has gone: no fault of the journal.
        if error is CancellationError { return CoordinatorError(.unavailable, "the request was cancelled") }
        // Clients are told no paths.
        logger?.error("the journal failed", metadata: ["directory": "\(directory)", "error": "\(error)"])
        switch (error as? DatabaseError)?.resultCode {
        case .SQLITE_FULL?:
            return CoordinatorError(
                .exhausted, "the journal cannot grow: the coordinator's disk is full; free some space")
        case .SQLITE_IOERR?, .SQLITE_CANTOPEN?, .SQLITE_READONLY?, .SQLITE_BUSY?:
            return CoordinatorError(
                .unavailable, "the journal cannot be read or written; the coordinator's log says why")
        default:
            return CoordinatorError(.internalFault, "the journal failed; the coordinator's log says why")
        }
    }
}

extension WireMessage {
    init(decoding data: Data) throws(MessageError) { try self.init(decoding: [UInt8](data)) }
}
