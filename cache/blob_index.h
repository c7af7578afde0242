/*
 * What the store knows about its content files: size, age, last use, and whether they were checked
 * since the last unclean stop. The sums live in the index too, so that opening needs no scan.
 *
 * Threads: any.
 */
#ifndef CACHE_BLOB_INDEX_H
#define CACHE_BLOB_INDEX_H

#include "cache/store.h"
#include "crypto/digest.h"
#include "gatehouse.h"

struct blob_info {
    uint64_t size_bytes;
    int64_t made_unix_s;
    uint32_t epoch; /* checked in this epoch of the store; older means to be checked */
};

/* Record a file. Replaces what was known of the digest. */
GH_CHECKED bool blob_index_put(struct store *store, const struct digest *digest,
                               const struct blob_info *info, struct gh_error *err);
/* Forget a file. DONE may be NULL; see store_submit(). */
GH_CHECKED bool blob_index_remove(struct store *store, const struct digest *digest,
                                  struct gh_error *err);
bool blob_index_get(struct store *store, const struct digest *digest, struct blob_info *out);
void blob_index_touch(struct store *store, const struct digest *digest, int64_t now_unix_s);

struct blob_totals {
    uint64_t bytes;
    uint64_t count;
};
/* Of what is committed. */
void blob_index_totals(struct store *store, struct blob_totals *out);

/* A candidate for eviction. */
struct blob_victim {
    struct digest digest;
    uint64_t size_bytes;
    int64_t last_use_unix_s;
};
#define BLOB_INDEX_SAMPLE 2048
/*
 * A sample of committed records, oldest use first, from a random place on (digests are spread
 * evenly); with no more than the sample's size it is all of them.
 *
 * Gives: *out: new array, free(); *count
 */
GH_CHECKED bool blob_index_sample(struct store *store, struct blob_victim **out, size_t *count,
                                  struct gh_error *err);

#endif
