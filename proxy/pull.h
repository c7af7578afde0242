/*
 * Getting manifests: from the store, else from the upstream, once for all who wait. Nothing is
 * given out whose bytes were not hashed, and nothing is remembered for a repository that the
 * upstream did not serve from that repository.
 *
 * Threads: the calling worker; callbacks come on it
 */
#ifndef PROXY_PULL_H
#define PROXY_PULL_H

#include "crypto/digest.h"
#include "gatehouse.h"
#include "metrics/error.h"
#include "proxy/flight.h"

struct content;
struct gateway;
struct generation;
struct target;
struct worker;

enum pull_outcome {
    PULL_UNDECIDED = 0, /* not to be had now: 503 */
    PULL_OK,
    PULL_ABSENT,   /* the upstream says 404 */
    PULL_DENIED,   /* the upstream refuses our credentials: 403 for clients */
    PULL_BROKEN,   /* the subject's own bytes are wrong: 502 */
    PULL_THROTTLED /* 429 */
};

struct pull_result {
    struct flight_result base; /* first */
    enum pull_outcome outcome;
    struct content *content; /* with PULL_OK */
    struct gh_error error;   /* otherwise */
    unsigned retry_after_s;
    bool is_stale; /* the upstream failed; this is the last digest the tag was seen at */
    bool is_cached;
};

/* The manifest of that digest, if the store has it for this repository. Its own reference, or NULL.
 */
struct content *pull_stored(struct gateway *gateway, const struct target *target,
                            const struct digest *digest);
/* As pull_stored(), by a tag that was confirmed no longer ago than the tenant's tag_ttl. */
struct content *pull_stored_tag(struct gateway *gateway, const struct generation *generation,
                                const struct target *target, const char *tag, const char *accept,
                                int64_t now_unix_s);

/* As flight_fn, RESULT borrowed for the call and never NULL. */
typedef void (*pull_fn)(void *ctx, const struct pull_result *result);

struct pull; /* one waiter */
/*
 * Get a manifest by digest (TAG NULL) or by tag. ACCEPT is what the client accepts; NULL: all known
 * types. FN comes later, never from within this call; NULL is given when memory is out.
 */
struct pull *pull_manifest(struct gateway *gateway, struct worker *worker,
                           struct generation *generation, const struct target *target,
                           const struct digest *digest, const char *tag, const char *accept,
                           pull_fn fn, void *ctx);
/* FN will not be called. NULL is fine. */
void pull_leave(struct pull *pull);

#endif
