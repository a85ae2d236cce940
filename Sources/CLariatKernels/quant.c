// Quantised weights, scalar: the layouts of GGUF files, and the reference for the fast kernels.
#include "ops_internal.h"

bool lariat_weight_block(uint32_t type, size_t *elements, size_t *bytes) {
    const lariat_block block = lariat_block_of(type);
    *elements = block.elements;
    *bytes = block.bytes;
    return block.elements > 0;
}

// Blocks of 32: scale (and minimum), perhaps the fifth bits, then nibbles: byte j holds elements j and j + 16.

static void block_q4_0(const uint8_t *b, float *out) {
    const float d = lariat_half(b);
    for (int j = 0; j < 16; j++) {
        out[j] = d * (float)((b[2 + j] & 15) - 8);
        out[j + 16] = d * (float)((b[2 + j] >> 4) - 8);
    }
}

static void block_q4_1(const uint8_t *b, float *out) {
    const float d = lariat_half(b), m = lariat_half(b + 2);
    for (int j = 0; j < 16; j++) {
        out[j] = d * (float)(b[4 + j] & 15) + m;
        out[j + 16] = d * (float)(b[4 + j] >> 4) + m;
    }
}

static void block_q5_0(const uint8_t *b, float *out) {
    const float d = lariat_half(b);
    uint32_t high;
    memcpy(&high, b + 2, 4);
    for (int j = 0; j < 16; j++) {
        out[j] = d * (float)((int)((b[6 + j] & 15) | ((high >> j) & 1) << 4) - 16);
        out[j + 16] = d * (float)((int)((b[6 + j] >> 4) | ((high >> (j + 16)) & 1) << 4) - 16);
    }
}

static void block_q5_1(const uint8_t *b, float *out) {
    const float d = lariat_half(b), m = lariat_half(b + 2);
    uint32_t high;
    memcpy(&high, b + 4, 4);
    for (int j = 0; j < 16; j++) {
        out[j] = d * (float)((b[8 + j] & 15) | ((high >> j) & 1) << 4) + m;
        out[j + 16] = d * (float)((b[8 + j] >> 4) | ((high >> (j + 16)) & 1) << 4) + m;
    }
}

static void block_q8_0(const uint8_t *b, float *out) {
    const float d = lariat_half(b);
    for (int j = 0; j < 32; j++) out[j] = d * (float)(int8_t)b[2 + j];
}

// Blocks of 256 in eight sub-blocks of 32, each with a 6-bit scale and minimum; sub-blocks 2k and 2k + 1 share the
// same 32 bytes, low nibbles first. Q5_K adds bit j of high[l] to element l of sub-block j.
static void block_q45_k(const uint8_t *b, bool five, float *out) {
    const float d = lariat_half(b), least = lariat_half(b + 2);
    const uint8_t *high = b + 16;
    const uint8_t *low = five ? b + 48 : b + 16;
    for (size_t j = 0; j < 8; j++) {
        uint8_t scale, minimum;
        lariat_k_scale(b + 4, j, &scale, &minimum);
        const float s = d * (float)scale, m = least * (float)minimum;
        for (size_t l = 0; l < 32; l++) {
            int q = j % 2 ? low[32 * (j / 2) + l] >> 4 : low[32 * (j / 2) + l] & 15;
            if (five) q += ((high[l] >> j) & 1) << 4;
            out[32 * j + l] = s * (float)q - m;
        }
    }
}

// Blocks of 256 in two halves of 128; in each, four runs of 32 share 64 bytes of nibbles and 32 bytes of bit pairs.
// Every 16 elements have an 8-bit scale.
static void block_q6_k(const uint8_t *b, float *out) {
    const float d = lariat_half(b + 208);
    for (size_t half = 0; half < 2; half++) {
        const uint8_t *low = b + 64 * half, *high = b + 128 + 32 * half, *scales = b + 192 + 8 * half;
        for (size_t run = 0; run < 4; run++) {
            for (size_t l = 0; l < 32; l++) {
                const uint8_t byte = low[l + 32 * (run % 2)];
                const int nibble = run < 2 ? byte & 15 : byte >> 4;
                const int q = (nibble | ((high[l] >> (2 * run)) & 3) << 4) - 32;
                const float s = d * (float)(int8_t)scales[2 * run + l / 16];
                out[128 * half + 32 * run + l] = s * (float)q;
            }
        }
    }
}

void lariat_dequantise_scalar(uint32_t type, const uint8_t *row, size_t columns, float *out) {
    size_t elements, bytes;
    if (!lariat_weight_block(type, &elements, &bytes)) return;
    if (type == LARIAT_F32) {
        memcpy(out, row, columns * sizeof(float));
        return;
    }
    for (size_t c = 0; c < columns; c += elements, row += bytes) {
        switch (type) {
        case LARIAT_F16: out[c] = lariat_half(row); break;
        case LARIAT_BF16: {
            uint16_t bits;
            memcpy(&bits, row, sizeof bits);
            out[c] = lariat_bits_to_float((uint32_t)bits << 16);
            break;
        }
        case LARIAT_Q4_0: block_q4_0(row, out + c); break;
        case LARIAT_Q4_1: block_q4_1(row, out + c); break;
        case LARIAT_Q5_0: block_q5_0(row, out + c); break;
        case LARIAT_Q5_1: block_q5_1(row, out + c); break;
        case LARIAT_Q8_0: block_q8_0(row, out + c); break;
        case LARIAT_Q4_K: block_q45_k(row, false, out + c); break;
        case LARIAT_Q5_K: block_q45_k(row, true, out + c); break;
        case LARIAT_Q6_K: block_q6_k(row, out + c); break;
        default: break;
        }
    }
}

void lariat_dot_scalar(uint32_t type, const uint8_t *w, size_t w_stride, size_t rows_w, size_t columns,
                       const float *x, size_t x_stride, size_t rows_x, float *y, size_t y_stride, bool accumulate) {
    enum { PIECE = 256 };
    size_t elements, bytes;
    if (!lariat_weight_block(type, &elements, &bytes)) return;
    for (size_t r = 0; r < rows_w; r++) {
        float sums[LARIAT_DOT_ROWS] = {0};
        for (size_t start = 0; start < columns; start += PIECE) {
            float values[PIECE];
            const size_t n = columns - start < PIECE ? columns - start : PIECE;
            lariat_dequantise_scalar(type, w + r * w_stride + start / elements * bytes, n, values);
            for (size_t m = 0; m < rows_x; m++) {
                const float *xm = x + m * x_stride + start;
                float sum = 0;
                for (size_t c = 0; c < n; c++) sum += xm[c] * values[c];
                sums[m] += sum;
            }
        }
        for (size_t m = 0; m < rows_x; m++)
            y[m * y_stride + r] = accumulate ? y[m * y_stride + r] + sums[m] : sums[m];
    }
}
