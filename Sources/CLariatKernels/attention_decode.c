// Decode attention: walks over a piece of the shard step by step, so that memory is read once and in order.
#include "attention_kernel.h"
#include <math.h>

static const struct decode_kernel *kernel_for(enum lariat_isa isa) {
#if defined(__x86_64__)
    static const struct decode_kernel *const kernels[4] = {
        [LARIAT_ISA_SCALAR] = &decode_scalar,
        [LARIAT_ISA_AVX2] = &decode_avx2,
        [LARIAT_ISA_AVX512] = &decode_avx512,
        [LARIAT_ISA_AVX512BF16] = &decode_avx512,
    };
    return kernels[isa];
#else
    (void)isa;
    return &decode_scalar;
#endif
}

static size_t padded_dim(const struct lariat_attention_shape *shape) { return (shape->head_dim + 31) / 32 * 32; }

size_t lariat_attention_decode_scratch(const struct lariat_attention_shape *shape) {
    // query, output, sum; max rounded up to a whole cache line
    return shape->heads * (2 * padded_dim(shape) + LANES) + (shape->heads + 15) / 16 * 16;
}

// Where element i of a head stands in the state.
static inline size_t place(size_t i, bool split) { return split ? i / 32 * 32 + i % 2 * 16 + i % 32 / 2 : i; }

void lariat_attention_decode(
    enum lariat_isa isa, enum lariat_kv_element element, const struct lariat_attention_shape *shape,
    const void *rows, size_t count, const float *query, float *output, float *log_sum_exp, float *scratch) {
    const struct decode_kernel *kernel = kernel_for(isa);
    bool bf16 = element == LARIAT_KV_BF16, split = bf16 && kernel->splits_bf16;
    size_t d = shape->head_dim, dp = padded_dim(shape), heads = shape->heads, kv_heads = shape->kv_heads;
    size_t group = heads / kv_heads, bytes = d * (bf16 ? 2 : 4), stride = 2 * kv_heads * bytes;
    float *scaled = scratch, *total = scaled + heads * dp, *sum = total + heads * dp, *max = sum + heads * LANES;
    memset(scratch, 0, (size_t)(max - scratch) * sizeof(float));
    for (size_t h = 0; h < heads; h++) {
        for (size_t i = 0; i < d; i++) scaled[h * dp + place(i, split)] = query[h * d + i] * shape->scale * LOG2_E;
        max[h] = -INFINITY;
    }
    // What comes two steps later is fetched to the second cache while this step computes, from end to end in order, a
    // share with each row: left alone, the processor does not see through the order in which heads read the rows.
    size_t calls = kv_heads * ((group + DECODE_HEADS - 1) / DECODE_HEADS);
    for (size_t i = 0; i < (count < 2 * DECODE_STEP ? count : 2 * DECODE_STEP) * stride; i += 64)
        __builtin_prefetch((const unsigned char *)rows + i, 0, 2);
    for (size_t first = 0; first < count; first += DECODE_STEP) {
        size_t n = count - first < DECODE_STEP ? count - first : DECODE_STEP;
        const unsigned char *keys = (const unsigned char *)rows + first * stride;
        struct decode_state state = {.dp = dp, .ahead = keys + 2 * DECODE_STEP * stride};
        size_t left = first + 2 * DECODE_STEP < count ? count - first - 2 * DECODE_STEP : 0;
        state.share = ((left < DECODE_STEP ? left : DECODE_STEP) * stride / (calls * n) + 63) / 64 * 64;
        for (size_t head = 0; head < heads;) {
            size_t kv_head = head / group, together = group - head % group;
            if (together > DECODE_HEADS) together = DECODE_HEADS;
            state.query = scaled + head * dp;
            state.output = total + head * dp;
            state.sum = sum + head * LANES;
            state.max = max + head;
            kernel->step(
                &state, together, keys + kv_head * bytes, keys + (kv_heads + kv_head) * bytes, stride, n, d, bf16);
            state.ahead += n * state.share;
            head += together;
        }
    }
    for (size_t h = 0; h < heads; h++) {
        float whole = 0;
        for (size_t i = 0; i < LANES; i++) whole += sum[h * LANES + i];
        float factor = 1 / whole;
        for (size_t i = 0; i < d; i++) output[h * d + i] = total[h * dp + place(i, split)] * factor;
        log_sum_exp[h] = (max[h] + log2f(whole)) * LN_2;
    }
}
