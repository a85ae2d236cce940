// Log lines on standard error: `time level source: message key=value`.

import Foundation
internal import Logging

/// Writes each line with one call, so that lines of several threads do not mix.
struct StandardErrorLog: LogHandler {
    let source: String
    var metadata: Logger.Metadata = [:]
    var metadataProvider: Logger.MetadataProvider?
    var logLevel: Logger.Level = .info

    init(source: String) { self.source = source }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        var all = metadataProvider?.get() ?? [:]
        all.merge(metadata) { $1 }
        all.merge(event.metadata ?? [:]) { $1 }
        let now = UInt64(max(0, Date().timeIntervalSince1970) * 1_000_000)
        Terminal.writeError(
            LogText.line(
                microseconds: now, level: event.level.rawValue, source: source,
                message: event.message.description,
                metadata: all.map { ($0.key, $0.value.description) }) + "\n")
    }
}
