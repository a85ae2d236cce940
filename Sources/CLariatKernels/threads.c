// Where compute threads run, and which loop they are in: GNU extensions and thread-local variables, which Swift does
// not have.
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

static _Thread_local const void *current_loop;
static _Thread_local int current_thread;

void lariat_enter_loop(const void *loop, int thread) {
    current_loop = loop;
    current_thread = thread;
}

int lariat_thread_in_loop(const void *loop) { return loop && current_loop == loop ? current_thread : -1; }
