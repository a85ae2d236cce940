// CRC-32C (Castagnoli): by the SSE4.2 instruction where there is one, otherwise by table.  The streams follow Intel's
// "Fast CRC Computation for iSCSI Polynomial Using CRC32 Instruction" (2011).
#include "ops_internal.h"

#if defined(__x86_64__)
#include <immintrin.h>
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
enum { LANE = 1024 }; // bytes of each of three streams that are summed side by side

// x^(8 n - 33) modulo the polynomial, bits reversed, for one and two lanes: what moves a remainder on by n bytes when it
// is multiplied with it and reduced by one more step of the instruction.
enum { POWER_ONE = 0x170076fa, POWER_TWO = 0xa51b6135 };

// The remainder as it is after n more bytes of zero; `power` belongs to n.
__attribute__((target("sse4.2,pclmul"))) static uint64_t moved(uint64_t crc, int64_t power) {
    const __m128i product =
        _mm_clmulepi64_si128(_mm_cvtsi64_si128((long long)crc), _mm_cvtsi64_si128(power), 0);
    return _mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(product));
}

// The instruction takes three cycles but begins anew each cycle: three streams, joined at the end of each stretch.
__attribute__((target("sse4.2,pclmul"))) static uint32_t crc32c_streams(
    const uint8_t *p, size_t count, uint32_t seed) {
    uint64_t crc = ~seed;
    for (; count >= 3 * LANE; count -= 3 * LANE, p += 3 * LANE) {
        uint64_t middle = 0, last = 0;
        for (size_t i = 0; i < LANE; i += 8) {
            uint64_t word[3];
            for (size_t lane = 0; lane < 3; lane++) memcpy(word + lane, p + lane * LANE + i, sizeof word[lane]);
            crc = _mm_crc32_u64(crc, word[0]);
            middle = _mm_crc32_u64(middle, word[1]);
            last = _mm_crc32_u64(last, word[2]);
        }
        crc = moved(crc, POWER_TWO) ^ moved(middle, POWER_ONE) ^ last;
    }
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
    if (__builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul"))
        return crc32c_streams(bytes, count, seed);
#endif
    return lariat_crc32c_reference(bytes, count, seed);
}
