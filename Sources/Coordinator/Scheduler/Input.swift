// What happens to a coordinator: everything that its decisions depend on.
package import Messages

/// One attempt to run a job; later attempts have higher turns, so that what comes late is not taken for theirs.
package struct RunID: Sendable, Hashable, Comparable {
    package var job: String
    package var turn: UInt64

    package init(job: String, turn: UInt64) {
        self.job = job
        self.turn = turn
    }

    package static func < (one: RunID, other: RunID) -> Bool { one.turn < other.turn }
}

extension Scheduler {
    /// When an input comes: waits go by the instant, records show the time of day.
    package struct Time: Sendable, Equatable {
        package var instant: Instant
        /// Since 1970.
        package var wallMicroseconds: UInt64

        package init(instant: Instant, wallMicroseconds: UInt64) {
            self.instant = instant
            self.wallMicroseconds = wallMicroseconds
        }
    }

    /// A worker that could not be spoken to.
    package struct Unreached: Sendable, Equatable {
        package var worker: String
        package var reason: String

        package init(worker: String, reason: String) {
            self.worker = worker
            self.reason = reason
        }
    }

    package enum Input: Sendable {
        // Jobs.
        /// The coordinator starts, and its journal holds these jobs, which wait.
        case restarted([(sequence: Int64, record: JobRecord)])
        /// The chain of a job's prompt that waits from before.
        case chained(String, TokenChain)
        /// The journal holds these contexts.
        case contexts([KnownContext])
        /// Somebody asks for a job: all tokens, those of a context included. The seed is for sampling without one, and
        /// random. The owner is the name of the token that it came with; empty: none was asked for.
        case asked(JobOptions, prompt: [UInt32], seed: UInt64, owner: String = "")
        /// A prompt was refused before it could be asked for.
        case refused(CoordinatorError.Kind)
        /// An accepted job is in the journal: with its id, under this number.
        case submitted(AdmittedJob, sequence: Int64)
        /// The journal did not take an accepted job.
        case notSubmitted(CoordinatorError.Kind)
        case cancel(String)
        /// The end of a job is in the journal.
        case written(String)
        /// The journal did not take what a job produced, or its end.
        case unwritten(String, CoordinatorError)

        // Contexts.
        /// The journal has forgotten a context.
        case removed(ContextName)
        /// It gives its memory up for no job, or does so again.
        case pinned(ContextName, Bool)

        // Workers.
        case register(RegisterRequest)
        case heartbeat(HeartbeatRequest)
        case leave(HeartbeatRequest)
        case drain(DrainRequest)
        /// A connection to a worker broke.
        case broken(worker: String, reason: String)

        // Runs.
        /// All workers of a run can be spoken to, and this is the last token of its prompt.
        case reached(RunID, lastToken: UInt32?)
        case unreachable(RunID, [Unreached])
        /// The journal did not give the prompt.
        case unreadable(RunID, CoordinatorError)
        /// What a worker of a run says, or that its call ended.
        case run(RunID, RunState.Input)
        /// All calls of a run are over.
        case ended(RunID)

        // Measurements.
        /// Somebody wants to know what these workers can do.
        case wanted([MemberRecord])
        /// In the order in which the effect named the workers.
        case measured(Result<[WorkerRates], Unmeasured>)

        // The process.
        /// No more jobs are taken or started.
        case closing
        /// Those that run end, too.
        case stop
        /// Time passes: several times a second, or silence of the coordinator itself is taken for the workers'.
        case tick
    }
}
