/*
 * Fills: transfers of blobs from a registry into the store, shared by every reader on every worker.
 * A fill runs at the disk's speed, never at a reader's; readers that leave do not stop it. Readers
 * send what is released of the growing file, straight from its descriptor: everything but the last
 * byte before the hash has agreed, everything after.
 *
 * Threads: fill_set_new()/_free() main thread; the rest on the worker named by the argument.
 */
#ifndef PROXY_FILL_H
#define PROXY_FILL_H

#include "crypto/digest.h"
#include "gatehouse.h"
#include "metrics/error.h"

struct blob_file;
struct blob_store;
struct fill_reader;
struct fill_set;
struct fill_worker;
struct helper_pool;
struct upstream;
struct upstream_client;
struct worker;

#define FILL_BLOCK_BYTES (256u * 1024)      /* one write and one hash update on a helper */
#define FILL_QUEUE_BYTES (4u * 1024 * 1024) /* waiting for the disk; the transfer pauses above */
#define FILL_MAX_RESUMES 8                  /* of one fill */
#define FILL_MAX_IDLE_RESUMES 6             /* in a row that brought nothing */
#define FILL_MAX_WORKERS 64

/* BLOBS and HELPERS are borrowed and outlive the set. Gives: *out: new, fill_set_free() after the
 * workers have ended. Fails: INTERNAL_ERROR. */
GH_CHECKED bool fill_set_new(struct blob_store *blobs, struct helper_pool *helpers,
                             struct fill_set **out, struct gh_error *err);
void fill_set_free(struct fill_set *set);

/* A worker's side; fits WORKER_SLOT_FILL (fill_worker_free() is its on_stop). */
GH_CHECKED bool fill_worker_new(struct fill_set *set, struct worker *worker,
                                struct upstream_client *client, struct fill_worker **out,
                                struct gh_error *err);
void fill_worker_free(void *fill_worker);

/* What to fetch where nobody does yet. Borrowed, copied. */
struct fill_ask {
    const char *scope; /* tenant and upstream: fills are shared within it */
    struct digest digest;
    int64_t size; /* from the descriptor that led here; -1: not known */
    struct upstream *upstream;
    const char *repository; /* the first reader's is asked, and its token's scope */
};

enum fill_state {
    FILL_STARTING = 0, /* no answer from the registry yet: no size */
    FILL_RUNNING,
    FILL_WHOLE,     /* the hash agreed; all bytes are released */
    FILL_PUBLISHED, /* and the store has it under its name */
    FILL_FAILED     /* close the connection short */
};

struct fill_view {
    enum fill_state state;
    int64_t size;       /* -1: not known */
    uint64_t available; /* bytes from the start that may be sent */
    int fd;             /* append-only file; valid until fill_leave(); -1 before there is one */
    int outcome; /* enum upstream_outcome, with FILL_FAILED: absent and denied are told apart */
    struct gh_error error;
};

enum fill_answer {
    FILL_REFUSED = 0, /* *err */
    FILL_JOINED,      /* *reader */
    FILL_CACHED       /* *file: a new reference; it was published meanwhile */
};

/*
 * Join the fill of a blob, or start it.
 *
 * Takes: on_change: called on this worker, never from within this call, when there is more to see;
 *        several changes may come as one
 * Gives: *reader for fill_leave(), or *file for blob_file_unref()
 */
enum fill_answer fill_join(struct fill_worker *fill_worker, const struct fill_ask *ask,
                           void (*on_change)(void *ctx), void *ctx, struct fill_reader **reader,
                           struct blob_file **file, struct gh_error *err);
void fill_view(struct fill_reader *reader, struct fill_view *out);
/* No on_change comes after this. NULL is fine. */
void fill_leave(struct fill_reader *reader);

/* Fills under way, for metrics and tests. Any thread. */
size_t fill_set_count(struct fill_set *set);

#endif
