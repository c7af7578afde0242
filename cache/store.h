/*
 * The store folder: one LMDB environment with named databases, one writer thread with synced group
 * commits, and what every store needs from it (lock file, clean-stop mark, MAC key, eviction).
 *
 *   PATH/lock      held while the store is open: a second process is refused
 *   PATH/clean     present only between a clean stop and the next start
 *   PATH/mac.key   32 random bytes, mode 0600; authenticates values whose forging would matter
 *   PATH/index/    the LMDB environment
 *   PATH/blobs/, PATH/staging/   content; see blob_store.h
 *
 * What was submitted is seen by every reader of this process at once, before it is committed; after
 * a crash it is there when its completion had been called. Values are opaque here; each begins with
 * the time it was made (STORE_MADE_BYTES, big-endian unix seconds), so that age is known without
 * the module that wrote it.
 *
 * Threads: any, unless a function says otherwise. Readers never wait for the writer.
 */
#ifndef CACHE_STORE_H
#define CACHE_STORE_H

#include "crypto/bytes.h"
#include "gatehouse.h"

struct gh_error;
struct MDB_txn;

enum store_db {
    STORE_META,           /* schema, epoch, totals */
    STORE_BLOBS,          /* digest: size, epoch */
    STORE_MANIFESTS,      /* digest: media type and bytes */
    STORE_TAGS,           /* scope and tag: digest */
    STORE_VERDICTS,       /* hash of the key: verdict */
    STORE_RESTS,          /* what verdicts rest on: their keys (several per rest) */
    STORE_EDGES,          /* scope and child: parents */
    STORE_EVIDENCE,       /* scope and subject: list of evidence */
    STORE_DECISIONS,      /* decision id: record */
    STORE_DECISION_ORDER, /* time: decision id */
    STORE_USES,           /* database and key: last use, and who */
    STORE_ANSWERS,        /* question about revocation: its answer */
    STORE_DB_COUNT
};

#define STORE_SCHEMA 1
#define STORE_MAX_KEY 511
#define STORE_MAC_BYTES 32
#define STORE_MADE_BYTES 8
#define STORE_MAX_VALUE (64u * 1024 * 1024)
#define STORE_MAX_QUEUE 65536 /* batches waiting for the writer */
#define STORE_GATHER_MS 2     /* how long a commit waits for more to go with it */
#define STORE_GROUP 256       /* batches in one commit at most */
#define STORE_MAP_BYTES_DEFAULT (16ull * 1024 * 1024 * 1024)

struct store;

struct store_config {
    const char *path;
    uint64_t
        map_bytes; /* the most the index may hold; 0 for the default. Address space, not disk */
    /* Only look at a store, also while another process has it open. What that has not committed is
     * not seen; nothing is made or changed, and every submit fails. */
    bool is_read_only;
};

/*
 * Open the store, making what is missing, and start its writer. The folder must be on a local file
 * system and in no other process's use.
 *
 * Gives: *out: new, store_close()
 * Fails: INTERNAL_ERROR naming what is wrong with which file
 */
GH_CHECKED bool store_open(const struct store_config *config, struct store **out,
                           struct gh_error *err);
/* Commit what is queued, mark the stop as clean, close. No other call may be under way. */
void store_close(struct store *store);
GH_UNUSED static inline void store_closep(struct store **store)
{
    store_close(*store);
    *store = NULL;
}

const char *store_path(const struct store *store);
/* False when the last process did not stop cleanly. */
bool store_was_clean(const struct store *store);
/* Grows with each unclean stop; what was checked in an earlier epoch is checked again. */
uint32_t store_epoch(const struct store *store);
/* MAC over CONTEXT (which keeps uses apart) and DATA with the host's key. */
void store_mac(const struct store *store, const char *context, struct bytes data,
               uint8_t out[STORE_MAC_BYTES]);

/* Look at the value of KEY within a callback; the view ends with it. FN may not call the store. */
typedef void (*store_view_fn)(struct bytes value, void *arg);
/* True when there is one. Errors of the index read as absent. */
bool store_view(struct store *store, enum store_db db, struct bytes key, store_view_fn fn,
                void *arg);
/* As store_view(), copied. *out: new, bytes_buf_done(). */
bool store_get(struct store *store, enum store_db db, struct bytes key, struct bytes_buf *out);
bool store_has(struct store *store, enum store_db db, struct bytes key);

/* Walk committed entries from KEY on (from the first when empty) until FN says false or there are
 * no more. What is still queued is not seen; store_flush() first where that matters. */
typedef bool (*store_walk_fn)(struct bytes key, struct bytes value, void *arg);
void store_walk(struct store *store, enum store_db db, struct bytes from, store_walk_fn fn,
                void *arg);

/* Changes that are committed together or not at all. */
struct store_batch;
GH_CHECKED bool store_batch_new(struct store_batch **out, struct gh_error *err);
void store_batch_free(struct store_batch *batch);
GH_DEFINE_FREEP(store_batch, struct store_batch)
/* KEY and VALUE are copied. Fails: INTERNAL_ERROR (memory, or over STORE_MAX_KEY/VALUE) */
GH_CHECKED bool store_batch_put(struct store_batch *batch, enum store_db db, struct bytes key,
                                struct bytes value, struct gh_error *err);
GH_CHECKED bool store_batch_del(struct store_batch *batch, enum store_db db, struct bytes key,
                                struct gh_error *err);

/* Work inside the writer's transaction, before the batch's puts and deletes. It may run twice (a
 * group that fails is tried again one by one), so it changes nothing but the transaction. */
struct store_write;
typedef bool (*store_run_fn)(struct store_write *write, void *arg, struct gh_error *err);
void store_batch_run(struct store_batch *batch, store_run_fn run, void *arg);

/* Called on the writer's thread when the batch is committed, or has failed. May not block. */
typedef void (*store_done_fn)(void *arg, bool is_committed);

/*
 * Queue a batch.
 *
 * Takes: batch: taken; done: may be NULL; not called where this function fails
 * Fails: INTERNAL_ERROR when the queue is full
 */
GH_CHECKED bool store_submit(struct store *store, struct store_batch *batch, store_done_fn done,
                             void *arg, struct gh_error *err);
/* Queue a batch (taken) and wait until it is committed. Never on a worker. */
GH_CHECKED bool store_commit(struct store *store, struct store_batch *batch, struct gh_error *err);
/* Wait until everything submitted before has been committed or has failed. Never on a worker. */
void store_flush(struct store *store);

/* Inside store_run_fn. A view is valid until the next change. */
bool store_write_get(struct store_write *write, enum store_db db, struct bytes key,
                     struct bytes *out);
GH_CHECKED bool store_write_put(struct store_write *write, enum store_db db, struct bytes key,
                                struct bytes value, struct gh_error *err);
/* Deleting what is absent succeeds. For STORE_RESTS with a VALUE, that pair alone. */
GH_CHECKED bool store_write_del(struct store_write *write, enum store_db db, struct bytes key,
                                struct bytes value, struct gh_error *err);
/* The first entry at or after KEY (from the start when empty). Views as above. */
bool store_write_next(struct store_write *write, enum store_db db, struct bytes key,
                      struct bytes *out_key, struct bytes *out_value);

/* Eviction of the index begins at 80 % of the map: entries of these databases, oldest use first.
 * What hangs on an entry (its rests, say) is removed by the database's hook, in the same
 * transaction. Set hooks before anything is submitted. */
typedef bool (*store_evict_fn)(struct store_write *write, struct bytes key, struct bytes value,
                               struct gh_error *err);
void store_set_evict_hook(struct store *store, enum store_db db, store_evict_fn hook);

/* Note that an entry was used at NOW; kept coarsely and written by store_tick(). Cheap. */
void store_touch(struct store *store, enum store_db db, struct bytes key, int64_t now_unix_s);
/* When an entry was last used, 0 where that is not known. */
int64_t store_last_use(struct store *store, enum store_db db, struct bytes key);
/* Once a minute from housekeeping: queue the noted uses. */
void store_tick(struct store *store);

struct store_stats {
    uint64_t map_bytes;
    uint64_t used_bytes;
    uint64_t commits;
    uint64_t batches;
    uint64_t failed;
    uint64_t evicted;
    uint64_t entries[STORE_DB_COUNT];
};
void store_stats(struct store *store, struct store_stats *out);

/* Big-endian numbers in keys and values. */
void store_put_u64(uint8_t out[8], uint64_t value);
uint64_t store_get_u64(const uint8_t in[8]);

/* A key of 32 bytes from parts of any length: no two lists of parts share one. */
#define STORE_KEY_BYTES 32
struct store_key {
    uint8_t bytes[STORE_KEY_BYTES];
};
void store_key_make(struct store_key *out, const struct bytes *parts, size_t count);

#endif
