// Loops that run one kind of instruction as fast as the processor can. Each instruction's result is needed by the same
// accumulator's next one and by no other, and there are enough accumulators to hide the latency: 12 of 4 or 5 cycles
// at two instructions a cycle, which leaves registers for the operands.
#include "lariat_peak.h"

#include "ops_internal.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { ACCUMULATORS = 12 };

// Read at run time, so that no loop can be computed in advance. x = x * 0.5 + 0.25 stays between 0 and 1.
static volatile float half_operand = 0.5f, quarter_operand = 0.25f;
// Written at the end, so that every accumulator is needed.
static volatile float float_sink;

// Vectors of 16 bytes, which every processor has. Where C may fuse multiplication and addition and the processor can
// (arm64), they are fused.
static uint64_t f32_portable(uint64_t iterations) {
    typedef float lanes __attribute__((vector_size(16)));
    const float factor = half_operand, summand = quarter_operand;
    const lanes factors = {factor, factor, factor, factor}, summands = {summand, summand, summand, summand};
    lanes x[ACCUMULATORS];
    for (size_t i = 0; i < ACCUMULATORS; i++) x[i] = factors * (float)i;
    for (uint64_t n = 0; n < iterations; n++) {
#pragma clang loop unroll(full)
        for (size_t i = 0; i < ACCUMULATORS; i++) x[i] = x[i] * factors + summands;
    }
    lanes sum = x[0];
    for (size_t i = 1; i < ACCUMULATORS; i++) sum += x[i];
    float_sink = sum[0];
    return iterations * ACCUMULATORS * 4 * 2;
}

// Works through a sum of 64-bit words in plain C, which the compiler turns into vectors of each instruction set.
LARIAT_INLINE uint64_t sum_words(const uint64_t *memory, size_t words) {
    uint64_t sum = 0;
    for (size_t i = 0; i < words; i++) sum += memory[i];
    return sum;
}

static uint64_t read_portable(const uint64_t *memory, size_t words) { return sum_words(memory, words); }

#if defined(__x86_64__)
// VNNI is part of the level LARIAT_ISA_AVX512BF16 (see isa.c).
#define AVX512VNNI __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")))

LARIAT_AVX2 static uint64_t f32_avx2(uint64_t iterations) {
    const __m256 factor = _mm256_set1_ps(half_operand), summand = _mm256_set1_ps(quarter_operand);
    __m256 x[ACCUMULATORS];
    for (size_t i = 0; i < ACCUMULATORS; i++) x[i] = _mm256_set1_ps((float)i / ACCUMULATORS);
    for (uint64_t n = 0; n < iterations; n++) {
#pragma clang loop unroll(full)
        for (size_t i = 0; i < ACCUMULATORS; i++) x[i] = _mm256_fmadd_ps(x[i], factor, summand);
    }
    __m256 sum = x[0];
    for (size_t i = 1; i < ACCUMULATORS; i++) sum = _mm256_add_ps(sum, x[i]);
    float_sink = _mm256_cvtss_f32(sum);
    return iterations * ACCUMULATORS * 8 * 2;
}

LARIAT_AVX512 static uint64_t f32_avx512(uint64_t iterations) {
    const __m512 factor = _mm512_set1_ps(half_operand), summand = _mm512_set1_ps(quarter_operand);
    __m512 x[ACCUMULATORS];
    for (size_t i = 0; i < ACCUMULATORS; i++) x[i] = _mm512_set1_ps((float)i / ACCUMULATORS);
    for (uint64_t n = 0; n < iterations; n++) {
#pragma clang loop unroll(full)
        for (size_t i = 0; i < ACCUMULATORS; i++) x[i] = _mm512_fmadd_ps(x[i], factor, summand);
    }
    __m512 sum = x[0];
    for (size_t i = 1; i < ACCUMULATORS; i++) sum = _mm512_add_ps(sum, x[i]);
    float_sink = _mm512_cvtss_f32(sum);
    return iterations * ACCUMULATORS * 16 * 2;
}

LARIAT_AVX512BF16 static uint64_t bf16_avx512(uint64_t iterations) {
    // A sum of products of 0.5 and 0.25 grows slowly and stays finite.
    const __m512bh a = _mm512_cvtne2ps_pbh(_mm512_set1_ps(half_operand), _mm512_set1_ps(half_operand));
    const __m512bh b = _mm512_cvtne2ps_pbh(_mm512_set1_ps(quarter_operand), _mm512_set1_ps(quarter_operand));
    __m512 x[ACCUMULATORS];
    for (size_t i = 0; i < ACCUMULATORS; i++) x[i] = _mm512_set1_ps((float)i);
    for (uint64_t n = 0; n < iterations; n++) {
#pragma clang loop unroll(full)
        for (size_t i = 0; i < ACCUMULATORS; i++) x[i] = _mm512_dpbf16_ps(x[i], a, b);
    }
    __m512 sum = x[0];
    for (size_t i = 1; i < ACCUMULATORS; i++) sum = _mm512_add_ps(sum, x[i]);
    float_sink = _mm512_cvtss_f32(sum);
    return iterations * ACCUMULATORS * 32 * 2;
}

AVX512VNNI static uint64_t int8_avx512(uint64_t iterations) {
    const __m512i a = _mm512_set1_epi8((char)(half_operand * 4)), b = _mm512_set1_epi8((char)(half_operand * 2));
    __m512i x[ACCUMULATORS];
    for (size_t i = 0; i < ACCUMULATORS; i++) x[i] = _mm512_set1_epi32((int)i);
    for (uint64_t n = 0; n < iterations; n++) {
#pragma clang loop unroll(full)
        for (size_t i = 0; i < ACCUMULATORS; i++) x[i] = _mm512_dpbusd_epi32(x[i], a, b);
    }
    __m512i sum = x[0];
    for (size_t i = 1; i < ACCUMULATORS; i++) sum = _mm512_add_epi32(sum, x[i]);
    float_sink = (float)_mm512_cvtsi512_si32(sum);
    return iterations * ACCUMULATORS * 64 * 2;
}

LARIAT_AVX2 static uint64_t read_avx2(const uint64_t *memory, size_t words) { return sum_words(memory, words); }
LARIAT_AVX512 static uint64_t read_avx512(const uint64_t *memory, size_t words) { return sum_words(memory, words); }
#endif

uint64_t lariat_peak_f32(enum lariat_isa isa, uint64_t iterations) {
#if defined(__x86_64__)
    if (isa >= LARIAT_ISA_AVX512) return f32_avx512(iterations);
    if (isa == LARIAT_ISA_AVX2) return f32_avx2(iterations);
#else
    (void)isa;
#endif
    return f32_portable(iterations);
}

uint64_t lariat_peak_bf16(enum lariat_isa isa, uint64_t iterations) {
#if defined(__x86_64__)
    if (isa >= LARIAT_ISA_AVX512BF16) return bf16_avx512(iterations);
#endif
    (void)isa, (void)iterations;
    return 0;
}

uint64_t lariat_peak_int8(enum lariat_isa isa, uint64_t iterations) {
#if defined(__x86_64__)
    if (isa >= LARIAT_ISA_AVX512BF16) return int8_avx512(iterations);
#endif
    (void)isa, (void)iterations;
    return 0;
}

uint64_t lariat_peak_read(enum lariat_isa isa, const uint64_t *memory, size_t words) {
#if defined(__x86_64__)
    if (isa >= LARIAT_ISA_AVX512) return read_avx512(memory, words);
    if (isa == LARIAT_ISA_AVX2) return read_avx2(memory, words);
#else
    (void)isa;
#endif
    return read_portable(memory, words);
}

void lariat_peak_copy(void *to, const void *from, size_t bytes) {
    typedef uint64_t lanes __attribute__((vector_size(16)));
    lanes *out = to;
    const lanes *in = from;
    for (size_t i = 0; i < bytes / sizeof(lanes); i += 4) {
        const lanes a = in[i], b = in[i + 1], c = in[i + 2], d = in[i + 3];
        __builtin_nontemporal_store(a, out + i);
        __builtin_nontemporal_store(b, out + i + 1);
        __builtin_nontemporal_store(c, out + i + 2);
        __builtin_nontemporal_store(d, out + i + 3);
    }
    // Such stores are seen by other threads only after a fence.
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}
