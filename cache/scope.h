/*
 * What keeps records of different tenants and repositories apart: nothing found in one scope
 * answers for another.
 */
#ifndef CACHE_SCOPE_H
#define CACHE_SCOPE_H

#include "cache/store.h"
#include "crypto/digest.h"
#include "gatehouse.h"

struct cache_scope {
    const char *tenant;
    const char *upstream;
    const char *repository;
};

#define SCOPE_MAX_PARTS 4

/* The key of a record in the scope, named by up to SCOPE_MAX_PARTS parts. */
GH_UNUSED static inline void scope_key(const struct cache_scope *scope, const struct bytes *parts,
                                       size_t count, struct store_key *out)
{
    struct bytes all[3 + SCOPE_MAX_PARTS] = {bytes_of(scope->tenant), bytes_of(scope->upstream),
                                             bytes_of(scope->repository)};

    for (size_t i = 0; i < count && i < SCOPE_MAX_PARTS; i++) {
        all[3 + i] = parts[i];
    }
    store_key_make(out, all, 3 + GH_MIN(count, (size_t)SCOPE_MAX_PARTS));
}

/* As scope_key() for a digest. */
GH_UNUSED static inline struct bytes scope_digest_key(const struct cache_scope *scope,
                                                      const struct digest *digest,
                                                      struct store_key *out)
{
    uint8_t alg = (uint8_t)digest->alg;
    struct bytes parts[2] = {bytes_make(&alg, 1), digest_bytes(digest)};

    scope_key(scope, parts, 2, out);
    return bytes_make(out->bytes, sizeof(out->bytes));
}

#endif
