// Shared by the files of lariat_ops.h: the functions of each instruction set, and target attributes.
#ifndef LARIAT_OPS_INTERNAL_H
#define LARIAT_OPS_INTERNAL_H

#include <string.h>

#include "lariat_ops.h"

#define LARIAT_INLINE static inline __attribute__((always_inline))
#define LARIAT_AVX2 __attribute__((target("avx2,fma,f16c")))
#define LARIAT_AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c")))
#define LARIAT_AVX512BF16 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,avx2,fma,f16c")))

// Elements and bytes of one block of a type, as constants where `type` is one; 0 elements without kernels.
typedef struct {
    size_t elements, bytes;
} lariat_block;

LARIAT_INLINE lariat_block lariat_block_of(uint32_t type) {
    switch (type) {
    case LARIAT_F32: return (lariat_block){1, 4};
    case LARIAT_F16: return (lariat_block){1, 2};
    case LARIAT_BF16: return (lariat_block){1, 2};
    case LARIAT_Q4_0: return (lariat_block){32, 18};
    case LARIAT_Q4_1: return (lariat_block){32, 20};
    case LARIAT_Q5_0: return (lariat_block){32, 22};
    case LARIAT_Q5_1: return (lariat_block){32, 24};
    case LARIAT_Q8_0: return (lariat_block){32, 34};
    case LARIAT_Q4_K: return (lariat_block){256, 144};
    case LARIAT_Q5_K: return (lariat_block){256, 176};
    case LARIAT_Q6_K: return (lariat_block){256, 210};
    default: return (lariat_block){0, 0};
    }
}

// What the vector kernels walk: a block, or 32 elements where a block is a single one (F32, F16, BF16).
LARIAT_INLINE lariat_block lariat_walk_of(uint32_t type) {
    const lariat_block block = lariat_block_of(type);
    return block.elements == 1 ? (lariat_block){32, 32 * block.bytes} : block;
}

LARIAT_INLINE float lariat_half(const uint8_t *bytes) {
    _Float16 value;
    memcpy(&value, bytes, sizeof value);
    return (float)value;
}

LARIAT_INLINE float lariat_bits_to_float(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

LARIAT_INLINE uint32_t lariat_float_to_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

// Scale (0...63) and minimum (0...63) of sub-block j < 8 of a Q4_K or Q5_K block, from its 12 packed bytes.
LARIAT_INLINE void lariat_k_scale(const uint8_t *packed, size_t j, uint8_t *scale, uint8_t *minimum) {
    if (j < 4) {
        *scale = packed[j] & 63;
        *minimum = packed[j + 4] & 63;
    } else {
        *scale = (uint8_t)((packed[j + 4] & 15) | ((packed[j - 4] >> 6) << 4));
        *minimum = (uint8_t)((packed[j + 4] >> 4) | ((packed[j] >> 6) << 4));
    }
}

// All eight of them at once, sub-block j in byte j.
LARIAT_INLINE void lariat_k_scales(const uint8_t *packed, uint64_t *scales, uint64_t *minimums) {
    uint32_t p[3];
    memcpy(p, packed, sizeof p);
    *scales = (uint64_t)(p[0] & 0x3f3f3f3f)
              | (uint64_t)((p[2] & 0x0f0f0f0f) | ((p[0] >> 2) & 0x30303030)) << 32;
    *minimums = (uint64_t)(p[1] & 0x3f3f3f3f)
                | (uint64_t)(((p[2] >> 4) & 0x0f0f0f0f) | ((p[1] >> 2) & 0x30303030)) << 32;
}

typedef void lariat_dequantise_fn(uint32_t type, const uint8_t *row, size_t columns, float *out);
typedef void lariat_dot_fn(uint32_t type, const uint8_t *w, size_t w_stride, size_t rows_w, size_t columns,
                           const float *x, size_t x_stride, size_t rows_x, float *y, size_t y_stride,
                           bool accumulate);
typedef void lariat_dot_rounded_fn(uint32_t type, const uint8_t *w, size_t w_stride, size_t rows, size_t columns,
                                   const void *rounded, float *y, bool accumulate);
typedef void lariat_pack_fn(const uint32_t *rows, size_t stride, size_t count, size_t words, uint32_t *out,
                            size_t width, size_t block_stride);

lariat_dequantise_fn lariat_dequantise_scalar;
lariat_dot_fn lariat_dot_scalar;
lariat_dot_rounded_fn lariat_dot_rounded_scalar;
lariat_pack_fn lariat_pack_words;
#if defined(__x86_64__)
lariat_dequantise_fn lariat_dequantise_avx2, lariat_dequantise_avx512;
lariat_dot_fn lariat_dot_avx2, lariat_dot_avx512;
lariat_dot_rounded_fn lariat_dot_rounded_avx2, lariat_dot_rounded_vnni;
lariat_pack_fn lariat_pack_words_avx2, lariat_pack_words_avx512;
#endif

/* Applies a macro to every type of weights: one kernel each, chosen once a call. */
#define LARIAT_EACH_WEIGHT_TYPE(APPLY)                                                                             \
    APPLY(LARIAT_F32)                                                                                              \
    APPLY(LARIAT_F16)                                                                                              \
    APPLY(LARIAT_BF16)                                                                                             \
    LARIAT_EACH_QUANTISED_TYPE(APPLY)

#define LARIAT_EACH_QUANTISED_TYPE(APPLY)                                                                          \
    APPLY(LARIAT_Q4_0)                                                                                             \
    APPLY(LARIAT_Q4_1)                                                                                             \
    APPLY(LARIAT_Q5_0)                                                                                             \
    APPLY(LARIAT_Q5_1)                                                                                             \
    APPLY(LARIAT_Q8_0)                                                                                             \
    APPLY(LARIAT_Q4_K)                                                                                             \
    APPLY(LARIAT_Q5_K)                                                                                             \
    APPLY(LARIAT_Q6_K)

#endif
