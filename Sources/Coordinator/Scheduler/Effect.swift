// What a coordinator decides to do: everything that its decisions lead to outside of it.
package import Messages

/// A job's plan with all that its workers are told.
package struct RunOrder: Sendable {
    /// As it is when it starts.
    package var job: JobRecord
    package var plan: JobPlan
    package var epoch: UInt64
    package var stallSeconds: Double
}

/// A job that is admitted, with what is not in its record.
package struct AdmittedJob: Sendable {
    /// It has an id once it is in the journal.
    package var record: JobRecord
    /// Of its prompt; nil where nothing of it is shared.
    package var chain: TokenChain?
    /// INGEST: the context that it makes.
    package var context: ContextRecord?

    package init(record: JobRecord, chain: TokenChain? = nil, context: ContextRecord? = nil) {
        self.record = record
        self.chain = chain
        self.context = context
    }
}

/// Something for the coordinator's own log.
package struct Notice: Sendable, Equatable {
    package enum Level: Sendable { case info, warning }
    package var level: Level
    package var text: String
    package var details: [String: String]

    init(_ text: String, _ details: [String: String], level: Level = .info) {
        self.level = level
        self.text = text
        self.details = details
    }
}

extension Scheduler {
    /// What whoever caused an input is told.
    package enum Reply: Sendable, Equatable {
        /// The cluster's epoch, for a worker that joined or left.
        case epoch(UInt64)
        /// For a worker that joined: the epoch, and what it holds that nobody will ask for.
        case registered(UInt64, drop: [String])
        case beat(HeartbeatReply)
        /// Workers that drain, or do so no more.
        case workers([String])
        case unmeasured(Unmeasured)
    }

    package enum Effect: Sendable {
        // Answers to the input of this step.
        case reply(Reply)
        case reject(CoordinatorError)
        /// The job is admitted: write it to the journal, then say `submitted` or `notSubmitted`.
        case accept(AdmittedJob)

        // The journal, and those who follow a job.
        /// Write these events and the record; say `unwritten` if that fails, and `written` if it held an end.
        case journal(JobRecord, [JobEvent])
        case log(job: String, [LogLine])
        case trace(job: String, TracePart)
        /// Show it to those who follow; over: it ended, though the journal does not know.
        case notify(JobRecord, isOver: Bool)
        /// The oldest finished jobs, beyond those that are kept, once the end of this one is written.
        case forget(after: String)

        /// Write what a context has become, and where its keys and values are.
        case save(ContextRecord, ContextMemory?)

        // Workers.
        /// Make sure that there are connections and read the prompt, then say `reached`, `unreachable` or `unreadable`.
        case reach(RunID, [MemberRecord])
        /// Call the workers and send them their plans and tokens, then give what they say to `run`.
        case start(RunID, RunOrder)
        case tell(RunID, rank: Int, RunCommand)
        /// Let the workers end their calls, or cut them off at once; say `ended` when all are over.
        case finish(RunID, cuts: Bool)
        /// Measure all at the same time, then say `measured`.
        case measure([MemberRecord], epoch: UInt64)

        case say(Notice)
    }
}
