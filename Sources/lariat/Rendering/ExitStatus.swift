// What the process's exit code says, and how errors become one. No I/O.

package import Messages
package import RPC

/// Exit codes that scripts can rely on; `lariat --help` lists them.
package enum ExitStatus {
    package static let success: Int32 = 0
    /// The job failed, or the command could not do its work.
    package static let failure: Int32 = 1
    package static let cancelled: Int32 = 2
    /// EX_USAGE: wrong arguments, a wrong specification, a job that does not exist.
    package static let usage: Int32 = 64
    /// EX_NOINPUT
    package static let unreadableInput: Int32 = 66
    /// EX_UNAVAILABLE
    package static let unreachable: Int32 = 69
    /// EX_TEMPFAIL
    package static let tryAgain: Int32 = 75
    /// EX_NOPERM: the API token is missing, unknown or of too low a role.
    package static let notAllowed: Int32 = 77
    /// 128 + SIGINT
    package static let interrupted: Int32 = 130

    package static let help = """
        Exit codes: 0 done; 1 the job failed, or the command could not do its work; 2 the job was cancelled; \
        64 wrong usage, or a request that is refused as wrong; 66 an input file cannot be read; \
        69 the coordinator or a host cannot be reached; 75 try again later (queue full, or not finished in time); \
        77 the API token is missing or may not do this; 130 interrupted.
        """

    /// The code for a job in this state; nil while it is not over.
    package static func of(_ state: JobState) -> Int32? {
        switch state {
        case .succeeded: success
        case .failed: failure
        case .cancelled: cancelled
        case .unspecified, .queued, .prefill, .decode: nil
        }
    }

    /// The code for a call that ended like this.
    package static func of(_ code: RPCStatus.Code) -> Int32 {
        switch code {
        case .ok: success
        case .unavailable, .deadlineExceeded: unreachable
        case .resourceExhausted: tryAgain
        case .invalidArgument, .notFound, .outOfRange: usage
        case .unauthenticated, .permissionDenied: notAllowed
        case .cancelled, .unknown, .alreadyExists, .failedPrecondition, .aborted, .unimplemented, .internal,
            .dataLoss:
            failure
        }
    }
}

/// Why a command ends without success: words for a person and the exit code.
package struct Failure: Error, Equatable, CustomStringConvertible {
    package let message: String
    package let exitCode: Int32

    package init(_ message: String, exitCode: Int32 = ExitStatus.failure) {
        self.message = message
        self.exitCode = exitCode
    }

    /// What a client showed of itself.
    package struct Credentials: Sendable {
        package var tls: Bool
        package var token: Bool

        package init(tls: Bool, token: Bool) {
            self.tls = tls
            self.token = token
        }
    }

    /// A call to the coordinator at `address` that ended with `status`, or the attempt to connect to it.
    package init(
        _ status: RPCStatus, coordinator address: String, with shown: Credentials, isConnecting: Bool = false
    ) {
        let said = status.message.isEmpty ? status.code.name : status.message
        let message =
            switch status.code {
            // It took the connection, and then did not speak with us.
            case .unavailable where isConnecting && Self.isNoPeer(said):
                "no coordinator answers at \(address), but something is there (\(said)); "
                    + (shown.tls
                        ? "it may be without TLS, or not know these certificates: leave --tls-ca, --tls-certificate and "
                            + "--tls-key out, or give others"
                        : "it may want TLS: --tls-ca, --tls-certificate and --tls-key, all three")
            case .unauthenticated:
                "the coordinator at \(address) "
                    + (shown.token
                        ? "does not know this API token; look at what --token-file or LARIAT_TOKEN gives"
                        : "asks for an API token; give one with --token-file or LARIAT_TOKEN")
            case .unavailable where isConnecting:
                "no coordinator answers at \(address) (\(Self.cause(said, address))); start one with `lariat up --model FILE`, or name "
                    + "another with --coordinator"
            case .deadlineExceeded:
                "the coordinator at \(address) did not answer in time (\(said)); look at its log, and try again"
            case .unavailable:
                "the coordinator at \(address) is not available (\(said)); try again, or look at its log"
            case .resourceExhausted: "\(said); try again later"
            case .unimplemented:
                "\(said); does another version of Lariat, or another program, answer at \(address)?"
            default: said
            }
        self.init(message, exitCode: ExitStatus.of(status.code))
    }

    private static func isNoPeer(_ said: String) -> Bool {
        said.hasSuffix("closed by the other side") || said.hasPrefix("the TLS handshake")
    }

    /// Without what the sentence around it says already.
    private static func cause(_ said: String, _ address: String) -> String {
        var text = said[...]
        let known = "cannot connect to \(address): "
        if text.hasPrefix(known) { text = text.dropFirst(known.count) }
        let question = "; is it running, and is the port open?"
        if text.hasSuffix(question) { text = text.dropLast(question.count) }
        return String(text)
    }

    package var description: String { message }
}
