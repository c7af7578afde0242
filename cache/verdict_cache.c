#include "cache/verdict_cache.h"

#include <sodium.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "cache/verdict_record.h"
#include "metrics/error.h"
#include "metrics/lock.h"

#define VERDICT_SHARDS 64
#define VERDICT_FIRST_SLOTS 64
#define VERDICT_USE_COARSE_S 60

struct verdict_entry {
    uint64_t hash;
    int64_t until_unix_s;
    void *object; /* a reference */
    bool is_stored;
    bool is_dirty; /* its use is to be written */
    struct verdict_cache_use *use;
    size_t cost_bytes;
    struct verdict_entry *next; /* in its slot */
    struct verdict_entry *newer;
    struct verdict_entry *older;
    size_t rest_count;
    size_t key_len;
    uint8_t data[]; /* rests, then the key */
};

struct verdict_shard {
    struct lock lock; /* GH_RANK_VERDICT */
    struct verdict_entry **slots;
    size_t slot_count; /* a power of two */
    size_t count;
    uint64_t bytes;
    uint64_t evicted;
    struct verdict_entry *newest;
    struct verdict_entry *oldest;
};

struct verdict_cache {
    struct store *store;
    struct verdict_cache_hooks hooks;
    uint64_t shard_bytes;
    uint8_t hash_key[crypto_shorthash_KEYBYTES]; /* so that nobody can choose colliding keys */
    atomic_uint_fast64_t
        drops; /* what was read from the store before a drop is not kept after it */
    struct verdict_shard shards[VERDICT_SHARDS];
};

static struct bytes verdict_store_key(struct bytes key, struct store_key *out)
{
    store_key_make(out, &key, 1);
    return bytes_make(out->bytes, sizeof(out->bytes));
}

/* Delete the pairs rest -> key of a stored verdict; for removal and for eviction by the store. */
static bool verdict_unrest(struct store_write *write, struct bytes key, struct bytes value,
                           struct gh_error *err)
{
    struct verdict_record record;

    if (!verdict_record_read(value, &record)) {
        return true;
    }
    for (size_t at = 0; at < record.rests.len; at += VERDICT_RECORD_REST_BYTES) {
        GH_TRY(store_write_del(write, STORE_RESTS,
                               bytes_slice(record.rests, at, VERDICT_RECORD_REST_BYTES), key, err));
    }
    return true;
}

/* --- shards --- */

bool verdict_cache_new(struct store *store, const struct verdict_cache_config *config,
                       struct verdict_cache **out, struct gh_error *err)
{
    struct verdict_cache *cache = calloc(1, sizeof(*cache));
    bool ok = cache != NULL;

    if (cache == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
    }
    cache->store = store;
    cache->hooks = config->hooks;
    cache->shard_bytes =
        (config->memory_bytes != 0 ? config->memory_bytes : VERDICT_CACHE_BYTES_DEFAULT) /
        VERDICT_SHARDS;
    crypto_shorthash_keygen(cache->hash_key);
    for (int i = 0; i < VERDICT_SHARDS; i++) {
        struct verdict_shard *shard = &cache->shards[i];

        lock_init(&shard->lock, GH_RANK_VERDICT);
        shard->slot_count = VERDICT_FIRST_SLOTS;
        shard->slots = calloc(shard->slot_count, sizeof(struct verdict_entry *));
        ok = ok && shard->slots != NULL;
    }
    if (!ok) {
        verdict_cache_free(cache);
        return gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
    }
    store_set_evict_hook(store, STORE_VERDICTS, verdict_unrest);
    *out = cache;
    return true;
}

/* Without a lock: unref may run the caller's destructor. */
static void verdict_entry_free(struct verdict_cache *cache, struct verdict_entry *entry)
{
    while (entry != NULL) {
        struct verdict_entry *next = entry->older;

        cache->hooks.unref(entry->object);
        free(entry->use);
        free(entry);
        entry = next;
    }
}

void verdict_cache_free(struct verdict_cache *cache)
{
    if (cache == NULL) {
        return;
    }
    for (int i = 0; i < VERDICT_SHARDS; i++) {
        verdict_entry_free(cache, cache->shards[i].newest);
        free(cache->shards[i].slots);
        lock_done(&cache->shards[i].lock);
    }
    free(cache);
}

static uint64_t verdict_hash(const struct verdict_cache *cache, struct bytes key)
{
    uint8_t raw[crypto_shorthash_BYTES];

    (void)crypto_shorthash(raw, key.data, key.len, cache->hash_key);
    return store_get_u64(raw);
}

static struct verdict_shard *verdict_shard_of(struct verdict_cache *cache, uint64_t hash)
{
    return &cache->shards[hash % VERDICT_SHARDS];
}

static struct verdict_entry **verdict_slot(struct verdict_shard *shard, uint64_t hash)
{
    return &shard->slots[(hash / VERDICT_SHARDS) & (shard->slot_count - 1)];
}

static struct bytes verdict_entry_key(const struct verdict_entry *entry)
{
    return bytes_make(entry->data + entry->rest_count * VERDICT_RECORD_REST_BYTES, entry->key_len);
}

static struct verdict_entry *verdict_find(struct verdict_shard *shard, uint64_t hash,
                                          struct bytes key)
{
    struct verdict_entry *entry = *verdict_slot(shard, hash);

    while (entry != NULL && (entry->hash != hash || !bytes_equal(verdict_entry_key(entry), key))) {
        entry = entry->next;
    }
    return entry;
}

static void verdict_order_remove(struct verdict_shard *shard, struct verdict_entry *entry)
{
    if (entry->newer != NULL) {
        entry->newer->older = entry->older;
    } else {
        shard->newest = entry->older;
    }
    if (entry->older != NULL) {
        entry->older->newer = entry->newer;
    } else {
        shard->oldest = entry->newer;
    }
}

static void verdict_order_add(struct verdict_shard *shard, struct verdict_entry *entry)
{
    entry->newer = NULL;
    entry->older = shard->newest;
    if (shard->newest != NULL) {
        shard->newest->newer = entry;
    } else {
        shard->oldest = entry;
    }
    shard->newest = entry;
}

/* Take an entry out and put it in front of *gone, which is freed without the lock. */
static void verdict_take_out(struct verdict_shard *shard, struct verdict_entry *entry,
                             struct verdict_entry **gone)
{
    struct verdict_entry **link = verdict_slot(shard, entry->hash);

    while (*link != entry) {
        link = &(*link)->next;
    }
    *link = entry->next;
    verdict_order_remove(shard, entry);
    shard->count--;
    shard->bytes -= entry->cost_bytes;
    entry->older = *gone;
    *gone = entry;
}

/* Twice the slots when the chains grow; staying small when there is no memory. */
static void verdict_grow(struct verdict_shard *shard)
{
    size_t old_count = shard->slot_count;
    struct verdict_entry **old = shard->slots;
    struct verdict_entry **grown;

    if (shard->count < old_count || (grown = calloc(old_count * 2, sizeof(*grown))) == NULL) {
        return;
    }
    shard->slots = grown;
    shard->slot_count = old_count * 2;
    for (size_t i = 0; i < old_count; i++) {
        while (old[i] != NULL) {
            struct verdict_entry *entry = old[i];
            struct verdict_entry **slot = verdict_slot(shard, entry->hash);

            old[i] = entry->next;
            entry->next = *slot;
            *slot = entry;
        }
    }
    free(old);
}

static void verdict_insert(struct verdict_cache *cache, struct verdict_shard *shard,
                           struct verdict_entry *entry, struct verdict_entry **gone)
{
    struct verdict_entry *known = verdict_find(shard, entry->hash, verdict_entry_key(entry));
    struct verdict_entry **slot;

    if (known != NULL) {
        verdict_take_out(shard, known, gone);
    }
    verdict_grow(shard);
    slot = verdict_slot(shard, entry->hash);
    entry->next = *slot;
    *slot = entry;
    verdict_order_add(shard, entry);
    shard->count++;
    shard->bytes += entry->cost_bytes;
    while (shard->bytes > cache->shard_bytes && shard->oldest != entry) {
        verdict_take_out(shard, shard->oldest, gone);
        shard->evicted++;
    }
}

static struct verdict_entry *verdict_entry_new(struct verdict_cache *cache, uint64_t hash,
                                               struct bytes key, struct bytes rests,
                                               size_t value_len, void *object)
{
    struct verdict_entry *entry = calloc(1, sizeof(*entry) + rests.len + key.len);

    if (entry == NULL) {
        return NULL;
    }
    entry->hash = hash;
    entry->object = object;
    entry->rest_count = rests.len / VERDICT_RECORD_REST_BYTES;
    entry->key_len = key.len;
    if (rests.len > 0) {
        memcpy(entry->data, rests.data, rests.len);
    }
    memcpy(entry->data + rests.len, key.data, key.len);
    /* decoded, a verdict takes about twice its stored form */
    entry->cost_bytes = sizeof(*entry) + rests.len + key.len + 2 * value_len;
    return entry;
}

/* --- uses --- */

static void verdict_note_use(struct verdict_entry *entry, const char *who, int64_t now_unix_s)
{
    if (entry->use == NULL) {
        entry->use = calloc(1, sizeof(*entry->use));
        if (entry->use == NULL) {
            return;
        }
    }
    if (now_unix_s - entry->use->last_unix_s >= VERDICT_USE_COARSE_S) {
        entry->use->last_unix_s = now_unix_s;
        entry->is_dirty = true;
    }
    if (who != NULL && verdict_record_use_who(entry->use, who, now_unix_s)) {
        entry->is_dirty = true;
    }
}

struct verdict_use_key {
    uint8_t bytes[1 + STORE_KEY_BYTES];
};

static struct bytes verdict_use_key_make(struct bytes store_key, struct verdict_use_key *out)
{
    out->bytes[0] = STORE_VERDICTS; /* as store_touch() names it: eviction reads the time */
    memcpy(out->bytes + 1, store_key.data, STORE_KEY_BYTES);
    return bytes_make(out->bytes, sizeof(out->bytes));
}

static void verdict_on_use(struct bytes value, void *arg)
{
    verdict_record_use_read(value, arg);
}

static bool verdict_use_batch(struct verdict_cache *cache, struct store_batch *batch,
                              const struct verdict_entry *entry)
{
    uint8_t value[VERDICT_RECORD_MAX_USE];
    struct verdict_cache_use use = *entry->use;
    struct verdict_use_key use_key;
    struct store_key key;
    struct bytes k;

    k = verdict_use_key_make(verdict_store_key(verdict_entry_key(entry), &key), &use_key);
    (void)store_view(cache->store, STORE_USES, k, verdict_on_use, &use);
    return store_batch_put(batch, STORE_USES, k,
                           bytes_make(value, verdict_record_use_write(&use, value)), NULL);
}

void verdict_cache_tick(struct verdict_cache *cache)
{
    for (int i = 0; i < VERDICT_SHARDS; i++) {
        struct verdict_shard *shard = &cache->shards[i];
        struct store_batch *batch = NULL;
        bool any = false;

        if (!store_batch_new(&batch, NULL)) {
            return;
        }
        {
            LOCK_HOLD(&shard->lock);
            for (struct verdict_entry *e = shard->newest; e != NULL; e = e->older) {
                if (e->is_dirty && e->is_stored && verdict_use_batch(cache, batch, e)) {
                    any = true;
                }
                e->is_dirty = false;
            }
        }
        if (any) {
            (void)!store_submit(cache->store, batch, NULL, NULL, NULL);
        } else {
            store_batch_free(batch);
        }
    }
}

/* --- look-ups --- */

struct verdict_found {
    struct verdict_cache *cache;
    struct bytes key;
    struct bytes_buf record; /* a copy: decoding is done without the store's locks */
};

static void verdict_on_value(struct bytes value, void *arg)
{
    struct verdict_found *found = arg;

    (void)!bytes_dup(value, &found->record, NULL);
}

/* Authenticate and decode a stored verdict into a new entry. */
static struct verdict_entry *verdict_load(struct verdict_cache *cache, uint64_t hash,
                                          struct bytes key, int64_t now_unix_s)
{
    struct verdict_found found = {.cache = cache, .key = key};
    struct verdict_record record;
    struct verdict_entry *entry = NULL;
    struct store_key store_key;
    void *object = NULL;

    if (!store_view(cache->store, STORE_VERDICTS, verdict_store_key(key, &store_key),
                    verdict_on_value, &found)) {
        return NULL;
    }
    if (verdict_record_read(bytes_view(&found.record), &record) &&
        verdict_record_is_ours(cache->store, &record) && bytes_equal(record.key, key) &&
        record.until_unix_s > now_unix_s && cache->hooks.decode(record.value, &object)) {
        entry = verdict_entry_new(cache, hash, key, record.rests, record.value.len, object);
        if (entry == NULL) {
            cache->hooks.unref(object);
        } else {
            entry->until_unix_s = record.until_unix_s;
            entry->is_stored = true;
        }
    }
    bytes_buf_done(&found.record);
    return entry;
}

/* In memory. Takes out what has ended. */
static bool verdict_get_memory(struct verdict_cache *cache, uint64_t hash, struct bytes key,
                               int64_t now_unix_s, bool is_use, const char *who, void **object)
{
    struct verdict_shard *shard = verdict_shard_of(cache, hash);
    struct verdict_entry *gone = NULL;
    struct verdict_entry *entry;
    bool found = false;

    {
        LOCK_HOLD(&shard->lock);
        entry = verdict_find(shard, hash, key);
        if (entry != NULL && entry->until_unix_s <= now_unix_s) {
            verdict_take_out(shard, entry, &gone);
        } else if (entry != NULL) {
            cache->hooks.ref(entry->object);
            *object = entry->object;
            if (is_use) {
                verdict_note_use(entry, who, now_unix_s);
            }
            if (is_use && shard->newest != entry) {
                verdict_order_remove(shard, entry);
                verdict_order_add(shard, entry);
            }
            found = true;
        }
    }
    verdict_entry_free(cache, gone);
    return found;
}

enum verdict_cache_result verdict_cache_find(struct verdict_cache *cache, struct bytes key,
                                             int64_t now_unix_s, bool is_use, const char *who,
                                             void **object)
{
    uint64_t hash = verdict_hash(cache, key);
    struct verdict_shard *shard = verdict_shard_of(cache, hash);
    struct verdict_entry *gone = NULL;
    struct verdict_entry *entry;
    uint64_t drops;
    bool kept;

    if (verdict_get_memory(cache, hash, key, now_unix_s, is_use, who, object)) {
        return VERDICT_CACHE_MEMORY;
    }
    drops = atomic_load(&cache->drops);
    entry = verdict_load(cache, hash, key, now_unix_s);
    if (entry == NULL) {
        return VERDICT_CACHE_MISS;
    }
    {
        LOCK_HOLD(&shard->lock);
        kept = drops == atomic_load(&cache->drops);
        if (kept) {
            cache->hooks.ref(entry->object);
            *object = entry->object;
        }
        if (kept && is_use) {
            verdict_note_use(entry, who, now_unix_s);
            verdict_insert(cache, shard, entry, &gone);
        }
    }
    if (!kept || !is_use) { /* something was revoked meanwhile, maybe this: verify again */
        verdict_entry_free(cache, entry);
    }
    verdict_entry_free(cache, gone);
    return kept ? VERDICT_CACHE_STORED : VERDICT_CACHE_MISS;
}

enum verdict_cache_result verdict_cache_get(struct verdict_cache *cache, struct bytes key,
                                            int64_t now_unix_s, const char *who, void **object)
{
    return verdict_cache_find(cache, key, now_unix_s, true, who, object);
}

/* --- changes --- */

/* Runs before the batch's own put or delete: the old verdict's pairs go, with what it rested on. */
struct verdict_change {
    struct store_key key;
    struct verdict_cache_rest rests[VERDICT_CACHE_MAX_RESTS];
    size_t rest_count;
};

static bool verdict_change_run(struct store_write *write, void *arg, struct gh_error *err)
{
    const struct verdict_change *change = arg;
    struct bytes key = bytes_make(change->key.bytes, sizeof(change->key.bytes));
    struct bytes_buf copy = {0};
    struct bytes old;
    bool ok = true;

    if (store_write_get(write, STORE_VERDICTS, key, &old)) {
        ok = bytes_dup(old, &copy, err) && verdict_unrest(write, key, bytes_view(&copy), err);
        bytes_buf_done(&copy);
    }
    for (size_t i = 0; ok && i < change->rest_count; i++) {
        uint8_t rest[VERDICT_RECORD_REST_BYTES];

        verdict_record_put_rest(rest, &change->rests[i]);
        ok = store_write_put(write, STORE_RESTS, bytes_make(rest, sizeof(rest)), key, err);
    }
    return ok;
}

static void verdict_change_done(void *arg, bool is_committed)
{
    free(arg);
}

/* Put (RECORD) or delete (no bytes) a stored verdict. */
static bool verdict_submit(struct verdict_cache *cache, struct bytes key, struct bytes record,
                           const struct verdict_cache_rest *rests, size_t rest_count,
                           struct gh_error *err)
{
    GH_OWN(store_batch_freep) struct store_batch *batch = NULL;
    struct verdict_change *change;
    struct verdict_use_key use_key;
    struct store_key store_key;
    struct bytes k = verdict_store_key(key, &store_key);

    GH_TRY(store_batch_new(&batch, err));
    if (record.len > 0) {
        GH_TRY(store_batch_put(batch, STORE_VERDICTS, k, record, err));
    } else {
        GH_TRY(store_batch_del(batch, STORE_VERDICTS, k, err));
        GH_TRY(store_batch_del(batch, STORE_USES, verdict_use_key_make(k, &use_key), err));
    }
    change = calloc(1, sizeof(*change));
    if (change == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
    }
    change->key = store_key;
    change->rest_count = rest_count;
    if (rest_count > 0) {
        memcpy(change->rests, rests, rest_count * sizeof(*rests));
    }
    store_batch_run(batch, verdict_change_run, change);
    if (!store_submit(cache->store, GH_TAKE(batch), verdict_change_done, change, err)) {
        free(change);
        return false;
    }
    return true;
}

static bool verdict_put_memory(struct verdict_cache *cache, const struct verdict_cache_entry *entry,
                               void *object, struct gh_error *err)
{
    uint8_t rests[VERDICT_CACHE_MAX_RESTS * VERDICT_RECORD_REST_BYTES];
    uint64_t hash = verdict_hash(cache, entry->key);
    struct verdict_shard *shard = verdict_shard_of(cache, hash);
    struct verdict_entry *gone = NULL;
    struct verdict_entry *fresh;

    for (size_t i = 0; i < entry->rest_count; i++) {
        verdict_record_put_rest(rests + i * VERDICT_RECORD_REST_BYTES, &entry->rests[i]);
    }
    fresh = verdict_entry_new(cache, hash, entry->key,
                              bytes_make(rests, entry->rest_count * VERDICT_RECORD_REST_BYTES),
                              entry->value.len, object);
    if (fresh == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
    }
    cache->hooks.ref(object);
    fresh->until_unix_s = entry->until_unix_s;
    fresh->is_stored = entry->is_stored;
    {
        LOCK_HOLD(&shard->lock);
        verdict_insert(cache, shard, fresh, &gone);
    }
    verdict_entry_free(cache, gone);
    return true;
}

bool verdict_cache_put(struct verdict_cache *cache, const struct verdict_cache_entry *entry,
                       void *object, int64_t now_unix_s, struct gh_error *err)
{
    struct bytes_buf record = {0};
    struct store_key store_key;
    bool ok;

    if (entry->key.len == 0 || entry->key.len > VERDICT_CACHE_MAX_KEY ||
        entry->value.len > VERDICT_CACHE_MAX_VALUE || entry->rest_count > VERDICT_CACHE_MAX_RESTS) {
        return gh_fail(err, GH_SIZE_LIMIT_EXCEEDED,
                       "a verdict of %zu bytes (key %zu, rests %zu) cannot be kept",
                       entry->value.len, entry->key.len, entry->rest_count);
    }
    GH_TRY(verdict_put_memory(cache, entry, object, err));
    if (!entry->is_stored) {
        /* a denial in memory must not leave an older verdict in the store to come back later */
        return !store_has(cache->store, STORE_VERDICTS,
                          verdict_store_key(entry->key, &store_key)) ||
               verdict_submit(cache, entry->key, bytes_make(NULL, 0), NULL, 0, err);
    }
    GH_TRY(verdict_record_write(cache->store, entry, now_unix_s, &record, err));
    ok = verdict_submit(cache, entry->key, bytes_view(&record), entry->rests, entry->rest_count,
                        err);
    bytes_buf_done(&record);
    return ok;
}

void verdict_cache_remove(struct verdict_cache *cache, struct bytes key)
{
    uint64_t hash = verdict_hash(cache, key);
    struct verdict_shard *shard = verdict_shard_of(cache, hash);
    struct verdict_entry *gone = NULL;

    atomic_fetch_add(&cache->drops, 1);
    (void)!verdict_submit(cache, key, bytes_make(NULL, 0), NULL, 0, NULL);
    {
        struct verdict_entry *entry;

        LOCK_HOLD(&shard->lock);
        entry = verdict_find(shard, hash, key);
        if (entry != NULL) {
            verdict_take_out(shard, entry, &gone);
        }
    }
    verdict_entry_free(cache, gone);
}

static bool verdict_rests_on(const struct verdict_entry *entry, const uint8_t *rest)
{
    for (size_t i = 0; i < entry->rest_count; i++) {
        if (memcmp(entry->data + i * VERDICT_RECORD_REST_BYTES, rest, VERDICT_RECORD_REST_BYTES) ==
            0) {
            return true;
        }
    }
    return false;
}

/* How many left memory that are not stored as well (those are counted there). */
static size_t verdict_drop_memory(struct verdict_cache *cache, const uint8_t *rest)
{
    size_t count = 0;

    for (int i = 0; i < VERDICT_SHARDS; i++) {
        struct verdict_shard *shard = &cache->shards[i];
        struct verdict_entry *gone = NULL;

        {
            struct verdict_entry *entry;
            struct verdict_entry *older;

            LOCK_HOLD(&shard->lock);
            for (entry = shard->newest; entry != NULL; entry = older) {
                older = entry->older;
                if (verdict_rests_on(entry, rest)) {
                    count += entry->is_stored ? 0 : 1;
                    verdict_take_out(shard, entry, &gone);
                }
            }
        }
        verdict_entry_free(cache, gone);
    }
    return count;
}

struct verdict_drop {
    uint8_t rest[VERDICT_RECORD_REST_BYTES];
    size_t count;
};

/* Delete every verdict under the rest, with its pairs and its use, until the rest has no more. */
static bool verdict_drop_run(struct store_write *write, void *arg, struct gh_error *err)
{
    struct verdict_drop *drop = arg;
    struct bytes rest = bytes_make(drop->rest, sizeof(drop->rest));
    struct bytes found;

    drop->count = 0; /* it may run twice */
    while (store_write_get(write, STORE_RESTS, rest, &found) && found.len == STORE_KEY_BYTES) {
        struct verdict_use_key use_key;
        struct bytes_buf copy = {0};
        struct store_key key;
        struct bytes value;
        struct bytes k = bytes_make(key.bytes, sizeof(key.bytes));
        bool ok = true;

        memcpy(key.bytes, found.data, sizeof(key.bytes));
        if (store_write_get(write, STORE_VERDICTS, k, &value)) {
            ok = bytes_dup(value, &copy, err) && verdict_unrest(write, k, bytes_view(&copy), err);
            bytes_buf_done(&copy);
            drop->count++;
        }
        GH_TRY(ok);
        GH_TRY(
            store_write_del(write, STORE_RESTS, rest, k, err)); /* should the value not name it */
        GH_TRY(store_write_del(write, STORE_VERDICTS, k, bytes_make(NULL, 0), err));
        GH_TRY(store_write_del(write, STORE_USES, verdict_use_key_make(k, &use_key),
                               bytes_make(NULL, 0), err));
    }
    return true;
}

bool verdict_cache_drop_rest(struct verdict_cache *cache, const struct verdict_cache_rest *rest,
                             size_t *count, struct gh_error *err)
{
    GH_OWN(store_batch_freep) struct store_batch *batch = NULL;
    struct verdict_drop drop = {.count = 0};
    size_t in_memory;

    verdict_record_put_rest(drop.rest, rest);
    atomic_fetch_add(&cache->drops, 1);
    in_memory = verdict_drop_memory(cache, drop.rest);
    GH_TRY(store_batch_new(&batch, err));
    store_batch_run(batch, verdict_drop_run, &drop);
    GH_TRY(store_commit(cache->store, GH_TAKE(batch), err));
    /* what was read from the store before the commit is refused from here on */
    atomic_fetch_add(&cache->drops, 1);
    in_memory += verdict_drop_memory(cache, drop.rest);
    *count = drop.count + in_memory;
    return true;
}

/* --- listing --- */

struct verdict_walk {
    struct verdict_cache *cache;
    const uint8_t *rest; /* NULL: all */
    verdict_cache_fn fn;
    void *arg;
    bool go_on;
};

static void verdict_walk_show(struct verdict_walk *walk, struct bytes store_key, struct bytes value)
{
    struct verdict_record record;
    struct verdict_cache_use use = {0};
    struct verdict_use_key use_key;

    if (!verdict_record_read(value, &record) ||
        !verdict_record_is_ours(walk->cache->store, &record)) {
        return;
    }
    (void)store_view(walk->cache->store, STORE_USES, verdict_use_key_make(store_key, &use_key),
                     verdict_on_use, &use);
    walk->go_on = walk->fn(record.key, record.value, record.until_unix_s, &use, walk->arg);
}

static bool verdict_walk_all(struct bytes key, struct bytes value, void *arg)
{
    struct verdict_walk *walk = arg;

    if (key.len == STORE_KEY_BYTES) {
        verdict_walk_show(walk, key, value);
    }
    return walk->go_on;
}

static bool verdict_walk_rest(struct bytes key, struct bytes value, void *arg)
{
    struct verdict_walk *walk = arg;
    struct bytes_buf verdict = {0};

    if (!bytes_equal(key, bytes_make(walk->rest, VERDICT_RECORD_REST_BYTES))) {
        return false;
    }
    if (value.len == STORE_KEY_BYTES &&
        store_get(walk->cache->store, STORE_VERDICTS, value, &verdict)) {
        verdict_walk_show(walk, value, bytes_view(&verdict));
        bytes_buf_done(&verdict);
    }
    return walk->go_on;
}

void verdict_cache_each(struct verdict_cache *cache, const struct verdict_cache_rest *rest,
                        verdict_cache_fn fn, void *arg)
{
    struct verdict_walk walk = {.cache = cache, .fn = fn, .arg = arg, .go_on = true};
    uint8_t raw[VERDICT_RECORD_REST_BYTES];

    verdict_cache_tick(cache);
    store_flush(cache->store);
    if (rest == NULL) {
        store_walk(cache->store, STORE_VERDICTS, bytes_make(NULL, 0), verdict_walk_all, &walk);
        return;
    }
    verdict_record_put_rest(raw, rest);
    walk.rest = raw;
    store_walk(cache->store, STORE_RESTS, bytes_make(raw, sizeof(raw)), verdict_walk_rest, &walk);
}

void verdict_cache_stats(struct verdict_cache *cache, struct verdict_cache_stats *out)
{
    memset(out, 0, sizeof(*out));
    for (int i = 0; i < VERDICT_SHARDS; i++) {
        struct verdict_shard *shard = &cache->shards[i];

        LOCK_HOLD(&shard->lock);
        out->entries += shard->count;
        out->bytes += shard->bytes;
        out->evicted += shard->evicted;
    }
}
