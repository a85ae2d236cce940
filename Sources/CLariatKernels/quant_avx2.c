// Quantised weights, AVX2 with FMA and F16C: unpack 32 weights into four registers, then store them or multiply them
// with float32 activations. The values are those of the scalar code, bit for bit (see quant_avx512.c).
#include "ops_internal.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define VECTOR 8
#define STEP 32
#define VECTORS 4

// Scales and minimums of one block's sub-blocks.
typedef struct {
    float scale[16], minimum[8];
} block_head;

LARIAT_INLINE LARIAT_AVX2 float half_at(const uint8_t *b) {
    uint16_t bits;
    memcpy(&bits, b, sizeof bits);
    return _cvtsh_ss(bits);
}

LARIAT_INLINE LARIAT_AVX2 void head_of(uint32_t type, const uint8_t *b, block_head *h) {
    switch (type) {
    case LARIAT_Q4_0:
    case LARIAT_Q5_0:
    case LARIAT_Q8_0: h->scale[0] = half_at(b); break;
    case LARIAT_Q4_1:
    case LARIAT_Q5_1:
        h->scale[0] = half_at(b);
        h->minimum[0] = half_at(b + 2);
        break;
    case LARIAT_Q4_K:
    case LARIAT_Q5_K: {
        const float d = half_at(b), least = half_at(b + 2);
        for (size_t j = 0; j < 8; j++) {
            uint8_t scale, minimum;
            lariat_k_scale(b + 4, j, &scale, &minimum);
            h->scale[j] = d * (float)scale;
            h->minimum[j] = least * (float)minimum;
        }
        break;
    }
    case LARIAT_Q6_K: {
        const float d = half_at(b + 208);
        for (int j = 0; j < 16; j++) h->scale[j] = d * (float)(int8_t)b[192 + j];
        break;
    }
    default: break;
    }
}

// 32 numbers, one a byte, less `offset`, times s0 (the first 16) or s1 (the others), plus `*m` if there is one.
LARIAT_INLINE LARIAT_AVX2 void scale_bytes(__m256i q, char offset, __m256 s0, __m256 s1, const __m256 *m,
                                           __m256 *w) {
    const __m256i centred = _mm256_sub_epi8(q, _mm256_set1_epi8(offset));
    const __m128i low = _mm256_castsi256_si128(centred), high = _mm256_extracti128_si256(centred, 1);
    const __m256i v[VECTORS] = {_mm256_cvtepi8_epi32(low), _mm256_cvtepi8_epi32(_mm_srli_si128(low, 8)),
                                _mm256_cvtepi8_epi32(high), _mm256_cvtepi8_epi32(_mm_srli_si128(high, 8))};
    for (int i = 0; i < VECTORS; i++) {
        const __m256 value = _mm256_cvtepi32_ps(v[i]), s = i < 2 ? s0 : s1;
        w[i] = m == NULL ? _mm256_mul_ps(s, value) : _mm256_fmadd_ps(s, value, *m);
    }
}

// 16 in every byte whose bit in `bits` is set.
LARIAT_INLINE LARIAT_AVX2 __m256i fifth_bits(const uint8_t *bits) {
    int word;
    memcpy(&word, bits, sizeof word);
    const __m256i spread = _mm256_shuffle_epi8(
        _mm256_set1_epi32(word), _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2,
                                                  2, 3, 3, 3, 3, 3, 3, 3, 3));
    const __m256i select = _mm256_set1_epi64x((long long)0x8040201008040201);
    const __m256i set = _mm256_cmpeq_epi8(_mm256_and_si256(spread, select), select);
    return _mm256_and_si256(set, _mm256_set1_epi8(16));
}

// 16 bytes of nibbles as 32 bytes: the low ones, then the high ones.
LARIAT_INLINE LARIAT_AVX2 __m256i nibbles(const uint8_t *b) {
    const __m128i bytes = _mm_loadu_si128((const __m128i *)b);
    return _mm256_and_si256(_mm256_set_m128i(_mm_srli_epi16(bytes, 4), bytes), _mm256_set1_epi8(15));
}

// The weights 32 * step and on of block `b`.
LARIAT_INLINE LARIAT_AVX2 void unpack(uint32_t type, const uint8_t *b, const block_head *h, size_t step, __m256 *w) {
    switch (type) {
    case LARIAT_F32:
        for (int v = 0; v < VECTORS; v++) w[v] = _mm256_loadu_ps((const float *)(b + 32 * v));
        break;
    case LARIAT_F16:
        for (int v = 0; v < VECTORS; v++) w[v] = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(b + 16 * v)));
        break;
    case LARIAT_BF16:
        for (int v = 0; v < VECTORS; v++) {
            const __m256i bits = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(b + 16 * v)));
            w[v] = _mm256_castsi256_ps(_mm256_slli_epi32(bits, 16));
        }
        break;
    case LARIAT_Q8_0: {
        const __m256 s = _mm256_set1_ps(h->scale[0]);
        scale_bytes(_mm256_loadu_si256((const __m256i *)(b + 2)), 0, s, s, NULL, w);
        break;
    }
    case LARIAT_Q4_0: {
        const __m256 s = _mm256_set1_ps(h->scale[0]);
        scale_bytes(nibbles(b + 2), 8, s, s, NULL, w);
        break;
    }
    case LARIAT_Q4_1: {
        const __m256 s = _mm256_set1_ps(h->scale[0]);
        const __m256 m = _mm256_set1_ps(h->minimum[0]);
        scale_bytes(nibbles(b + 4), 0, s, s, &m, w);
        break;
    }
    case LARIAT_Q5_0: {
        const __m256 s = _mm256_set1_ps(h->scale[0]);
        scale_bytes(_mm256_or_si256(nibbles(b + 6), fifth_bits(b + 2)), 16, s, s, NULL, w);
        break;
    }
    case LARIAT_Q5_1: {
        const __m256 s = _mm256_set1_ps(h->scale[0]);
        const __m256 m = _mm256_set1_ps(h->minimum[0]);
        scale_bytes(_mm256_or_si256(nibbles(b + 8), fifth_bits(b + 4)), 0, s, s, &m, w);
        break;
    }
    case LARIAT_Q4_K:
    case LARIAT_Q5_K: {
        const bool five = type == LARIAT_Q5_K;
        __m256i q = _mm256_loadu_si256((const __m256i *)(b + (five ? 48 : 16) + 32 * (step / 2)));
        q = _mm256_srl_epi16(q, _mm_cvtsi32_si128(step % 2 ? 4 : 0));
        q = _mm256_and_si256(q, _mm256_set1_epi8(15));
        if (five) {
            const __m256i high = _mm256_loadu_si256((const __m256i *)(b + 16));
            const __m256i select = _mm256_set1_epi8((char)(1 << step));
            const __m256i set = _mm256_cmpeq_epi8(_mm256_and_si256(high, select), select);
            q = _mm256_or_si256(q, _mm256_and_si256(set, _mm256_set1_epi8(16)));
        }
        const __m256 s = _mm256_set1_ps(h->scale[step]);
        const __m256 m = _mm256_set1_ps(-h->minimum[step]);
        scale_bytes(q, 0, s, s, &m, w);
        break;
    }
    case LARIAT_Q6_K: {
        const size_t half = step / 4, run = step % 4;
        __m256i low = _mm256_loadu_si256((const __m256i *)(b + 64 * half + 32 * (run % 2)));
        low = _mm256_srl_epi16(low, _mm_cvtsi32_si128(run >= 2 ? 4 : 0));
        const __m256i high = _mm256_loadu_si256((const __m256i *)(b + 128 + 32 * half));
        const __m256i pairs = _mm256_srl_epi16(high, _mm_cvtsi32_si128(2 * (int)run));
        const __m256i q = _mm256_or_si256(_mm256_and_si256(low, _mm256_set1_epi8(15)),
                                          _mm256_slli_epi16(_mm256_and_si256(pairs, _mm256_set1_epi8(3)), 4));
        scale_bytes(q, 32, _mm256_set1_ps(h->scale[2 * step]), _mm256_set1_ps(h->scale[2 * step + 1]), NULL, w);
        break;
    }
    default: break;
    }
}

LARIAT_INLINE LARIAT_AVX2 void dequantise_type(uint32_t type, const uint8_t *row, size_t columns, float *out) {
    const lariat_block walk = lariat_walk_of(type);
    const size_t bytes = walk.bytes, elements = walk.elements, steps = elements / STEP;
    size_t c = 0;
    for (; c + elements <= columns; c += elements, row += bytes) {
        block_head h;
        head_of(type, row, &h);
        for (size_t s = 0; s < steps; s++) {
            __m256 w[VECTORS];
            unpack(type, row, &h, s, w);
            for (int v = 0; v < VECTORS; v++) _mm256_storeu_ps(out + c + s * STEP + (size_t)v * VECTOR, w[v]);
        }
    }
    if (c < columns) lariat_dequantise_scalar(type, row, columns - c, out + c);
}

LARIAT_INLINE LARIAT_AVX2 float sum_of(__m256 v) {
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

// One row of weights with `nx` (a constant, at most 4) rows of x. Each pair has two sums, one for even and one for
// odd vectors, whatever nx is.
LARIAT_INLINE LARIAT_AVX2 void dot_tile(uint32_t type, const size_t nx, const uint8_t *w, size_t columns,
                                        const float *x, size_t x_stride, float *y, size_t y_stride,
                                        bool accumulate) {
    const lariat_block walk = lariat_walk_of(type);
    const size_t bytes = walk.bytes, elements = walk.elements, steps = elements / STEP, whole = columns / elements;
    __m256 sums[4][2];
#pragma clang loop unroll(full)
    for (size_t m = 0; m < nx; m++) sums[m][0] = sums[m][1] = _mm256_setzero_ps();
    for (size_t block = 0; block < whole; block++) {
        const uint8_t *b = w + block * bytes;
        block_head h;
        head_of(type, b, &h);
        for (size_t s = 0; s < steps; s++) {
            __m256 values[VECTORS];
            unpack(type, b, &h, s, values);
#pragma clang loop unroll(full)
            for (size_t m = 0; m < nx; m++) {
                const float *xs = x + m * x_stride + block * elements + s * STEP;
#pragma clang loop unroll(full)
                for (size_t v = 0; v < VECTORS; v++)
                    sums[m][v % 2] = _mm256_fmadd_ps(values[v], _mm256_loadu_ps(xs + v * VECTOR), sums[m][v % 2]);
            }
        }
    }
    float rest[STEP];
    const size_t done = whole * elements, left = columns - done;
    if (left > 0) lariat_dequantise_scalar(type, w + whole * bytes, left, rest);
    for (size_t m = 0; m < nx; m++) {
        float sum = sum_of(_mm256_add_ps(sums[m][0], sums[m][1]));
        for (size_t c = 0; c < left; c++) sum += rest[c] * x[m * x_stride + done + c];
        float *out = y + m * y_stride;
        *out = accumulate ? *out + sum : sum;
    }
}

LARIAT_INLINE LARIAT_AVX2 void dot_type(uint32_t type, const uint8_t *w, size_t w_stride, size_t rows_w,
                                        size_t columns, const float *x, size_t x_stride, size_t rows_x, float *y,
                                        size_t y_stride, bool accumulate) {
    for (size_t r = 0; r < rows_w; r++) {
        for (size_t m = 0; m < rows_x;) {
            const float *xm = x + m * x_stride;
            float *ym = y + m * y_stride + r;
            const uint8_t *row = w + r * w_stride;
            switch (rows_x - m) {
            case 1: dot_tile(type, 1, row, columns, xm, x_stride, ym, y_stride, accumulate); m += 1; break;
            case 2: dot_tile(type, 2, row, columns, xm, x_stride, ym, y_stride, accumulate); m += 2; break;
            case 3: dot_tile(type, 3, row, columns, xm, x_stride, ym, y_stride, accumulate); m += 3; break;
            default: dot_tile(type, 4, row, columns, xm, x_stride, ym, y_stride, accumulate); m += 4; break;
            }
        }
    }
}

LARIAT_AVX2 void lariat_dequantise_avx2(uint32_t type, const uint8_t *row, size_t columns, float *out) {
#define CASE(TYPE)                                                                                                 \
    case TYPE: dequantise_type(TYPE, row, columns, out); break;
    switch (type) { LARIAT_EACH_WEIGHT_TYPE(CASE) }
#undef CASE
}

LARIAT_AVX2 void lariat_dot_avx2(uint32_t type, const uint8_t *w, size_t w_stride, size_t rows_w, size_t columns,
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
