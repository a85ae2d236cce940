// Attention in portable C: the fallback for any processor, and the packing that all f32 kernels share.
#include "attention_kernel.h"
#include <math.h>

void attention_pack_keys_f32(
    void *packed, const unsigned char *rows, size_t stride, size_t count, size_t d, bool bf16) {
    float *out = packed;
    for (size_t group = 0; group * KEY_GROUP < count; group++, out += d * KEY_GROUP) {
        for (size_t k = 0; k < KEY_GROUP; k++) {
            size_t key = group * KEY_GROUP + k;
            const unsigned char *row = rows + key * stride;
            if (key >= count) {
                for (size_t i = 0; i < d; i++) out[i * KEY_GROUP + k] = 0;
            } else if (bf16) {
                for (size_t i = 0; i < d; i++) out[i * KEY_GROUP + k] = kv_load(row, i, true);
            } else {
                for (size_t i = 0; i < d; i++) out[i * KEY_GROUP + k] = kv_load(row, i, false);
            }
        }
    }
}

void attention_pack_values_f32(
    void *packed, const unsigned char *rows, size_t stride, size_t count, size_t d, bool bf16) {
    size_t dp = attention_padded_dim(d);
    float *out = packed;
    memset(out, 0, KEYS * dp * sizeof(float));
    for (size_t key = 0; key < count; key++, out += dp, rows += stride) {
        if (bf16) {
            for (size_t i = 0; i < d; i++) out[i] = kv_load(rows, i, true);
        } else {
            memcpy(out, rows, d * sizeof(float));
        }
    }
}

void attention_pack_queries_f32(
    void *packed, const float *const *rows, size_t count, size_t padded, size_t d, float factor) {
    float *out = packed;
    for (size_t r = 0; r < padded; r++) {
        for (size_t i = 0; i < d; i++) out[i * ROWS + r] = r < count ? rows[r][i] * factor : 0;
    }
}

void attention_mask_any(
    struct attention_tile *tile, size_t rows, size_t keys, const int32_t *key_at, const int32_t *query_at) {
    for (size_t r = 0; r < rows; r++) {
        float *scores = tile->scores[r], *top = tile->top[r];
        for (size_t i = 0; i < LANES; i++) top[i] = -INFINITY;
        for (size_t k = 0; k < keys; k += LANES) {
            for (size_t i = 0; i < LANES; i++) {
                float score = key_at[k + i] <= query_at[r] ? scores[k + i] : -INFINITY;
                scores[k + i] = score;
                top[i] = score > top[i] ? score : top[i];
            }
        }
    }
}

// 2^x for x <= 0 within 1e-7; 0 below 2^-126.
static inline float exp2_scalar(float x) {
    float bounded = x > -127 ? x : -127;
    float whole = bounded + 12582912.0f; // rounds to an integer: the sum has no bits behind the point
    whole -= 12582912.0f;
    float r = bounded - whole;
    float p = 1.535e-4f;
    p = p * r + 1.3399931e-3f;
    p = p * r + 9.618489e-3f;
    p = p * r + 5.5503286e-2f;
    p = p * r + 0.24022646f;
    p = p * r + 0.6931472f;
    p = p * r + 1;
    int32_t exponent = (int32_t)whole + 127;
    uint32_t bits = exponent > 0 ? (uint32_t)exponent << 23 : 0;
    float power;
    memcpy(&power, &bits, sizeof power);
    return p * power;
}

static void scores(
    struct attention_tile *tile, size_t rows, const void *queries, const void *keys, size_t count, size_t d) {
    enum { R = 2, C = 16 };
    for (size_t r0 = 0; r0 < rows; r0 += R) {
        const float *q = (const float *)queries + r0;
        for (size_t r = 0; r < R; r++)
            for (size_t i = 0; i < LANES; i++) tile->top[r0 + r][i] = -INFINITY;
        for (size_t key = 0; key < count; key += C) {
            const float *k = (const float *)keys + key / KEY_GROUP * KEY_GROUP * d + key % KEY_GROUP;
            float acc[R][C] = {{0}};
            for (size_t i = 0; i < d; i++)
                for (size_t r = 0; r < R; r++)
                    for (size_t c = 0; c < C; c++) acc[r][c] += q[i * ROWS + r] * k[i * KEY_GROUP + c];
            for (size_t r = 0; r < R; r++) {
                for (size_t c = 0; c < C; c++) {
                    float *top = &tile->top[r0 + r][c];
                    tile->scores[r0 + r][key + c] = acc[r][c];
                    *top = acc[r][c] > *top ? acc[r][c] : *top;
                }
            }
        }
    }
}

static void softmax(struct attention_tile *tile, size_t rows, size_t keys) {
    for (size_t r = 0; r < rows; r++) {
        float max = tile->max[r];
        for (size_t i = 0; i < LANES; i++) max = tile->top[r][i] > max ? tile->top[r][i] : max;
        float base = max == -INFINITY ? 0 : max; // a row that sees nothing yet: 2^(-inf - 0) = 0
        tile->alpha[r] = exp2_scalar(tile->max[r] - base);
        tile->max[r] = max;
        float *p = tile->scores[r], *sum = tile->sum[r];
        for (size_t i = 0; i < LANES; i++) sum[i] *= tile->alpha[r];
        for (size_t k = 0; k < keys; k += LANES) {
            for (size_t i = 0; i < LANES; i++) {
                p[k + i] = exp2_scalar(p[k + i] - base);
                sum[i] += p[k + i];
            }
        }
    }
}

static void accumulate(
    const struct attention_tile *tile, size_t rows, const void *values, size_t keys, size_t dp, float *out) {
    enum { R = 2, C = LANES };
    for (size_t r0 = 0; r0 < rows; r0 += R) {
        for (size_t c0 = 0; c0 < dp; c0 += C) {
            const float *v = (const float *)values + c0;
            float acc[R][C];
            for (size_t r = 0; r < R; r++)
                for (size_t c = 0; c < C; c++) acc[r][c] = out[(r0 + r) * dp + c0 + c] * tile->alpha[r0 + r];
            for (size_t k = 0; k < keys; k++)
                for (size_t r = 0; r < R; r++)
                    for (size_t c = 0; c < C; c++) acc[r][c] += tile->scores[r0 + r][k] * v[k * dp + c];
            for (size_t r = 0; r < R; r++)
                for (size_t c = 0; c < C; c++) out[(r0 + r) * dp + c0 + c] = acc[r][c];
        }
    }
}

const struct attention_kernel attention_scalar = {
    .operand_bytes = 4,
    .pack_keys = attention_pack_keys_f32,
    .pack_values = attention_pack_values_f32,
    .pack_queries = attention_pack_queries_f32,
    .scores = scores,
    .mask = attention_mask_any,
    .softmax = softmax,
    .accumulate = accumulate,
};

static inline __attribute__((always_inline)) void decode_step(
    const struct decode_state *state, size_t heads, const unsigned char *keys, const unsigned char *values,
    size_t stride, size_t n, size_t d, bool bf16) {
    for (size_t h = 0; h < heads; h++) {
        const float *query = state->query + h * state->dp;
        float *output = state->output + h * state->dp;
        float p[DECODE_STEP], max = state->max[h];
        for (size_t k = 0; k < n; k++) {
            if (h == 0) decode_prefetch(state, k);
            float part[LANES] = {0}; // several sums, so that they can go on side by side
            size_t i = 0;
            for (; i + LANES <= d; i += LANES)
                for (size_t j = 0; j < LANES; j++) part[j] += query[i + j] * kv_load(keys + k * stride, i + j, bf16);
            for (; i < d; i++) part[i % LANES] += query[i] * kv_load(keys + k * stride, i, bf16);
            for (size_t half = LANES / 2; half > 0; half /= 2)
                for (size_t j = 0; j < half; j++) part[j] += part[half + j];
            p[k] = part[0];
            max = p[k] > max ? p[k] : max;
        }
        float alpha = exp2_scalar(state->max[h] - max);
        state->max[h] = max;
        state->sum[h * LANES] *= alpha;
        for (size_t i = 0; i < d; i++) output[i] *= alpha;
        for (size_t k = 0; k < n; k++) {
            p[k] = exp2_scalar(p[k] - max);
            state->sum[h * LANES] += p[k];
            for (size_t i = 0; i < d; i++) output[i] += p[k] * kv_load(values + k * stride, i, bf16);
        }
    }
}

static void decode_step_any(
    const struct decode_state *state, size_t heads, const unsigned char *keys, const unsigned char *values,
    size_t stride, size_t n, size_t d, bool bf16) {
    if (bf16) decode_step(state, heads, keys, values, stride, n, d, true);
    else decode_step(state, heads, keys, values, stride, n, d, false);
}

const struct decode_kernel decode_scalar = {.splits_bf16 = false, .step = decode_step_any};
