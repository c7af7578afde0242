/*
 * What store.c (environment, readers), store_queue.c (batches, what is pending, the writer) and
 * store_evict.c (uses, eviction) share. Nothing else includes it.
 */
#ifndef CACHE_STORE_INTERNAL_H
#define CACHE_STORE_INTERNAL_H

#include <lmdb.h>
#include <pthread.h>
#include <stdatomic.h>

#include "cache/folder.h"
#include "cache/store.h"
#include "metrics/lock.h"

#define STORE_SHARDS 64
#define STORE_PENDING_SLOTS 256 /* per shard */
#define STORE_USE_SLOTS 256     /* per shard */
#define STORE_MAX_USES 4096     /* noted per shard between two ticks; more are dropped */
#define STORE_MAX_USE_KEY 96

/* One put or delete. Immutable once submitted, so that readers may look at it. */
struct store_op {
    enum store_db db;
    bool is_delete;
    uint64_t hash;
    struct bytes key;
    struct bytes value;
    struct store_op *next_in_batch;
    struct store_op *newer; /* in its pending slot, newest first */
    struct store_op *older;
};

struct store_batch {
    struct store_op *first;
    struct store_op *last;
    store_run_fn run;
    void *run_arg;
    store_done_fn done;
    void *done_arg;
    bool is_committed;
    bool is_urgent;
    struct store_batch *next;
};

struct store_use {
    enum store_db db;
    int64_t at_unix_s;
    size_t key_len;
    uint8_t key[STORE_MAX_USE_KEY];
    struct store_use *next;
};

struct store_shard {
    struct lock lock; /* GH_RANK_STORE_PENDING */
    struct store_op *pending[STORE_PENDING_SLOTS];
    struct store_use *uses[STORE_USE_SLOTS];
    unsigned use_count;
};

/* A thread's read transaction, kept between look-ups. */
struct store_reader {
    struct store *store;
    MDB_txn *txn;
    unsigned depth;
    bool is_used;
    struct store_reader *next;
};

struct store_write {
    struct store *store;
    MDB_txn *txn;
};

struct store {
    char path[FOLDER_MAX_PATH];
    int lock_fd;
    bool is_read_only;
    bool was_clean;
    uint32_t epoch;
    uint8_t mac_key[FOLDER_KEY_BYTES];
    MDB_env *env;
    MDB_dbi dbs[STORE_DB_COUNT];
    uint64_t map_bytes;
    unsigned page_bytes;

    pthread_key_t mine;
    bool has_key;
    struct lock reader_lock; /* GH_RANK_STORE_PENDING */
    struct store_reader *readers;

    struct store_shard shards[STORE_SHARDS];
    atomic_uint pending; /* operations in all shards */

    struct lock queue_lock; /* GH_RANK_STORE_QUEUE */
    struct lock_cond queue_wake;
    struct store_batch *queue_first;
    struct store_batch *queue_last;
    unsigned queue_len;
    bool is_urgent; /* somebody waits for one of those in the queue */
    bool is_stopping;
    bool has_writer;
    pthread_t writer;

    store_evict_fn hooks[STORE_DB_COUNT];
    struct bytes_buf hands[STORE_DB_COUNT]; /* where eviction goes on; the writer's alone */

    atomic_uint_fast64_t commits;
    atomic_uint_fast64_t batches;
    atomic_uint_fast64_t failed;
    atomic_uint_fast64_t evicted;
    atomic_uint_fast64_t used_bytes;
};

uint64_t store_hash(enum store_db db, struct bytes key);
bool store_mdb_ok(int result, const char *what, struct gh_error *err);
MDB_val store_val(struct bytes in);
struct bytes store_bytes(MDB_val in);

/* store_queue.c */
bool store_queue_start(struct store *store, struct gh_error *err);
void store_queue_stop(struct store *store);
enum store_pending { STORE_PENDING_NONE, STORE_PENDING_PUT, STORE_PENDING_DELETE };
enum store_pending store_pending_view(struct store *store, enum store_db db, struct bytes key,
                                      store_view_fn fn, void *arg);

/* store_evict.c; on the writer's thread, no transaction open */
uint64_t store_used(struct store *store, MDB_txn *txn);
void store_evict_if_full(struct store *store);
void store_uses_free(struct store *store);

#endif
