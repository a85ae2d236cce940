// Prefill and decode attention with AVX2 and FMA, f32 operands.
#if defined(__x86_64__)
#include "attention_kernel.h"
#include <immintrin.h>
#include <math.h>

#define TARGET __attribute__((target("avx2,fma,f16c")))
#define INLINE static inline __attribute__((always_inline))

// 2^x for x <= 0 within 1e-7; exactly 1 at 0, and 0 below 2^-126.
INLINE TARGET __m256 exp2_avx2(__m256 x) {
    x = _mm256_max_ps(x, _mm256_set1_ps(-127));
    __m256 whole = _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m256 r = _mm256_sub_ps(x, whole);
    __m256 p = _mm256_set1_ps(1.535e-4f);
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.3399931e-3f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(9.618489e-3f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(5.5503286e-2f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0.24022646f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(0.6931472f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1));
    // whole = -127 gives exponent field 0, the number 0.
    __m256i power = _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(whole), _mm256_set1_epi32(127)), 23);
    return _mm256_mul_ps(p, _mm256_castsi256_ps(power));
}

INLINE TARGET float sum_lanes(__m256 x) {
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

// acc [6][2 vectors] += a * b, n steps.
INLINE TARGET void product(
    __m256 acc[12], const float *a, size_t a_row, size_t a_step, const float *b, size_t b_step, size_t n) {
    __m256 sum[12];
#pragma clang loop unroll(full)
    for (size_t i = 0; i < 12; i++) sum[i] = acc[i];
#pragma clang loop unroll(disable)
    for (size_t k = 0; k < n; k++, a += a_step, b += b_step) {
        __m256 left = _mm256_loadu_ps(b), right = _mm256_loadu_ps(b + 8);
#pragma clang loop unroll(full)
        for (size_t r = 0; r < 6; r++) {
            __m256 row = _mm256_broadcast_ss(a + r * a_row);
            sum[2 * r] = _mm256_fmadd_ps(row, left, sum[2 * r]);
            sum[2 * r + 1] = _mm256_fmadd_ps(row, right, sum[2 * r + 1]);
        }
    }
#pragma clang loop unroll(full)
    for (size_t i = 0; i < 12; i++) acc[i] = sum[i];
}

TARGET static void scores(
    struct attention_tile *tile, size_t rows, const void *queries, const void *keys, size_t count, size_t d) {
    for (size_t key = 0; key < count; key += 16) {
        const float *k = (const float *)keys + key / KEY_GROUP * KEY_GROUP * d + key % KEY_GROUP;
        for (size_t r0 = 0; r0 < rows; r0 += 6) {
            __m256 acc[12];
            for (size_t i = 0; i < 12; i++) acc[i] = _mm256_setzero_ps();
            product(acc, (const float *)queries + r0, 1, ROWS, k, KEY_GROUP, d);
            for (size_t r = 0; r < 6; r++) {
                float *top = tile->top[r0 + r];
                for (size_t c = 0; c < 2; c++) {
                    __m256 score = acc[2 * r + c];
                    _mm256_store_ps(tile->scores[r0 + r] + key + 8 * c, score);
                    _mm256_store_ps(top + 8 * c, key == 0 ? score : _mm256_max_ps(score, _mm256_load_ps(top + 8 * c)));
                }
            }
        }
    }
}

TARGET static void softmax(struct attention_tile *tile, size_t rows, size_t keys) {
    for (size_t r = 0; r < rows; r++) {
        float before = tile->max[r], max = before;
        for (size_t i = 0; i < LANES; i++) max = tile->top[r][i] > max ? tile->top[r][i] : max;
        float base = max == -INFINITY ? 0 : max; // a row that sees nothing yet: 2^(-inf - 0) = 0
        float alpha = _mm256_cvtss_f32(exp2_avx2(_mm256_set1_ps(before - base)));
        tile->max[r] = max;
        tile->alpha[r] = alpha;
        float *p = tile->scores[r];
        __m256 sums[2];
        for (size_t c = 0; c < 2; c++)
            sums[c] = _mm256_mul_ps(_mm256_load_ps(tile->sum[r] + 8 * c), _mm256_set1_ps(alpha));
        for (size_t k = 0; k < keys; k += 16) {
            for (size_t c = 0; c < 2; c++) {
                __m256 score = _mm256_load_ps(p + k + 8 * c);
                __m256 value = exp2_avx2(_mm256_sub_ps(score, _mm256_set1_ps(base)));
                sums[c] = _mm256_add_ps(sums[c], value);
                _mm256_store_ps(p + k + 8 * c, value);
            }
        }
        for (size_t c = 0; c < 2; c++) _mm256_store_ps(tile->sum[r] + 8 * c, sums[c]);
    }
}

TARGET static void accumulate(
    const struct attention_tile *tile, size_t rows, const void *values, size_t keys, size_t dp, float *out) {
    for (size_t c0 = 0; c0 < dp; c0 += 16) {
        for (size_t r0 = 0; r0 < rows; r0 += 6) {
            __m256 acc[12];
            float *to = out + r0 * dp + c0;
            for (size_t i = 0; i < 12; i++)
                acc[i] = _mm256_mul_ps(
                    _mm256_set1_ps(tile->alpha[r0 + i / 2]), _mm256_load_ps(to + i / 2 * dp + i % 2 * 8));
            product(acc, tile->scores[r0], KEYS, 1, (const float *)values + c0, dp, keys);
            for (size_t i = 0; i < 12; i++) _mm256_store_ps(to + i / 2 * dp + i % 2 * 8, acc[i]);
        }
    }
}

const struct attention_kernel attention_avx2 = {
    .operand_bytes = 4,
    .pack_keys = attention_pack_keys_f32,
    .pack_values = attention_pack_values_f32,
    .pack_queries = attention_pack_queries_f32,
    .scores = scores,
    .mask = attention_mask_any,
    .softmax = softmax,
    .accumulate = accumulate,
};

// Eight elements of a row as f32.
INLINE TARGET __m256 load_8(const unsigned char *row, size_t index, bool bf16) {
    if (!bf16) return _mm256_loadu_ps((const float *)(const void *)(row + 4 * index));
    __m128i bits = _mm_loadu_si128((const __m128i *)(const void *)(row + 2 * index));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
}

INLINE TARGET void decode_typed(
    const struct decode_state *state, size_t heads, const unsigned char *keys, const unsigned char *values,
    size_t stride, size_t n, size_t d, bool bf16) {
    float p[DECODE_HEADS][DECODE_STEP], alpha[DECODE_HEADS];
    const size_t dp = state->dp;
    for (size_t k = 0; k < n; k++) {
        decode_prefetch(state, k);
        const unsigned char *row = keys + k * stride;
        __m256 sum[DECODE_HEADS];
#pragma clang loop unroll(full)
        for (size_t h = 0; h < heads; h++) sum[h] = _mm256_setzero_ps();
        for (size_t i = 0; i < d; i += 8) {
            __m256 key = load_8(row, i, bf16);
#pragma clang loop unroll(full)
            for (size_t h = 0; h < heads; h++)
                sum[h] = _mm256_fmadd_ps(_mm256_loadu_ps(state->query + h * dp + i), key, sum[h]);
        }
#pragma clang loop unroll(full)
        for (size_t h = 0; h < heads; h++) p[h][k] = sum_lanes(sum[h]);
    }
    for (size_t h = 0; h < heads; h++) {
        float max = state->max[h];
        for (size_t k = 0; k < n; k++) max = p[h][k] > max ? p[h][k] : max;
        for (size_t k = n; k % 8 != 0; k++) p[h][k] = -INFINITY;
        __m256 sum = _mm256_setzero_ps();
        for (size_t k = 0; k < n; k += 8) {
            __m256 value = exp2_avx2(_mm256_sub_ps(_mm256_loadu_ps(p[h] + k), _mm256_set1_ps(max)));
            _mm256_storeu_ps(p[h] + k, value);
            sum = _mm256_add_ps(sum, value);
        }
        alpha[h] = _mm256_cvtss_f32(exp2_avx2(_mm256_set1_ps(state->max[h] - max)));
        state->sum[h * LANES] = state->sum[h * LANES] * alpha[h] + sum_lanes(sum);
        state->max[h] = max;
    }
    for (size_t i = 0; i < d; i += 8) {
        __m256 acc[DECODE_HEADS];
#pragma clang loop unroll(full)
        for (size_t h = 0; h < heads; h++)
            acc[h] = _mm256_mul_ps(_mm256_set1_ps(alpha[h]), _mm256_loadu_ps(state->output + h * dp + i));
        for (size_t k = 0; k < n; k++) {
            __m256 value = load_8(values + k * stride, i, bf16);
#pragma clang loop unroll(full)
            for (size_t h = 0; h < heads; h++) acc[h] = _mm256_fmadd_ps(_mm256_broadcast_ss(p[h] + k), value, acc[h]);
        }
#pragma clang loop unroll(full)
        for (size_t h = 0; h < heads; h++) _mm256_storeu_ps(state->output + h * dp + i, acc[h]);
    }
}

TARGET static void decode_step(
    const struct decode_state *state, size_t heads, const unsigned char *keys, const unsigned char *values,
    size_t stride, size_t n, size_t d, bool bf16) {
    if (d % 8 != 0) {
        decode_scalar.step(state, heads, keys, values, stride, n, d, bf16);
        return;
    }
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

const struct decode_kernel decode_avx2 = {.splits_bf16 = false, .step = decode_step};
#endif
