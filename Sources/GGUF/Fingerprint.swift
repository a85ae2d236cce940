// Which model file is this? A digest that is quick even for 100 GB, so that workers can compare their files.
import Crypto
import Numerals

extension GGUFFile {
    /// The fingerprint of the file: a SHA-256 as 64 lower-case hexadecimal digits.
    ///
    /// It covers, in this order: the size of the file (64 bits, little-endian); the header, that is every byte before the
    /// tensor data; and of each tensor, in order of place in the file, 16 KiB: the whole tensor when it is not larger,
    /// else 16 blocks of 1 KiB, the first at its start, the last at its end, the others evenly between. So
    /// other weights, another vocabulary or a file cut short give another fingerprint, at the cost of reading a few
    /// megabytes. A single flipped bit in the weights may stay unseen: it is no proof against damage or malice.
    public func fingerprint() -> String {
        var hash = SHA256()
        func add(_ range: Range<Int>) {
            unsafe mapping.withBytes(range) { unsafe hash.update(bufferPointer: $0) }
        }
        unsafe withUnsafeBytes(of: UInt64(byteCount).littleEndian) { unsafe hash.update(bufferPointer: $0) }
        add(0..<headerByteCount)
        let blocks = 16
        let blockBytes = 1024
        for tensor in tensors.values.sorted(by: { $0.range.lowerBound < $1.range.lowerBound }) {
            let range = tensor.range
            guard range.count > blocks * blockBytes else {
                add(range)
                continue
            }
            // Divided first, so that no size can overflow; the last block is put at the very end.
            let step = (range.count - blockBytes) / (blocks - 1)
            for block in 0..<blocks - 1 {
                let start = range.lowerBound + block * step
                add(start..<start + blockBytes)
            }
            add(range.upperBound - blockBytes..<range.upperBound)
        }
        return hash.finalize().hexadecimal
    }
}
