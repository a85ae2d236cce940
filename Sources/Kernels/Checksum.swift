// The checksum of blocks on the wire and on disk.
internal import CLariatKernels

/// CRC-32C (Castagnoli, RFC 3720) of `bytes`, continued from `seed` (0 to begin): the checksum of two parts one after
/// the other is that of the second with the first one's as seed. By the processor's instruction where there is one.
public func crc32c(_ bytes: UnsafeRawBufferPointer, seed: UInt32 = 0) -> UInt32 {
    unsafe lariat_crc32c(bytes.baseAddress, bytes.count, seed)
}

/// The same by table, one byte at a time.
package func crc32cReference(_ bytes: UnsafeRawBufferPointer, seed: UInt32 = 0) -> UInt32 {
    unsafe lariat_crc32c_reference(bytes.baseAddress, bytes.count, seed)
}
