#include "cache/store_internal.h"

#include <stdlib.h>
#include <string.h>

#include "metrics/error.h"

#define STORE_EVICT_START_PERCENT 80
#define STORE_EVICT_STOP_PERCENT 75
#define STORE_EVICT_SAMPLE 512
#define STORE_EVICT_ROUNDS 64
#define STORE_USE_COARSE_S 60 /* a use within this of the last one noted is the same */

static const enum store_db store_evictable[] = {STORE_VERDICTS, STORE_EVIDENCE, STORE_MANIFESTS,
                                                STORE_EDGES, STORE_TAGS};

/* The key of a use record: the database's number and the entry's key. */
struct store_use_key {
    uint8_t bytes[1 + STORE_MAX_USE_KEY];
    size_t len;
};

static bool store_use_key_make(enum store_db db, struct bytes key, struct store_use_key *out)
{
    if (key.len == 0 || key.len > STORE_MAX_USE_KEY) {
        return false;
    }
    out->bytes[0] = (uint8_t)db;
    memcpy(out->bytes + 1, key.data, key.len);
    out->len = key.len + 1;
    return true;
}

void store_touch(struct store *store, enum store_db db, struct bytes key, int64_t now_unix_s)
{
    uint64_t hash = store_hash(db, key);
    struct store_shard *shard = &store->shards[hash % STORE_SHARDS];
    struct store_use **slot = &shard->uses[(hash / STORE_SHARDS) % STORE_USE_SLOTS];
    struct store_use *use;

    if (key.len == 0 || key.len > STORE_MAX_USE_KEY || now_unix_s <= 0) {
        return;
    }
    LOCK_HOLD(&shard->lock);
    for (use = *slot; use != NULL; use = use->next) {
        if (use->db == db && use->key_len == key.len && memcmp(use->key, key.data, key.len) == 0) {
            use->at_unix_s = GH_MAX(use->at_unix_s, now_unix_s);
            return;
        }
    }
    if (shard->use_count >= STORE_MAX_USES || (use = calloc(1, sizeof(*use))) == NULL) {
        return; /* an eviction order that is a little worse, no more */
    }
    use->db = db;
    use->at_unix_s = now_unix_s;
    use->key_len = key.len;
    memcpy(use->key, key.data, key.len);
    use->next = *slot;
    *slot = use;
    shard->use_count++;
}

static void store_read_time(struct bytes value, void *arg)
{
    int64_t *time = arg;

    *time = value.len >= STORE_MADE_BYTES ? (int64_t)store_get_u64(value.data) : 0;
    *time = GH_MAX(*time, 0); /* damage; differences of times stay within their type */
}

int64_t store_last_use(struct store *store, enum store_db db, struct bytes key)
{
    uint64_t hash = store_hash(db, key);
    struct store_shard *shard = &store->shards[hash % STORE_SHARDS];
    struct store_use_key use_key;
    int64_t at = 0;

    if (!store_use_key_make(db, key, &use_key)) {
        return 0;
    }
    {
        struct store_use *use;

        LOCK_HOLD(&shard->lock);
        use = shard->uses[(hash / STORE_SHARDS) % STORE_USE_SLOTS];
        for (; use != NULL; use = use->next) {
            if (use->db == db && use->key_len == key.len &&
                memcmp(use->key, key.data, key.len) == 0) {
                return use->at_unix_s;
            }
        }
    }
    (void)store_view(store, STORE_USES, bytes_make(use_key.bytes, use_key.len), store_read_time,
                     &at);
    return at;
}

/* Detach what one shard noted. */
static struct store_use *store_uses_take(struct store_shard *shard)
{
    struct store_use *all = NULL;

    LOCK_HOLD(&shard->lock);
    for (int i = 0; i < STORE_USE_SLOTS; i++) {
        while (shard->uses[i] != NULL) {
            struct store_use *use = shard->uses[i];

            shard->uses[i] = use->next;
            use->next = all;
            all = use;
        }
    }
    shard->use_count = 0;
    return all;
}

static bool store_use_put(struct store *store, struct store_batch *batch,
                          const struct store_use *use)
{
    struct store_use_key key;
    int64_t stored = 0;
    uint8_t value[8];

    if (!store_use_key_make(use->db, bytes_make(use->key, use->key_len), &key)) {
        return true;
    }
    (void)store_view(store, STORE_USES, bytes_make(key.bytes, key.len), store_read_time, &stored);
    if (use->at_unix_s - stored < STORE_USE_COARSE_S) {
        return true;
    }
    store_put_u64(value, (uint64_t)use->at_unix_s);
    return store_batch_put(batch, STORE_USES, bytes_make(key.bytes, key.len),
                           bytes_make(value, sizeof(value)), NULL);
}

void store_tick(struct store *store)
{
    for (int i = 0; i < STORE_SHARDS; i++) {
        struct store_use *uses = store_uses_take(&store->shards[i]);
        struct store_batch *batch = NULL;
        bool ok = uses != NULL && store_batch_new(&batch, NULL);

        while (uses != NULL) {
            struct store_use *use = uses;

            uses = use->next;
            ok = ok && store_use_put(store, batch, use);
            free(use);
        }
        if (ok && batch->first != NULL) {
            (void)!store_submit(store, batch, NULL, NULL, NULL);
        } else {
            store_batch_free(batch);
        }
    }
}

void store_uses_free(struct store *store)
{
    for (int i = 0; i < STORE_SHARDS; i++) {
        struct store_use *uses = store_uses_take(&store->shards[i]);

        while (uses != NULL) {
            struct store_use *use = uses;

            uses = use->next;
            free(use);
        }
    }
}

static uint64_t store_db_pages(MDB_txn *txn, MDB_dbi dbi)
{
    MDB_stat stat;

    if (mdb_stat(txn, dbi, &stat) != MDB_SUCCESS) {
        return 0;
    }
    return stat.ms_branch_pages + stat.ms_leaf_pages + stat.ms_overflow_pages;
}

uint64_t store_used(struct store *store, MDB_txn *txn)
{
    uint64_t pages = store_db_pages(txn, 0) + store_db_pages(txn, 1); /* free list, main */

    for (int db = 0; db < STORE_DB_COUNT; db++) {
        pages += store_db_pages(txn, store->dbs[db]);
    }
    return pages * store->page_bytes;
}

struct store_victim {
    int64_t at_unix_s;
    size_t key_len;
    uint8_t key[STORE_MAX_USE_KEY];
};

static int store_victim_order(const void *a, const void *b)
{
    int64_t x = ((const struct store_victim *)a)->at_unix_s;
    int64_t y = ((const struct store_victim *)b)->at_unix_s;

    return x < y ? -1 : x > y;
}

static int64_t store_age_of(struct store_write *write, enum store_db db, struct bytes key,
                            struct bytes value)
{
    struct store_use_key use_key;
    struct bytes use;
    int64_t at = 0;

    store_read_time(value, &at);
    if (store_use_key_make(db, key, &use_key) &&
        store_write_get(write, STORE_USES, bytes_make(use_key.bytes, use_key.len), &use)) {
        int64_t used = 0;

        store_read_time(use, &used);
        at = GH_MAX(at, used);
    }
    return at;
}

/* Entries from where the hand stands; keys are spread by hashing, so a run of them is a sample. */
static size_t store_sample(struct store_write *write, enum store_db db, struct store_victim *out)
{
    struct store *store = write->store;
    struct bytes_buf *hand = &store->hands[db];
    MDB_val key = store_val(bytes_view(hand));
    MDB_cursor *cursor;
    size_t count = 0;
    MDB_val value;
    int result;

    if (mdb_cursor_open(write->txn, store->dbs[db], &cursor) != MDB_SUCCESS) {
        return 0;
    }
    result = mdb_cursor_get(cursor, &key, &value, hand->len > 0 ? MDB_SET_RANGE : MDB_FIRST);
    while (result == MDB_SUCCESS && count < STORE_EVICT_SAMPLE) {
        if (key.mv_size <= STORE_MAX_USE_KEY) {
            out[count].at_unix_s = store_age_of(write, db, store_bytes(key), store_bytes(value));
            out[count].key_len = key.mv_size;
            memcpy(out[count].key, key.mv_data, key.mv_size);
            count++;
        }
        result = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    bytes_buf_done(hand);
    if (result == MDB_SUCCESS) {
        (void)!bytes_dup(store_bytes(key), hand, NULL);
    }
    mdb_cursor_close(cursor);
    return count;
}

static bool store_evict_one(struct store_write *write, enum store_db db,
                            const struct store_victim *victim)
{
    struct bytes key = bytes_make(victim->key, victim->key_len);
    struct store_use_key use_key;
    struct bytes_buf copy = {0};
    struct bytes value;
    bool ok = true;

    if (!store_write_get(write, db, key, &value)) {
        return true;
    }
    if (write->store->hooks[db] != NULL) {
        ok = bytes_dup(value, &copy, NULL) &&
             write->store->hooks[db](write, key, bytes_view(&copy), NULL);
        bytes_buf_done(&copy);
    }
    ok = ok && store_write_del(write, db, key, bytes_make(NULL, 0), NULL);
    if (ok && store_use_key_make(db, key, &use_key)) {
        ok = store_write_del(write, STORE_USES, bytes_make(use_key.bytes, use_key.len),
                             bytes_make(NULL, 0), NULL);
    }
    return ok;
}

/* Remove the older half of a sample from each database that holds a part worth it. */
static bool store_evict_round(struct store *store, struct store_victim *sample, uint64_t *used)
{
    struct store_write write = {.store = store};
    uint64_t evicted = 0;

    if (mdb_txn_begin(store->env, NULL, 0, &write.txn) != MDB_SUCCESS) {
        return false;
    }
    for (size_t i = 0; i < GH_COUNT(store_evictable); i++) {
        enum store_db db = store_evictable[i];
        size_t count;

        if (store_db_pages(write.txn, store->dbs[db]) * store->page_bytes < *used / 20) {
            continue;
        }
        count = store_sample(&write, db, sample);
        qsort(sample, count, sizeof(*sample), store_victim_order);
        for (size_t k = 0; k < (count + 1) / 2; k++) {
            if (!store_evict_one(&write, db, &sample[k])) {
                mdb_txn_abort(write.txn);
                return false;
            }
            evicted++;
        }
    }
    *used = store_used(store, write.txn);
    if (mdb_txn_commit(write.txn) != MDB_SUCCESS) {
        return false;
    }
    atomic_store(&store->used_bytes, *used);
    atomic_fetch_add(&store->evicted, evicted);
    return evicted > 0;
}

void store_evict_if_full(struct store *store)
{
    uint64_t used = atomic_load(&store->used_bytes);
    struct store_victim *sample;

    if (used < store->map_bytes / 100 * STORE_EVICT_START_PERCENT) {
        return;
    }
    sample = calloc(STORE_EVICT_SAMPLE, sizeof(*sample));
    if (sample == NULL) {
        return;
    }
    for (int round = 0; round < STORE_EVICT_ROUNDS; round++) {
        if (used < store->map_bytes / 100 * STORE_EVICT_STOP_PERCENT ||
            !store_evict_round(store, sample, &used)) {
            break;
        }
    }
    free(sample);
}
