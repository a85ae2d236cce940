// Where compute threads run. The calls are GNU extensions that Swift does not import.
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>

#include "ops_internal.h"

int lariat_place_thread(uintptr_t thread, int core) {
    cpu_set_t set;
    if (core < 0 || core >= CPU_SETSIZE) return -1;
    CPU_ZERO(&set);
    CPU_SET(core, &set);
    return pthread_setaffinity_np((pthread_t)thread, sizeof set, &set);
}
