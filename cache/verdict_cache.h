/*
 * Verdicts by key, in memory over the store. A key and a verdict are opaque bytes here: the caller
 * puts into the key all that the verdict depends on, and encodes and decodes verdicts. Decisions
 * are never kept.
 *
 * In memory a verdict stands decoded, as a counted object of the caller's. What is stored is
 * authenticated with the host's key; what does not authenticate is a miss. Look-ups read lazily, so
 * that opening costs the same with any number of verdicts.
 *
 * Threads: any. Locks of rank GH_RANK_VERDICT, one per shard.
 */
#ifndef CACHE_VERDICT_CACHE_H
#define CACHE_VERDICT_CACHE_H

#include "cache/store.h"
#include "gatehouse.h"

#define VERDICT_CACHE_MAX_KEY 8192
#define VERDICT_CACHE_MAX_VALUE (1024u * 1024)
#define VERDICT_CACHE_MAX_RESTS 128
#define VERDICT_CACHE_MAX_WHO 8        /* principals remembered per verdict */
#define VERDICT_CACHE_MAX_WHO_BYTES 63 /* of a principal's name; longer ones are cut */
#define VERDICT_CACHE_BYTES_DEFAULT (128ull * 1024 * 1024)

/* What a verdict rests on: a kind (the caller's numbers) and an identifier. */
struct verdict_cache_rest {
    uint8_t kind;
    uint8_t id[32];
};

/* How the caller's objects are held. All are called without locks of ours, but for ref. */
struct verdict_cache_hooks {
    void (*ref)(void *object); /* one atomic addition, no more: a shard is locked */
    void (*unref)(void *object);
    /* Make an object (with one reference) of a stored verdict; false makes the look-up a miss. */
    bool (*decode)(struct bytes value, void **out);
};

struct verdict_cache_config {
    uint64_t memory_bytes; /* 0: VERDICT_CACHE_BYTES_DEFAULT */
    struct verdict_cache_hooks hooks;
};

struct verdict_cache;

/* STORE must outlive it. Gives: *out: new, verdict_cache_free() */
GH_CHECKED bool verdict_cache_new(struct store *store, const struct verdict_cache_config *config,
                                  struct verdict_cache **out, struct gh_error *err);
void verdict_cache_free(struct verdict_cache *cache);
GH_DEFINE_FREEP(verdict_cache, struct verdict_cache)

enum verdict_cache_result {
    VERDICT_CACHE_MISS = 0,
    VERDICT_CACHE_MEMORY, /* it was in memory */
    VERDICT_CACHE_STORED  /* it was read from the store, and is in memory now */
};

/*
 * Look a verdict up, at NOW. WHO is the principal on whose behalf (NULL for none): it is remembered
 * with the time.
 *
 * Gives: *object: new reference, on a hit
 */
enum verdict_cache_result verdict_cache_get(struct verdict_cache *cache, struct bytes key,
                                            int64_t now_unix_s, const char *who, void **object);

/* The same; where it is no use, nothing is remembered of it: not the time, and nothing is moved. */
enum verdict_cache_result verdict_cache_find(struct verdict_cache *cache, struct bytes key,
                                             int64_t now_unix_s, bool is_use, const char *who,
                                             void **object);

struct verdict_cache_entry {
    struct bytes key;
    struct bytes value; /* encoded */
    int64_t until_unix_s;
    const struct verdict_cache_rest *rests;
    size_t rest_count;
    bool is_stored; /* false: in memory alone (denials, which live briefly) */
};

/*
 * Remember a verdict; readers see it at once. What was under the key is replaced. Trouble is no
 * verdict and must not be put here. A caller that verified under an older configuration checks for
 * revocations itself.
 *
 * Takes: object: borrowed (the cache takes a reference of its own)
 * Fails: SIZE_LIMIT_EXCEEDED, INTERNAL_ERROR (it may be in memory all the same)
 */
GH_CHECKED bool verdict_cache_put(struct verdict_cache *cache,
                                  const struct verdict_cache_entry *entry, void *object,
                                  int64_t now_unix_s, struct gh_error *err);
void verdict_cache_remove(struct verdict_cache *cache, struct bytes key);

/* Forget every verdict that rests on REST, in memory and in the store, before returning. *count
 * says how many. Waits for the store: not on a worker. */
GH_CHECKED bool verdict_cache_drop_rest(struct verdict_cache *cache,
                                        const struct verdict_cache_rest *rest, size_t *count,
                                        struct gh_error *err);

struct verdict_cache_who {
    char name[VERDICT_CACHE_MAX_WHO_BYTES + 1];
    int64_t at_unix_s;
};
struct verdict_cache_use {
    int64_t last_unix_s; /* 0 when it was never used since it was made */
    struct verdict_cache_who who[VERDICT_CACHE_MAX_WHO];
    size_t who_count;
};
/* KEY, VALUE and USE are borrowed for the call. FN may not call the cache or the store. False ends
 * the listing. */
typedef bool (*verdict_cache_fn)(struct bytes key, struct bytes value, int64_t until_unix_s,
                                 const struct verdict_cache_use *use, void *arg);
/* List stored verdicts: those that rest on REST, or all when it is NULL. Not on a worker. */
void verdict_cache_each(struct verdict_cache *cache, const struct verdict_cache_rest *rest,
                        verdict_cache_fn fn, void *arg);

/* Once a minute from housekeeping: queue the noted uses. */
void verdict_cache_tick(struct verdict_cache *cache);

struct verdict_cache_stats {
    uint64_t entries;
    uint64_t bytes;
    uint64_t evicted;
};
void verdict_cache_stats(struct verdict_cache *cache, struct verdict_cache_stats *out);

#endif
