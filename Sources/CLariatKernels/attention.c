// Attention of one item: chooses the kernel, walks over the tiles, skips what the mask empties, merges the result.
#include "attention_kernel.h"
#include <math.h>

static const struct attention_kernel *kernel_for(enum lariat_isa isa, enum lariat_kv_element element) {
#if defined(__x86_64__)
    static const struct attention_kernel *const kernels[4][2] = {
        [LARIAT_ISA_SCALAR] = {&attention_scalar, &attention_scalar},
        [LARIAT_ISA_AVX2] = {&attention_avx2, &attention_avx2},
        [LARIAT_ISA_AVX512] = {&attention_avx512, &attention_avx512},
        [LARIAT_ISA_AVX512BF16] = {&attention_avx512, &attention_avx512bf16},
    };
    return kernels[isa][element];
#else
    (void)isa, (void)element;
    return &attention_scalar;
#endif
}

static size_t row_bytes(enum lariat_kv_element element, const struct lariat_attention_shape *shape) {
    return (size_t)2 * shape->kv_heads * shape->head_dim * (element == LARIAT_KV_BF16 ? 2 : 4);
}

static size_t packed_keys_bytes(const struct attention_kernel *kernel, size_t d) {
    return KEYS * d * kernel->operand_bytes;
}

size_t lariat_attention_packed_bytes(enum lariat_isa isa, enum lariat_kv_element element, uint32_t head_dim) {
    const struct attention_kernel *kernel = kernel_for(isa, element);
    return packed_keys_bytes(kernel, head_dim) + KEYS * attention_padded_dim(head_dim) * kernel->operand_bytes;
}

size_t lariat_attention_scratch_bytes(uint32_t head_dim) {
    size_t dp = attention_padded_dim(head_dim);
    return sizeof(struct attention_tile) + 2 * ROWS * dp * sizeof(float); // queries, output
}

void lariat_attention_describe(struct lariat_key_tile *tile, const int64_t *positions, size_t count) {
    tile->lowest = tile->highest = positions[0];
    tile->count = (uint32_t)count;
    for (size_t i = 1; i < count; i++) {
        if (positions[i] < tile->lowest) tile->lowest = positions[i];
        if (positions[i] > tile->highest) tile->highest = positions[i];
    }
    for (size_t i = 0; i < KEYS; i++) {
        int64_t relative = i < count ? positions[i] - tile->lowest : INT32_MAX;
        tile->relative[i] = relative < INT32_MAX ? (int32_t)relative : INT32_MAX;
    }
}

void lariat_attention_pack(
    enum lariat_isa isa, enum lariat_kv_element element, const struct lariat_attention_shape *shape,
    const void *rows, size_t count, size_t kv_head, void *packed) {
    const struct attention_kernel *kernel = kernel_for(isa, element);
    size_t d = shape->head_dim, stride = row_bytes(element, shape);
    bool bf16 = element == LARIAT_KV_BF16;
    const unsigned char *keys = (const unsigned char *)rows + kv_head * d * (bf16 ? 2 : 4);
    kernel->pack_keys(packed, keys, stride, count, d, bf16);
    kernel->pack_values(
        (unsigned char *)packed + packed_keys_bytes(kernel, d), keys + stride / 2, stride, count, d, bf16);
}

size_t lariat_attention_items(const struct lariat_attention_shape *shape, size_t count) {
    return (count * (shape->heads / shape->kv_heads) + ROWS - 1) / ROWS;
}

void lariat_attention_merge(
    float *output, float *log_sum_exp, const float *o, const float *l, size_t count, size_t dim) {
    for (size_t i = 0; i < count; i++) {
        float keep, add, sum;
        attention_join(log_sum_exp + i, l + i, 1, &keep, &add, &sum);
        attention_merge_row(output + i * dim, o + i * dim, dim, keep, add);
        log_sum_exp[i] = sum;
    }
}

void lariat_attention_attend(
    enum lariat_isa isa, enum lariat_kv_element element, const struct lariat_attention_shape *shape,
    const struct lariat_key_tile *tiles, size_t tile_count, const void *packed,
    const struct lariat_attention_queries *queries, size_t kv_head, size_t item, void *scratch) {
    const struct attention_kernel *kernel = kernel_for(isa, element);
    size_t d = shape->head_dim, dp = attention_padded_dim(d), group = shape->heads / shape->kv_heads;
    size_t packed_bytes = lariat_attention_packed_bytes(isa, element, shape->head_dim);
    struct attention_tile *tile = scratch;
    float *output = (float *)(tile + 1);
    void *packed_queries = output + ROWS * dp;

    // Rows are (query, head in the group), query by query: one packed tile serves the whole group, and the span of
    // positions in an item, which decides how much work the mask wastes, is short.
    size_t first = item * ROWS, count = queries->count * group - first;
    if (count > ROWS) count = ROWS;
    size_t rows = (count + ROW_STEP - 1) / ROW_STEP * ROW_STEP;
    const float *query_rows[ROWS];
    struct attention_rows result;
    int64_t at[ROWS], earliest = INT64_MAX, latest = INT64_MIN;
    for (size_t r = 0; r < count; r++) {
        size_t query = (first + r) / group, head = kv_head * group + (first + r) % group;
        size_t place = query * shape->heads + head;
        query_rows[r] = queries->query + place * d;
        result.output[r] = queries->output + place * d;
        result.log_sum_exp[r] = queries->log_sum_exp + place;
        // Fetched while the tiles are computed.
        for (size_t i = 0; i < d; i += 16) __builtin_prefetch(result.output[r] + i, 1, 2);
        at[r] = queries->positions[query];
        if (at[r] < earliest) earliest = at[r];
        if (at[r] > latest) latest = at[r];
    }

    bool started = false;
    for (size_t t = 0; t < tile_count; t++) {
        if (tiles[t].lowest > latest) continue;
        const unsigned char *keys = (const unsigned char *)packed + (kv_head * tile_count + t) * packed_bytes;
        if (!started) {
            started = true;
            kernel->pack_queries(packed_queries, query_rows, count, rows, d, shape->scale * LOG2_E);
            memset(output, 0, ROWS * dp * sizeof(float));
            memset(tile->sum, 0, sizeof tile->sum);
            for (size_t r = 0; r < ROWS; r++) tile->max[r] = -INFINITY;
        }
        bool whole = tiles[t].highest <= earliest && tiles[t].count % KEY_STEP == 0;
        size_t visible = tiles[t].count;
        int32_t query_at[ROWS] = {0};
        if (!whole) {
            for (size_t r = 0; r < count; r++) {
                int64_t relative = at[r] - tiles[t].lowest;
                query_at[r] = relative < 0 ? -1 : relative < INT32_MAX ? (int32_t)relative : INT32_MAX - 1;
            }
            while (visible > 1 && tiles[t].relative[visible - 1] > latest - tiles[t].lowest) visible--;
        }
        visible = (visible + KEY_STEP - 1) / KEY_STEP * KEY_STEP;
        kernel->scores(tile, rows, packed_queries, keys, visible, d);
        if (!whole) kernel->mask(tile, rows, visible, tiles[t].relative, query_at);
        kernel->softmax(tile, rows, visible);
        kernel->accumulate(tile, rows, keys + packed_keys_bytes(kernel, d), visible, dp, output);
    }
    if (started) kernel->finish(tile, count, output, d, dp, &result);
}
