/*
 * Manifests served in the last seconds, by the name they were asked under: what spares the hot path
 * the store, the copy and the hash. Only content is kept here, never a decision, and only for
 * RECENT_KEPT_S: then the store is read again, so that what it evicts is forgotten here, too, and
 * what is used stays fresh there.
 *
 * Threads: any; locks of rank GH_RANK_RECENT
 */
#ifndef PROXY_RECENT_H
#define PROXY_RECENT_H

#include "crypto/digest.h"
#include "gatehouse.h"

struct content;
struct gh_error;
struct recent;
struct target;

#define RECENT_KEPT_S 5
#define RECENT_SLOTS 4096u
#define RECENT_MAX_CONTENT_BYTES (16u * 1024) /* with all slots full: 64 MiB */
#define RECENT_MAX_KEY 1024                   /* longer names are looked up in the store */

enum recent_kind {
    RECENT_TAG = 1,       /* a tag, with the class of types the client takes */
    RECENT_MANIFEST,      /* a digest that this repository has */
    RECENT_EDGES,         /* edges of a manifest were recorded; no content */
    RECENT_EVIDENCE_EDGES /* the same, of evidence */
};

/* A name of the target's repository. */
struct recent_key {
    uint64_t hash;
    size_t len;         /* 0: too long, nothing is found or kept */
    uint64_t forgotten; /* how often something was forgotten nearby before the look-up */
    char bytes[RECENT_MAX_KEY];
};

GH_CHECKED bool recent_new(struct recent **out, struct gh_error *err);
void recent_free(struct recent *recent);
GH_DEFINE_FREEP(recent, struct recent)

void recent_key_tag(const struct target *target, const char *tag, const char *accept,
                    struct recent_key *out);
void recent_key_digest(const struct target *target, enum recent_kind kind,
                       const struct digest *digest, struct recent_key *out);

/*
 * Look a name up. Without a table (NULL; `verify` has none) nothing is found, kept or forgotten.
 *
 * Takes: key: what recent_put() needs to know of the moment is noted in it
 * Gives: *content: a new reference, NULL where none is kept; *confirmed_unix_s: as put
 */
bool recent_get(struct recent *recent, struct recent_key *key, int64_t now_unix_s,
                struct content **content, int64_t *confirmed_unix_s);
/* Keep what the store said after recent_get() found nothing. CONTENT, borrowed, may be NULL. Does
 * nothing when something was forgotten since: the store may have been read before that. */
void recent_put(struct recent *recent, const struct recent_key *key, struct content *content,
                int64_t confirmed_unix_s, int64_t now_unix_s);
/* Call after the store has changed. */
void recent_forget(struct recent *recent, const struct recent_key *key);

#endif
