// Quantised weights, AVX-512: unpack 32 to 128 weights into registers, then store them or multiply them with
// float32 activations.
//
// Nibbles are looked up in a table of their 16 possible values, made for each block with one FMA: unpacking costs one
// widening load, one shift and two permutations for 32 weights. Products of a half-precision scale and a small
// integer are exact in float32, so the values are those of the scalar code, bit for bit.
#include "ops_internal.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define VECTOR 16
#define MOST_VECTORS 8
// Rows of x that share one unpacking of the weights.
#define MOST_ROWS 4

// Scales and minimums of one block: of sub-block j in lane j, or the same in all lanes where there is only one.
typedef struct {
    __m512 scale, minimum;
} block_head;

// Elements that `unpack` yields in one step.
LARIAT_INLINE size_t step_elements(uint32_t type) {
    switch (type) {
    case LARIAT_Q4_K: return 64;
    case LARIAT_Q5_K: return 64;
    case LARIAT_Q6_K: return 128;
    default: return 32;
    }
}

LARIAT_INLINE LARIAT_AVX512 __m512 lane(__m512 v, int i) { return _mm512_permutexvar_ps(_mm512_set1_epi32(i), v); }

LARIAT_INLINE LARIAT_AVX512 __m512 ramp(void) {
    return _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
}

// A half-precision number in all lanes.
LARIAT_INLINE LARIAT_AVX512 __m512 spread_half(const uint8_t *b) {
    uint16_t bits;
    memcpy(&bits, b, sizeof bits);
    return _mm512_cvtph_ps(_mm256_set1_epi16((short)bits));
}

LARIAT_INLINE LARIAT_AVX512 block_head head_of(uint32_t type, const uint8_t *b) {
    block_head h = {_mm512_setzero_ps(), _mm512_setzero_ps()};
    switch (type) {
    case LARIAT_Q4_0:
    case LARIAT_Q5_0:
    case LARIAT_Q8_0: h.scale = spread_half(b); break;
    case LARIAT_Q4_1:
    case LARIAT_Q5_1: {
        int pair;
        memcpy(&pair, b, sizeof pair);
        const __m512 both = _mm512_cvtph_ps(_mm256_set1_epi32(pair));
        h.scale = _mm512_moveldup_ps(both);
        h.minimum = _mm512_movehdup_ps(both);
        break;
    }
    case LARIAT_Q4_K:
    case LARIAT_Q5_K: {
        uint64_t scales, minimums;
        lariat_k_scales(b + 4, &scales, &minimums);
        const __m512 s = _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_cvtsi64_si128((long long)scales)));
        const __m512 m = _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_cvtsi64_si128((long long)minimums)));
        h.scale = _mm512_mul_ps(spread_half(b), s);
        h.minimum = _mm512_mul_ps(spread_half(b + 2), m);
        break;
    }
    case LARIAT_Q6_K: {
        const __m512 s = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(b + 192))));
        h.scale = _mm512_mul_ps(spread_half(b + 208), s);
        break;
    }
    default: break;
    }
    return h;
}

LARIAT_INLINE LARIAT_AVX512 __m512i bytes_to_words(const uint8_t *b) {
    return _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)b));
}

// The weights of step `step` of block `b`, VECTOR to a register.
LARIAT_INLINE LARIAT_AVX512 void unpack(uint32_t type, const uint8_t *b, block_head h, size_t step, __m512 *w) {
    switch (type) {
    case LARIAT_F32:
        w[0] = _mm512_loadu_ps((const float *)b);
        w[1] = _mm512_loadu_ps((const float *)(b + 64));
        break;
    case LARIAT_F16:
        w[0] = _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)b));
        w[1] = _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(b + 32)));
        break;
    case LARIAT_BF16:
        for (int v = 0; v < 2; v++) {
            const __m512i bits = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(b + 32 * v)));
            w[v] = _mm512_castsi512_ps(_mm512_slli_epi32(bits, 16));
        }
        break;
    case LARIAT_Q8_0:
        for (int v = 0; v < 2; v++) {
            const __m512i q = _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(b + 2 + 16 * v)));
            w[v] = _mm512_mul_ps(h.scale, _mm512_cvtepi32_ps(q));
        }
        break;
    case LARIAT_Q4_0:
    case LARIAT_Q4_1: {
        const __m512 table = type == LARIAT_Q4_0
                                 ? _mm512_mul_ps(h.scale, _mm512_sub_ps(ramp(), _mm512_set1_ps(8)))
                                 : _mm512_fmadd_ps(h.scale, ramp(), h.minimum);
        // The permutation looks at the low four bits of each index only.
        const __m512i q = bytes_to_words(b + (type == LARIAT_Q4_0 ? 2 : 4));
        w[0] = _mm512_permutexvar_ps(q, table);
        w[1] = _mm512_permutexvar_ps(_mm512_srli_epi32(q, 4), table);
        break;
    }
    case LARIAT_Q5_0:
    case LARIAT_Q5_1: {
        const __m512 upper = _mm512_add_ps(ramp(), _mm512_set1_ps(16));
        __m512 clear, set; // the values without and with the fifth bit
        if (type == LARIAT_Q5_0) {
            clear = _mm512_mul_ps(h.scale, _mm512_sub_ps(ramp(), _mm512_set1_ps(16)));
            set = _mm512_mul_ps(h.scale, ramp());
        } else {
            clear = _mm512_fmadd_ps(h.scale, ramp(), h.minimum);
            set = _mm512_fmadd_ps(h.scale, upper, h.minimum);
        }
        const uint8_t *high = b + (type == LARIAT_Q5_0 ? 2 : 4);
        uint16_t bits[2];
        memcpy(bits, high, sizeof bits);
        const __m512i low = bytes_to_words(high + 4);
        for (int v = 0; v < 2; v++) {
            const __m512i q = v ? _mm512_srli_epi32(low, 4) : low;
            w[v] = _mm512_mask_permutexvar_ps(_mm512_permutexvar_ps(q, clear), bits[v], q, set);
        }
        break;
    }
    case LARIAT_Q4_K:
    case LARIAT_Q5_K: {
        const bool five = type == LARIAT_Q5_K;
        const uint8_t *low = b + (five ? 48 : 16) + 32 * step;
        const __m512i q[2] = {bytes_to_words(low), bytes_to_words(low + 16)};
        const __m256i high = five ? _mm256_loadu_si256((const __m256i *)(b + 16)) : _mm256_setzero_si256();
        for (int n = 0; n < 2; n++) {
            const int j = 2 * (int)step + n;
            const __m512 s = lane(h.scale, j), m = lane(h.minimum, j);
            const __m512 clear = _mm512_fmsub_ps(s, ramp(), m);
            const __m512 set =
                five ? _mm512_fmsub_ps(s, _mm512_add_ps(ramp(), _mm512_set1_ps(16)), m) : clear;
            const __mmask32 bits = five ? _mm256_test_epi8_mask(high, _mm256_set1_epi8((char)(1 << j))) : 0;
            for (int v = 0; v < 2; v++) {
                const __m512i index = n ? _mm512_srli_epi32(q[v], 4) : q[v];
                const __m512 value = _mm512_permutexvar_ps(index, clear);
                w[2 * n + v] =
                    five ? _mm512_mask_permutexvar_ps(value, (__mmask16)(bits >> (16 * v)), index, set) : value;
            }
        }
        break;
    }
    case LARIAT_Q6_K: {
        const __m256i high = _mm256_loadu_si256((const __m256i *)(b + 128 + 32 * step));
        const __m256i nibble = _mm256_set1_epi8(15), pair = _mm256_set1_epi8(0x30);
        for (int run = 0; run < 4; run++) {
            __m256i low = _mm256_loadu_si256((const __m256i *)(b + 64 * step + 32 * (run % 2)));
            if (run >= 2) low = _mm256_srli_epi16(low, 4);
            const __m256i top = run == 0   ? _mm256_slli_epi16(high, 4)
                                : run == 1 ? _mm256_slli_epi16(high, 2)
                                : run == 2 ? high
                                           : _mm256_srli_epi16(high, 2);
            const __m256i q = _mm256_sub_epi8(
                _mm256_or_si256(_mm256_and_si256(low, nibble), _mm256_and_si256(top, pair)), _mm256_set1_epi8(32));
            for (int v = 0; v < 2; v++) {
                const __m128i part = v ? _mm256_extracti128_si256(q, 1) : _mm256_castsi256_si128(q);
                w[2 * run + v] = _mm512_mul_ps(lane(h.scale, 8 * (int)step + 2 * run + v),
                                               _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(part)));
            }
        }
        break;
    }
    default: break;
    }
}

LARIAT_INLINE LARIAT_AVX512 void dequantise_type(uint32_t type, const uint8_t *row, size_t columns, float *out) {
    const lariat_block walk = lariat_walk_of(type);
    const size_t bytes = walk.bytes, elements = walk.elements;
    const size_t step = step_elements(type), vectors = step / VECTOR, steps = elements / step;
    size_t c = 0;
    for (; c + elements <= columns; c += elements, row += bytes) {
        const block_head h = head_of(type, row);
        for (size_t s = 0; s < steps; s++) {
            __m512 w[MOST_VECTORS];
            unpack(type, row, h, s, w);
#pragma clang loop unroll(full)
            for (size_t v = 0; v < vectors; v++) _mm512_storeu_ps(out + c + s * step + v * VECTOR, w[v]);
        }
    }
    if (c < columns) lariat_dequantise_scalar(type, row, columns - c, out + c);
}

// `nr` rows of weights with `nx` rows of x, both constants. Each pair has two sums, one for even and one for odd
// vectors, whatever nr and nx are: so the result of a pair is always the same.
LARIAT_INLINE LARIAT_AVX512 void dot_tile(uint32_t type, const size_t nr, const size_t nx, const uint8_t *w,
                                          size_t w_stride, size_t columns, const float *x, size_t x_stride,
                                          float *y, size_t y_stride, bool accumulate) {
    const lariat_block walk = lariat_walk_of(type);
    const size_t bytes = walk.bytes, elements = walk.elements;
    const size_t step = step_elements(type), vectors = step / VECTOR, steps = elements / step;
    __m512 sums[4][MOST_ROWS][2];
#pragma clang loop unroll(full)
    for (size_t r = 0; r < nr; r++)
#pragma clang loop unroll(full)
        for (size_t m = 0; m < nx; m++) sums[r][m][0] = sums[r][m][1] = _mm512_setzero_ps();

    const size_t whole = columns / elements;
    for (size_t block = 0; block < whole; block++) {
        const float *xb = x + block * elements;
#pragma clang loop unroll(full)
        for (size_t r = 0; r < nr; r++) {
            const uint8_t *b = w + r * w_stride + block * bytes;
            const block_head h = head_of(type, b);
            for (size_t s = 0; s < steps; s++) {
                __m512 values[MOST_VECTORS];
                unpack(type, b, h, s, values);
#pragma clang loop unroll(full)
                for (size_t m = 0; m < nx; m++) {
                    const float *xs = xb + m * x_stride + s * step;
#pragma clang loop unroll(full)
                    for (size_t v = 0; v < vectors; v++)
                        sums[r][m][v % 2] =
                            _mm512_fmadd_ps(values[v], _mm512_loadu_ps(xs + v * VECTOR), sums[r][m][v % 2]);
                }
            }
        }
    }
    for (size_t r = 0; r < nr; r++) {
        float rest[32];
        const size_t done = whole * elements, left = columns - done;
        if (left > 0) lariat_dequantise_scalar(type, w + r * w_stride + whole * bytes, left, rest);
        for (size_t m = 0; m < nx; m++) {
            float sum = _mm512_reduce_add_ps(_mm512_add_ps(sums[r][m][0], sums[r][m][1]));
            for (size_t c = 0; c < left; c++) sum += rest[c] * x[m * x_stride + done + c];
            float *out = y + m * y_stride + r;
            *out = accumulate ? *out + sum : sum;
        }
    }
}

// `nx` rows of x, a constant, with all rows of weights, `nr` at a time.
LARIAT_INLINE LARIAT_AVX512 void dot_rows(uint32_t type, const size_t nr, const size_t nx, const uint8_t *w,
                                          size_t w_stride, size_t rows_w, size_t columns, const float *x,
                                          size_t x_stride, float *y, size_t y_stride, bool accumulate) {
    size_t r = 0;
    for (; r + nr <= rows_w; r += nr)
        dot_tile(type, nr, nx, w + r * w_stride, w_stride, columns, x, x_stride, y + r, y_stride, accumulate);
    for (; r < rows_w; r++)
        dot_tile(type, 1, nx, w + r * w_stride, w_stride, columns, x, x_stride, y + r, y_stride, accumulate);
}

LARIAT_INLINE LARIAT_AVX512 void dot_type(uint32_t type, const uint8_t *w, size_t w_stride, size_t rows_w,
                                          size_t columns, const float *x, size_t x_stride, size_t rows_x, float *y,
                                          size_t y_stride, bool accumulate) {
    while (rows_x > 0) {
        const size_t nx = rows_x < MOST_ROWS ? rows_x : MOST_ROWS;
        switch (nx) {
        case 1: dot_rows(type, 1, 1, w, w_stride, rows_w, columns, x, x_stride, y, y_stride, accumulate); break;
        case 2: dot_rows(type, 4, 2, w, w_stride, rows_w, columns, x, x_stride, y, y_stride, accumulate); break;
        case 3: dot_rows(type, 2, 3, w, w_stride, rows_w, columns, x, x_stride, y, y_stride, accumulate); break;
        default: dot_rows(type, 2, 4, w, w_stride, rows_w, columns, x, x_stride, y, y_stride, accumulate); break;
        }
        x += nx * x_stride;
        y += nx * y_stride;
        rows_x -= nx;
    }
}

LARIAT_AVX512 void lariat_dequantise_avx512(uint32_t type, const uint8_t *row, size_t columns, float *out) {
#define CASE(TYPE)                                                                                                 \
    case TYPE: dequantise_type(TYPE, row, columns, out); break;
    switch (type) { LARIAT_EACH_WEIGHT_TYPE(CASE) }
#undef CASE
}

LARIAT_AVX512 void lariat_dot_avx512(uint32_t type, const uint8_t *w, size_t w_stride, size_t rows_w, size_t columns,
                                     const float *x, size_t x_stride, size_t rows_x, float *y, size_t y_stride,
                                     bool accumulate) {
#define CASE(TYPE)                                                                                                 \
    case TYPE:                                                                                                     \
        dot_type(TYPE, w, w_stride, rows_w, columns, x, x_stride, rows_x, y, y_stride, accumulate);                \
        break;
    switch (type) { LARIAT_EACH_WEIGHT_TYPE(CASE) }
#undef CASE
}
#endif
