/*
 * Tags and the digests they pointed to when they were last asked for. Whether that is still good is
 * a matter of the caller's clock and lifetimes.
 *
 * Threads: any.
 */
#ifndef CACHE_TAG_CACHE_H
#define CACHE_TAG_CACHE_H

#include "cache/scope.h"
#include "gatehouse.h"

#define TAG_CACHE_MAX_TYPE 255

struct tag_record {
    struct digest digest;
    char media_type[TAG_CACHE_MAX_TYPE + 1];
    int64_t fetched_unix_s; /* when the upstream last said so */
};

enum tag_state {
    TAG_ABSENT = 0,
    TAG_STALE, /* serve only when the upstream fails, with a warning */
    TAG_FRESH
};

/* Fresh for TTL_S, then stale for STALE_S, then absent. A time in the future (a clock set back)
 * reads as stale. Pure. */
enum tag_state tag_state_at(int64_t fetched_unix_s, int64_t now_unix_s, int64_t ttl_s,
                            int64_t stale_s);

/* ACCEPT names the class of media types the client takes ("" for all). Replaces what was known;
 * with the same digest and a new time it confirms. Fails: INTERNAL_ERROR */
GH_CHECKED bool tag_cache_put(struct store *store, const struct cache_scope *scope, const char *tag,
                              const char *accept, const struct tag_record *record,
                              struct gh_error *err);
/* *out is set unless absent. */
enum tag_state tag_cache_get(struct store *store, const struct cache_scope *scope, const char *tag,
                             const char *accept, int64_t now_unix_s, int64_t ttl_s, int64_t stale_s,
                             struct tag_record *out);
/* Forget a tag: the upstream said 401, 403 or 404, or it was moved or deleted through us. */
GH_CHECKED bool tag_cache_remove(struct store *store, const struct cache_scope *scope,
                                 const char *tag, const char *accept, struct gh_error *err);

#endif
