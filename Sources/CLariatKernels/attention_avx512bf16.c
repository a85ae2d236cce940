// Prefill attention with AVX512-BF16: bf16 operands, f32 sums and softmax.
#if defined(__x86_64__)
#include "attention_avx512.h"

#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")))
#define DOT(acc, a, b) _mm512_dpbf16_ps(acc, (__m512bh)(a), (__m512bh)(b))
#include "attention_avx512_product.h"

// Sixteen rows of sixteen 32-bit operands become sixteen columns.
INLINE TARGET void transpose_16(__m512i row[16]) {
    __m512i a[16];
#pragma clang loop unroll(full)
    for (int i = 0; i < 16; i += 2) {
        a[i] = _mm512_unpacklo_epi32(row[i], row[i + 1]);
        a[i + 1] = _mm512_unpackhi_epi32(row[i], row[i + 1]);
    }
#pragma clang loop unroll(full)
    for (int i = 0; i < 16; i += 4) { // row[i + j]: column 4 l + j in each lane l, of rows i to i + 3
        row[i] = _mm512_unpacklo_epi64(a[i], a[i + 2]);
        row[i + 1] = _mm512_unpackhi_epi64(a[i], a[i + 2]);
        row[i + 2] = _mm512_unpacklo_epi64(a[i + 1], a[i + 3]);
        row[i + 3] = _mm512_unpackhi_epi64(a[i + 1], a[i + 3]);
    }
#pragma clang loop unroll(full)
    for (int j = 0; j < 4; j++) { // the 4 x 4 lanes of rows j, 4 + j, 8 + j, 12 + j
        __m512i low = _mm512_shuffle_i32x4(row[j], row[4 + j], 0x88);
        __m512i high = _mm512_shuffle_i32x4(row[8 + j], row[12 + j], 0x88);
        __m512i low_odd = _mm512_shuffle_i32x4(row[j], row[4 + j], 0xdd);
        __m512i high_odd = _mm512_shuffle_i32x4(row[8 + j], row[12 + j], 0xdd);
        a[j] = _mm512_shuffle_i32x4(low, high, 0x88);
        a[8 + j] = _mm512_shuffle_i32x4(low, high, 0xdd);
        a[4 + j] = _mm512_shuffle_i32x4(low_odd, high_odd, 0x88);
        a[12 + j] = _mm512_shuffle_i32x4(low_odd, high_odd, 0xdd);
    }
#pragma clang loop unroll(full)
    for (int i = 0; i < 16; i++) row[i] = a[i];
}

TARGET static void pack_keys(
    void *packed, const unsigned char *rows, size_t stride, size_t count, size_t d, bool bf16) {
    (void)bf16;
    int32_t *out = packed;
    size_t pairs = d / 2;
    for (size_t group = 0; group * KEY_GROUP < count; group++, out += pairs * KEY_GROUP) {
        for (size_t k = 0; k < KEY_GROUP; k += 16) {
            for (size_t pair = 0; pair < pairs; pair += 16) {
                size_t left = pairs - pair;
                __mmask16 here = left < 16 ? (__mmask16)((1u << left) - 1) : (__mmask16)0xffff;
                __m512i block[16];
#pragma clang loop unroll(full)
                for (size_t i = 0; i < 16; i++) {
                    size_t key = group * KEY_GROUP + k + i;
                    block[i] = key < count ? _mm512_maskz_loadu_epi32(here, rows + key * stride + 4 * pair)
                                           : _mm512_setzero_si512();
                }
                transpose_16(block);
                for (size_t i = 0; i < (left < 16 ? left : 16); i++)
                    _mm512_store_si512(out + (pair + i) * KEY_GROUP + k, block[i]);
            }
        }
    }
}

TARGET static void pack_values(
    void *packed, const unsigned char *rows, size_t stride, size_t count, size_t d, bool bf16) {
    (void)bf16;
    size_t dp = attention_padded_dim(d);
    int32_t *out = packed;
    // Interleaves two rows of 16 bf16: operand i is (even row's i, odd row's i).
    for (size_t pair = 0; pair < KEYS / 2; pair++, out += dp) {
        const unsigned char *even = rows + 2 * pair * stride, *odd = even + stride;
        for (size_t i = 0; i < dp; i += 16) {
            size_t left = d - i;
            __mmask16 here = left < 16 ? (__mmask16)((1u << left) - 1) : (__mmask16)0xffff;
            __mmask16 even_here = 2 * pair < count ? here : (__mmask16)0;
            __mmask16 odd_here = 2 * pair + 1 < count ? here : (__mmask16)0;
            __m512i low = _mm512_setzero_si512(), high = low;
            if (even_here) low = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(even_here, even + 2 * i));
            if (odd_here) high = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(odd_here, odd + 2 * i));
            _mm512_store_si512(out + i, _mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
        }
    }
}

TARGET static void pack_queries(
    void *packed, const float *const *rows, size_t count, size_t padded, size_t d, float factor) {
    int32_t *out = packed;
    size_t pairs = d / 2;
    const __m512 scale = _mm512_set1_ps(factor);
    for (size_t r0 = 0; r0 < padded; r0 += 16) {
        for (size_t pair = 0; pair < pairs; pair += 16) {
            size_t left = pairs - pair < 16 ? pairs - pair : 16;
            uint32_t here = (uint32_t)((1ull << 2 * left) - 1);
            __m512i block[16];
#pragma clang loop unroll(full)
            for (size_t i = 0; i < 16; i++) {
                __m512 low = _mm512_setzero_ps(), high = low;
                if (r0 + i < count) {
                    const float *row = rows[r0 + i] + 2 * pair;
                    low = _mm512_mul_ps(scale, _mm512_maskz_loadu_ps((__mmask16)here, row));
                    if (here >> 16)
                        high = _mm512_mul_ps(scale, _mm512_maskz_loadu_ps((__mmask16)(here >> 16), row + 16));
                }
                block[i] = (__m512i)_mm512_cvtne2ps_pbh(high, low);
            }
            transpose_16(block);
            for (size_t i = 0; i < left; i++) _mm512_store_si512(out + (pair + i) * ROWS + r0, block[i]);
        }
    }
}

TARGET static void scores(
    struct attention_tile *tile, size_t rows, const void *queries, const void *keys, size_t count, size_t d) {
    score_tile(tile, rows, queries, keys, count, d / 2);
}

TARGET static void mask(
    struct attention_tile *tile, size_t rows, size_t keys, const int32_t *key_at, const int32_t *query_at) {
    mask_avx512(tile, rows, keys, key_at, query_at);
}

// 2^x for x <= 0 within 7.5e-5, a hundredth of a bf16 step.  The fraction is taken downwards: scalef rounds its second
// operand down too, so it needs no rounded copy of x.  0 at -inf.
INLINE TARGET __m512 exp2_coarse(__m512 x) {
    __m512 r = _mm512_reduce_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
    __m512 p = _mm512_fmadd_ps(_mm512_set1_ps(0.07802452f), r, _mm512_set1_ps(0.22606716f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.69583356f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.9999252f));
    return _mm512_scalef_ps(p, x);
}

TARGET static void softmax(struct attention_tile *tile, size_t rows, size_t keys) {
    advance_max(tile, rows);
    for (size_t r = 0; r < rows; r++) {
        float *p = tile->scores[r];
        __m512 max = _mm512_set1_ps(tile->max[r] == -INFINITY ? 0 : tile->max[r]);
        __m512 sum = _mm512_mul_ps(_mm512_load_ps(tile->sum[r]), _mm512_set1_ps(tile->alpha[r]));
        for (size_t k = 0; k < keys; k += 32) {
            __m512 low = exp2_coarse(_mm512_sub_ps(_mm512_load_ps(p + k), max));
            __m512 high = exp2_coarse(_mm512_sub_ps(_mm512_load_ps(p + k + 16), max));
            sum = _mm512_add_ps(sum, _mm512_add_ps(low, high));
            // In place: the probabilities of 32 keys take the room of 16 scores.
            _mm512_store_si512(p + k / 2, (__m512i)_mm512_cvtne2ps_pbh(high, low));
        }
        _mm512_store_ps(tile->sum[r], sum);
    }
}

TARGET static void accumulate(
    const struct attention_tile *tile, size_t rows, const void *values, size_t keys, size_t dp, float *out) {
    accumulate_tile(tile, rows, values, keys / 2, dp, out);
}

const struct attention_kernel attention_avx512bf16 = {
    .operand_bytes = 2,
    .pack_keys = pack_keys,
    .pack_values = pack_values,
    .pack_queries = pack_queries,
    .scores = scores,
    .mask = mask,
    .softmax = softmax,
    .accumulate = accumulate,
};
#endif
