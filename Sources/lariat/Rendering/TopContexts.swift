// The contexts in a frame of `lariat top`. No I/O, no clock.

package import Messages

package enum TopContexts {
    /// Titles and a line for each; nothing where there are none.
    package static func table(_ contexts: [ContextRecord], columns: Int) -> [StyledText] {
        guard !contexts.isEmpty else { return [] }
        var table = FittedTable([
            .init(title: "context", rank: 0), .init(title: "state", rank: 1),
            .init(title: "tokens", alignsRight: true, rank: 3),
            .init(title: "memory", alignsRight: true, rank: 2),
            .init(title: "questions", alignsRight: true, rank: 5),
            .init(title: "last used (UTC)", rank: 6), .init(title: "on", rank: 4, flexible: 10),
        ])
        for context in contexts {
            let workers = context.shares.sorted { $0.rank < $1.rank }.map(\.worker)
            table.add([
                StyledText(String(context.name.prefix(24))),
                StyledText(context.state.word + (context.pinned ? ", pinned" : ""), tone(context.state)),
                StyledText(Quantity.count(context.tokens)),
                StyledText(context.kvBytes > 0 ? Quantity.bytes(context.kvBytes) : "-"),
                StyledText(Quantity.count(context.questions)),
                StyledText(Quantity.time(microseconds: context.usedMicroseconds), .quiet),
                StyledText(workers.joined(separator: ", "), .quiet),
            ])
        }
        return table.lines(width: columns)
    }

    /// As many as there is room for, with a blank line before them; nothing where not even one has any.
    package static func block(_ lines: [StyledText], rows: Int) -> [StyledText] {
        // The blank line, the titles and one context.
        guard lines.count >= 2, rows >= 3 else { return [] }
        guard lines.count > rows - 1 else { return [StyledText()] + lines }
        guard rows >= 4 else { return [StyledText()] + lines.prefix(2) }
        let shown = rows - 3
        return [StyledText()] + lines.prefix(1 + shown)
            + [StyledText("and \(lines.count - 1 - shown) more", .quiet)]
    }

    private static func tone(_ state: ContextState) -> Tone {
        switch state {
        case .ready, .stored: .good
        case .ingesting: .active
        case .gone, .unspecified: .warning
        }
    }
}
