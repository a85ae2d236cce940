// Finds out what the processor can do.
#include "lariat_isa.h"

enum lariat_isa lariat_isa_best(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")
        || !__builtin_cpu_supports("f16c")) {
        return LARIAT_ISA_SCALAR;
    }
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw")
        || !__builtin_cpu_supports("avx512vl") || !__builtin_cpu_supports("avx512dq")) {
        return LARIAT_ISA_AVX2;
    }
    if (!__builtin_cpu_supports("avx512bf16") || !__builtin_cpu_supports("avx512vnni")) {
        return LARIAT_ISA_AVX512;
    }
    return LARIAT_ISA_AVX512BF16;
#else
    return LARIAT_ISA_SCALAR;
#endif
}
