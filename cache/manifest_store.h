/*
 * Manifests and small evidence by digest: media type and bytes, in the index. What is larger than
 * MANIFEST_STORE_MAX_BYTES belongs into the blob store.
 *
 * Threads: any.
 */
#ifndef CACHE_MANIFEST_STORE_H
#define CACHE_MANIFEST_STORE_H

#include "cache/store.h"
#include "crypto/digest.h"
#include "gatehouse.h"

struct gh_error;

#define MANIFEST_STORE_MAX_BYTES (16u * 1024 * 1024)
#define MANIFEST_STORE_MAX_TYPE 255

struct manifest_record {
    char media_type[MANIFEST_STORE_MAX_TYPE + 1];
    int64_t made_unix_s; /* when it was stored */
    struct bytes_buf content;
};
void manifest_record_done(struct manifest_record *record);

/*
 * Store bytes whose digest the caller has checked; it is checked once more here. Readers see them
 * at once.
 *
 * Fails: DIGEST_MISMATCH, SIZE_LIMIT_EXCEEDED, INTERNAL_ERROR
 */
GH_CHECKED bool manifest_store_put(struct store *store, const struct digest *digest,
                                   struct bytes media_type, struct bytes content,
                                   int64_t now_unix_s, struct gh_error *err);
/* A copy. The digest is checked on each read: at 0.5 us per KiB that costs less than one bad byte
 * served. *out: new, manifest_record_done(). False when absent or damaged. */
bool manifest_store_get(struct store *store, const struct digest *digest, int64_t now_unix_s,
                        struct manifest_record *out);
bool manifest_store_has(struct store *store, const struct digest *digest);
GH_CHECKED bool manifest_store_remove(struct store *store, const struct digest *digest,
                                      struct gh_error *err);

#endif
