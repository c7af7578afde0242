#include "cache/store.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cache/store_internal.h"
#include "metrics/error.h"

#define STORE_MAX_READERS 1024

static const struct {
    const char *name;
    unsigned flags;
} store_db_rows[STORE_DB_COUNT] = {
    [STORE_META] = {"meta", 0},           [STORE_BLOBS] = {"blobs", 0},
    [STORE_MANIFESTS] = {"manifests", 0}, [STORE_TAGS] = {"tags", 0},
    [STORE_VERDICTS] = {"verdicts", 0},   [STORE_RESTS] = {"rests", MDB_DUPSORT | MDB_DUPFIXED},
    [STORE_EDGES] = {"edges", 0},         [STORE_EVIDENCE] = {"evidence", 0},
    [STORE_DECISIONS] = {"decisions", 0}, [STORE_DECISION_ORDER] = {"decision-order", 0},
    [STORE_USES] = {"uses", 0},           [STORE_ANSWERS] = {"answers", 0},
};

void store_put_u64(uint8_t out[8], uint64_t value)
{
    for (int i = 7; i >= 0; i--) {
        out[i] = (uint8_t)value;
        value >>= 8;
    }
}

uint64_t store_get_u64(const uint8_t in[8])
{
    uint64_t value = 0;

    for (int i = 0; i < 8; i++) {
        value = value << 8 | in[i];
    }
    return value;
}

void store_key_make(struct store_key *out, const struct bytes *parts, size_t count)
{
    crypto_generichash_state state;

    (void)crypto_generichash_init(&state, NULL, 0, sizeof(out->bytes));
    for (size_t i = 0; i < count; i++) {
        uint8_t len[8];

        /* lengths go in, so that "a","bc" and "ab","c" differ */
        store_put_u64(len, parts[i].len);
        (void)crypto_generichash_update(&state, len, sizeof(len));
        (void)crypto_generichash_update(&state, parts[i].data, parts[i].len);
    }
    (void)crypto_generichash_final(&state, out->bytes, sizeof(out->bytes));
}

void store_mac(const struct store *store, const char *context, struct bytes data,
               uint8_t out[STORE_MAC_BYTES])
{
    crypto_generichash_state state;

    (void)crypto_generichash_init(&state, store->mac_key, sizeof(store->mac_key), STORE_MAC_BYTES);
    (void)crypto_generichash_update(&state, (const uint8_t *)context, strlen(context) + 1);
    (void)crypto_generichash_update(&state, data.data, data.len);
    (void)crypto_generichash_final(&state, out, STORE_MAC_BYTES);
}

uint64_t store_hash(enum store_db db, struct bytes key)
{
    uint64_t h = 0xcbf29ce484222325u ^ (uint64_t)db;

    for (size_t i = 0; i < key.len; i++) {
        h = (h ^ key.data[i]) * 0x100000001b3u;
    }
    return h ^ (h >> 29);
}

MDB_val store_val(struct bytes in)
{
    /* LMDB takes a pointer to what it only reads */
    return (MDB_val){.mv_size = in.len, .mv_data = (void *)(uintptr_t)in.data};
}

struct bytes store_bytes(MDB_val in)
{
    return bytes_make(in.mv_data, in.mv_size);
}

bool store_mdb_ok(int result, const char *what, struct gh_error *err)
{
    if (result == MDB_SUCCESS) {
        return true;
    }
    return gh_fail(err, GH_INTERNAL_ERROR, "the store's index: %s: %s", what, mdb_strerror(result));
}

const char *store_path(const struct store *store)
{
    return store->path;
}

bool store_was_clean(const struct store *store)
{
    return store->was_clean;
}

uint32_t store_epoch(const struct store *store)
{
    return store->epoch;
}

/* Read a number from the meta database within TXN; 0 when it is absent. */
static uint64_t store_meta_get(struct store *store, MDB_txn *txn, const char *name)
{
    MDB_val key = store_val(bytes_of(name));
    MDB_val value;

    if (mdb_get(txn, store->dbs[STORE_META], &key, &value) != MDB_SUCCESS || value.mv_size != 8) {
        return 0;
    }
    return store_get_u64(value.mv_data);
}

static bool store_meta_put(struct store *store, MDB_txn *txn, const char *name, uint64_t number,
                           struct gh_error *err)
{
    MDB_val key = store_val(bytes_of(name));
    uint8_t raw[8];
    MDB_val value = {.mv_size = sizeof(raw), .mv_data = raw};

    store_put_u64(raw, number);
    return store_mdb_ok(mdb_put(txn, store->dbs[STORE_META], &key, &value, 0), "write", err);
}

static bool store_open_databases(struct store *store, MDB_txn *txn, struct gh_error *err)
{
    uint64_t schema;

    for (int db = 0; db < STORE_DB_COUNT; db++) {
        GH_TRY(store_mdb_ok(
            mdb_dbi_open(txn, store_db_rows[db].name,
                         store_db_rows[db].flags | (store->is_read_only ? 0 : MDB_CREATE),
                         &store->dbs[db]),
            "open", err));
    }
    schema = store_meta_get(store, txn, "schema");
    if (schema != 0 && schema != STORE_SCHEMA) {
        return gh_fail(err, GH_INTERNAL_ERROR,
                       "the store %s was written in form %llu, this program knows form %d; use "
                       "another folder",
                       store->path, (unsigned long long)schema, STORE_SCHEMA);
    }
    store->epoch = (uint32_t)store_meta_get(store, txn, "epoch");
    if (store->is_read_only) {
        return true;
    }
    if (!store->was_clean || store->epoch == 0) {
        store->epoch++;
    }
    GH_TRY(store_meta_put(store, txn, "schema", STORE_SCHEMA, err));
    return store_meta_put(store, txn, "epoch", store->epoch, err);
}

static bool store_open_env(struct store *store, struct gh_error *err)
{
    unsigned read_only = store->is_read_only ? MDB_RDONLY : 0;
    char index[FOLDER_MAX_PATH];
    MDB_txn *txn = NULL;
    MDB_stat stat;

    GH_TRY(folder_join(store->path, "index", index, err));
    if (!store->is_read_only) {
        GH_TRY(folder_make(index, err));
    }
    GH_TRY(store_mdb_ok(mdb_env_create(&store->env), "create", err));
    GH_TRY(store_mdb_ok(mdb_env_set_maxdbs(store->env, STORE_DB_COUNT), "open", err));
    GH_TRY(store_mdb_ok(mdb_env_set_maxreaders(store->env, STORE_MAX_READERS), "open", err));
    /* The map is address space; the file grows with what is written. So it is made as large as it
     * may ever be, because growing it later needs every reader to stop. */
    GH_TRY(store_mdb_ok(mdb_env_set_mapsize(store->env, store->map_bytes), "map", err));
    GH_TRY(store_mdb_ok(
        mdb_env_open(store->env, index, MDB_NOTLS | MDB_NORDAHEAD | read_only, 0600), "open", err));
    GH_TRY(store_mdb_ok(mdb_txn_begin(store->env, NULL, read_only, &txn), "begin", err));
    if (!store_open_databases(store, txn, err)) {
        mdb_txn_abort(txn);
        return false;
    }
    (void)mdb_env_stat(store->env, &stat);
    store->page_bytes = stat.ms_psize;
    atomic_store(&store->used_bytes, store_used(store, txn));
    GH_TRY(store_mdb_ok(mdb_txn_commit(txn), "commit", err));
    return true;
}

/* Runs when a thread ends: its transaction, already reset, goes to the next thread. */
static void store_reader_leave(void *arg)
{
    struct store_reader *reader = arg;

    LOCK_HOLD(&reader->store->reader_lock);
    reader->is_used = false;
}

static void store_free(struct store *store)
{
    if (store->has_key) {
        (void)pthread_key_delete(store->mine);
    }
    while (store->readers != NULL) {
        struct store_reader *reader = store->readers;

        store->readers = reader->next;
        mdb_txn_abort(reader->txn);
        free(reader);
    }
    if (store->env != NULL) {
        mdb_env_close(store->env);
    }
    store_uses_free(store);
    for (int i = 0; i < STORE_SHARDS; i++) {
        lock_done(&store->shards[i].lock);
    }
    for (int db = 0; db < STORE_DB_COUNT; db++) {
        bytes_buf_done(&store->hands[db]);
    }
    lock_cond_done(&store->queue_wake);
    lock_done(&store->queue_lock);
    lock_done(&store->reader_lock);
    if (store->lock_fd >= 0) {
        (void)close(store->lock_fd);
    }
    explicit_bzero(store->mac_key, sizeof(store->mac_key));
    free(store);
}
GH_DEFINE_FREEP(store, struct store)

static struct store *store_alloc(void)
{
    struct store *store = calloc(1, sizeof(*store));

    if (store == NULL) {
        return NULL;
    }
    store->lock_fd = -1;
    lock_init(&store->reader_lock, GH_RANK_STORE_PENDING);
    lock_init(&store->queue_lock, GH_RANK_STORE_QUEUE);
    lock_cond_init(&store->queue_wake);
    for (int i = 0; i < STORE_SHARDS; i++) {
        lock_init(&store->shards[i].lock, GH_RANK_STORE_PENDING);
    }
    return store;
}

/* The folder, its lock and its key; of a store that is only looked at, the key alone. */
static bool store_open_folder(struct store *store, struct gh_error *err)
{
    char key[FOLDER_MAX_PATH];

    if (store->is_read_only) {
        GH_TRY(folder_join(store->path, "mac.key", key, err));
        if (access(key, R_OK) != 0) {
            return gh_fail(err, GH_INTERNAL_ERROR, "there is no store to read in %s", store->path);
        }
        store->is_stopping = true; /* for store_submit() */
        return folder_key(store->path, store->mac_key, err);
    }
    GH_TRY(folder_make(store->path, err));
    GH_TRY(folder_check_local(store->path, err));
    GH_TRY(folder_lock(store->path, &store->lock_fd, err));
    GH_TRY(folder_key(store->path, store->mac_key, err));
    return folder_take_clean(store->path, &store->was_clean, err);
}

bool store_open(const struct store_config *config, struct store **out, struct gh_error *err)
{
    GH_OWN(store_freep) struct store *store = store_alloc();

    if (store == NULL || sodium_init() < 0) {
        return gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
    }
    if (strlen(config->path) >= sizeof(store->path)) {
        return gh_fail(err, GH_INTERNAL_ERROR, "the store's path is too long");
    }
    memcpy(store->path, config->path, strlen(config->path) + 1);
    store->map_bytes = config->map_bytes != 0 ? config->map_bytes : STORE_MAP_BYTES_DEFAULT;
    store->is_read_only = config->is_read_only;
    GH_TRY(store_open_folder(store, err));
    GH_TRY(store_open_env(store, err));
    if (pthread_key_create(&store->mine, store_reader_leave) != 0) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no thread key is left");
    }
    store->has_key = true;
    if (!store->is_read_only) {
        GH_TRY(store_queue_start(store, err));
    }
    *out = GH_TAKE(store);
    return true;
}

void store_close(struct store *store)
{
    char path[FOLDER_MAX_PATH];

    if (store == NULL) {
        return;
    }
    if (store->is_read_only) {
        store_free(store);
        return;
    }
    store_tick(store);
    store_queue_stop(store);
    memcpy(path, store->path, sizeof(path));
    /* Without the mark the next start only checks more than it had to. The mark comes while the
     * lock is still held. */
    (void)!folder_put_clean(path, NULL);
    store_free(store);
}

static struct store_reader *store_reader_take(struct store *store)
{
    struct store_reader *reader = pthread_getspecific(store->mine);

    if (reader != NULL) {
        return reader;
    }
    LOCK_HOLD(&store->reader_lock);
    for (reader = store->readers; reader != NULL && reader->is_used; reader = reader->next) {
    }
    if (reader == NULL) {
        reader = calloc(1, sizeof(*reader));
        if (reader == NULL) {
            return NULL;
        }
        if (mdb_txn_begin(store->env, NULL, MDB_RDONLY, &reader->txn) != MDB_SUCCESS) {
            free(reader);
            return NULL;
        }
        mdb_txn_reset(reader->txn);
        reader->store = store;
        reader->next = store->readers;
        store->readers = reader;
    }
    if (pthread_setspecific(store->mine, reader) != 0) {
        return NULL;
    }
    reader->is_used = true;
    return reader;
}

/* Begin to read; a look-up within a walk shares the walk's transaction. */
static struct store_reader *store_read_begin(struct store *store)
{
    struct store_reader *reader = store_reader_take(store);

    if (reader == NULL) {
        return NULL;
    }
    if (reader->depth == 0 && mdb_txn_renew(reader->txn) != MDB_SUCCESS) {
        return NULL;
    }
    reader->depth++;
    return reader;
}

static void store_read_end(struct store_reader *reader)
{
    if (--reader->depth == 0) {
        mdb_txn_reset(reader->txn);
    }
}

bool store_view(struct store *store, enum store_db db, struct bytes key, store_view_fn fn,
                void *arg)
{
    struct store_reader *reader;
    MDB_val k = store_val(key);
    MDB_val v;
    bool found;

    if (key.len == 0 || key.len > STORE_MAX_KEY) {
        return false;
    }
    /* Pending first: what is no longer there has been committed, and a transaction that begins
     * after that sees it. */
    switch (store_pending_view(store, db, key, fn, arg)) {
    case STORE_PENDING_PUT:
        return true;
    case STORE_PENDING_DELETE:
        return false;
    case STORE_PENDING_NONE:
        break;
    }
    reader = store_read_begin(store);
    if (reader == NULL) {
        return false;
    }
    found = mdb_get(reader->txn, store->dbs[db], &k, &v) == MDB_SUCCESS;
    if (found && fn != NULL) {
        fn(store_bytes(v), arg);
    }
    store_read_end(reader);
    return found;
}

struct store_copy {
    struct bytes_buf buf;
    bool ok;
};

static void store_copy_value(struct bytes value, void *arg)
{
    struct store_copy *copy = arg;

    copy->ok = bytes_dup(value, &copy->buf, NULL);
}

bool store_get(struct store *store, enum store_db db, struct bytes key, struct bytes_buf *out)
{
    struct store_copy copy = {0};

    if (!store_view(store, db, key, store_copy_value, &copy) || !copy.ok) {
        return false;
    }
    *out = copy.buf;
    return true;
}

bool store_has(struct store *store, enum store_db db, struct bytes key)
{
    return store_view(store, db, key, NULL, NULL);
}

void store_walk(struct store *store, enum store_db db, struct bytes from, store_walk_fn fn,
                void *arg)
{
    struct store_reader *reader = store_read_begin(store);
    MDB_val key = store_val(from);
    MDB_cursor *cursor;
    MDB_val value;
    int result;

    if (reader == NULL) {
        return;
    }
    if (mdb_cursor_open(reader->txn, store->dbs[db], &cursor) == MDB_SUCCESS) {
        result = mdb_cursor_get(cursor, &key, &value, from.len > 0 ? MDB_SET_RANGE : MDB_FIRST);
        while (result == MDB_SUCCESS && fn(store_bytes(key), store_bytes(value), arg)) {
            result = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
        }
        mdb_cursor_close(cursor);
    }
    store_read_end(reader);
}

void store_stats(struct store *store, struct store_stats *out)
{
    struct store_reader *reader = store_read_begin(store);

    memset(out, 0, sizeof(*out));
    out->map_bytes = store->map_bytes;
    out->commits = atomic_load(&store->commits);
    out->batches = atomic_load(&store->batches);
    out->failed = atomic_load(&store->failed);
    out->evicted = atomic_load(&store->evicted);
    if (reader == NULL) {
        return;
    }
    out->used_bytes = store_used(store, reader->txn);
    for (int db = 0; db < STORE_DB_COUNT; db++) {
        MDB_stat stat;

        if (mdb_stat(reader->txn, store->dbs[db], &stat) == MDB_SUCCESS) {
            out->entries[db] = stat.ms_entries;
        }
    }
    store_read_end(reader);
}

void store_set_evict_hook(struct store *store, enum store_db db, store_evict_fn hook)
{
    store->hooks[db] = hook;
}
