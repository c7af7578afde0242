/*
 * Stored verdicts, by what they are about: tenant, upstream, repository, digest, media type, the
 * requirement's fingerprint, and the tag where the requirement reads it.
 *
 * Threads: any
 */
#ifndef PROXY_VERDICTS_H
#define PROXY_VERDICTS_H

#include "gatehouse.h"
#include "policy/require.h"
#include "policy/verdict.h"

struct gateway;
struct generation;
struct target;

/* What a verdict is about; borrowed for the call. */
struct verdicts_key {
    const struct target *target;
    const struct digest *digest;
    const char *media_type;
    const char *tag; /* as asked, or NULL; used only where the requirement reads it */
    const struct require *require;
    bool is_all_authorities; /* it counts every authority; another one stops at the first */
    const char *who;         /* on whose behalf it is looked up; NULL or "" for nobody */
};

struct verdict_cache_hooks;
/* How long a verdict about every statement of a type is kept at most. */
#define VERDICTS_EVERY_TTL_S 900
/* How the verdict cache holds verdicts. */
extern const struct verdict_cache_hooks verdicts_hooks;

/* What a stored key names: tenant, image, digest, media type, tag (where it was read), one or all
 * authorities. False: it is none of ours. */
#define VERDICTS_KEY_PARTS 6
GH_CHECKED bool verdicts_key_read(struct bytes key, struct bytes parts[VERDICTS_KEY_PARTS]);

/* A verdict that holds at NOW: its own reference, or NULL. */
struct verdict *verdicts_get(struct gateway *gateway, const struct verdicts_key *key,
                             int64_t now_unix_s);
/*
 * Keep a verdict: satisfied ones for verdict_ttl, denials for denial_ttl, and neither for longer
 * than what it rests on holds; what is about every statement of a type for VERDICTS_EVERY_TTL_S at
 * most. Undecided ones are never kept.
 */
void verdicts_put(struct gateway *gateway, const struct generation *generation,
                  const struct verdicts_key *key, struct verdict *verdict, int64_t now_unix_s);
void verdicts_remove(struct gateway *gateway, const struct verdicts_key *key);

#endif
