// Memory for matrices and caches: large pieces on huge pages, where the system grants them.
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/mman.h>

#include "ops_internal.h"

// A page table entry for each 4 KiB costs a fault when memory is first touched and misses whenever rows are far apart.
enum { HUGE_PAGE = 2 << 20 };

void *lariat_allocate(size_t bytes) {
    const size_t border = bytes >= 2 * HUGE_PAGE ? HUGE_PAGE : 64;
    void *memory = NULL;
    if (posix_memalign(&memory, border, bytes > 0 ? bytes : 64) != 0) return NULL;
#ifdef MADV_HUGEPAGE
    // Advice: where it is refused, memory is as good as before.
    if (border == HUGE_PAGE) (void)madvise(memory, bytes / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
#endif
    return memory;
}

void *lariat_allocate_rows(size_t bytes) {
    void *memory = NULL;
    return posix_memalign(&memory, 64, bytes > 0 ? bytes : 64) == 0 ? memory : NULL;
}

void lariat_release(void *memory) { free(memory); }
