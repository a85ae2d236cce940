// Attention by its definition, in double precision: no tiles, no running maximum, no approximated exponential.
#include "attention_kernel.h"
#include <math.h>
#include <stdlib.h>

#pragma STDC FP_CONTRACT OFF

void lariat_attention_reference(
    enum lariat_kv_element element, const struct lariat_attention_shape *shape, const void *rows,
    const int64_t *key_positions, size_t key_count, const struct lariat_attention_queries *queries, float *output,
    float *log_sum_exp) {
    bool bf16 = element == LARIAT_KV_BF16;
    size_t d = shape->head_dim, group = shape->heads / shape->kv_heads, bytes = bf16 ? 2 : 4;
    size_t stride = (size_t)2 * shape->kv_heads * d * bytes;
    for (size_t n = 0; n < queries->count; n++) {
        for (size_t h = 0; h < shape->heads; h++) {
            const float *q = queries->query + (n * shape->heads + h) * d;
            float *out = output + (n * shape->heads + h) * d;
            const unsigned char *keys = (const unsigned char *)rows + h / group * d * bytes;
            double max = -INFINITY, sum = 0, total[LARIAT_ATTENTION_MAX_HEAD_DIM] = {0};
            // Two passes over the keys: the maximum, then the sums.
            for (int pass = 0; pass < 2; pass++) {
                for (size_t k = 0; k < key_count; k++) {
                    if (key_positions[k] > queries->positions[n]) continue;
                    const unsigned char *key = keys + k * stride, *value = key + stride / 2;
                    double score = 0;
                    for (size_t i = 0; i < d; i++) score += (double)q[i] * (double)kv_load(key, i, bf16);
                    score *= (double)shape->scale;
                    if (pass == 0) {
                        max = score > max ? score : max;
                    } else {
                        double p = exp(score - max);
                        sum += p;
                        for (size_t i = 0; i < d; i++) total[i] += p * (double)kv_load(value, i, bf16);
                    }
                }
            }
            for (size_t i = 0; i < d; i++) out[i] = sum > 0 ? (float)(total[i] / sum) : 0;
            log_sum_exp[n * shape->heads + h] = sum > 0 ? (float)(max + log(sum)) : -INFINITY;
        }
    }
}
