// The journal: what is written stays, numbers have no gaps, limits hold.
import Coordinator
import Foundation
import GRDB
import Messages
import Protobuf
import Testing

@Suite struct JournalTests {
    private let job = JobRecord.with {
        $0.state = .queued
        $0.options = .with { $0.name = "n" }
    }

    @Test func writesSurviveReopening() async throws {
        let directory = try TemporaryDirectory()
        let id: String
        do {
            let journal = try Journal(directory: directory.path)
            id = try await journal.submit(job, prompt: [7, .max, 0]).record.id
            #expect(try await journal.nextStart(at: 5) == 1)
        }
        let journal = try await openJournal(directory)
        #expect(try await journal.nextStart(at: 6) == 2)
        #expect(try await journal.prompt(id) == [7, .max, 0])
        #expect(try await journal.job(id).options?.name == "n")
        #expect(try await journal.recover(at: 1).map(\.record.id) == [id])
        #expect(try await journal.events(id, from: 0).map(\.number) == [1])
    }

    @Test func oneCoordinatorAtATime() throws {
        let directory = try TemporaryDirectory()
        let journal = try Journal(directory: directory.path)
        #expect {
            try Journal(directory: directory.path)
        } throws: {
            "\($0)".hasPrefix("another coordinator uses the data directory \(directory.path); stop it")
        }
        withExtendedLifetime(journal) {}
    }

    @Test func damageAndUnwritableDirectoriesAreClear() throws {
        let directory = try TemporaryDirectory()
        try Data(repeating: 0x5a, count: 10_000).write(to: URL(filePath: directory.path + "/journal.sqlite"))
        #expect { try Journal(directory: directory.path) } throws: { "\($0)".contains("journal.sqlite") }
        #expect { try Journal(directory: "/proc/lariat") } throws: { "\($0)".contains("/proc/lariat") }
    }

    private func mode(_ path: String) throws -> Int {
        try #require(
            FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? NSNumber
        ).intValue
    }

    /// Prompts and answers are nobody else's.
    @Test func onlyTheOwnerMayRead() async throws {
        let parent = try TemporaryDirectory()
        let directory = parent.path + "/new/data"
        let files = ["journal.sqlite", "journal.sqlite-wal", "journal.sqlite-shm", "lock"]
        do {
            let journal = try Journal(directory: directory)
            _ = try await journal.submit(job, prompt: [1])
            #expect(try mode(directory) == 0o700)
            for file in files { #expect(try mode(directory + "/" + file) == 0o600, "\(file)") }
            // As an earlier version left them.
            for file in files {
                try FileManager.default.setAttributes(
                    [.posixPermissions: 0o644], ofItemAtPath: directory + "/" + file)
            }
            withExtendedLifetime(journal) {}
        }
        let journal = try await openJournal(at: directory)
        _ = try await journal.submit(job, prompt: [1])
        for file in files { #expect(try mode(directory + "/" + file) == 0o600, "\(file)") }
    }

    /// One damaged record hides no other, and keeps no coordinator from starting.
    @Test func aDamagedRecordIsShownAsOne() async throws {
        let journal = try Journal(directory: TemporaryDirectory().path)
        var ids: [String] = []
        for _ in 0..<3 { ids.append(try await journal.submit(job, prompt: [1]).record.id) }
        try await journal.write { db in
            try db.execute(sql: "UPDATE jobs SET record = x'ffffff' WHERE sequence = 2")
        }
        let page = try await journal.jobs(before: .max, limit: 10, activeOnly: false)
        #expect(page.map(\.id) == ids.reversed())
        #expect(page[1].state == .failed && page[1].reason.contains("record of this job is damaged"))
        #expect(try await journal.job(ids[1]).reason.contains("damaged"))
        #expect(try await journal.recover(at: 5).map(\.record.id) == [ids[0], ids[2]])
        // Its end is in the journal now.
        #expect(try await journal.job(ids[1]).finishedMicroseconds == 5)
        #expect(try await journal.events(ids[1], from: 2).map(\.isEnd) == [true])
    }

    @Test func aFullDiskAtTheStartSaysSo() async throws {
        let directory = try TemporaryDirectory()
        do {
            let journal = try Journal(directory: directory.path, limits: Journal.Limits(pages: 30))
            while (try? await journal.submit(job, prompt: Array(repeating: 1, count: 1000))) != nil {}
        }
        var error: CoordinatorError?
        do {
            let journal = try await openJournal(directory, limits: Journal.Limits(pages: 1))
            for _ in 0..<1000 { _ = try await journal.nextStart(at: 1) }
        } catch let full as CoordinatorError { error = full }
        #expect(error?.kind == .exhausted)
        #expect(error?.message.contains("is full; free some space") == true)
    }

    @Test func unknownJobsAreNotFound() async throws {
        let journal = try Journal(directory: TemporaryDirectory().path)
        for id in ["", "j", "j0", "j-1", "j01", "x1", "j1", "j99999999999999999999"] {
            await #expect(throws: CoordinatorError(.notFound, "there is no job \(id)")) {
                try await journal.job(id)
            }
        }
    }

    /// What may be long is written once: with the job, or with its prompt.
    @Test func eventsHaveNoCopiesOfLongOptions() async throws {
        let bench = try await Bench(TemporaryDirectory(), names: [])
        let long = String(repeating: "s", count: 1 << 20)
        let id = try await bench.submit(
            "hello",
            .with {
                $0.system = long
                $0.stop = ["stop"]
                $0.rope = .with { $0.tables = [.with { $0.factors = Array(repeating: 1, count: 2000) }] }
            }
        ).id
        let kept = try await bench.journal.job(id)
        #expect(kept.options?.system == "" && kept.options?.stop == ["stop"])
        #expect(kept.options?.rope?.tables.first?.factors.count == 2000)
        let events = try await bench.journal.events(id, from: 0)
        #expect(events.count == 1 && events[0].job?.options?.rope?.tables == [])
        #expect(try events[0].encoded().count < 1000)
    }

    @Test func longReplaysComeInParts() async throws {
        let journal = try Journal(directory: TemporaryDirectory().path)
        let record = try await journal.submit(job, prompt: [1]).record
        let piece = [UInt8](repeating: 65, count: 400_000)
        for _ in 0..<10 {
            try await journal.append(
                [JobEvent(.tokens(AnswerPart(text: piece, tokens: [])))], to: record)
        }
        var seen: [UInt64] = []
        while true {
            let part = try await journal.events(record.id, from: (seen.last ?? 0) + 1)
            if part.isEmpty { break }
            #expect(part.reduce(0) { $0 + ($1.answer?.text.count ?? 0) } <= 1_200_000)
            seen += part.map(\.number)
        }
        #expect(seen == Array(1...11))
        // A record fits a message, however long the answer.
        #expect(try await journal.job(record.id).text.count == 3 << 20)
    }

    @Test func thePromptGoesWithTheEnd() async throws {
        let journal = try Journal(directory: TemporaryDirectory().path)
        var record = try await journal.submit(job, prompt: [1, 2, 3]).record
        record.state = .succeeded
        try await journal.append([JobEvent(.end(record))], to: record)
        await #expect(throws: CoordinatorError.self) { try await journal.prompt(record.id) }
    }

    @Test func aLogIsCutAndSaysSo() async throws {
        let journal = try Journal(directory: TemporaryDirectory().path, limits: Journal.Limits(logLines: 5))
        let id = try await journal.submit(job, prompt: [1]).record.id
        for index in 0..<8 { try await journal.log([.with { $0.text = "\(index)" }], job: id) }
        let lines = try await journal.logLines(id, after: 0)
        #expect(
            lines.map(\.text) == [
                "0", "1", "2", "3", "(the log of a job keeps 5 lines; later ones are dropped)",
            ])
        #expect(try await journal.logLines(id, after: 5).isEmpty)
    }

    @Test func oldJobsAreForgotten() async throws {
        let journal = try Journal(
            directory: TemporaryDirectory().path, limits: Journal.Limits(finishedJobs: 3))
        for _ in 0..<6 {
            var record = try await journal.submit(job, prompt: [1]).record
            record.state = .succeeded
            try await journal.append([JobEvent(.end(record))], to: record)
        }
        let waiting = try await journal.submit(job, prompt: [1]).record.id
        try await journal.forgetOld()
        let left = try await journal.jobs(before: .max, limit: 100, activeOnly: false).map(\.id)
        #expect(left == [waiting, "j6", "j5", "j4"])
        #expect(try await journal.jobs(before: 6, limit: 1, activeOnly: false).map(\.id) == ["j5"])
    }

    /// Digests are read, not computed again, but for those that an earlier version left out, and those of a context that
    /// was made in another precision.
    @Test func digestsStayWithPrompts() async throws {
        let journal = try Journal(directory: TemporaryDirectory().path)
        let prompt = (0..<300).map { UInt32($0) }
        var record = JobRecord.with {
            $0.options = .with {
                $0.kind = .ingest
                $0.context = "book"
            }
            $0.promptTokens = 300
            $0.precision = "bf16"
            $0.fingerprint = "f"
        }
        let chain = try #require(TokenChain(of: record, prompt: prompt))
        // Of other tokens, so that it shows which was read.
        let strange = try #require(TokenChain(of: record, prompt: prompt.reversed()))
        let context = ContextRecord.with {
            $0.name = "book"
            $0.fingerprint = "f"
        }
        let kept = try await journal.submit(record, prompt: prompt, chain: strange, context: context).record
        #expect(try await journal.chain(of: kept) == strange)
        #expect(try await journal.contexts(precision: "bf16").map(\.chain) == [strange])
        let before = try await journal.submit(record, prompt: prompt).record
        #expect(try await journal.chain(of: before) == chain)
        record.precision = "f32"
        let other = try await journal.contexts(precision: "f32").map(\.chain)
        #expect(try other == [#require(TokenChain(of: record, prompt: prompt))])
    }
}
