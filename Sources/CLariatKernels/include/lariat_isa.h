// Which instruction set the kernels use: found once at run time, named everywhere by one enum.
#ifndef LARIAT_ISA_H
#define LARIAT_ISA_H

#include <stdbool.h>
#include <stdint.h>

/// Levels in rising order; each level includes the ones before it.
enum lariat_isa {
    LARIAT_ISA_SCALAR = 0,     ///< portable C, any processor
    LARIAT_ISA_AVX2 = 1,       ///< AVX2, FMA and F16C
    LARIAT_ISA_AVX512 = 2,     ///< AVX-512 F, BW, VL and DQ
    LARIAT_ISA_AVX512BF16 = 3, ///< AVX512-BF16 and AVX512-VNNI
};

/// The highest level that this processor and its operating system support.
enum lariat_isa lariat_isa_best(void);

#endif
