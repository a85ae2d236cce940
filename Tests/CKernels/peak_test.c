// The peak loops on every instruction set of this machine, under the sanitizers: they count what they do, and read
// nothing outside of their memory.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "CLariatKernels.h"

static int failures = 0;

static void expect(bool holds, const char *what, int isa) {
    if (holds) return;
    failures++;
    printf("FAILED: %s, isa %d\n", what, isa);
}

int main(void) {
    for (int level = LARIAT_ISA_SCALAR; level <= (int)lariat_isa_best(); level++) {
        const enum lariat_isa isa = (enum lariat_isa)level;
        const bool bf16 = isa == LARIAT_ISA_AVX512BF16;
        expect(lariat_peak_f32(isa, 100) == 10 * lariat_peak_f32(isa, 10), "f32 operations", level);
        expect(lariat_peak_f32(isa, 10) > 0, "f32 exists everywhere", level);
        expect((lariat_peak_bf16(isa, 10) > 0) == bf16, "bf16 operations", level);
        expect((lariat_peak_int8(isa, 10) > 0) == bf16, "int8 operations", level);
        for (size_t words = 1; words < 100; words++) {
            uint64_t *memory = malloc(words * sizeof *memory);
            if (memory == NULL) abort();
            for (size_t i = 0; i < words; i++) memory[i] = i;
            expect(lariat_peak_read(isa, memory, words) == words * (words - 1) / 2, "sum of words", level);
            free(memory);
        }
    }
    for (size_t bytes = 0; bytes <= 640; bytes += 64) {
        uint8_t *from = malloc(bytes + 1), *to = malloc(bytes + 1);
        if (from == NULL || to == NULL) abort();
        for (size_t i = 0; i < bytes; i++) from[i] = (uint8_t)(i * 7);
        lariat_peak_copy(to, from, bytes);
        expect(memcmp(to, from, bytes) == 0, "a copy", -1);
        free(from);
        free(to);
    }
    printf("%d failures, instruction sets 0 to %d\n", failures, (int)lariat_isa_best());
    return failures != 0;
}
