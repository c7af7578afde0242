#include "cache/store_internal.h"

#include <stdlib.h>
#include <string.h>

#include "metrics/error.h"

bool store_batch_new(struct store_batch **out, struct gh_error *err)
{
    struct store_batch *batch = calloc(1, sizeof(*batch));

    if (batch == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
    }
    *out = batch;
    return true;
}

void store_batch_free(struct store_batch *batch)
{
    if (batch == NULL) {
        return;
    }
    while (batch->first != NULL) {
        struct store_op *op = batch->first;

        batch->first = op->next_in_batch;
        free(op);
    }
    free(batch);
}

static bool store_batch_add(struct store_batch *batch, enum store_db db, struct bytes key,
                            struct bytes value, bool is_delete, struct gh_error *err)
{
    struct store_op *op;
    uint8_t *data;

    if (key.len == 0 || key.len > STORE_MAX_KEY || value.len > STORE_MAX_VALUE) {
        return gh_fail(err, GH_INTERNAL_ERROR,
                       "a record of %zu bytes under a key of %zu bytes does not fit the store",
                       value.len, key.len);
    }
    op = calloc(1, sizeof(*op) + key.len + value.len);
    if (op == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
    }
    data = (uint8_t *)(op + 1);
    memcpy(data, key.data, key.len);
    if (value.len > 0) {
        memcpy(data + key.len, value.data, value.len);
    }
    op->db = db;
    op->is_delete = is_delete;
    op->key = bytes_make(data, key.len);
    op->value = bytes_make(data + key.len, value.len);
    op->hash = store_hash(db, op->key);
    if (batch->last != NULL) {
        batch->last->next_in_batch = op;
    } else {
        batch->first = op;
    }
    batch->last = op;
    return true;
}

bool store_batch_put(struct store_batch *batch, enum store_db db, struct bytes key,
                     struct bytes value, struct gh_error *err)
{
    return store_batch_add(batch, db, key, value, false, err);
}

bool store_batch_del(struct store_batch *batch, enum store_db db, struct bytes key,
                     struct gh_error *err)
{
    return store_batch_add(batch, db, key, bytes_make(NULL, 0), true, err);
}

void store_batch_run(struct store_batch *batch, store_run_fn run, void *arg)
{
    batch->run = run;
    batch->run_arg = arg;
}

static struct store_shard *store_shard_of(struct store *store, uint64_t hash)
{
    return &store->shards[hash % STORE_SHARDS];
}

static struct store_op **store_slot_of(struct store_shard *shard, uint64_t hash)
{
    return &shard->pending[(hash / STORE_SHARDS) % STORE_PENDING_SLOTS];
}

/* Make a batch visible to readers; the newest operation on a key comes first. */
static void store_pending_add(struct store *store, struct store_batch *batch)
{
    for (struct store_op *op = batch->first; op != NULL; op = op->next_in_batch) {
        struct store_shard *shard = store_shard_of(store, op->hash);
        struct store_op **slot = store_slot_of(shard, op->hash);

        LOCK_HOLD(&shard->lock);
        op->older = *slot;
        op->newer = NULL;
        if (*slot != NULL) {
            (*slot)->newer = op;
        }
        *slot = op;
        atomic_fetch_add(&store->pending, 1);
    }
}

static void store_pending_remove(struct store *store, struct store_batch *batch)
{
    for (struct store_op *op = batch->first; op != NULL; op = op->next_in_batch) {
        struct store_shard *shard = store_shard_of(store, op->hash);

        LOCK_HOLD(&shard->lock);
        if (op->newer != NULL) {
            op->newer->older = op->older;
        } else {
            *store_slot_of(shard, op->hash) = op->older;
        }
        if (op->older != NULL) {
            op->older->newer = op->newer;
        }
        atomic_fetch_sub(&store->pending, 1);
    }
}

enum store_pending store_pending_view(struct store *store, enum store_db db, struct bytes key,
                                      store_view_fn fn, void *arg)
{
    struct store_shard *shard;
    uint64_t hash;

    if (atomic_load(&store->pending) == 0) {
        return STORE_PENDING_NONE;
    }
    hash = store_hash(db, key);
    shard = store_shard_of(store, hash);
    LOCK_HOLD(&shard->lock);
    for (struct store_op *op = *store_slot_of(shard, hash); op != NULL; op = op->older) {
        if (op->hash != hash || op->db != db || !bytes_equal(op->key, key)) {
            continue;
        }
        if (op->is_delete) {
            return STORE_PENDING_DELETE;
        }
        if (fn != NULL) {
            fn(op->value, arg);
        }
        return STORE_PENDING_PUT;
    }
    return STORE_PENDING_NONE;
}

bool store_submit(struct store *store, struct store_batch *batch, store_done_fn done, void *arg,
                  struct gh_error *err)
{
    batch->done = done;
    batch->done_arg = arg;
    {
        LOCK_HOLD(&store->queue_lock);
        if (store->queue_len < STORE_MAX_QUEUE && !store->is_stopping) {
            /* In one step with the queue, so that what readers see and what is committed last
             * are the same. */
            store_pending_add(store, batch);
            if (store->queue_last != NULL) {
                store->queue_last->next = batch;
            } else {
                store->queue_first = batch;
            }
            store->queue_last = batch;
            store->queue_len++;
            store->is_urgent = store->is_urgent || batch->is_urgent;
            /* While the writer gathers a group, only these are news to it. */
            if (store->queue_first == batch || batch->is_urgent ||
                store->queue_len == STORE_GROUP) {
                lock_cond_signal(&store->queue_wake);
            }
            return true;
        }
    }
    store_batch_free(batch);
    return gh_fail(err, GH_INTERNAL_ERROR, "more than %d changes wait to be stored",
                   STORE_MAX_QUEUE);
}

struct store_waiter {
    struct lock lock;
    struct lock_cond cond;
    bool is_done;
    bool is_committed;
};

static void store_wake_waiter(void *arg, bool is_committed)
{
    struct store_waiter *waiter = arg;

    LOCK_HOLD(&waiter->lock);
    waiter->is_done = true;
    waiter->is_committed = is_committed;
    lock_cond_signal(&waiter->cond);
}

bool store_commit(struct store *store, struct store_batch *batch, struct gh_error *err)
{
    struct store_waiter waiter = {0};
    bool ok;

    lock_init(&waiter.lock, GH_RANK_STORE_PENDING);
    lock_cond_init(&waiter.cond);
    batch->is_urgent = true; /* somebody stands still until it is committed */
    ok = store_submit(store, batch, store_wake_waiter, &waiter, err);
    if (ok) {
        LOCK_HOLD(&waiter.lock);
        while (!waiter.is_done) {
            lock_cond_wait(&waiter.cond, &waiter.lock);
        }
        ok = waiter.is_committed ||
             gh_fail(err, GH_INTERNAL_ERROR, "the change could not be stored");
    }
    lock_cond_done(&waiter.cond);
    lock_done(&waiter.lock);
    return ok;
}

void store_flush(struct store *store)
{
    struct store_batch *batch;

    if (store_batch_new(&batch, NULL)) {
        (void)!store_commit(store, batch, NULL);
    }
}

bool store_write_get(struct store_write *write, enum store_db db, struct bytes key,
                     struct bytes *out)
{
    MDB_val k = store_val(key);
    MDB_val v;

    if (mdb_get(write->txn, write->store->dbs[db], &k, &v) != MDB_SUCCESS) {
        return false;
    }
    *out = store_bytes(v);
    return true;
}

bool store_write_put(struct store_write *write, enum store_db db, struct bytes key,
                     struct bytes value, struct gh_error *err)
{
    MDB_val k = store_val(key);
    MDB_val v = store_val(value);
    int result =
        mdb_put(write->txn, write->store->dbs[db], &k, &v, db == STORE_RESTS ? MDB_NODUPDATA : 0);

    return store_mdb_ok(result == MDB_KEYEXIST ? MDB_SUCCESS : result, "put", err);
}

bool store_write_del(struct store_write *write, enum store_db db, struct bytes key,
                     struct bytes value, struct gh_error *err)
{
    MDB_val k = store_val(key);
    MDB_val v = store_val(value);
    int result = mdb_del(write->txn, write->store->dbs[db], &k, value.len > 0 ? &v : NULL);

    return store_mdb_ok(result == MDB_NOTFOUND ? MDB_SUCCESS : result, "delete", err);
}

bool store_write_next(struct store_write *write, enum store_db db, struct bytes key,
                      struct bytes *out_key, struct bytes *out_value)
{
    MDB_val k = store_val(key);
    MDB_cursor *cursor;
    MDB_val v;
    bool found;

    if (mdb_cursor_open(write->txn, write->store->dbs[db], &cursor) != MDB_SUCCESS) {
        return false;
    }
    found = mdb_cursor_get(cursor, &k, &v, key.len > 0 ? MDB_SET_RANGE : MDB_FIRST) == MDB_SUCCESS;
    mdb_cursor_close(cursor);
    if (found) {
        *out_key = store_bytes(k);
        *out_value = store_bytes(v);
    }
    return found;
}

static bool store_apply(struct store_write *write, struct store_batch *batch, struct gh_error *err)
{
    GH_TRY(batch->run == NULL || batch->run(write, batch->run_arg, err));
    for (struct store_op *op = batch->first; op != NULL; op = op->next_in_batch) {
        if (op->is_delete) {
            GH_TRY(store_write_del(write, op->db, op->key, bytes_make(NULL, 0), err));
        } else {
            GH_TRY(store_write_put(write, op->db, op->key, op->value, err));
        }
    }
    return true;
}

/* All batches from FIRST up to END (not included) in one transaction. */
static bool store_commit_range(struct store *store, struct store_batch *first,
                               const struct store_batch *end)
{
    struct store_write write = {.store = store};
    uint64_t used;

    if (mdb_txn_begin(store->env, NULL, 0, &write.txn) != MDB_SUCCESS) {
        return false;
    }
    for (struct store_batch *batch = first; batch != end; batch = batch->next) {
        if (!store_apply(&write, batch, NULL)) {
            mdb_txn_abort(write.txn);
            return false;
        }
    }
    used = store_used(store, write.txn);
    if (mdb_txn_commit(write.txn) != MDB_SUCCESS) {
        return false;
    }
    atomic_store(&store->used_bytes, used);
    atomic_fetch_add(&store->commits, 1);
    for (struct store_batch *batch = first; batch != end; batch = batch->next) {
        batch->is_committed = true;
    }
    return true;
}

/* A group that fails is tried again one by one, so that one bad batch harms no other. */
static void store_commit_group(struct store *store, struct store_batch *group)
{
    if (store_commit_range(store, group, NULL)) {
        return;
    }
    for (struct store_batch *batch = group; batch != NULL; batch = batch->next) {
        store_evict_if_full(store);
        if (!store_commit_range(store, batch, batch->next)) {
            atomic_fetch_add(&store->failed, 1);
        }
    }
}

/* Up to STORE_GROUP batches, or NULL when the store stops and none is left. One pull makes half a
 * dozen batches within a millisecond: waiting for the next ones costs nobody anything but those who
 * wait in store_commit(), and saves most of the commits. */
static struct store_batch *store_next_group(struct store *store)
{
    struct store_batch *group;
    struct store_batch *last;

    LOCK_HOLD(&store->queue_lock);
    while (store->queue_first == NULL) {
        if (store->is_stopping) {
            return NULL;
        }
        lock_cond_wait(&store->queue_wake, &store->queue_lock);
    }
    if (!store->is_urgent && !store->is_stopping && store->queue_len < STORE_GROUP) {
        (void)lock_cond_wait_ms(&store->queue_wake, &store->queue_lock, STORE_GATHER_MS);
    }
    group = store->queue_first;
    last = group;
    store->queue_len--;
    for (int n = 1; n < STORE_GROUP && last->next != NULL; n++) {
        last = last->next;
        store->queue_len--;
    }
    store->queue_first = last->next;
    if (store->queue_first == NULL) {
        store->queue_last = NULL;
        store->is_urgent = false;
    }
    last->next = NULL;
    return group;
}

static void *store_writer(void *arg)
{
    struct store *store = arg;
    struct store_batch *group;

    while ((group = store_next_group(store)) != NULL) {
        store_evict_if_full(store);
        store_commit_group(store, group);
        while (group != NULL) {
            struct store_batch *batch = group;

            group = batch->next;
            store_pending_remove(store, batch);
            atomic_fetch_add(&store->batches, 1);
            if (batch->done != NULL) {
                batch->done(batch->done_arg, batch->is_committed);
            }
            store_batch_free(batch);
        }
    }
    return NULL;
}

bool store_queue_start(struct store *store, struct gh_error *err)
{
    if (pthread_create(&store->writer, NULL, store_writer, store) != 0) {
        return gh_fail(err, GH_INTERNAL_ERROR, "the store's writer cannot be started");
    }
    store->has_writer = true;
    return true;
}

void store_queue_stop(struct store *store)
{
    if (!store->has_writer) {
        return;
    }
    {
        LOCK_HOLD(&store->queue_lock);
        store->is_stopping = true;
        lock_cond_broadcast(&store->queue_wake);
    }
    (void)pthread_join(store->writer, NULL);
    store->has_writer = false;
}
