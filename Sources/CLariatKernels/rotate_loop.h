// The rotation of positions, as a plain loop that elementwise.c compiles for each instruction set.
#ifndef LARIAT_ROTATE_LOOP_H
#define LARIAT_ROTATE_LOOP_H

#include "ops_internal.h"

// (a, b) becomes (a cos - b sin, a sin + b cos) for every pair of a head.
LARIAT_INLINE void rotate(float *x, size_t heads, size_t head, size_t rotary, const float *restrict cosine,
                          const float *restrict sine, bool adjacent) {
    const size_t pairs = rotary / 2;
    for (size_t h = 0; h < heads; h++) {
        float *restrict v = x + h * head;
        if (adjacent) {
            for (size_t i = 0; i < pairs; i++) {
                const float a = v[2 * i], b = v[2 * i + 1];
                v[2 * i] = a * cosine[i] - b * sine[i];
                v[2 * i + 1] = a * sine[i] + b * cosine[i];
            }
        } else {
            for (size_t i = 0; i < pairs; i++) {
                const float a = v[i], b = v[i + pairs];
                v[i] = a * cosine[i] - b * sine[i];
                v[i + pairs] = a * sine[i] + b * cosine[i];
            }
        }
    }
}

#endif
