#include "policy/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#define ARENA_CHUNK_BYTES (64u * 1024)
#define ARENA_ALIGN 16u

struct arena_chunk {
    struct arena_chunk *next;
    size_t used;
    size_t size;
    _Alignas(16) uint8_t data[];
};

struct arena {
    struct arena_chunk *chunks;
    size_t used;
    size_t limit;
};

struct arena *arena_new(size_t limit)
{
    struct arena *arena = calloc(1, sizeof(*arena));

    if (arena != NULL) {
        arena->limit = limit;
    }
    return arena;
}

void arena_free(struct arena *arena)
{
    if (arena == NULL) {
        return;
    }
    while (arena->chunks != NULL) {
        struct arena_chunk *chunk = arena->chunks;

        arena->chunks = chunk->next;
        OPENSSL_cleanse(chunk->data, chunk->used);
        free(chunk);
    }
    free(arena);
}

static struct arena_chunk *arena_grow(struct arena *arena, size_t len)
{
    size_t size = len > ARENA_CHUNK_BYTES / 4 ? len : ARENA_CHUNK_BYTES;
    struct arena_chunk *chunk = calloc(1, sizeof(*chunk) + size);

    if (chunk == NULL) {
        return NULL;
    }
    chunk->size = size;
    if (size == len && arena->chunks != NULL) {
        /* A large piece has its own chunk; the one with room left stays in front. */
        chunk->next = arena->chunks->next;
        arena->chunks->next = chunk;
    } else {
        chunk->next = arena->chunks;
        arena->chunks = chunk;
    }
    return chunk;
}

void *arena_alloc(struct arena *arena, size_t count, size_t size)
{
    struct arena_chunk *chunk = arena->chunks;
    size_t len;
    void *out;

    if (size != 0 && count > (arena->limit - arena->used) / size) {
        return NULL;
    }
    len = (count * size + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
    if (len == 0) {
        len = ARENA_ALIGN; /* an empty array is still a place of its own */
    }
    if (chunk == NULL || chunk->size - chunk->used < len) {
        chunk = arena_grow(arena, len);
        if (chunk == NULL) {
            return NULL;
        }
    }
    out = chunk->data + chunk->used;
    chunk->used += len;
    arena->used += GH_MIN(len, arena->limit - arena->used);
    return out;
}

char *arena_copy(struct arena *arena, const void *data, size_t len)
{
    char *out = len == SIZE_MAX ? NULL : arena_alloc(arena, len + 1, 1);

    if (out != NULL && len > 0) {
        memcpy(out, data, len);
    }
    return out;
}

char *arena_string(struct arena *arena, const char *string)
{
    return arena_copy(arena, string, strlen(string));
}

char *arena_printf(struct arena *arena, const char *format, ...)
{
    va_list args;
    va_list again;
    char *out = NULL;
    int len;

    va_start(args, format);
    va_copy(again, args);
    len = vsnprintf(NULL, 0, format, args);
    if (len >= 0) {
        out = arena_alloc(arena, (size_t)len + 1, 1);
    }
    if (out != NULL) {
        (void)vsnprintf(out, (size_t)len + 1, format, again);
    }
    va_end(again);
    va_end(args);
    return out;
}
