// What the attention of one instruction set must offer: the steps of one tile.  Private to this target.
#ifndef ATTENTION_KERNEL_H
#define ATTENTION_KERNEL_H

#include "exponential.h"
#include "lariat_attention.h"
#include <math.h>
#include <stdbool.h>
#include <string.h>

enum {
    ROWS = LARIAT_ATTENTION_TILE_ROWS,
    KEYS = LARIAT_ATTENTION_TILE_KEYS,
    KEY_GROUP = 64,    // keys whose scores are computed together
    KEY_STEP = 32,     // the softmax and the values go in steps of so many keys
    ROW_STEP = 24,     // rows are padded to a multiple: divisible by every register tile's height
    LANES = 16,
};

// The state of one item; one for each thread.  Scores are in units of log2.
struct attention_tile {
    _Alignas(64) float scores[ROWS][KEYS]; // then the probabilities, f32 or bf16, from the start of each row
    float top[ROWS][LANES];                // greatest scores of the tile, lane by lane
    float sum[ROWS][LANES];                // running sum of probabilities, lane by lane
    float max[ROWS];                       // running maximum
    float alpha[ROWS];                     // what the tile multiplies earlier sums with
};

// `d` is the head size, `dp` the same rounded up to whole vectors of 16.
struct attention_kernel {
    size_t operand_bytes;
    // Keys become [group of 64][d][64]; bf16 operands as pairs along d: [group][d / 2][64][2].
    void (*pack_keys)(void *packed, const unsigned char *rows, size_t stride, size_t count, size_t d, bool bf16);
    // Values become [128][dp]; bf16 operands as pairs along keys: [64][dp][2].
    void (*pack_values)(void *packed, const unsigned char *rows, size_t stride, size_t count, size_t d, bool bf16);
    // Queries, multiplied by factor, become [d][ROWS]; bf16 operands as pairs along d: [d / 2][ROWS][2].  Rows from
    // `count` to `padded` are zero, those past it undefined.
    void (*pack_queries)(void *packed, const float *const *rows, size_t count, size_t padded, size_t d, float factor);
    // scores = q k^T over the first `count` keys, a multiple of KEY_STEP, and top.
    void (*scores)(
        struct attention_tile *tile, size_t rows, const void *queries, const void *keys, size_t count, size_t d);
    // Hides keys later than the row's query, and computes top anew.
    void (*mask)(
        struct attention_tile *tile, size_t rows, size_t keys, const int32_t *key_at, const int32_t *query_at);
    // Moves max on, and turns scores into probabilities.
    void (*softmax)(struct attention_tile *tile, size_t rows, size_t keys);
    // out [rows][dp] = out * alpha + probabilities * values.
    void (*accumulate)(
        const struct attention_tile *tile, size_t rows, const void *values, size_t keys, size_t dp, float *out);
};

// Decode: one step over n <= DECODE_STEP rows, all visible, for up to DECODE_HEADS heads that share a KV head.  The
// state of head h starts at h * dp, d rounded up to 32; its query is scaled to units of log2 and padded with zeros.
enum { DECODE_HEADS = 4, DECODE_STEP = 32 };
struct decode_state {
    size_t dp;
    const float *query; // [heads][dp]
    float *output;      // [heads][dp], not yet divided by sum
    float *sum;         // [heads][LANES], lane by lane
    float *max;         // [heads]
    const unsigned char *ahead; // memory to prefetch: `share` bytes with each row, which need not exist
    size_t share;
};
struct decode_kernel {
    // In query and output each 32 elements stand as 16 even and 16 odd ones when the rows are bf16.
    bool splits_bf16;
    void (*step)(
        const struct decode_state *state, size_t heads, const unsigned char *keys, const unsigned char *values,
        size_t stride, size_t n, size_t d, bool bf16);
};

static inline void decode_prefetch(const struct decode_state *state, size_t row) {
    for (size_t i = 0; i < state->share; i += 64) __builtin_prefetch(state->ahead + row * state->share + i, 0, 2);
}

extern const struct attention_kernel attention_scalar, attention_avx2, attention_avx512, attention_avx512bf16;
extern const struct decode_kernel decode_scalar, decode_avx2, decode_avx512;

#define LOG2_E 1.44269504088896340736f
#define LN_2 0.693147180559945309417f

static inline size_t attention_padded_dim(size_t d) { return (d + LANES - 1) / LANES * LANES; }

static inline float bf16_widen(uint16_t bits) {
    uint32_t wide = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &wide, sizeof value);
    return value;
}

// How partials (o, l) join running results (O, L), row by row: O becomes O * keep + o * add, L becomes sum.
// m = max(L, l); keep = e^(L-m) / (e^(L-m) + e^(l-m)), add = e^(l-m) / (the same), sum = m + ln(the same).
// Where one of the two saw nothing, the other stays as it is.
LARIAT_INLINE void attention_join(
    const float *restrict before, const float *restrict l, size_t count, float *restrict keep, float *restrict add,
    float *restrict sum) {
    for (size_t r = 0; r < count; r++) {
        const float most = before[r] > l[r] ? before[r] : l[r];
        const float top = most == -INFINITY ? 0 : most; // -inf - -inf is never formed
        const float old = before[r] == -INFINITY ? 0 : exponential(before[r] - top);
        const float new = l[r] == -INFINITY ? 0 : exponential(l[r] - top);
        const float both = old + new, some = both > 0 ? both : 1;
        keep[r] = old / some;
        add[r] = new / some;
        sum[r] = both > 0 ? top + logarithm2(some) * LN_2 : -INFINITY;
    }
}

// output = output * keep + o * add.  Where keep is 0, what stood in output does not count, even if it is no number.
LARIAT_INLINE void attention_merge_row(
    float *restrict output, const float *restrict o, size_t dim, float keep, float add) {
    if (add == 0) return;
    if (keep == 0) {
        for (size_t i = 0; i < dim; i++) output[i] = o[i] * add;
    } else {
        for (size_t i = 0; i < dim; i++) output[i] = output[i] * keep + o[i] * add;
    }
}

// Element `index` of a row that may lie at any address.
static inline float kv_load(const unsigned char *row, size_t index, bool bf16) {
    if (bf16) {
        uint16_t bits;
        memcpy(&bits, row + 2 * index, sizeof bits);
        return bf16_widen(bits);
    }
    float value;
    memcpy(&value, row + 4 * index, sizeof value);
    return value;
}

// Packing into f32, for every kernel with f32 operands.
void attention_pack_keys_f32(
    void *packed, const unsigned char *rows, size_t stride, size_t count, size_t d, bool bf16);
void attention_pack_values_f32(
    void *packed, const unsigned char *rows, size_t stride, size_t count, size_t d, bool bf16);
void attention_pack_queries_f32(
    void *packed, const float *const *rows, size_t count, size_t padded, size_t d, float factor);
void attention_mask_any(
    struct attention_tile *tile, size_t rows, size_t keys, const int32_t *key_at, const int32_t *query_at);

#endif
