/*
 * The C library's allocator with a fault on order, for every library of the process: the n-th
 * allocation of the calling thread after arming fails, once. Link fail_alloc.c into the program;
 * not for builds with sanitizers, which bring an allocator of their own.
 */
#ifndef TESTS_SUPPORT_FAIL_ALLOC_H
#define TESTS_SUPPORT_FAIL_ALLOC_H

#include <stddef.h>

/* Begin to count; allocation NTH (from 1) fails. 0: none does. */
void fail_alloc_arm(size_t nth);

struct fail_alloc_result {
    size_t allocations; /* asked for since arming */
    long balance;       /* given and not freed again; below zero: more freed than given */
};

/* End counting. */
struct fail_alloc_result fail_alloc_disarm(void);

/* Memory that does not fail on order, for a library that cannot stand it. free() takes it. */
void *fail_alloc_never(size_t size);

#endif
