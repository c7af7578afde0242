/*
 * Memory that is freed all at once: a configuration and everything compiled from it live in one.
 *
 * Threads: one at a time while it is filled; what it holds may be read from any thread.
 */
#ifndef POLICY_ARENA_H
#define POLICY_ARENA_H

#include "crypto/bytes.h"
#include "gatehouse.h"

struct arena;

/* NULL when memory is out. LIMIT is the ceiling in bytes. */
struct arena *arena_new(size_t limit);
/* Wipes and frees: configurations hold secrets. */
void arena_free(struct arena *arena);
GH_DEFINE_FREEP(arena, struct arena)

/* Zeroed memory for COUNT items of SIZE bytes; NULL when memory or the ceiling is out. */
void *arena_alloc(struct arena *arena, size_t count, size_t size);
/* A NUL-terminated copy; NULL when memory is out. Embedded NULs are the caller's to refuse. */
char *arena_copy(struct arena *arena, const void *data, size_t len);
char *arena_string(struct arena *arena, const char *string);
char *arena_printf(struct arena *arena, const char *format, ...) GH_PRINTF(2, 3);

#endif
