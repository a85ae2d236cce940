// Attention kernels against their definition, for plain clang with sanitizers:
//   clang -std=c17 -g -O1 -fsanitize=address,undefined -ISources/CLariatKernels/include
//       Sources/CLariatKernels/attention*.c Sources/CLariatKernels/isa.c Tests/CKernels/attention_test.c -lm
// Exits 0 when every case agrees, on every instruction set that this processor has.
#include "lariat_attention.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t state = 42;

static float uniform(void) { // -1...1
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (float)(int32_t)(state >> 32) / 2147483648.0f;
}

static uint16_t bf16_round(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static float bf16_value(uint16_t bits) {
    uint32_t wide = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &wide, sizeof value);
    return value;
}

static void *aligned(size_t bytes) {
    void *memory = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (!memory) exit(2);
    return memory;
}

struct problem {
    enum lariat_kv_element element;
    struct lariat_attention_shape shape;
    size_t key_count;
    unsigned char *rows, *memory; // rows lie at an odd address
    int64_t *key_positions;
    struct lariat_attention_queries queries;
    float *query;
    int64_t *query_positions;
    float *output, *log_sum_exp;
    size_t outputs, sums;
};

static size_t row_bytes(const struct problem *p) {
    return (size_t)2 * p->shape.kv_heads * p->shape.head_dim * (p->element == LARIAT_KV_BF16 ? 2 : 4);
}

static struct problem make(
    enum lariat_kv_element element, uint32_t kv_heads, uint32_t group, uint32_t d, size_t keys, size_t queries,
    float size) {
    struct problem p = {.element = element, .key_count = keys};
    p.shape = (struct lariat_attention_shape){kv_heads * group, kv_heads, d, 1 / sqrtf((float)d)};
    size_t elements = keys * 2 * kv_heads * d, bytes = keys * row_bytes(&p);
    p.memory = malloc(bytes + 1);
    p.rows = p.memory + 1;
    for (size_t i = 0; i < elements; i++) {
        float value = uniform();
        if (i / ((size_t)kv_heads * d) % 2 == 0) value *= size;
        uint16_t bits = bf16_round(value);
        if (element == LARIAT_KV_BF16) memcpy(p.rows + 2 * i, &bits, 2);
        else memcpy(p.rows + 4 * i, &value, 4);
    }
    p.outputs = queries * p.shape.heads * d;
    p.sums = queries * p.shape.heads;
    p.query = malloc(p.outputs * sizeof(float));
    for (size_t i = 0; i < p.outputs; i++) p.query[i] = uniform() * size;
    p.key_positions = malloc(keys * sizeof(int64_t));
    p.query_positions = malloc(queries * sizeof(int64_t));
    p.output = malloc(p.outputs * sizeof(float));
    p.log_sum_exp = malloc(p.sums * sizeof(float));
    p.queries = (struct lariat_attention_queries){p.query, p.query_positions, queries};
    return p;
}

static void drop(struct problem *p) {
    free(p->memory), free(p->key_positions), free(p->query), free(p->query_positions);
    free(p->output), free(p->log_sum_exp);
}

// `chunk`: keys that are attended at once.
static void attend(enum lariat_isa isa, struct problem *p, size_t chunk) {
    size_t items = lariat_attention_items(&p->shape, p->queries.count);
    size_t state_bytes = lariat_attention_state_bytes(p->shape.head_dim);
    void *states = aligned(p->shape.kv_heads * items * state_bytes);
    memset(states, 0xff, p->shape.kv_heads * items * state_bytes);
    lariat_attention_begin(states, p->shape.kv_heads * items, p->shape.head_dim);
    size_t bytes = lariat_attention_packed_bytes(isa, p->element, p->shape.head_dim);
    size_t scratch_bytes = lariat_attention_scratch_bytes(p->shape.head_dim);
    void *scratch = aligned(scratch_bytes);
    memset(scratch, 0xff, scratch_bytes); // NaN: nothing may be read before it is written
    for (size_t k0 = 0; k0 < p->key_count; k0 += chunk) {
        size_t n = p->key_count - k0 < chunk ? p->key_count - k0 : chunk;
        size_t tile_count = (n + LARIAT_ATTENTION_TILE_KEYS - 1) / LARIAT_ATTENTION_TILE_KEYS;
        struct lariat_key_tile *tiles = malloc(tile_count * sizeof *tiles);
        unsigned char *packed = aligned(p->shape.kv_heads * tile_count * bytes);
        memset(packed, 0xff, p->shape.kv_heads * tile_count * bytes);
        for (size_t t = 0; t < tile_count; t++) {
            size_t first = k0 + t * LARIAT_ATTENTION_TILE_KEYS, count = k0 + n - first;
            if (count > LARIAT_ATTENTION_TILE_KEYS) count = LARIAT_ATTENTION_TILE_KEYS;
            lariat_attention_describe(&tiles[t], p->key_positions + first, count);
            for (size_t h = 0; h < p->shape.kv_heads; h++)
                lariat_attention_pack(
                    isa, p->element, &p->shape, p->rows + first * row_bytes(p), count, h,
                    packed + (t * p->shape.kv_heads + h) * bytes);
        }
        for (size_t h = 0; h < p->shape.kv_heads; h++)
            for (size_t i = 0; i < items; i++)
                lariat_attention_attend(
                    isa, p->element, &p->shape, tiles, tile_count, packed, &p->queries, h, i, states, scratch);
        free(tiles), free(packed);
    }
    // In two parts, as callers do.
    size_t half = p->queries.count / 2;
    lariat_attention_finish(&p->shape, states, p->queries.count, 0, half, p->output, p->log_sum_exp);
    lariat_attention_finish(
        &p->shape, states, p->queries.count, half, p->queries.count - half,
        p->output + half * p->shape.heads * p->shape.head_dim, p->log_sum_exp + half * p->shape.heads);
    free(scratch), free(states);
}

static int failures;
static double worst[4][2][2];

static void compare(
    enum lariat_isa isa, const struct problem *p, const float *output, const float *sums, double o_limit,
    double l_limit, const char *what) {
    double o_worst = 0, l_worst = 0;
    for (size_t i = 0; i < p->outputs; i++) {
        double difference = fabs((double)p->output[i] - (double)output[i]);
        if (!(difference <= o_worst)) o_worst = difference; // NaN comes through
    }
    for (size_t i = 0; i < p->sums; i++) {
        if (p->log_sum_exp[i] == sums[i]) continue; // -inf too
        double difference = fabs((double)p->log_sum_exp[i] - (double)sums[i]) / fmax(1, fabs((double)sums[i]));
        if (!(difference <= l_worst)) l_worst = difference;
    }
    double *seen = worst[isa][p->element];
    if (o_limit < 0.01) {
        seen[0] = fmax(seen[0], o_worst);
        seen[1] = fmax(seen[1], l_worst);
    }
    if (!(o_worst <= o_limit) || !(l_worst <= l_limit)) {
        failures++;
        printf(
            "isa %d element %d head %u kv %u heads %u keys %zu queries %zu, %s: output off by %g (limit %g), L by %g "
            "(limit %g)\n",
            isa, p->element, p->shape.head_dim, p->shape.kv_heads, p->shape.heads, p->key_count, p->queries.count,
            what, o_worst, o_limit, l_worst, l_limit);
    }
}

static void check(
    enum lariat_isa isa, enum lariat_kv_element element, uint32_t kv_heads, uint32_t group, uint32_t d, size_t keys,
    size_t queries, size_t layout, float size) {
    struct problem p = make(element, kv_heads, group, d, keys, queries, size);
    // Layouts: 0 the queries are the last tokens, 1 the keys come in two runs with a gap and the queries lie between
    // and after, 2 every key is later than every query, 3 all keys are earlier, 4 the later run of keys comes first, so
    // that some queries of an item see nothing until a later tile.
    for (size_t i = 0; i < keys; i++)
        p.key_positions[i] = (int64_t)i + (layout == 1 && i >= keys / 2 ? 1000 : 0) + (layout == 2 ? 5000000000 : 0);
    if (layout == 4)
        for (size_t i = 0; i < keys; i++)
            p.key_positions[i] = i < keys / 2 ? 1000 + (int64_t)i : (int64_t)(i - keys / 2);
    for (size_t i = 0; i < queries; i++) {
        int64_t at = (int64_t)i + (int64_t)keys - (int64_t)queries;
        if (layout == 1) at = i < queries / 2 ? (int64_t)(keys / 2 + i) - 3 : 1000 + (int64_t)(keys / 2 + i);
        if (layout == 3) at = 5000000000 + (int64_t)i;
        if (layout == 4) at = (int64_t)(keys / 4 + i) + (i < queries / 2 ? 0 : 1000);
        p.query_positions[i] = at;
    }
    float factor = p.shape.scale * 1.44269504088896340736f;
    bool coarse = element == LARIAT_KV_BF16 && isa == LARIAT_ISA_AVX512BF16;
    struct problem exact = p;
    exact.output = malloc(p.outputs * sizeof(float));
    exact.log_sum_exp = malloc(p.sums * sizeof(float));
    float *rounded = malloc(p.outputs * sizeof(float));
    for (size_t i = 0; i < p.outputs; i++)
        rounded[i] = coarse ? bf16_value(bf16_round(p.query[i] * factor)) / factor : p.query[i];
    exact.queries.query = rounded;
    lariat_attention_reference(
        element, &p.shape, p.rows, p.key_positions, keys, &exact.queries, exact.output, exact.log_sum_exp);
    // Large scores carry the rounding of f32 sums into the exponent.
    double o_limit = coarse ? 2.5e-3 : 5e-6, l_limit = coarse ? 1e-4 : 2e-6;
    if (size > 2) o_limit = 2e-2;
    attend(isa, &p, 4096);
    compare(isa, &p, exact.output, exact.log_sum_exp, o_limit, l_limit, "prefill");
    float *once = malloc(p.outputs * sizeof(float));
    memcpy(once, p.output, p.outputs * sizeof(float));
    attend(isa, &p, LARIAT_ATTENTION_TILE_KEYS);
    if (memcmp(once, p.output, p.outputs * sizeof(float)) != 0) {
        failures++;
        printf("isa %d element %d head %u keys %zu: other bits tile by tile\n", isa, element, d, keys);
    }
    free(once);
    attend(isa, &p, 100);
    compare(isa, &p, exact.output, exact.log_sum_exp, o_limit, l_limit, "prefill in other tiles");

    // Decode: one query at a time, all keys visible.
    if (layout == 3) {
        exact.queries.query = p.query;
        lariat_attention_reference(
            element, &p.shape, p.rows, p.key_positions, keys, &exact.queries, exact.output,
            exact.log_sum_exp);
        size_t width = (size_t)p.shape.heads * d;
        float *o = malloc(width * sizeof(float)), *l = malloc(p.shape.heads * sizeof(float));
        size_t scratch_floats = lariat_attention_decode_scratch(&p.shape);
        float *scratch = malloc(scratch_floats * sizeof(float));
        memset(scratch, 0xff, scratch_floats * sizeof(float));
        for (size_t n = 0; n < queries; n++) {
            float *out = p.output + n * width, *sums = p.log_sum_exp + n * p.shape.heads;
            for (size_t h = 0; h < p.shape.heads; h++) sums[h] = -INFINITY;
            for (size_t k0 = 0; k0 < keys; k0 += LARIAT_ATTENTION_DECODE_KEYS) {
                size_t count = keys - k0;
                if (count > LARIAT_ATTENTION_DECODE_KEYS) count = LARIAT_ATTENTION_DECODE_KEYS;
                lariat_attention_decode(
                    isa, element, &p.shape, p.rows + k0 * row_bytes(&p), count, p.query + n * width, o, l, scratch);
                lariat_attention_merge(out, sums, o, l, p.shape.heads, d);
            }
        }
        compare(
            isa, &p, exact.output, exact.log_sum_exp, size > 2 ? 2e-2 : 5e-6, 2e-6, "decode");
        free(o), free(l), free(scratch);
    }
    free(exact.output), free(exact.log_sum_exp), free(rounded);
    drop(&p);
}

int main(void) {
    const uint32_t dims[] = {2, 30, 32, 64, 72, 80, 96, 112, 128, 256}, groups[] = {1, 3, 4, 5, 8};
    const size_t lengths[] = {1, 2, 47, 49, 127, 129, 300};
    size_t cases = 0;
    for (int isa = 0; isa <= (int)lariat_isa_best(); isa++)
        for (int element = 0; element < 2; element++)
            for (size_t d = 0; d < sizeof dims / sizeof *dims; d++)
                for (size_t n = 0; n < sizeof lengths / sizeof *lengths; n++)
                    for (size_t layout = 0; layout < 5; layout++, cases++) {
                        if ((d + n + layout) % 2 != 0) continue; // half of all: the definition is slow here
                        size_t keys = lengths[n], queries = layout == 0 ? keys : lengths[(n + layout) % 4];
                        if (keys == 300 && layout == 0 && d % 3 != 0) queries = 61;
                        check(
                            (enum lariat_isa)isa, (enum lariat_kv_element)element, 1 + (uint32_t)(cases % 2),
                            groups[cases % 5], dims[d], keys, queries, layout, 1);
                        if (n > 3 && d == 3)
                            check(
                                (enum lariat_isa)isa, (enum lariat_kv_element)element, 1, 2, 64, keys, 20, layout, 80);
                    }
    for (int isa = 0; isa <= (int)lariat_isa_best(); isa++)
        for (int element = 0; element < 2; element++)
            printf(
                "isa %d element %d: worst output %.2g, L %.2g\n", isa, element, worst[isa][element][0],
                worst[isa][element][1]);
    printf("%zu cases, %d failures\n", cases, failures);
    return failures != 0;
}
