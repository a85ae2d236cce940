// Prefill attention with AVX-512, f32 operands.
#if defined(__x86_64__)
#include "attention_avx512.h"

#define TARGET AVX512
#define DOT(acc, a, b) _mm512_fmadd_ps(_mm512_castsi512_ps(a), _mm512_castsi512_ps(b), acc)
#include "attention_avx512_product.h"

AVX512 static void scores(
    struct attention_tile *tile, size_t rows, const void *queries, const void *keys, size_t count, size_t d) {
    score_tile(tile, rows, queries, keys, count, d);
}

AVX512 static void mask(
    struct attention_tile *tile, size_t rows, size_t keys, const int32_t *key_at, const int32_t *query_at) {
    mask_avx512(tile, rows, keys, key_at, query_at);
}

AVX512 static void softmax(struct attention_tile *tile, size_t rows, size_t keys) {
    advance_max(tile, rows);
    for (size_t r = 0; r < rows; r++) {
        float *p = tile->scores[r];
        __m512 max = _mm512_set1_ps(tile->max[r] == -INFINITY ? 0 : tile->max[r]);
        __m512 sum = _mm512_mul_ps(_mm512_load_ps(tile->sum[r]), _mm512_set1_ps(tile->alpha[r]));
        for (size_t k = 0; k < keys; k += 16) {
            __m512 value = exp2_avx512(_mm512_sub_ps(_mm512_load_ps(p + k), max));
            sum = _mm512_add_ps(sum, value);
            _mm512_store_ps(p + k, value);
        }
        _mm512_store_ps(tile->sum[r], sum);
    }
}

AVX512 static void accumulate(
    const struct attention_tile *tile, size_t rows, const void *values, size_t keys, size_t dp, float *out) {
    accumulate_tile(tile, rows, values, keys, dp, out);
}

const struct attention_kernel attention_avx512 = {
    .operand_bytes = 4,
    .pack_keys = attention_pack_keys_f32,
    .pack_values = attention_pack_values_f32,
    .pack_queries = attention_pack_queries_f32,
    .scores = scores,
    .mask = mask,
    .softmax = softmax,
    .accumulate = accumulate,
};
#endif
