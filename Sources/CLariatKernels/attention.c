// Attention of one item: chooses the kernel, carries the item's state from tile to tile, skips what the mask empties.
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
    return sizeof(struct attention_tile) + ROWS * attention_padded_dim(head_dim) * sizeof(float); // packed queries
}

// What one item has seen so far; its output [ROWS][dp], not yet divided by sum, follows.
struct item_state {
    _Alignas(64) float sum[ROWS][LANES]; // as the kernel keeps it: lane by lane
    float max[ROWS];
    uint32_t started;
};

size_t lariat_attention_state_bytes(uint32_t head_dim) {
    return sizeof(struct item_state) + ROWS * attention_padded_dim(head_dim) * sizeof(float);
}

void lariat_attention_begin(void *states, size_t items, uint32_t head_dim) {
    for (size_t i = 0; i < items; i++)
        ((struct item_state *)((unsigned char *)states + i * lariat_attention_state_bytes(head_dim)))->started = 0;
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
    const struct lariat_attention_queries *queries, size_t kv_head, size_t item, void *states, void *scratch) {
    const struct attention_kernel *kernel = kernel_for(isa, element);
    size_t d = shape->head_dim, dp = attention_padded_dim(d), group = shape->heads / shape->kv_heads;
    size_t packed_bytes = lariat_attention_packed_bytes(isa, element, shape->head_dim);
    size_t place = kv_head * lariat_attention_items(shape, queries->count) + item;
    struct item_state *state =
        (void *)((unsigned char *)states + place * lariat_attention_state_bytes(shape->head_dim));
    float *output = (float *)(state + 1);
    struct attention_tile *tile = scratch;
    void *packed_queries = tile + 1;

    // Rows are (query, head in the group), query by query: one packed tile serves the whole group, and the span of
    // positions in an item, which decides how much work the mask wastes, is short.
    size_t first = item * ROWS, count = queries->count * group - first;
    if (count > ROWS) count = ROWS;
    size_t rows = (count + ROW_STEP - 1) / ROW_STEP * ROW_STEP;
    const float *query_rows[ROWS];
    int64_t at[ROWS], earliest = INT64_MAX, latest = INT64_MIN;
    for (size_t r = 0; r < count; r++) {
        size_t query = (first + r) / group, head = kv_head * group + (first + r) % group;
        query_rows[r] = queries->query + (query * shape->heads + head) * d;
        at[r] = queries->positions[query];
        if (at[r] < earliest) earliest = at[r];
        if (at[r] > latest) latest = at[r];
    }

    bool open = false;
    for (size_t t = 0; t < tile_count; t++) {
        if (tiles[t].lowest > latest) continue;
        const unsigned char *keys = (const unsigned char *)packed + (t * shape->kv_heads + kv_head) * packed_bytes;
        if (!open) {
            open = true;
            kernel->pack_queries(packed_queries, query_rows, count, rows, d, shape->scale * LOG2_E);
            if (state->started) {
                memcpy(tile->sum, state->sum, sizeof tile->sum);
                memcpy(tile->max, state->max, sizeof tile->max);
            } else {
                state->started = 1;
                memset(output, 0, ROWS * dp * sizeof(float));
                memset(tile->sum, 0, sizeof tile->sum);
                for (size_t r = 0; r < ROWS; r++) tile->max[r] = -INFINITY;
            }
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
    if (open) {
        memcpy(state->sum, tile->sum, sizeof tile->sum);
        memcpy(state->max, tile->max, sizeof tile->max);
    }
}

static float sum_of_lanes(const float *lanes) {
    float half[LANES / 2];
    for (size_t i = 0; i < LANES / 2; i++) half[i] = lanes[i] + lanes[LANES / 2 + i];
    return ((half[0] + half[4]) + (half[2] + half[6])) + ((half[1] + half[5]) + (half[3] + half[7]));
}

void lariat_attention_finish(
    const struct lariat_attention_shape *shape, const void *states, size_t queries, size_t first, size_t count,
    float *output, float *log_sum_exp) {
    size_t d = shape->head_dim, dp = attention_padded_dim(d), group = shape->heads / shape->kv_heads;
    size_t bytes = lariat_attention_state_bytes(shape->head_dim), items = lariat_attention_items(shape, queries);
    for (size_t n = 0; n < count; n++) {
        for (size_t h = 0; h < shape->heads; h++) {
            size_t row = (first + n) * group + h % group, r = row % ROWS;
            const struct item_state *state =
                (const void *)((const unsigned char *)states + (h / group * items + row / ROWS) * bytes);
            const float total = state->started ? sum_of_lanes(state->sum[r]) : 0, some = total > 0 ? total : 1;
            const float inverse = 1 / some;
            const float *restrict from = (const float *)(state + 1) + r * dp;
            float *restrict to = output + (n * shape->heads + h) * d;
            // What lies in a state that has not started is no number, perhaps.
            if (total > 0) {
                for (size_t i = 0; i < d; i++) to[i] = from[i] * inverse;
            } else {
                memset(to, 0, d * sizeof(float));
            }
            if (log_sum_exp)
                log_sum_exp[n * shape->heads + h] =
                    total > 0 ? (state->max[r] + logarithm2(some)) * LN_2 : -INFINITY;
        }
    }
}
