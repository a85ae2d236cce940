// Every function of lariat_ops.h on every instruction set of this machine, in buffers of exactly the right size, for
// a run under the address and undefined-behaviour sanitizers:
//   clang -std=c17 -g -O1 -fsanitize=address,undefined -I Sources/CLariatKernels/include \
//       Sources/CLariatKernels/*.c Tests/CKernels/ops_test.c -lm -o ops_test && ./ops_test
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "CLariatKernels.h"

static int failures = 0;
static uint64_t state = 88172645463325252u;

static uint32_t next(void) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 32);
}

static float uniform(void) { return (float)next() / 4294967296.0f * 2 - 1; }

static void *room(size_t bytes) {
    void *memory = malloc(bytes > 0 ? bytes : 1);
    if (memory == NULL) abort();
    return memory;
}

static float *numbers(size_t n) {
    float *values = room(n * sizeof(float));
    for (size_t i = 0; i < n; i++) values[i] = uniform();
    return values;
}

static void expect(bool holds, const char *what, int isa, uint32_t type, size_t n) {
    if (holds) return;
    failures++;
    printf("FAILED: %s, isa %d, type %u, n %zu\n", what, isa, type, n);
}

static void put_half(uint8_t *b, float value) {
    const _Float16 half = (_Float16)value;
    memcpy(b, &half, sizeof half);
}

// A row of random weights of which the scales are ordinary numbers. Odd addresses: files promise no alignment.
static uint8_t *weights(uint32_t type, size_t rows, size_t columns, size_t *stride) {
    size_t elements, bytes;
    if (!lariat_weight_block(type, &elements, &bytes)) abort();
    *stride = columns / elements * bytes;
    uint8_t *memory = room(rows * *stride);
    for (size_t at = 0; at < rows * *stride; at += bytes) {
        uint8_t *b = memory + at;
        for (size_t i = 0; i < bytes; i++) b[i] = (uint8_t)next();
        const float value = uniform();
        if (type == LARIAT_F32) memcpy(b, &value, 4);
        else if (type == LARIAT_BF16) { b[1] = (uint8_t)((b[1] & 0x80) | 0x3f); }
        else if (type == LARIAT_Q6_K) put_half(b + 208, value / 100);
        else put_half(b, type == LARIAT_F16 ? value : value / 10);
        if (type == LARIAT_Q4_1 || type == LARIAT_Q5_1 || type == LARIAT_Q4_K || type == LARIAT_Q5_K)
            put_half(b + 2, uniform() / 10);
    }
    return memory;
}

static void test_weights(int isa, uint32_t type, size_t columns) {
    enum { ROWS = 5 };
    const lariat_ops *ops = lariat_ops_for(isa), *scalar = lariat_ops_for(0);
    size_t stride;
    uint8_t *w = weights(type, ROWS, columns, &stride);
    float *values = room(ROWS * columns * sizeof(float)), *same = room(columns * sizeof(float));
    for (size_t r = 0; r < ROWS; r++) {
        scalar->dequantise(type, w + r * stride, columns, values + r * columns);
        ops->dequantise(type, w + r * stride, columns, same);
        expect(memcmp(same, values + r * columns, columns * sizeof(float)) == 0, "dequantise", isa, type, columns);
    }
    float *x = numbers(LARIAT_DOT_ROWS * columns), first[ROWS];
    for (size_t rows_x = 1; rows_x <= LARIAT_DOT_ROWS; rows_x++) {
        float *y = room(rows_x * ROWS * sizeof(float));
        for (size_t i = 0; i < rows_x * ROWS; i++) y[i] = 3;
        ops->dot(type, w, stride, ROWS, columns, x, columns, rows_x, y, ROWS, false);
        for (size_t m = 0; m < rows_x; m++)
            for (size_t r = 0; r < ROWS; r++) {
                double sum = 0, size = 0;
                for (size_t c = 0; c < columns; c++) {
                    const double term = (double)x[m * columns + c] * (double)values[r * columns + c];
                    sum += term;
                    size += fabs(term);
                }
                expect(fabs(sum - (double)y[m * ROWS + r]) <= 1e-6 * size + 1e-30, "dot", isa, type, columns);
            }
        if (rows_x == 1) memcpy(first, y, sizeof first);
        expect(memcmp(first, y, sizeof first) == 0, "dot is the same for any number of rows", isa, type, columns);
        float before[ROWS];
        memcpy(before, y, sizeof before);
        ops->dot(type, w, stride, ROWS, columns, x, columns, rows_x, y, ROWS, true);
        for (size_t r = 0; r < ROWS; r++)
            expect(y[r] == before[r] + before[r], "dot adds", isa, type, columns);
        free(y);
    }
    size_t elements, bytes;
    lariat_weight_block(type, &elements, &bytes);
    if (elements > 1) {
        // Whole numbers of a step for each 32, within half a step; products as the scalar code forms them.
        void *rounded = room(lariat_rounded_bytes(columns));
        lariat_round_activations(x, columns, rounded);
        float y[ROWS], wanted[ROWS], single[1];
        ops->dot_rounded(type, w, stride, ROWS, columns, rounded, y, false);
        scalar->dot_rounded(type, w, stride, ROWS, columns, rounded, wanted, false);
        for (size_t r = 0; r < ROWS; r++) {
            double sum = 0, size = 0, most = 0;
            for (size_t c = 0; c < columns; c++) {
                const double term = (double)x[c] * (double)values[r * columns + c];
                sum += term;
                size += fabs(term);
                most = fmax(most, fabs((double)values[r * columns + c]));
            }
            double slack = 0;
            for (size_t c = 0; c < columns; c += 32) {
                double peak = 0;
                for (size_t i = 0; i < 32; i++) peak = fmax(peak, fabs((double)x[c + i]));
                slack += 32 * peak / 16319 / 2 * most;
            }
            expect(fabs((double)wanted[r] - (double)y[r]) <= 2e-6 * size + 1e-30, "rounded dot", isa, type, columns);
            expect(fabs(sum - (double)y[r]) <= 2e-6 * size + slack, "rounding", isa, type, columns);
            ops->dot_rounded(type, w + r * stride, stride, 1, columns, rounded, single, false);
            expect(single[0] == y[r], "rounded dot is the same alone", isa, type, columns);
            ops->dot_rounded(type, w + r * stride, stride, 1, columns, rounded, single, true);
            expect(single[0] == y[r] + y[r], "rounded dot adds", isa, type, columns);
        }
        free(rounded);
    }
    free(x);
    free(same);
    free(values);
    free(w);
}

static void test_elementwise(int isa, size_t n) {
    const lariat_ops *ops = lariat_ops_for(isa);
    float *x = numbers(n), *w = numbers(n), *y = room(n * sizeof(float));
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)x[i] * (double)x[i];
    const double scale = 1 / sqrt(sum / (double)n + 1e-5);
    ops->rms_norm(x, w, 1e-5f, y, n);
    for (size_t i = 0; i < n; i++) {
        const double wanted = (double)x[i] * scale * (double)w[i];
        expect(fabs(wanted - (double)y[i]) <= 2e-6 * fabs(wanted), "norm", isa, 0, n);
    }
    for (size_t i = 0; i < n; i++) x[i] *= 40;
    ops->swiglu(x, w, y, n);
    for (size_t i = 0; i < n; i++) {
        const double g = (double)x[i], wanted = g / (1 + exp(-g)) * (double)w[i];
        expect(fabs(wanted - (double)y[i]) <= 6e-7 * fabs(wanted) + 1e-40, "swiglu", isa, 0, n);
    }

    double total = 0;
    for (size_t i = 0; i < n; i++) total += exp((double)x[i]);
    const double wanted = log(total) - (double)x[n / 2];
    expect(fabs(wanted - (double)ops->nll(x, n, n / 2)) <= 3e-7 * (fabs(wanted) + 40), "nll", isa, 0, n);

    uint16_t *narrow = room(n * sizeof(uint16_t)), *same = room(n * sizeof(uint16_t));
    x[0] = INFINITY;
    x[n - 1] = -NAN;
    lariat_ops_for(0)->to_bf16(x, same, n);
    ops->to_bf16(x, narrow, n);
    expect(memcmp(narrow, same, n * sizeof(uint16_t)) == 0, "bf16", isa, 0, n);
    expect(n == 1 || narrow[0] == 0x7f80, "bf16 of infinity", isa, 0, n);
    expect((narrow[n - 1] & 0x7fff) > 0x7f80, "bf16 of NaN", isa, 0, n);
    free(same);
    free(narrow);
    free(y);
    free(w);
    free(x);
}

static void test_rotate(int isa, size_t heads, size_t head, size_t rotary) {
    for (int adjacent = 0; adjacent < 2; adjacent++) {
        float *x = numbers(heads * head), *c = numbers(rotary / 2), *s = numbers(rotary / 2);
        float *wanted = room(heads * head * sizeof(float));
        memcpy(wanted, x, heads * head * sizeof(float));
        for (size_t h = 0; h < heads; h++)
            for (size_t i = 0; i < rotary / 2; i++) {
                const size_t a = h * head + (adjacent ? 2 * i : i), b = adjacent ? a + 1 : a + rotary / 2;
                wanted[a] = (float)((double)x[a] * (double)c[i] - (double)x[b] * (double)s[i]);
                wanted[b] = (float)((double)x[a] * (double)s[i] + (double)x[b] * (double)c[i]);
            }
        lariat_ops_for(isa)->rotate(x, heads, head, rotary, c, s, adjacent);
        for (size_t i = 0; i < heads * head; i++)
            expect(fabsf(wanted[i] - x[i]) <= 3e-7f, "rotate", isa, (uint32_t)adjacent, rotary);
        free(wanted);
        free(s);
        free(c);
        free(x);
    }
}

static void test_pack(int isa, size_t count, size_t words) {
    const size_t padded = (words + 15) / 16 * 16, width = 48;
    uint32_t *rows = room(count * words * 4), *out = room(padded * width * 4);
    for (size_t i = 0; i < count * words; i++) rows[i] = next();
    lariat_ops_for(isa)->pack_words(rows, words, count, words, out + 32, width, 16 * width);
    for (size_t k = 0; k < padded; k++)
        for (size_t r = 0; r < 16; r++) {
            const uint32_t wanted = r < count && k < words ? rows[r * words + k] : 0;
            expect(out[k / 16 * 16 * width + k % 16 * width + 32 + r] == wanted, "pack", isa, 0, words);
        }
    free(out);
    free(rows);
}

#if defined(__x86_64__)
static void test_panels(size_t n, size_t k, size_t m) {
    float *w = numbers(n * k), *x = numbers(m * k), *y = room(m * n * sizeof(float)), *z = room(n * sizeof(float));
    const size_t stride = (k + 15) / 16 * 256, panels = (n + 15) / 16;
    float *packed = room(panels * stride * sizeof(float));
    for (size_t p = 0; p < panels; p++)
        lariat_ops_for(1)->pack_words((const uint32_t *)(w + 16 * p * k), k, n - 16 * p < 16 ? n - 16 * p : 16, k,
                                      (uint32_t *)(packed + p * stride), 16, 256);
    lariat_matmul_panels_avx2(packed, stride, n, k, x, k, m, y, n, false);
    for (size_t i = 0; i < m; i++) {
        lariat_matmul_panels_avx2(packed, stride, n, k, x + i * k, k, 1, z, n, false);
        expect(memcmp(y + i * n, z, n * sizeof(float)) == 0, "panels are the same for any number of rows", 1, 0, k);
    }
    lariat_matmul_panels_avx2(packed, stride, n, k, x, k, m, y, n, true);
    for (size_t i = 0; i < m; i++)
        for (size_t r = 0; r < n; r++) {
            double sum = 0;
            for (size_t c = 0; c < k; c++) sum += (double)x[i * k + c] * (double)w[r * k + c];
            expect(fabs(2 * sum - (double)y[i * n + r]) <= 2e-5, "panels", 1, 0, k);
        }
    free(packed);
    free(z);
    free(y);
    free(x);
    free(w);
}
#endif

static void test_matmul(void) {
    enum { N = 7, K = 37, M = 3 };
    float *w = numbers(N * K), *x = numbers(M * K), *y = room(M * N * sizeof(float));
    lariat_matmul_f32(w, N, K, x, K, M, y, N, false);
    lariat_matmul_f32(w, N, K, x, K, M, y, N, true);
    for (size_t m = 0; m < M; m++)
        for (size_t r = 0; r < N; r++) {
            double sum = 0;
            for (size_t c = 0; c < K; c++) sum += (double)x[m * K + c] * (double)w[r * K + c];
            expect(fabs(2 * sum - (double)y[m * N + r]) <= 1e-5, "matmul", 0, 0, K);
        }
    free(y);
    free(x);
    free(w);
}

static void test_checksum(void) {
    // RFC 3720 B.4: 32 bytes of zeros, of ones, and rising.
    uint8_t bytes[32] = {0};
    expect(lariat_crc32c(bytes, 32, 0) == 0x8a9136aa, "crc of zeros", 0, 0, 32);
    memset(bytes, 0xff, 32);
    expect(lariat_crc32c(bytes, 32, 0) == 0x62a8ab43, "crc of ones", 0, 0, 32);
    for (uint8_t i = 0; i < 32; i++) bytes[i] = i;
    expect(lariat_crc32c(bytes, 32, 0) == 0x46dd794e, "crc, rising", 0, 0, 32);
    for (size_t n = 0; n < 70; n++) {
        uint8_t *memory = room(n);
        for (size_t i = 0; i < n; i++) memory[i] = (uint8_t)next();
        const uint32_t whole = lariat_crc32c_reference(memory, n, 0);
        expect(lariat_crc32c(memory, n, 0) == whole, "crc by instruction", 0, 0, n);
        const uint32_t half = lariat_crc32c(memory, n / 2, 0);
        expect(lariat_crc32c(memory + n / 2, n - n / 2, half) == whole, "crc in two parts", 0, 0, n);
        free(memory);
    }
}

int main(void) {
    static const uint32_t types[] = {LARIAT_F32,  LARIAT_F16,  LARIAT_BF16, LARIAT_Q4_0, LARIAT_Q4_1, LARIAT_Q5_0,
                                     LARIAT_Q5_1, LARIAT_Q8_0, LARIAT_Q4_K, LARIAT_Q5_K, LARIAT_Q6_K};
    const int best = (int)lariat_isa_best();
    for (int isa = 0; isa <= best; isa++) {
        for (size_t t = 0; t < sizeof types / sizeof types[0]; t++) {
            size_t elements, bytes;
            if (!lariat_weight_block(types[t], &elements, &bytes)) abort();
            test_weights(isa, types[t], elements == 1 ? 45 : elements);
            test_weights(isa, types[t], elements == 1 ? 96 : 3 * elements);
        }
        for (size_t n = 1; n < 70; n++) test_elementwise(isa, n);
        test_elementwise(isa, 576);
        test_elementwise(isa, 1300);
        test_rotate(isa, 3, 64, 64);
        test_rotate(isa, 2, 32, 32);
        test_rotate(isa, 3, 10, 6);
        test_rotate(isa, 1, 2, 0);
        test_pack(isa, 16, 32);
        test_pack(isa, 5, 37);
        test_pack(isa, 13, 8);
    }
#if defined(__x86_64__)
    if (best >= 1) {
        for (size_t m = 1; m < 14; m++) test_panels(23, 37, m);
        test_panels(32, 64, 8);
    }
#endif
    size_t elements, bytes;
    expect(!lariat_weight_block(4, &elements, &bytes), "type 4 has no kernels", 0, 4, 0);
    test_matmul();
    test_checksum();
    printf("%d failures, instruction sets 0 to %d\n", failures, best);
    return failures == 0 ? 0 : 1;
}
