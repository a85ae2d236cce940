// CRC-32C (Castagnoli): by the SSE4.2 instruction where there is one, otherwise by table.
#include "ops_internal.h"

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

// The remainder of each byte, for the reflected polynomial.
#define STEP(c) ((c) & 1 ? ((c) >> 1) ^ 0x82f63b78u : (c) >> 1)

static uint32_t remainder_of(uint32_t byte) {
    for (int bit = 0; bit < 8; bit++) byte = STEP(byte);
    return byte;
}

uint32_t lariat_crc32c_reference(const void *bytes, size_t count, uint32_t seed) {
    const uint8_t *p = bytes;
    uint32_t table[256], crc = ~seed;
    for (uint32_t i = 0; i < 256; i++) table[i] = remainder_of(i);
    for (size_t i = 0; i < count; i++) crc = (crc >> 8) ^ table[(crc ^ p[i]) & 255];
    return ~crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(const uint8_t *p, size_t count, uint32_t seed) {
    uint64_t crc = ~seed;
    for (; count >= 8; count -= 8, p += 8) {
        uint64_t word;
        memcpy(&word, p, sizeof word);
        crc = _mm_crc32_u64(crc, word);
    }
    for (; count > 0; count--, p++) crc = _mm_crc32_u8((uint32_t)crc, *p);
    return ~(uint32_t)crc;
}
#endif

uint32_t lariat_crc32c(const void *bytes, size_t count, uint32_t seed) {
    if (count == 0) return seed;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2")) return crc32c_sse42(bytes, count, seed);
#endif
    return lariat_crc32c_reference(bytes, count, seed);
}
