// Dense float32 products without oneDNN (the scalar reference, and AVX2), and the copying of weights into the blocked
// layouts that the AVX2 product and oneDNN read.
#include "ops_internal.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

void lariat_matmul_f32(const float *w, size_t rows_w, size_t columns, const float *x, size_t x_stride, size_t rows_x,
                       float *y, size_t y_stride, bool accumulate) {
#pragma clang fp reassociate(on)
    for (size_t r = 0; r < rows_w; r++) {
        const float *wr = w + r * columns;
        for (size_t m = 0; m < rows_x; m++) {
            const float *xm = x + m * x_stride;
            float sum = 0;
            for (size_t c = 0; c < columns; c++) sum += xm[c] * wr[c];
            float *out = y + m * y_stride + r;
            *out = accumulate ? *out + sum : sum;
        }
    }
}

void lariat_pack_words(const uint32_t *rows, size_t stride, size_t count, size_t words, uint32_t *out, size_t width,
                       size_t block_stride) {
    const size_t padded = (words + 15) / 16 * 16;
    for (size_t k = 0; k < padded; k++) {
        uint32_t *line = out + k / 16 * block_stride + k % 16 * width;
        for (size_t r = 0; r < 16; r++) line[r] = r < count && k < words ? rows[r * stride + k] : 0;
    }
}

#if defined(__x86_64__)
// Eight rows of eight words as eight columns: pairs, then fours of words within 128-bit lanes, then lanes.
LARIAT_INLINE LARIAT_AVX2 void transpose_8(const uint32_t *rows, size_t stride, size_t count, __m256i mask, uint32_t *out,
                                           size_t width) {
    __m256i a[8], b[8];
#pragma clang loop unroll(full)
    for (size_t r = 0; r < 8; r++)
        a[r] = r < count ? _mm256_maskload_epi32((const int *)(rows + r * stride), mask) : _mm256_setzero_si256();
#pragma clang loop unroll(full)
    for (size_t i = 0; i < 4; i++) {
        b[2 * i] = _mm256_unpacklo_epi32(a[2 * i], a[2 * i + 1]);
        b[2 * i + 1] = _mm256_unpackhi_epi32(a[2 * i], a[2 * i + 1]);
    }
#pragma clang loop unroll(full)
    for (size_t g = 0; g < 2; g++) {
        a[4 * g] = _mm256_unpacklo_epi64(b[4 * g], b[4 * g + 2]);
        a[4 * g + 1] = _mm256_unpackhi_epi64(b[4 * g], b[4 * g + 2]);
        a[4 * g + 2] = _mm256_unpacklo_epi64(b[4 * g + 1], b[4 * g + 3]);
        a[4 * g + 3] = _mm256_unpackhi_epi64(b[4 * g + 1], b[4 * g + 3]);
    }
    // a[4 g + j]: in lane l, word 4 l + j of rows 4 g ... 4 g + 3.
#pragma clang loop unroll(full)
    for (size_t j = 0; j < 4; j++) {
        _mm256_storeu_si256((__m256i *)(out + j * width), _mm256_permute2x128_si256(a[j], a[4 + j], 0x20));
        _mm256_storeu_si256((__m256i *)(out + (4 + j) * width), _mm256_permute2x128_si256(a[j], a[4 + j], 0x31));
    }
}

// The same, eight rows and eight words at a time; words past the last are masked to zero.
LARIAT_AVX2 void lariat_pack_words_avx2(const uint32_t *rows, size_t stride, size_t count, size_t words, uint32_t *out,
                                        size_t width, size_t block_stride) {
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const size_t padded = (words + 15) / 16 * 16;
    for (size_t k = 0; k < padded; k += 8) {
        const size_t left = words > k ? words - k : 0;
        const __m256i mask = _mm256_cmpgt_epi32(_mm256_set1_epi32(left < 8 ? (int)left : 8), lanes);
        uint32_t *line = out + k / 16 * block_stride + k % 16 * width;
#pragma clang loop unroll(disable)
        for (size_t r = 0; r < 16; r += 8)
            transpose_8(rows + r * stride + k, stride, count > r ? count - r : 0, mask, line + r, width);
    }
}

// The same with a 16 x 16 transposition in registers: pairs, then fours of words within 128-bit lanes, then lanes.
LARIAT_AVX512 void lariat_pack_words_avx512(const uint32_t *rows, size_t stride, size_t count, size_t words,
                                            uint32_t *out, size_t width, size_t block_stride) {
    for (size_t k = 0; k < words; k += 16, out += block_stride) {
        const size_t left = words - k < 16 ? words - k : 16;
        const __mmask16 mask = (__mmask16)((1u << left) - 1);
        __m512i a[16], b[16];
        for (size_t r = 0; r < 16; r++)
            a[r] = r < count ? _mm512_maskz_loadu_epi32(mask, rows + r * stride + k) : _mm512_setzero_si512();
        for (int i = 0; i < 8; i++) {
            b[2 * i] = _mm512_unpacklo_epi32(a[2 * i], a[2 * i + 1]);
            b[2 * i + 1] = _mm512_unpackhi_epi32(a[2 * i], a[2 * i + 1]);
        }
        // a[4 g + j]: in lane l, word 4 l + j of rows 4 g ... 4 g + 3.
        for (int g = 0; g < 4; g++) {
            a[4 * g] = _mm512_unpacklo_epi64(b[4 * g], b[4 * g + 2]);
            a[4 * g + 1] = _mm512_unpackhi_epi64(b[4 * g], b[4 * g + 2]);
            a[4 * g + 2] = _mm512_unpacklo_epi64(b[4 * g + 1], b[4 * g + 3]);
            a[4 * g + 3] = _mm512_unpackhi_epi64(b[4 * g + 1], b[4 * g + 3]);
        }
        for (size_t j = 0; j < 4; j++) {
            const __m512i even01 = _mm512_shuffle_i32x4(a[j], a[4 + j], 0x88); // lanes 0, 2 of rows 0-3 and 4-7
            const __m512i odd01 = _mm512_shuffle_i32x4(a[j], a[4 + j], 0xdd);
            const __m512i even23 = _mm512_shuffle_i32x4(a[8 + j], a[12 + j], 0x88);
            const __m512i odd23 = _mm512_shuffle_i32x4(a[8 + j], a[12 + j], 0xdd);
            _mm512_storeu_si512(out + j * width, _mm512_shuffle_i32x4(even01, even23, 0x88));
            _mm512_storeu_si512(out + (4 + j) * width, _mm512_shuffle_i32x4(odd01, odd23, 0x88));
            _mm512_storeu_si512(out + (8 + j) * width, _mm512_shuffle_i32x4(even01, even23, 0xdd));
            _mm512_storeu_si512(out + (12 + j) * width, _mm512_shuffle_i32x4(odd01, odd23, 0xdd));
        }
    }
}

// `nx` rows of x, a constant, with one panel of 16 rows of weights. Each result is one chain of fused
// multiply-adds over rising columns, so it does not depend on nx.
LARIAT_INLINE LARIAT_AVX2 void panel_tile(const size_t nx, const float *panel, size_t columns, const float *x,
                                          size_t x_stride, float *out) {
    __m256 sums[6][2];
#pragma clang loop unroll(full)
    for (size_t m = 0; m < nx; m++) sums[m][0] = sums[m][1] = _mm256_setzero_ps();
    for (size_t c = 0; c < columns; c++) {
        const __m256 low = _mm256_loadu_ps(panel + 16 * c), high = _mm256_loadu_ps(panel + 16 * c + 8);
#pragma clang loop unroll(full)
        for (size_t m = 0; m < nx; m++) {
            const __m256 value = _mm256_broadcast_ss(x + m * x_stride + c);
            sums[m][0] = _mm256_fmadd_ps(value, low, sums[m][0]);
            sums[m][1] = _mm256_fmadd_ps(value, high, sums[m][1]);
        }
    }
#pragma clang loop unroll(full)
    for (size_t m = 0; m < nx; m++) {
        _mm256_storeu_ps(out + 16 * m, sums[m][0]);
        _mm256_storeu_ps(out + 16 * m + 8, sums[m][1]);
    }
}

// A function for each number of rows, so that registers are shared out for each by itself: with all of them in one, two
// of the twelve sums of six rows were kept in memory, and the product took 2.4 times as long.
#define DEFINE_TILE(nx)                                                                                            \
    LARIAT_AVX2 static __attribute__((noinline)) void panel_tile_##nx(                                             \
        const float *panel, size_t columns, const float *x, size_t x_stride, float *out) {                         \
        panel_tile(nx, panel, columns, x, x_stride, out);                                                          \
    }
DEFINE_TILE(1)
DEFINE_TILE(2)
DEFINE_TILE(3)
DEFINE_TILE(4)
DEFINE_TILE(5)
DEFINE_TILE(6)

LARIAT_AVX2 void lariat_matmul_panels_avx2(const float *panels, size_t panel_stride, size_t rows_w, size_t columns,
                                           const float *x, size_t x_stride, size_t rows_x, float *y,
                                           size_t y_stride, bool accumulate) {
    for (size_t r = 0; r < rows_w; r += 16, panels += panel_stride) {
        const size_t width = rows_w - r < 16 ? rows_w - r : 16;
        for (size_t m = 0; m < rows_x;) {
            // As few tiles as possible, as even as possible: 8 rows are 4 and 4, which do not wait for their own sums.
            const size_t left = rows_x - m, nx = left / ((left + 5) / 6);
            const float *xm = x + m * x_stride;
            float tile[6 * 16];
            for (size_t i = 0; i < nx; i++) __builtin_prefetch(y + (m + i) * y_stride + r, 1);
            switch (nx) {
            case 1: panel_tile_1(panels, columns, xm, x_stride, tile); break;
            case 2: panel_tile_2(panels, columns, xm, x_stride, tile); break;
            case 3: panel_tile_3(panels, columns, xm, x_stride, tile); break;
            case 4: panel_tile_4(panels, columns, xm, x_stride, tile); break;
            case 5: panel_tile_5(panels, columns, xm, x_stride, tile); break;
            default: panel_tile_6(panels, columns, xm, x_stride, tile); break;
            }
            for (size_t i = 0; i < nx; i++) {
                float *out = y + (m + i) * y_stride + r;
                for (size_t j = 0; j < width; j++) out[j] = accumulate ? out[j] + tile[16 * i + j] : tile[16 * i + j];
            }
            m += nx;
        }
    }
}
#endif
