// Which characters names are made of: of workers, of tokens' owners, of hosts and of those who log in.

extension UInt8 {
    /// ASCII letters and digits, dot, hyphen and underscore.
    package var isNameCharacter: Bool {
        switch self {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "a")...UInt8(ascii: "z"),
            UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "_"):
            true
        default: false
        }
    }
}
