/*
 * Content-addressed files: PATH/blobs/<alg>/ab/cd/<hex>. A file gets its name only when it is
 * whole, its hash was checked and its bytes are on disk: what has a name is never half content.
 *
 * A staged file is written by one fill and read by many: append-only, never rewritten or truncated
 * while it is open. Holding a struct blob_file keeps its content from being evicted.
 *
 * Threads: any. What may wait for a disk says so: helper threads only.
 */
#ifndef CACHE_BLOB_STORE_H
#define CACHE_BLOB_STORE_H

#include "crypto/digest.h"
#include "gatehouse.h"

struct gh_error;
struct store;
struct blob_store;

#define BLOB_STORE_OPEN_FILES 512 /* descriptors kept for files nobody reads at the moment */

struct blob_store_config {
    uint64_t max_bytes; /* of content; what is over is evicted, least recently used first */
};

/*
 * Open the content beside an open store, and clear what earlier fills left. STORE must outlive it.
 *
 * Gives: *out: new, blob_store_free()
 * Fails: INTERNAL_ERROR
 */
GH_CHECKED bool blob_store_new(struct store *store, const struct blob_store_config *config,
                               struct blob_store **out, struct gh_error *err);
void blob_store_free(struct blob_store *blobs);
GH_DEFINE_FREEP(blob_store, struct blob_store)

/* A fill under way. */
struct blob_stage {
    int fd; /* read and write; only appended to */
    uint64_t expected_bytes;
    char name[24]; /* in the staging folder */
};

/*
 * Begin a file. EXPECTED_BYTES is 0 where the size is not known. About 20 us; helper or worker.
 *
 * Gives: *out: new, for blob_stage_publish() or blob_stage_abort()
 * Fails: SIZE_LIMIT_EXCEEDED when it can never fit, INTERNAL_ERROR
 */
GH_CHECKED bool blob_stage_new(struct blob_store *blobs, uint64_t expected_bytes,
                               struct blob_stage **out, struct gh_error *err);

/* One open file of content. Its fields are constant. */
struct blob_file {
    int fd; /* read only; use pread or sendfile with an offset, never its position */
    uint64_t size_bytes;
    struct digest digest;
};

/*
 * Give a whole file its name: fsync, rename, fsync of the folder; then record it and make room.
 * The caller has hashed every byte written and found DIGEST. Waits for the disk: helper only.
 *
 * Takes: stage: taken, its descriptor closed
 * Gives: *out: new reference, blob_file_unref()
 * Fails: INTERNAL_ERROR; the staged file is gone then
 */
GH_CHECKED bool blob_stage_publish(struct blob_store *blobs, struct blob_stage *stage,
                                   const struct digest *digest, uint64_t size_bytes,
                                   int64_t now_unix_s, struct blob_file **out,
                                   struct gh_error *err);
/* Drop a fill (stage: taken). Readers that hold the descriptor's duplicate go on. */
void blob_stage_abort(struct blob_store *blobs, struct blob_stage *stage);
/* Write BYTES to a stage, hash, publish, at once: for evidence and tests. Helper only. */
GH_CHECKED bool blob_store_put(struct blob_store *blobs, const struct digest *digest,
                               struct bytes content, int64_t now_unix_s, struct gh_error *err);

enum blob_found {
    BLOB_ABSENT = 0,
    BLOB_UNCHECKED, /* there, but not hashed since an unclean stop: blob_check() on a helper first
                     */
    BLOB_READY
};

/*
 * Open content for reading. Usable on workers: an index look-up and an open(), or neither for what
 * was opened lately.
 *
 * Gives: *out: new reference unless absent
 */
enum blob_found blob_open(struct blob_store *blobs, const struct digest *digest, int64_t now_unix_s,
                          struct blob_file **out);
void blob_file_unref(struct blob_store *blobs, struct blob_file *file);

/*
 * Hash a file again and record that it is good; a bad one is removed. Helper only.
 *
 * Fails: DIGEST_MISMATCH (removed; fetch it again), INTERNAL_ERROR
 */
GH_CHECKED bool blob_check(struct blob_store *blobs, struct blob_file *file, int64_t now_unix_s,
                           struct gh_error *err);
/* Remove content by digest (a purge). Readers that hold it go on. Helper only. */
GH_CHECKED bool blob_remove(struct blob_store *blobs, const struct digest *digest,
                            struct gh_error *err);

/* Evict until BYTES more fit the limit. What is held open stays. Helper only. */
void blob_store_make_room(struct blob_store *blobs, uint64_t bytes);
/* After an unclean stop, once, in the background: record the files whose record was lost, so that
 * they count and can be evicted. (A record whose file is gone goes when its turn to be evicted
 * comes.) Helper only. */
GH_CHECKED bool blob_store_reconcile(struct blob_store *blobs, struct gh_error *err);

struct blob_store_stats {
    uint64_t bytes;
    uint64_t count;
    uint64_t max_bytes;
    uint64_t evictions;
    uint64_t evicted_bytes;
    uint64_t open_files;
};
void blob_store_stats(struct blob_store *blobs, struct blob_store_stats *out);

#endif
