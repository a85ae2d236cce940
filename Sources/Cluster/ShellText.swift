// Texts as words of a POSIX shell's command line.

enum ShellText {
    /// One word that a shell reads as exactly this text.
    static func word(_ text: String) -> String {
        let isPlain =
            !text.isEmpty
            && text.utf8.allSatisfy {
                switch $0 {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"):
                    true
                default: "-_./:=@%+,".utf8.contains($0)
                }
            }
        return isPlain ? text : "'" + text.replacing("'", with: "'\\''") + "'"
    }

    /// A path, in which `~/` at the start stands for the home folder of whoever runs the shell.
    static func path(_ text: String) -> String {
        text.hasPrefix("~/") ? "\"$HOME\"/" + word(String(text.dropFirst(2))) : word(text)
    }
}
