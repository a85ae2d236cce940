// Norms, activations, sums and conversions. Each step is written once in plain C that the compiler turns into
// vectors, and compiled for each instruction set; the table of functions is at the end.
#include <math.h>

#include "exponential.h"
#include "ops_internal.h"
#include "rotate_loop.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

// Sums below may be taken in any order: that is what lets them be vectors. The order is fixed once compiled.
#define ANY_ORDER _Pragma("clang fp reassociate(on)")

LARIAT_INLINE void rms_norm(const float *x, const float *weight, float epsilon, float *y, size_t n) {
    ANY_ORDER
    float sum = 0;
    for (size_t i = 0; i < n; i++) sum += x[i] * x[i];
    const float scale = 1.0f / sqrtf(sum / (float)n + epsilon);
    for (size_t i = 0; i < n; i++) y[i] = x[i] * scale * weight[i];
}

LARIAT_INLINE void swiglu(const float *gate, const float *up, float *y, size_t n) {
    for (size_t i = 0; i < n; i++) y[i] = gate[i] / (1.0f + exponential(-gate[i])) * up[i];
}

// Sums of 512 terms in float32, these in double: the error stays below one unit in the last place of the result.
LARIAT_INLINE float nll(const float *logits, size_t n, size_t target) {
    ANY_ORDER
    float most = logits[0];
    for (size_t i = 1; i < n; i++) most = logits[i] > most ? logits[i] : most;
    double total = 0;
    for (size_t start = 0; start < n; start += 512) {
        const size_t end = start + 512 < n ? start + 512 : n;
        float sum = 0;
        for (size_t i = start; i < end; i++) sum += exponential(logits[i] - most);
        total += (double)sum;
    }
    return (float)(log(total) + (double)most - (double)logits[target]);
}

LARIAT_INLINE void to_bf16(const float *in, uint16_t *out, size_t n) {
    for (size_t i = 0; i < n; i++) {
        const uint32_t bits = lariat_float_to_bits(in[i]);
        const uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
        const uint32_t quiet = (bits >> 16) | 0x40;
        out[i] = (uint16_t)((bits & 0x7fffffff) > 0x7f800000 ? quiet : rounded);
    }
}

#if defined(__x86_64__)
// By the instruction made for it; it takes subnormal numbers for zero, the only difference.
LARIAT_AVX512BF16 static void to_bf16_native(const float *in, uint16_t *out, size_t n) {
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        const __m512bh pair = _mm512_cvtne2ps_pbh(_mm512_loadu_ps(in + i + 16), _mm512_loadu_ps(in + i));
        memcpy(out + i, &pair, sizeof pair);
    }
    for (; i < n; i += 16) {
        const size_t left = n - i < 16 ? n - i : 16;
        const __mmask16 mask = (__mmask16)((1u << left) - 1);
        const __m256bh part = _mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(mask, in + i));
        __m256i bits;
        memcpy(&bits, &part, sizeof bits);
        _mm256_mask_storeu_epi16(out + i, mask, bits);
    }
}
#endif

#define DEFINE(NAME, ATTRIBUTES)                                                                                   \
    ATTRIBUTES static void rms_norm_##NAME(const float *x, const float *w, float e, float *y, size_t n) {          \
        rms_norm(x, w, e, y, n);                                                                                   \
    }                                                                                                              \
    ATTRIBUTES static void swiglu_##NAME(const float *g, const float *u, float *y, size_t n) {                     \
        swiglu(g, u, y, n);                                                                                        \
    }                                                                                                              \
    ATTRIBUTES static float nll_##NAME(const float *l, size_t n, size_t t) { return nll(l, n, t); }                \
    ATTRIBUTES static void rotate_##NAME(float *x, size_t heads, size_t head, size_t rotary, const float *c,       \
                                         const float *s, bool adjacent) {                                          \
        rotate(x, heads, head, rotary, c, s, adjacent);                                                            \
    }

#define DEFINE_BF16(NAME, ATTRIBUTES)                                                                              \
    ATTRIBUTES static void to_bf16_##NAME(const float *in, uint16_t *out, size_t n) { to_bf16(in, out, n); }

#define TABLE(NAME, ROUNDED, BF16, PACK)                                                                            \
    {                                                                                                              \
        lariat_dequantise_##NAME, lariat_dot_##NAME, lariat_dot_rounded_##ROUNDED, to_bf16_##BF16, rms_norm_##NAME, \
            swiglu_##NAME, nll_##NAME, rotate_##NAME, PACK                                                          \
    }

DEFINE(scalar, )
DEFINE_BF16(scalar, )
#if defined(__x86_64__)
DEFINE(avx2, LARIAT_AVX2)
DEFINE_BF16(avx2, LARIAT_AVX2)
DEFINE(avx512, LARIAT_AVX512)
DEFINE_BF16(avx512, LARIAT_AVX512)
#endif

const lariat_ops *lariat_ops_for(int isa) {
    static const lariat_ops scalar = TABLE(scalar, scalar, scalar, lariat_pack_words);
#if defined(__x86_64__)
    static const lariat_ops avx2 = TABLE(avx2, avx2, avx2, lariat_pack_words_avx2);
    static const lariat_ops avx512 = TABLE(avx512, avx2, avx512, lariat_pack_words_avx512);
    static const lariat_ops avx512bf16 = TABLE(avx512, vnni, native, lariat_pack_words_avx512);
    switch (isa) {
    case 1: return &avx2;
    case 2: return &avx512;
    case 3: return &avx512bf16;
    default: return &scalar;
    }
#else
    (void)isa;
    return &scalar;
#endif
}
