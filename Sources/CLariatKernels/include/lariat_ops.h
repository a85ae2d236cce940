// Everything but attention: quantised weights, elementwise steps, rotation, the plain matrix product, checksums.
// One table of functions for each instruction set; the scalar table is the reference and exists everywhere.
#ifndef LARIAT_OPS_H
#define LARIAT_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__clang__)
#pragma clang assume_nonnull begin
#endif

// Types of weights, numbered as in GGUF files.
enum {
    LARIAT_F32 = 0,
    LARIAT_F16 = 1,
    LARIAT_Q4_0 = 2,
    LARIAT_Q4_1 = 3,
    LARIAT_Q5_0 = 6,
    LARIAT_Q5_1 = 7,
    LARIAT_Q8_0 = 8,
    LARIAT_Q4_K = 12,
    LARIAT_Q5_K = 13,
    LARIAT_Q6_K = 14,
    LARIAT_BF16 = 30,
};

// The most rows of x that `dot` takes at once.
enum { LARIAT_DOT_ROWS = 8 };

// Elements and bytes of one block of a type. Returns false for a type without kernels.
bool lariat_weight_block(uint32_t type, size_t *elements, size_t *bytes);

// Where a function takes `type`, it is one of the types above, and `columns` is a multiple of its block.
typedef struct lariat_ops {
    // out[columns] = the values of one row of weights (no alignment needed). The same bits on every instruction set.
    void (*dequantise)(uint32_t type, const uint8_t *row, size_t columns, float *out);

    // y[m][r] (+)= sum over c of x[m][c] * w[r][c], for m < rows_x <= LARIAT_DOT_ROWS and r < rows_w.
    // `w_stride` is in bytes, `x_stride` and `y_stride` in floats. Weights are unpacked in registers; sums are
    // float32. The result for a pair (m, r) does not depend on rows_x or rows_w.
    void (*dot)(uint32_t type, const uint8_t *w, size_t w_stride, size_t rows_w, size_t columns, const float *x,
                size_t x_stride, size_t rows_x, float *y, size_t y_stride, bool accumulate);

    // y[r] (+)= sum over c of x'[c] * w[r][c] for r < rows, x' as lariat_round_activations made them. For quantised
    // types only. Sums within a block are exact, sums over blocks float32.
    void (*dot_rounded)(uint32_t type, const uint8_t *w, size_t w_stride, size_t rows, size_t columns,
                        const void *rounded, float *y, bool accumulate);

    // out[n] = in[n] rounded to bfloat16, to nearest even; a NaN stays one.
    void (*to_bf16)(const float *in, uint16_t *out, size_t n);

    // y[n] = x[n] / sqrt(mean(x^2) + epsilon) * weight[n]. y may be x.
    void (*rms_norm)(const float *x, const float *weight, float epsilon, float *y, size_t n);

    // y[n] = gate / (1 + e^-gate) * up. y may be gate or up.
    void (*swiglu)(const float *gate, const float *up, float *y, size_t n);

    // Negative log-likelihood of `target` < n under softmax(logits[n]). Natural log.
    float (*nll)(const float *logits, size_t n, size_t target);

    // Rotates the first `rotary` (even) elements of each of `heads` heads of `head` elements, in place.
    // cosine and sine are [rotary / 2]. adjacent: pairs (2i, 2i+1); otherwise (i, i + rotary / 2).
    void (*rotate)(float *x, size_t heads, size_t head, size_t rotary, const float *cosine, const float *sine,
                   bool adjacent);

    // Copies count <= 16 rows of `words` 32-bit words (float32 values, or pairs of bfloat16) into a blocked layout:
    // out[k / 16 * block_stride + k % 16 * width + r] = rows[r * stride + k]. Rows from `count` to 15, and words up
    // to the next multiple of 16, become zero.
    void (*pack_words)(const uint32_t *rows, size_t stride, size_t count, size_t words, uint32_t *out, size_t width,
                       size_t block_stride);
} lariat_ops;

// Activations for dot_rounded: x[columns], a multiple of 32, each rounded to 15 bits and a sign of the greatest of its
// block of 32. `rounded` has lariat_rounded_bytes(columns) bytes and lies on a 4-byte border.
void lariat_round_activations(const float *x, size_t columns, void *rounded);
size_t lariat_rounded_bytes(size_t columns);

// The table for an instruction set: 0 scalar, 1 AVX2 (with FMA and F16C), 2 AVX-512 (F, BW, VL, DQ), 3 AVX-512 with
// BF16. The caller has checked that the machine has it; on other machines than x86-64 there is only 0.
const lariat_ops *lariat_ops_for(int isa);

// y[m][r] (+)= sum over c of x[m][c] * w[r][c], all float32: the reference for dense products. Strides in floats.
void lariat_matmul_f32(const float *w, size_t rows_w, size_t columns, const float *x, size_t x_stride, size_t rows_x,
                       float *y, size_t y_stride, bool accumulate);

#if defined(__x86_64__)
// The same on AVX2, with weights in panels of 16 rows as pack_words makes them with width 16 and block_stride 256:
// panel r / 16 begins at panels + r / 16 * panel_stride. Results do not depend on rows_x.
void lariat_matmul_panels_avx2(const float *panels, size_t panel_stride, size_t rows_w, size_t columns,
                               const float *x, size_t x_stride, size_t rows_x, float *y, size_t y_stride,
                               bool accumulate);
#endif

// CRC-32C (Castagnoli) of `bytes`, continued from `seed` (0 to begin), as in RFC 3720 B.4.
uint32_t lariat_crc32c(const void *_Nullable bytes, size_t count, uint32_t seed);
// The same by table, one byte at a time.
uint32_t lariat_crc32c_reference(const void *_Nullable bytes, size_t count, uint32_t seed);

// Memory on a 64-byte border, contents undefined; pieces of several MiB ask for huge pages. NULL when there is none.
void *_Nullable lariat_allocate(size_t bytes);
// The same without huge pages: for what is written once, a row after the other.
void *_Nullable lariat_allocate_rows(size_t bytes);
void lariat_release(void *_Nullable memory);

// Lets a thread (a pthread_t) run on one core only. Returns 0, or an error number when the core is not allowed.
int lariat_place_thread(uintptr_t thread, int core);

// Notes that the calling thread works in `loop` as its thread number `thread`; NULL: in none.
void lariat_enter_loop(const void *_Nullable loop, int thread);

// The calling thread's number in `loop`, or -1 when it does not work in it.
int lariat_thread_in_loop(const void *loop);

// Tells the processor that this thread waits in a loop.
static inline void lariat_spin_hint(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

#if defined(__clang__)
#pragma clang assume_nonnull end
#endif

#endif
