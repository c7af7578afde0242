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
struct text;
struct verdict_cache_use;

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

/* The same, of a verdict that is stored. Views into its key. */
struct verdicts_about {
    struct bytes tenant;
    struct bytes image; /* upstream/repository */
    struct bytes digest;
    struct bytes media_type;
    struct bytes tag;          /* empty unless the requirement reads it */
    struct digest fingerprint; /* of the requirement */
};
/* False where KEY is none of ours. */
bool verdicts_key_read(struct bytes key, struct verdicts_about *out);

/* Write when a verdict was used and by whom: members of a JSON object. */
void verdicts_put_use(struct text *out, const struct verdict_cache_use *use);

struct verdict_cache_hooks;
/* How long a verdict about every statement of a type is kept at most. */
#define VERDICTS_EVERY_TTL_S 900
/* How the verdict cache holds verdicts. */
extern const struct verdict_cache_hooks verdicts_hooks;

/* A verdict that holds at NOW: its own reference, or NULL. */
struct verdict *verdicts_get(struct gateway *gateway, const struct verdicts_key *key,
                             int64_t now_unix_s);
/* Note that a verdict which was just made was used on behalf of KEY's principal. */
void verdicts_note_use(struct gateway *gateway, const struct verdicts_key *key, int64_t now_unix_s);
/*
 * Keep a verdict: satisfied ones for verdict_ttl, denials for denial_ttl, and neither for longer
 * than what it rests on holds; what is about every statement of a type for VERDICTS_EVERY_TTL_S at
 * most. Undecided ones are never kept.
 */
void verdicts_put(struct gateway *gateway, const struct generation *generation,
                  const struct verdicts_key *key, struct verdict *verdict, int64_t now_unix_s);
void verdicts_remove(struct gateway *gateway, const struct verdicts_key *key);

#endif
