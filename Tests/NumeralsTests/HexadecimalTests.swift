// Bytes as programs read them.
import Numerals
import Testing

struct HexadecimalTests {
    @Test func everyByteHasTwoDigits() {
        #expect(([] as [UInt8]).hexadecimal == "")
        #expect(([0, 15, 16, 0xa5, 255] as [UInt8]).hexadecimal == "000f10a5ff")
    }
}
