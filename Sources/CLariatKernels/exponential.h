// e^x and log2 in float32 as plain C without branches, which compilers turn into vectors.  Private to this target.
#ifndef LARIAT_EXPONENTIAL_H
#define LARIAT_EXPONENTIAL_H

#include "ops_internal.h"

// e^x to about one unit in the last place, 0 below -87.3 and infinity above 88.7; branch-free.
// x = n ln 2 + r with ln 2 in two parts, |r| <= ln 2 / 2; a polynomial for e^r; then 2^n by the exponent, in two
// halves so that n = 128 works.
LARIAT_INLINE float exponential(float x) {
    const float shift = 0x1.8p23f;
    const float clamped = x < -104.0f ? -104.0f : x > 89.0f ? 89.0f : x;
    const float n = (clamped * 0x1.715476p0f + shift) - shift;
    float r = clamped - n * 0x1.62e4p-1f;
    r = r - n * 0x1.7f7d1cp-20f;
    float p = 0x1.a0c2a8p-13f;
    p = p * r + 0x1.6e1cc6p-10f;
    p = p * r + 0x1.1110bcp-7f;
    p = p * r + 0x1.55554ep-5f;
    p = p * r + 0x1.555556p-3f;
    p = p * r + 0.5f;
    p = p * (r * r) + r;
    p = p + 1.0f;
    const int32_t whole = (int32_t)n, half = whole >> 1;
    const float low = lariat_bits_to_float((uint32_t)(half + 127) << 23);
    const float high = lariat_bits_to_float((uint32_t)(whole - half + 127) << 23);
    return p * low * high;
}

// Log2 of a positive, normal, finite x to about one unit in the last place of the result or 1e-7, whichever is more.
// x = 2^n m with m in sqrt(1/2)...sqrt(2); log2 m by the series of the inverse hyperbolic tangent of (m-1) / (m+1).
LARIAT_INLINE float logarithm2(float x) {
    const uint32_t bits = lariat_float_to_bits(x) - 0x3f3504f3u;
    const float n = (float)((int32_t)bits >> 23);
    const float m = lariat_bits_to_float((bits & 0x007fffffu) + 0x3f3504f3u);
    const float s = (m - 1.0f) / (m + 1.0f);
    const float q = s * s;
    float p = 0x1.484b14p-2f; // 2 / (9 ln 2)
    p = p * q + 0x1.a61762p-2f;
    p = p * q + 0x1.2776c6p-1f;
    p = p * q + 0x1.ec709ep-1f;
    p = p * q + 0x1.715476p1f;
    return n + s * p;
}

#endif
