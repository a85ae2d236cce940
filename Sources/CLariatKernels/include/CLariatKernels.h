// The compute kernels of Lariat in C: one header for Swift to import.
#ifndef CLARIAT_KERNELS_H
#define CLARIAT_KERNELS_H

#include "lariat_attention.h"
#include "lariat_isa.h"
#include "lariat_ops.h"
#include "lariat_peak.h"

#endif
