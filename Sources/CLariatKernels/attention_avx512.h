// What both AVX-512 attention kernels share: exponentials, horizontal reductions, the mask, the running maximum.
// Private to this target.
#ifndef ATTENTION_AVX512_H
#define ATTENTION_AVX512_H

#include "attention_kernel.h"
#include <immintrin.h>
#include <math.h>

#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq")))
#define INLINE static inline __attribute__((always_inline))

// 2^x for x <= 0 within 1e-7; exactly 1 at 0, and 0 at -inf.
INLINE AVX512 __m512 exp2_avx512(__m512 x) {
    __m512 whole = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    // _mm512_reduce_ps is x - whole, but 0 at -inf.
    __m512 r = _mm512_reduce_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m512 p = _mm512_set1_ps(1.535e-4f);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.3399931e-3f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(9.618489e-3f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(5.5503286e-2f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.24022646f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.6931472f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1));
    return _mm512_scalef_ps(p, whole);
}

#define REDUCE_16(name, combine)                                                                                    \
    INLINE AVX512 __m512 name(const float *from) {                                                                  \
        __m512 pairs[8], fours[4], eights[2];                                                                       \
        for (int i = 0; i < 8; i++) {                                                                               \
            __m512 a = _mm512_load_ps(from + 32 * i), b = _mm512_load_ps(from + 32 * i + 16);                       \
            pairs[i] = combine(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));                                 \
        }                                                                                                           \
        for (int i = 0; i < 4; i++) {                                                                               \
            __m512d a = _mm512_castps_pd(pairs[2 * i]), b = _mm512_castps_pd(pairs[2 * i + 1]);                     \
            fours[i] = combine(                                                                                     \
                _mm512_castpd_ps(_mm512_unpacklo_pd(a, b)), _mm512_castpd_ps(_mm512_unpackhi_pd(a, b)));            \
        }                                                                                                           \
        for (int i = 0; i < 2; i++) {                                                                               \
            __m512 a = fours[2 * i], b = fours[2 * i + 1];                                                          \
            eights[i] = combine(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));                \
        }                                                                                                           \
        return combine(                                                                                             \
            _mm512_shuffle_f32x4(eights[0], eights[1], 0x88), _mm512_shuffle_f32x4(eights[0], eights[1], 0xdd));    \
    }

// Sixteen vectors, one after the other in memory, each reduced to one lane of the result.
REDUCE_16(sum_16, _mm512_add_ps)
REDUCE_16(max_16, _mm512_max_ps)

// Moves the running maximum on to that of the tile; alpha is what earlier sums are multiplied with.  rows is rounded
// up to 16 within the tile, whose other rows hold finite numbers or -inf.
INLINE AVX512 void advance_max(struct attention_tile *tile, size_t rows) {
    const __m512 none = _mm512_set1_ps(-INFINITY);
    for (size_t r = 0; r < rows; r += 16) {
        __m512 before = _mm512_loadu_ps(tile->max + r);
        __m512 max = _mm512_max_ps(before, max_16(tile->top[r]));
        // A row that sees nothing yet must not form -inf - -inf.
        __mmask16 empty = _mm512_cmp_ps_mask(max, none, _CMP_EQ_OQ);
        __m512 base = _mm512_mask_mov_ps(max, empty, _mm512_setzero_ps());
        _mm512_storeu_ps(tile->max + r, max);
        _mm512_storeu_ps(tile->alpha + r, exp2_avx512(_mm512_sub_ps(before, base)));
    }
}

INLINE AVX512 void mask_avx512(
    struct attention_tile *tile, size_t rows, size_t keys, const int32_t *key_at, const int32_t *query_at) {
    const __m512 none = _mm512_set1_ps(-INFINITY);
    for (size_t r = 0; r < rows; r++) {
        __m512i query = _mm512_set1_epi32(query_at[r]);
        __m512 top = none;
        for (size_t k = 0; k < keys; k += 16) {
            __mmask16 seen = _mm512_cmple_epi32_mask(_mm512_loadu_si512(key_at + k), query);
            __m512 score = _mm512_mask_mov_ps(none, seen, _mm512_load_ps(tile->scores[r] + k));
            _mm512_store_ps(tile->scores[r] + k, score);
            top = _mm512_max_ps(top, score);
        }
        _mm512_store_ps(tile->top[r], top);
    }
}

#endif
