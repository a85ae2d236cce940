// The C API of oneDNN, and the one OpenMP call that keeps it on the calling thread.
#ifndef LARIAT_ONEDNN_SHIM_H
#define LARIAT_ONEDNN_SHIM_H

#include <oneapi/dnnl/dnnl.h>

// From libgomp. Clang ships no omp.h, so it is declared here. The setting belongs to the calling thread.
void omp_set_num_threads(int count);

#endif
