/*
 * Recorded decisions by id, for `why` and for replaying a policy. Bounded by count: the oldest go.
 *
 * Threads: any.
 */
#ifndef CACHE_DECISION_STORE_H
#define CACHE_DECISION_STORE_H

#include "cache/store.h"
#include "gatehouse.h"

#define DECISION_STORE_MAX_ID 128
#define DECISION_STORE_MAX_RECORD (256u * 1024)
#define DECISION_STORE_DEFAULT 200000 /* records kept */

struct decision_store;

/* MAX_COUNT 0 is the default. STORE must outlive it. Gives: *out: new, decision_store_free() */
GH_CHECKED bool decision_store_new(struct store *store, uint64_t max_count,
                                   struct decision_store **out, struct gh_error *err);
void decision_store_free(struct decision_store *decisions);
GH_DEFINE_FREEP(decision_store, struct decision_store)

/*
 * Record a decision once: an id that is known is left as it is. Whether it is known costs one
 * look-up, so this may be called for every answer.
 *
 * Fails: SIZE_LIMIT_EXCEEDED, INTERNAL_ERROR
 */
GH_CHECKED bool decision_store_put(struct decision_store *decisions, const char *id,
                                   struct bytes record, int64_t now_unix_ms, struct gh_error *err);
/* *out: new, bytes_buf_done(). False when it is not known (any more). */
bool decision_store_get(struct decision_store *decisions, const char *id, struct bytes_buf *out);

/* Call FN for each record made at SINCE_UNIX_MS or later, oldest first, until it says false. Not on
 * a worker. */
typedef bool (*decision_store_fn)(const char *id, struct bytes record, int64_t made_unix_ms,
                                  void *arg);
void decision_store_each(struct decision_store *decisions, int64_t since_unix_ms,
                         decision_store_fn fn, void *arg);

#endif
