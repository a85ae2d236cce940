// What this processor can do at most: loops with nothing but the instruction in question, to hold kernels against.
// Each takes a number of iterations and returns the operations done (a multiplication and an addition are two), or 0
// where the instruction does not exist. One call keeps one core busy.
#ifndef LARIAT_PEAK_H
#define LARIAT_PEAK_H

#include "lariat_isa.h"
#include <stddef.h>
#include <stdint.h>

/// Multiplications and additions of float32: fused ones of AVX-512 or AVX2, or what portable C is compiled to.
/// The caller has checked that the machine has `isa`.
uint64_t lariat_peak_f32(enum lariat_isa isa, uint64_t iterations);

/// Dot products of bfloat16 pairs (vdpbf16ps); 0 below LARIAT_ISA_AVX512BF16.
uint64_t lariat_peak_bf16(enum lariat_isa isa, uint64_t iterations);

/// Dot products of int8 quadruples (vpdpbusd); 0 below LARIAT_ISA_AVX512BF16.
uint64_t lariat_peak_int8(enum lariat_isa isa, uint64_t iterations);

/// Reads `words` words once and returns their sum, which makes the reading necessary.
uint64_t lariat_peak_read(enum lariat_isa isa, const uint64_t *_Nonnull memory, size_t words);

/// Copies `bytes` bytes past the caches, so that memory is read once and written once. Both ends are on 16-byte borders,
/// and `bytes` is a multiple of 64.
void lariat_peak_copy(void *_Nonnull to, const void *_Nonnull from, size_t bytes);

#endif
