/*
 * Inside of fills. Only fill*.c includes this.
 */
#ifndef PROXY_FILL_STATE_H
#define PROXY_FILL_STATE_H

#include <event2/event.h>
#include <stdatomic.h>
#include <sys/queue.h>

#include "cache/blob_store.h"
#include "gatehouse.h"
#include "metrics/lock.h"
#include "proxy/fill.h"
#include "proxy/helper.h"
#include "proxy/upstream.h"

#define FILL_BUCKETS 256
#define FILL_MAX_IDLE_BLOCKS 64
#define FILL_FLUSH_MS 200 /* a block that a slow registry does not fill is written after this */
#define FILL_RESUME_BASE_MS 100

#define FILL_STRANDS 2 /* helpers at work on one fill: while one hashes, one writes */

struct fill_block {
    struct fill_block *next;
    size_t len;
    bool is_written;
    bool is_hashed;
    uint8_t data[FILL_BLOCK_BYTES];
};

/*
 * Threads: `lock` (rank GH_RANK_FILL) guards the table, the workers, the idle blocks and of every
 * fill what is marked so.
 */
struct fill_set {
    struct lock lock;
    struct blob_store *blobs;
    struct helper_pool *helpers;
    LIST_HEAD(, fill) buckets[FILL_BUCKETS];
    size_t count;
    struct fill_worker *workers[FILL_MAX_WORKERS];
    struct fill_block *idle;
    size_t idle_count;
};

struct fill_strand {
    struct helper_job job; /* first */
    struct fill *fill;
    bool is_active; /* under the set's lock */
};

struct fill {
    struct fill_set *set;
    atomic_int references; /* table, owner, each strand at work, each reader */
    char *scope;
    struct digest digest;

    /* seen by readers without the lock; `state` is stored last */
    atomic_int state;
    atomic_uint_fast64_t available;
    atomic_int_fast64_t size;     /* -1: not known */
    atomic_int fd;                /* a duplicate that lives as long as the fill; -1 before */
    atomic_uint_fast64_t workers; /* bits: who wants to know */

    /* under the set's lock */
    LIST_ENTRY(fill) bucket_link;
    bool is_listed;
    struct fill_block *first; /* the oldest that is not both written and hashed */
    struct fill_block **last;
    struct fill_block *to_write; /* NULL: all that came */
    struct fill_block *to_hash;
    size_t queued_bytes;
    unsigned strands_active;
    bool is_writing;
    bool is_hashing;
    bool is_ended;     /* no more blocks will come */
    bool is_finishing; /* a strand has taken it on itself to end the fill */
    bool is_over;      /* published or failed */
    bool is_transfer_wanted;
    struct gh_error error; /* why it failed */
    int outcome;

    /* helpers: the strands. A block is written by one of them and hashed by one, each in order. */
    struct fill_strand strands[FILL_STRANDS];
    struct blob_stage *stage; /* made by the owner before the first block */
    struct blob_file *unchecked;
    struct digest_stream *hash; /* of who hashes */
    uint64_t written_bytes;     /* of who writes */

    /* the owner's worker */
    TAILQ_ENTRY(fill) owner_link;
    struct fill_worker *owner; /* NULL: the transfer is over */
    struct upstream *upstream;
    struct upstream_request *request;
    char *repository;
    int64_t expected_size;
    struct fill_block *block;
    uint64_t received_bytes;
    uint64_t received_at_resume;
    uint64_t skip_bytes;
    unsigned resumes;
    unsigned idle_resumes;
    bool is_paused;
    bool has_data_waiting; /* since the last look of the timer */
    bool is_resume_due;
    struct event *timer;
};

struct fill_worker {
    struct fill_set *set;
    struct worker *worker;
    struct upstream_client *client;
    unsigned index;
    struct worker_mail mail;
    atomic_bool is_dirty; /* the mail is on its way */
    TAILQ_HEAD(, fill_reader) readers;
    struct fill_reader *cursor; /* next reader to tell; moved when that one leaves */
    TAILQ_HEAD(, fill) owned;
};

struct fill_reader {
    TAILQ_ENTRY(fill_reader) link;
    struct fill_worker *worker; /* NULL: the worker has ended */
    struct fill *fill;
    void (*on_change)(void *ctx);
    void *ctx;
    int seen_state;
    uint64_t seen_available;
};

/* Tell the workers that look at it. The lock is held. */
void fill_wake(struct fill *fill);
void fill_unref(struct fill *fill);
struct fill_block *fill_block_take(struct fill_set *set);
/* The lock is held. */
void fill_block_give(struct fill_set *set, struct fill_block *block);
void fill_unlist(struct fill *fill);
/* No more blocks will come, because of *ERROR where that is not NULL: the first failure stands. The
 * lock is held. */
void fill_end(struct fill *fill, int outcome, const struct gh_error *error);

/* fill_strand.c: what runs on helpers. */
/* Have the strands look at the fill. The lock is held. */
void fill_strand_kick(struct fill *fill);

/* fill_transfer.c: what runs on the owner's worker. */
/* Begin, or go on after a break. False: *err. */
GH_CHECKED bool fill_transfer_start(struct fill *fill, struct gh_error *err);
/* No more comes: why, or NULL when everything came. */
void fill_transfer_end(struct fill *fill, int outcome, const struct gh_error *error);
/* The strand made room, or has failed, or wants the transfer after all. */
void fill_transfer_look(struct fill *fill);

#endif
