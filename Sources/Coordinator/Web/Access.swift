// Who may do what over the coordinator's ports: bearer tokens from a file that may change while it is in use.
package import Cluster
import Foundation
package import Logging
import Synchronization

/// The rule for clients. Workers are let in by mutual TLS alone.
package final class Access: Sendable {
    package enum Decision: Equatable, Sendable {
        /// The owner's name; nil where nobody needs a token.
        case allowed(String?)
        case unknown
        case forbidden(name: String, needs: String)
    }

    private struct State {
        var store: TokenStore
        var version: Version
        var looked: ContinuousClock.Instant
    }
    /// What tells one state of a file from another.
    private struct Version: Equatable {
        var modified: Date?
        var size: Int?
        var inode: Int?
    }

    /// A revoked token works no longer than this.
    private static let lookInterval: Duration = .seconds(1)

    private let path: String?
    private let logger: Logger
    private let state: Mutex<State?>

    /// - Parameter tokens: the file of tokens; nil: everybody may do everything.
    /// - Throws: `CoordinatorError` with the file's name and line.
    package init(tokens path: String?, logger: Logger) throws(CoordinatorError) {
        self.path = path
        self.logger = logger
        guard let path else {
            state = Mutex(nil)
            return
        }
        do throws(ClusterError) {
            let version = Self.version(path)
            let store = try TokenStore.load(path)
            for remark in store.remarks { logger.warning("\(remark)") }
            state = Mutex(State(store: store, version: version, looked: .now))
        } catch { throw CoordinatorError(.invalid, "\(error)") }
    }

    /// Whether tokens are asked for at all.
    package var isGuarded: Bool { path != nil }

    /// - Parameter token: as shown by the client, without "Bearer".
    package func decide(_ token: String?, needs role: TokenStore.Role) -> Decision {
        guard path != nil else { return .allowed(nil) }
        let owner = state.withLock { state -> (name: String, role: TokenStore.Role)? in
            reload(&state)
            return token.flatMap { state?.store.role(of: $0) }
        }
        guard let owner else { return .unknown }
        return owner.role >= role ? .allowed(owner.name) : .forbidden(name: owner.name, needs: role.rawValue)
    }

    /// The name of a valid token; empty where nobody needs one.
    package func owner(_ token: String?) -> String {
        if case .allowed(let name?) = decide(token, needs: .read) { return name }
        return ""
    }

    /// Who asks, for limits of each caller: the owner of the token, or without tokens the host.
    /// - Parameter address: "host" or "host:port".
    package func caller(_ token: String?, at address: String?) -> String {
        if case .allowed(let name?) = decide(token, needs: .read) { return "token \(name)" }
        guard let address else { return "unknown" }
        // An IPv6 address alone has several colons and no port.
        let isAlone = !address.hasPrefix("[") && address.count(where: { $0 == ":" }) != 1
        guard !isAlone, let colon = address.lastIndex(of: ":") else { return address }
        return address[..<colon].trimmingCharacters(in: CharacterSet(charactersIn: "[]"))
    }

    /// Reads the file again when it has changed. One that cannot be read leaves the tokens as they were, and says so.
    private func reload(_ state: inout State?) {
        guard let path, var known = state, .now - known.looked >= Self.lookInterval else { return }
        known.looked = .now
        defer { state = known }
        let version = Self.version(path)
        guard version != known.version else { return }
        known.version = version
        do throws(ClusterError) {
            known.store = try TokenStore.load(path)
            logger.info("tokens read again", metadata: ["tokens": "\(known.store.count)"])
        } catch {
            logger.error("tokens stay as they were", metadata: ["problem": "\(error)"])
        }
    }

    private static func version(_ path: String) -> Version {
        let attributes = try? FileManager.default.attributesOfItem(atPath: path)
        return Version(
            modified: attributes?[.modificationDate] as? Date, size: attributes?[.size] as? Int,
            inode: attributes?[.systemFileNumber] as? Int)
    }
}

extension Access.Decision {
    /// What a client is told; nil: it may go on. Never says which tokens there are.
    var refusal: String? {
        switch self {
        case .allowed: nil
        case .unknown: "a valid API token is needed: send it as \"authorization: Bearer TOKEN\""
        case .forbidden(let name, let needs):
            "the token of \"\(name)\" may not do this: it takes the role \"\(needs)\""
        }
    }
}
