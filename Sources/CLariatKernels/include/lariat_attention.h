// Causal attention of local queries over blocks of keys and values (prefill), of one query over a shard (decode), and
// the merging of partial results.  Swift holds the schedule: it cuts the work into the items named here, and any
// thread may run any item.  Results never depend on who runs what.
//
// A row is one token: [K: kv_heads * head_dim][V: kv_heads * head_dim], f32 or bf16, at any address.  A query at
// position p sees the keys at positions <= p.  Query head h uses KV head h / (heads / kv_heads).  O is normalised,
// L is the natural logarithm of the sum of exponentials; a row that sees nothing is (0, -inf).
#ifndef LARIAT_ATTENTION_H
#define LARIAT_ATTENTION_H

#include "lariat_isa.h"
#include <stddef.h>
#include <stdint.h>

enum {
    LARIAT_ATTENTION_TILE_KEYS = 128,    ///< keys that are packed and scored together
    LARIAT_ATTENTION_TILE_ROWS = 48,     ///< (query, head) rows of one item
    LARIAT_ATTENTION_DECODE_KEYS = 512,  ///< keys of one decode item: fixed, so that sums never depend on threads
    LARIAT_ATTENTION_MAX_HEAD_DIM = 512,
};

enum lariat_kv_element {
    LARIAT_KV_F32 = 0,
    LARIAT_KV_BF16 = 1,
};

/// Contract: kv_heads divides heads; head_dim is even, 2...LARIAT_ATTENTION_MAX_HEAD_DIM; scale is finite and > 0.
struct lariat_attention_shape {
    uint32_t heads, kv_heads, head_dim;
    float scale; ///< factor of q.k before the softmax
};

/// Positions of up to LARIAT_ATTENTION_TILE_KEYS keys.  Keys past `count` are never visible.
struct lariat_key_tile {
    int64_t lowest, highest; ///< over the keys in the tile
    uint32_t count;
    int32_t relative[LARIAT_ATTENTION_TILE_KEYS]; ///< position - lowest, clamped
};

/// Queries [count][heads * head_dim], rotated, unscaled.
struct lariat_attention_queries {
    const float *_Nonnull query;
    const int64_t *_Nonnull positions;
    size_t count;
};

/// Bytes of one packed tile of one KV head.  A multiple of 64.
size_t lariat_attention_packed_bytes(enum lariat_isa isa, enum lariat_kv_element element, uint32_t head_dim);

/// Bytes of scratch that one thread needs for lariat_attention_attend.
size_t lariat_attention_scratch_bytes(uint32_t head_dim);

/// Describes `count` keys (1...LARIAT_ATTENTION_TILE_KEYS) at `positions`.
void lariat_attention_describe(
    struct lariat_key_tile *_Nonnull tile, const int64_t *_Nonnull positions, size_t count);

/// Packs keys and values of `count` rows of one KV head into `packed` (64-byte aligned, lariat_attention_packed_bytes).
void lariat_attention_pack(
    enum lariat_isa isa, enum lariat_kv_element element, const struct lariat_attention_shape *_Nonnull shape,
    const void *_Nonnull rows, size_t count, size_t kv_head, void *_Nonnull packed);

/// How many items `count` queries make for each KV head.
size_t lariat_attention_items(const struct lariat_attention_shape *_Nonnull shape, size_t count);

/// Bytes of the state of one item: what is carried from tile to tile, so that how keys arrive does not show in the
/// result.  A multiple of 64.
size_t lariat_attention_state_bytes(uint32_t head_dim);

/// Makes `items` states, one after another, 64-byte aligned, states of items that have seen nothing.
void lariat_attention_begin(void *_Nonnull states, size_t items, uint32_t head_dim);

/// Attends item `item` of `kv_head` over `tile_count` tiles and carries its state on: unnormalised output, running
/// maximum and sums, in f32.  Tiles in the same order give the same bits, in one call or in several.
/// `packed` is [tile_count][kv_heads] packed tiles; tiles that no query sees need not be packed.
/// `states` is [kv_heads][items]; `scratch` is 64-byte aligned and belongs to the calling thread.
void lariat_attention_attend(
    enum lariat_isa isa, enum lariat_kv_element element, const struct lariat_attention_shape *_Nonnull shape,
    const struct lariat_key_tile *_Nonnull tiles, size_t tile_count, const void *_Nonnull packed,
    const struct lariat_attention_queries *_Nonnull queries, size_t kv_head, size_t item, void *_Nonnull states,
    void *_Nonnull scratch);

/// Normalises the attention of queries first..<first + count of `queries`: writes output [count][heads * head_dim] and,
/// unless it is null, log_sum_exp [count][heads].  Leaves the states as they are; the same bits on every processor.
void lariat_attention_finish(
    const struct lariat_attention_shape *_Nonnull shape, const void *_Nonnull states, size_t queries, size_t first,
    size_t count, float *_Nonnull output, float *_Nullable log_sum_exp);

/// Attends one query [heads * head_dim] over `count` rows (1...LARIAT_ATTENTION_DECODE_KEYS), all visible.
/// Writes output [heads * head_dim] and log_sum_exp [heads]; `scratch` belongs to the calling thread.
void lariat_attention_decode(
    enum lariat_isa isa, enum lariat_kv_element element, const struct lariat_attention_shape *_Nonnull shape,
    const void *_Nonnull rows, size_t count, const float *_Nonnull query, float *_Nonnull output,
    float *_Nonnull log_sum_exp, float *_Nonnull scratch);

/// Floats of scratch that one thread needs for lariat_attention_decode.  A multiple of 16.
size_t lariat_attention_decode_scratch(const struct lariat_attention_shape *_Nonnull shape);

/// Merges partials (o [count][dim], l [count]) into (output, log_sum_exp):
/// m = max(L, l); O = (O e^(L-m) + o e^(l-m)) / (e^(L-m) + e^(l-m)); L = m + ln(e^(L-m) + e^(l-m)).
void lariat_attention_merge(
    float *_Nonnull output, float *_Nonnull log_sum_exp, const float *_Nonnull o, const float *_Nonnull l,
    size_t count, size_t dim);

/// The definition, in double precision and without any blocking: what every kernel is tested against.
/// Writes output [count][heads * head_dim] and log_sum_exp [count][heads].
void lariat_attention_reference(
    enum lariat_kv_element element, const struct lariat_attention_shape *_Nonnull shape, const void *_Nonnull rows,
    const int64_t *_Nonnull key_positions, size_t key_count, const struct lariat_attention_queries *_Nonnull queries,
    float *_Nonnull output, float *_Nonnull log_sum_exp);

#endif
