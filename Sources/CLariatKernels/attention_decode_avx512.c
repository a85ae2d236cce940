// Decode attention with AVX-512.  The query stays f32; bf16 keys and values are widened in registers.
#if defined(__x86_64__)
#include "attention_avx512.h"

// Elements index...index + 31 of a row (those below d; the rest is 0) as two vectors: for bf16 the even and the odd
// ones, which costs one instruction each, for f32 the first and the last sixteen.
INLINE AVX512 void load_32(
    const unsigned char *row, size_t index, size_t d, bool bf16, __m512 *restrict low, __m512 *restrict high) {
    size_t left = d - index;
    if (bf16) {
        __m512i bits = left >= 32 ? _mm512_loadu_si512(row + 2 * index)
                                  : _mm512_maskz_loadu_epi16((__mmask32)((1ull << left) - 1), row + 2 * index);
        *low = _mm512_castsi512_ps(_mm512_slli_epi32(bits, 16));
        *high = _mm512_castsi512_ps(_mm512_and_si512(bits, _mm512_set1_epi32((int)0xffff0000)));
    } else if (left >= 32) {
        *low = _mm512_loadu_ps(row + 4 * index);
        *high = _mm512_loadu_ps(row + 4 * index + 64);
    } else {
        uint32_t here = (uint32_t)((1ull << left) - 1);
        *low = _mm512_maskz_loadu_ps((__mmask16)here, row + 4 * index);
        *high = here >> 16 ? _mm512_maskz_loadu_ps((__mmask16)(here >> 16), row + 4 * index + 64) : _mm512_setzero_ps();
    }
}

INLINE AVX512 void decode_typed(
    const struct decode_state *state, size_t heads, const unsigned char *keys, const unsigned char *values,
    size_t stride, size_t n, size_t d, bool bf16) {
    _Alignas(64) float part[DECODE_HEADS][DECODE_STEP][16];
    float p[DECODE_HEADS][DECODE_STEP], alpha[DECODE_HEADS];
    const size_t dp = state->dp;
    for (size_t k = 0; k < n; k++) {
        decode_prefetch(state, k);
        __m512 sum[DECODE_HEADS];
#pragma clang loop unroll(full)
        for (size_t h = 0; h < heads; h++) sum[h] = _mm512_setzero_ps();
        for (size_t i = 0; i < d; i += 32) {
            __m512 low, high;
            load_32(keys + k * stride, i, d, bf16, &low, &high);
#pragma clang loop unroll(full)
            for (size_t h = 0; h < heads; h++) {
                const float *query = state->query + h * dp + i;
                sum[h] = _mm512_fmadd_ps(low, _mm512_loadu_ps(query), sum[h]);
                sum[h] = _mm512_fmadd_ps(high, _mm512_loadu_ps(query + 16), sum[h]);
            }
        }
#pragma clang loop unroll(full)
        for (size_t h = 0; h < heads; h++) _mm512_store_ps(part[h][k], sum[h]);
    }
    for (size_t h = 0; h < heads; h++) {
        for (size_t k = n; k < DECODE_STEP; k++) _mm512_store_ps(part[h][k], _mm512_set1_ps(-INFINITY));
        __m512 low = sum_16(part[h][0]), high = sum_16(part[h][16]);
        float max = _mm512_reduce_max_ps(_mm512_max_ps(low, high));
        max = max > state->max[h] ? max : state->max[h];
        __m512 scale = exp2_avx512(_mm512_set1_ps(state->max[h] - max));
        low = exp2_avx512(_mm512_sub_ps(low, _mm512_set1_ps(max)));
        high = exp2_avx512(_mm512_sub_ps(high, _mm512_set1_ps(max)));
        float *sum = state->sum + h * LANES;
        _mm512_storeu_ps(sum, _mm512_fmadd_ps(_mm512_loadu_ps(sum), scale, _mm512_add_ps(low, high)));
        state->max[h] = max;
        alpha[h] = _mm512_cvtss_f32(scale);
        _mm512_storeu_ps(p[h], low);
        _mm512_storeu_ps(p[h] + 16, high);
    }
    for (size_t i = 0; i < d; i += 32) {
        __m512 acc[2 * DECODE_HEADS];
#pragma clang loop unroll(full)
        for (size_t h = 0; h < heads; h++) {
            const float *output = state->output + h * dp + i;
            acc[2 * h] = _mm512_mul_ps(_mm512_loadu_ps(output), _mm512_set1_ps(alpha[h]));
            acc[2 * h + 1] = _mm512_mul_ps(_mm512_loadu_ps(output + 16), _mm512_set1_ps(alpha[h]));
        }
        for (size_t k = 0; k < n; k++) {
            __m512 low, high;
            load_32(values + k * stride, i, d, bf16, &low, &high);
#pragma clang loop unroll(full)
            for (size_t h = 0; h < heads; h++) {
                __m512 weight = _mm512_set1_ps(p[h][k]);
                acc[2 * h] = _mm512_fmadd_ps(weight, low, acc[2 * h]);
                acc[2 * h + 1] = _mm512_fmadd_ps(weight, high, acc[2 * h + 1]);
            }
        }
#pragma clang loop unroll(full)
        for (size_t h = 0; h < heads; h++) {
            float *output = state->output + h * dp + i;
            _mm512_storeu_ps(output, acc[2 * h]);
            _mm512_storeu_ps(output + 16, acc[2 * h + 1]);
        }
    }
}

AVX512 static void decode_step(
    const struct decode_state *state, size_t heads, const unsigned char *keys, const unsigned char *values,
    size_t stride, size_t n, size_t d, bool bf16) {
    // Each case is compiled on its own: number of heads and element type are constants in it.
#define HEADS(count)                                                                                                \
    bf16 ? decode_typed(state, count, keys, values, stride, n, d, true)                                             \
         : decode_typed(state, count, keys, values, stride, n, d, false)
    switch (heads) {
    case 1: HEADS(1); break;
    case 2: HEADS(2); break;
    case 3: HEADS(3); break;
    default: HEADS(4); break;
    }
}

const struct decode_kernel decode_avx512 = {.splits_bf16 = true, .step = decode_step};
#endif
