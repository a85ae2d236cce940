// Quantised weights times activations in whole numbers: what decode spends its time on.
//
// Activations are rounded in blocks of 32 to x' = scale * (128 high + low) with high in -127...127 and low in -64...63:
// 15 bits and a sign of the block's greatest, far below the noise of bfloat16. Weights of every quantised type are
// a * u + b with whole numbers u in 0...255, so a block costs two dot products of bytes (u with high, u with low) and
// one conversion; sums of whole numbers are exact, only the sums over blocks are float32.
#include <math.h>

#include "ops_internal.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { BLOCK = 32 };

// Rounded activations of `blocks` blocks, one array after the other.
typedef struct {
    const int8_t *parts;  // [blocks][high: 32][low: 32]
    const float *scale;   // [blocks]
    const float *sum;     // [blocks] sum of x'
    const float *halves;  // [blocks][2] sum of x' over 16
} rounded_view;

size_t lariat_rounded_bytes(size_t columns) { return columns / BLOCK * (2 * BLOCK + 4 * sizeof(float)); }

LARIAT_INLINE rounded_view view_of(const void *rounded, size_t columns) {
    const size_t blocks = columns / BLOCK;
    rounded_view view = {.parts = rounded};
    view.scale = (const float *)((const char *)rounded + 2 * BLOCK * blocks);
    view.sum = view.scale + blocks;
    view.halves = view.sum + blocks;
    return view;
}

void lariat_round_activations(const float *x, size_t columns, void *rounded) {
    const size_t blocks = columns / BLOCK;
    int8_t *parts = rounded;
    float *scale = (float *)(parts + 2 * BLOCK * blocks), *sum = scale + blocks, *halves = sum + blocks;
    for (size_t b = 0; b < blocks; b++, x += BLOCK, parts += 2 * BLOCK) {
        float most = 0;
        for (int i = 0; i < BLOCK; i++) most = fabsf(x[i]) > most ? fabsf(x[i]) : most;
        // 128 * 127 + 63 is the greatest that the two parts hold.
        const float step = most / 16319.0f;
        const float inverse = step > 0 ? 1.0f / step : 0;
        int32_t total[2] = {0, 0};
        for (int i = 0; i < BLOCK; i++) {
            const int32_t q = (int32_t)lrintf(x[i] * inverse);
            const int32_t high = (q + 64) >> 7;
            parts[i] = (int8_t)high;
            parts[BLOCK + i] = (int8_t)(q - 128 * high);
            total[i / 16] += q;
        }
        scale[b] = step;
        sum[b] = step * (float)(total[0] + total[1]);
        halves[2 * b] = step * (float)total[0];
        halves[2 * b + 1] = step * (float)total[1];
    }
}

// The definition: unpacked weights times rounded activations.
void lariat_dot_rounded_scalar(uint32_t type, const uint8_t *w, size_t w_stride, size_t rows, size_t columns,
                               const void *rounded, float *y, bool accumulate) {
    const rounded_view x = view_of(rounded, columns);
    const lariat_block block = lariat_block_of(type);
    for (size_t r = 0; r < rows; r++, w += w_stride) {
        float sum = 0;
        for (size_t c = 0; c < columns; c += block.elements) {
            float values[256];
            lariat_dequantise_scalar(type, w + c / block.elements * block.bytes, block.elements, values);
            for (size_t i = 0; i < block.elements; i++) {
                const size_t b = (c + i) / BLOCK;
                const int8_t *parts = x.parts + 2 * BLOCK * b + (c + i) % BLOCK;
                sum += values[i] * (x.scale[b] * (float)(128 * parts[0] + parts[BLOCK]));
            }
        }
        y[r] = accumulate ? y[r] + sum : sum;
    }
}

#if defined(__x86_64__)
#define VNNI __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")))

// What b is in units of -a, for types without a minimum of their own.
LARIAT_INLINE float offset_of(uint32_t type) {
    switch (type) {
    case LARIAT_Q4_0: return 8;
    case LARIAT_Q5_0: return 16;
    case LARIAT_Q8_0: return 128;
    default: return 0;
    }
}

// Sums of four products each: bytes of u (unsigned) with bytes of x.
typedef struct {
    __m256i high, low;
} parts;

// 32 products with both parts: 128 * (u, high) + (u, low), eight sums of four.
LARIAT_INLINE VNNI __m256 vnni_block(__m256i u, parts x) {
    const __m256i high = _mm256_dpbusd_epi32(_mm256_setzero_si256(), u, x.high);
    return _mm256_cvtepi32_ps(_mm256_dpbusd_epi32(_mm256_slli_epi32(high, 7), u, x.low));
}

// The same with AVX2, where pairs of products are summed in 16 bits, and then pairs of these, times a factor for free.
LARIAT_INLINE LARIAT_AVX2 __m256i fours(__m256i u, __m256i x, short factor) {
    return _mm256_madd_epi16(_mm256_maddubs_epi16(u, x), _mm256_set1_epi16(factor));
}

// u is at most 127.
LARIAT_INLINE LARIAT_AVX2 __m256 small_avx2_block(__m256i u, parts x) {
    return _mm256_cvtepi32_ps(_mm256_add_epi32(fours(u, x.high, 128), fours(u, x.low, 1)));
}

// 255 * 127 * 2 does not fit 16 bits: the top bit of u goes alone.
LARIAT_INLINE LARIAT_AVX2 __m256 wide_avx2_block(__m256i u, parts x) {
    const __m256i rest = _mm256_and_si256(u, _mm256_set1_epi8(127));
    const __m256i top = _mm256_and_si256(_mm256_srli_epi16(u, 7), _mm256_set1_epi8(1));
    return _mm256_cvtepi32_ps(_mm256_add_epi32(
        _mm256_add_epi32(fours(rest, x.high, 128), fours(rest, x.low, 1)),
        _mm256_add_epi32(fours(top, x.high, 128 * 128), fours(top, x.low, 128))));
}

// Byte l is 16 where bit l of the four bytes at `bits` is set, else 0.
LARIAT_INLINE LARIAT_AVX2 __m256i fifth_bits(const uint8_t *bits) {
    int32_t word;
    memcpy(&word, bits, sizeof word);
    const __m256i spread = _mm256_shuffle_epi8(
        _mm256_set1_epi32(word), _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303));
    const __m256i bit = _mm256_set1_epi64x((long long)0x8040201008040201ull);
    return _mm256_and_si256(
        _mm256_cmpeq_epi8(_mm256_and_si256(spread, bit), bit), _mm256_set1_epi8(16));
}

// Sixteen bytes of nibbles: the low ones, then the high ones.
LARIAT_INLINE LARIAT_AVX2 __m256i nibbles(const uint8_t *bytes) {
    const __m256i twice = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)bytes));
    return _mm256_and_si256(
        _mm256_srlv_epi32(twice, _mm256_setr_epi32(0, 0, 0, 0, 4, 4, 4, 4)), _mm256_set1_epi8(15));
}

// The whole numbers u of 32 weights: block `j` (of 32) of the GGUF block at `b`.
LARIAT_INLINE LARIAT_AVX2 __m256i numbers(uint32_t type, const uint8_t *b, size_t j) {
    const __m256i nibble = _mm256_set1_epi8(15);
    switch (type) {
    case LARIAT_Q4_0: return nibbles(b + 2);
    case LARIAT_Q4_1: return nibbles(b + 4);
    case LARIAT_Q5_0: return _mm256_or_si256(nibbles(b + 6), fifth_bits(b + 2));
    case LARIAT_Q5_1: return _mm256_or_si256(nibbles(b + 8), fifth_bits(b + 4));
    case LARIAT_Q8_0:
        return _mm256_xor_si256(_mm256_loadu_si256((const __m256i *)(b + 2)), _mm256_set1_epi8((char)0x80));
    case LARIAT_Q4_K:
    case LARIAT_Q5_K: {
        const uint8_t *low = b + (type == LARIAT_Q5_K ? 48 : 16) + j / 2 * 32;
        __m256i q = _mm256_loadu_si256((const __m256i *)low);
        if (j % 2) q = _mm256_srli_epi16(q, 4);
        q = _mm256_and_si256(q, nibble);
        if (type == LARIAT_Q4_K) return q;
        const __m256i bit = _mm256_set1_epi8((char)(1 << j));
        const __m256i high = _mm256_loadu_si256((const __m256i *)(b + 16));
        const __m256i set = _mm256_cmpeq_epi8(_mm256_and_si256(high, bit), bit);
        return _mm256_or_si256(q, _mm256_and_si256(set, _mm256_set1_epi8(16)));
    }
    default: { // Q6_K
        const size_t step = j / 4, run = j % 4;
        __m256i low = _mm256_loadu_si256((const __m256i *)(b + 64 * step + 32 * (run % 2)));
        if (run >= 2) low = _mm256_srli_epi16(low, 4);
        __m256i high = _mm256_loadu_si256((const __m256i *)(b + 128 + 32 * step));
        high = run < 2 ? _mm256_slli_epi16(high, run == 0 ? 4 : 2) : run == 2 ? high : _mm256_srli_epi16(high, 2);
        return _mm256_or_si256(
            _mm256_and_si256(low, nibble), _mm256_and_si256(high, _mm256_set1_epi8(0x30)));
    }
    }
}

// Factors a of the eight blocks of 32 of a K block (of its sixteen halves for Q6_K), and the sum of b times the sums
// of the activations, for eight or sixteen blocks at once.
typedef struct {
    float a[16];
} k_factors;

LARIAT_INLINE LARIAT_AVX2 __m256 k_head(uint32_t type, const uint8_t *b, rounded_view x, size_t block, __m256 rest,
                                        k_factors *factors) {
    if (type == LARIAT_Q6_K) {
        const __m256 d = _mm256_set1_ps(lariat_half(b + 208));
        for (int v = 0; v < 2; v++) {
            const __m128i bytes = _mm_loadl_epi64((const __m128i *)(b + 192 + 8 * v));
            const __m256 a = _mm256_mul_ps(d, _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)));
            _mm256_storeu_ps(factors->a + 8 * v, a);
            const __m256 sums = _mm256_loadu_ps(x.halves + 2 * block + 8 * (size_t)v);
            rest = _mm256_fnmadd_ps(_mm256_mul_ps(a, _mm256_set1_ps(32)), sums, rest);
        }
        return rest;
    }
    uint64_t scales, minimums;
    lariat_k_scales(b + 4, &scales, &minimums);
    const __m256 s = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128((long long)scales)));
    const __m256 m = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128((long long)minimums)));
    _mm256_storeu_ps(factors->a, _mm256_mul_ps(_mm256_set1_ps(lariat_half(b)), s));
    const __m256 least = _mm256_mul_ps(_mm256_set1_ps(lariat_half(b + 2)), m);
    return _mm256_fnmadd_ps(least, _mm256_loadu_ps(x.sum + block), rest);
}

LARIAT_INLINE LARIAT_AVX2 float sum_8(__m256 v) {
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    four = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(four, _mm_movehdup_ps(four)));
}

// One row of weights of a constant type, block after block: in that order the processor reads memory ahead by itself;
// several rows side by side took three times as long. Even and odd blocks have sums of their own.
#define DEFINE_ROW(NAME, TARGET, WIDE, SMALL)                                                                      \
    LARIAT_INLINE TARGET float NAME##_row(uint32_t type, const uint8_t *w, size_t columns, rounded_view x) {       \
        const lariat_block block = lariat_block_of(type);                                                          \
        const bool minimums = type == LARIAT_Q4_1 || type == LARIAT_Q5_1;                                          \
        __m256 sum[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()}; /* of a u x' */                                \
        __m256 rest = _mm256_setzero_ps();                          /* of b x' */                                  \
        if (block.elements == BLOCK) {                                                                             \
            for (size_t i = 0; i < columns / BLOCK; i++, w += block.bytes) {                                       \
                const __m256i *at = (const __m256i *)(x.parts + 2 * BLOCK * i);                                    \
                const parts xi = {_mm256_loadu_si256(at), _mm256_loadu_si256(at + 1)};                             \
                __m256 a, both;                                                                                    \
                if (minimums) {                                                                                    \
                    int32_t pair;                                                                                  \
                    memcpy(&pair, w, sizeof pair);                                                                 \
                    both = _mm256_cvtph_ps(_mm_set1_epi32(pair)); /* a, b, a, b, ... */                            \
                    a = _mm256_moveldup_ps(both);                                                                  \
                } else {                                                                                           \
                    int16_t half;                                                                                  \
                    memcpy(&half, w, sizeof half);                                                                 \
                    a = both = _mm256_cvtph_ps(_mm_set1_epi16(half));                                              \
                }                                                                                                  \
                const __m256i u = numbers(type, w, 0);                                                             \
                const __m256 dot = type == LARIAT_Q8_0 ? WIDE(u, xi) : SMALL(u, xi);                               \
                const __m256 scale = _mm256_mul_ps(a, _mm256_broadcast_ss(x.scale + i));                           \
                const __m256 next = _mm256_fmadd_ps(dot, scale, sum[0]);                                           \
                sum[0] = sum[1];                                                                                   \
                sum[1] = next;                                                                                     \
                rest = _mm256_fmadd_ps(both, _mm256_broadcast_ss(x.sum + i), rest);                                \
            }                                                                                                      \
            float lanes[8];                                                                                        \
            _mm256_storeu_ps(lanes, rest);                                                                         \
            return sum_8(_mm256_add_ps(sum[0], sum[1])) + (minimums ? lanes[1] : -offset_of(type) * lanes[0]);     \
        }                                                                                                          \
        for (size_t i = 0; i < columns / BLOCK; i += 8, w += block.bytes) {                                        \
            k_factors factors;                                                                                     \
            rest = k_head(type, w, x, i, rest, &factors);                                                          \
            _Pragma("clang loop unroll(full)") for (size_t j = 0; j < 8; j++) {                                    \
                const __m256i *at = (const __m256i *)(x.parts + 2 * BLOCK * (i + j));                              \
                const parts xj = {_mm256_loadu_si256(at), _mm256_loadu_si256(at + 1)};                             \
                const float *f = factors.a;                                                                        \
                const __m256 a = type == LARIAT_Q6_K ? _mm256_set_m128(_mm_broadcast_ss(f + 2 * j + 1),            \
                                                                       _mm_broadcast_ss(f + 2 * j))                \
                                                     : _mm256_broadcast_ss(f + j);                                 \
                const __m256 scale = _mm256_mul_ps(a, _mm256_broadcast_ss(x.scale + i + j));                       \
                sum[j % 2] = _mm256_fmadd_ps(SMALL(numbers(type, w, j), xj), scale, sum[j % 2]);                   \
            }                                                                                                      \
        }                                                                                                          \
        return sum_8(_mm256_add_ps(sum[0], sum[1])) + sum_8(rest);                                                 \
    }                                                                                                              \
    LARIAT_INLINE TARGET void NAME##_type(uint32_t type, const uint8_t *w, size_t w_stride, size_t rows,           \
                                          size_t columns, rounded_view x, float *y, bool accumulate) {             \
        for (size_t r = 0; r < rows; r++) {                                                                        \
            const float value = NAME##_row(type, w + r * w_stride, columns, x);                                    \
            y[r] = accumulate ? y[r] + value : value;                                                              \
        }                                                                                                          \
    }                                                                                                              \
    TARGET void lariat_dot_rounded_##NAME(uint32_t type, const uint8_t *w, size_t w_stride, size_t rows,           \
                                          size_t columns, const void *rounded, float *y, bool accumulate) {        \
        const rounded_view x = view_of(rounded, columns);                                                          \
        switch (type) { LARIAT_EACH_QUANTISED_TYPE(CASE_##NAME) }                                                  \
    }

#define CASE_avx2(TYPE)                                                                                            \
    case TYPE: avx2_type(TYPE, w, w_stride, rows, columns, x, y, accumulate); break;
#define CASE_vnni(TYPE)                                                                                            \
    case TYPE: vnni_type(TYPE, w, w_stride, rows, columns, x, y, accumulate); break;

DEFINE_ROW(avx2, LARIAT_AVX2, wide_avx2_block, small_avx2_block)
DEFINE_ROW(vnni, VNNI, vnni_block, vnni_block)
#endif
