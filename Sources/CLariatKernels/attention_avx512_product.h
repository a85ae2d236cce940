// The two products of a tile, in registers, for either operand type.  Included by a kernel that has defined
//   TARGET             the function attributes
//   DOT(acc, a, b)     acc + a * b; a and b are vectors of operands (one f32, or a pair of bf16) as integers
// An operand is 32 bits wide either way, so the loops are the same.

// acc[R][C] += a (R rows, one operand broadcast) * b (C vectors), n steps.  R, C and a_row are constants at each call.
INLINE TARGET void product(
    __m512 *restrict acc, size_t R, size_t C, const int32_t *a, size_t a_row, size_t a_step, const int32_t *b,
    size_t b_step, size_t n) {
    __m512 sum[24];
#pragma clang loop unroll(full)
    for (size_t i = 0; i < R * C; i++) sum[i] = acc[i];
#pragma clang loop unroll(disable)
    for (size_t k = 0; k < n; k++) {
        __m512i column[4];
#pragma clang loop unroll(full)
        for (size_t c = 0; c < C; c++) column[c] = _mm512_loadu_si512(b + 16 * c);
#pragma clang loop unroll(full)
        for (size_t r = 0; r < R; r++) {
            __m512i row = _mm512_set1_epi32(a[r * a_row]);
#pragma clang loop unroll(full)
            for (size_t c = 0; c < C; c++) sum[r * C + c] = DOT(sum[r * C + c], row, column[c]);
        }
        a += a_step;
        b += b_step;
    }
#pragma clang loop unroll(full)
    for (size_t i = 0; i < R * C; i++) acc[i] = sum[i];
}

// Scores of C vectors of keys from `key` on.
INLINE TARGET void score_columns(
    struct attention_tile *tile, size_t rows, const int32_t *queries, const int32_t *keys, size_t key, size_t d,
    size_t C) {
    enum { R = 6 };
    for (size_t r0 = 0; r0 < rows; r0 += R) {
        __m512 acc[24];
#pragma clang loop unroll(full)
        for (size_t i = 0; i < R * C; i++) acc[i] = _mm512_setzero_ps();
        product(acc, R, C, queries + r0, 1, ROWS, keys, KEY_GROUP, d);
#pragma clang loop unroll(full)
        for (size_t r = 0; r < R; r++) {
            float *tops = tile->top[r0 + r];
            __m512 top = key > 0 ? _mm512_load_ps(tops) : acc[r * C];
#pragma clang loop unroll(full)
            for (size_t c = 0; c < C; c++) {
                _mm512_store_ps(tile->scores[r0 + r] + key + 16 * c, acc[r * C + c]);
                top = _mm512_max_ps(top, acc[r * C + c]);
            }
            _mm512_store_ps(tops, top);
        }
    }
}

// `d` counts operands here: pairs for bf16.
INLINE TARGET void score_tile(
    struct attention_tile *tile, size_t rows, const int32_t *queries, const int32_t *keys, size_t count, size_t d) {
    size_t key = 0;
    for (; key + KEY_GROUP <= count; key += KEY_GROUP, keys += d * KEY_GROUP)
        score_columns(tile, rows, queries, keys, key, d, 4);
    if (key < count) score_columns(tile, rows, queries, keys, key, d, 2); // 32 more
}

// C vectors of the output, R rows at a time: R * C is near 24, what the registers hold.
INLINE TARGET void accumulate_columns(
    const struct attention_tile *tile, size_t rows, const int32_t *values, size_t n, size_t dp, float *out, size_t R,
    size_t C) {
    for (size_t r0 = 0; r0 < rows; r0 += R) {
        __m512 acc[24];
#pragma clang loop unroll(full)
        for (size_t r = 0; r < R; r++) {
            __m512 alpha = _mm512_set1_ps(tile->alpha[r0 + r]);
#pragma clang loop unroll(full)
            for (size_t c = 0; c < C; c++)
                acc[r * C + c] = _mm512_mul_ps(alpha, _mm512_load_ps(out + (r0 + r) * dp + 16 * c));
        }
        product(acc, R, C, (const int32_t *)tile->scores[r0], KEYS, 1, values, dp, n);
#pragma clang loop unroll(full)
        for (size_t r = 0; r < R; r++)
#pragma clang loop unroll(full)
            for (size_t c = 0; c < C; c++) _mm512_store_ps(out + (r0 + r) * dp + 16 * c, acc[r * C + c]);
    }
}

// `n` counts operands here: pairs of keys for bf16.
INLINE TARGET void accumulate_tile(
    const struct attention_tile *tile, size_t rows, const int32_t *values, size_t n, size_t dp, float *out) {
    for (size_t left = dp / 16; left > 0;) {
        size_t columns;
        if (left == 3 || left == 5 || left == 6) { // 5 = 3 + 2, 6 = 3 + 3: no narrow rest
            accumulate_columns(tile, rows, values, n, dp, out, 8, columns = 3);
        } else if (left >= 4) {
            accumulate_columns(tile, rows, values, n, dp, out, 6, columns = 4);
        } else if (left == 2) {
            accumulate_columns(tile, rows, values, n, dp, out, 12, columns = 2);
        } else {
            accumulate_columns(tile, rows, values, n, dp, out, 12, columns = 1);
        }
        left -= columns;
        values += 16 * columns;
        out += 16 * columns;
    }
}
