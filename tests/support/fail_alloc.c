#include "tests/support/fail_alloc.h"

#include <errno.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

/* The C library's own entry points: a program that defines malloc() takes over for all libraries,
 * and these stay behind it. */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);
extern void __libc_free(void *memory);

static __thread bool is_armed;
static __thread size_t nth_to_fail;
static __thread size_t allocations;
static __thread long balance;

void fail_alloc_arm(size_t nth)
{
    nth_to_fail = nth;
    allocations = 0;
    balance = 0;
    is_armed = true;
}

struct fail_alloc_result fail_alloc_disarm(void)
{
    is_armed = false;
    return (struct fail_alloc_result){.allocations = allocations, .balance = balance};
}

static bool must_fail(void)
{
    if (!is_armed || ++allocations != nth_to_fail) {
        return false;
    }
    errno = ENOMEM;
    return true;
}

static void *given(void *memory)
{
    balance += is_armed && memory != NULL ? 1 : 0;
    return memory;
}

void *fail_alloc_never(size_t size)
{
    return given(__libc_malloc(size));
}

void *malloc(size_t size)
{
    return must_fail() ? NULL : given(__libc_malloc(size));
}

void *calloc(size_t count, size_t size)
{
    return must_fail() ? NULL : given(__libc_calloc(count, size));
}

void free(void *memory)
{
    balance -= is_armed && memory != NULL ? 1 : 0;
    __libc_free(memory);
}

void *realloc(void *old, size_t size)
{
    if (old == NULL) {
        return malloc(size);
    }
    if (size == 0) {
        free(old);
        return NULL;
    }
    return must_fail() ? NULL : __libc_realloc(old, size);
}

void *memalign(size_t alignment, size_t size)
{
    return must_fail() ? NULL : given(__libc_memalign(alignment, size));
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return memalign(alignment, size);
}

int posix_memalign(void **out, size_t alignment, size_t size)
{
    void *memory = memalign(alignment, size);

    if (memory == NULL) {
        return ENOMEM;
    }
    *out = memory;
    return 0;
}
