#include "cache/blob_index.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "metrics/error.h"

#define BLOB_RECORD_BYTES (STORE_MADE_BYTES + 8 + 8) /* made, size, epoch */
#define BLOB_KEY_MAX (1 + DIGEST_MAX_BYTES)

struct blob_key {
    uint8_t bytes[BLOB_KEY_MAX];
    size_t len;
};

static struct bytes blob_key_make(const struct digest *digest, struct blob_key *out)
{
    struct bytes value = digest_bytes(digest);

    out->bytes[0] = (uint8_t)digest->alg;
    memcpy(out->bytes + 1, value.data, value.len);
    out->len = value.len + 1;
    return bytes_make(out->bytes, out->len);
}

static bool blob_key_read(struct bytes key, struct digest *out)
{
    memset(out, 0, sizeof(*out));
    if (key.len < 1) {
        return false;
    }
    out->alg = (enum digest_alg)key.data[0];
    if (out->alg != DIGEST_SHA256 && out->alg != DIGEST_SHA512) {
        return false;
    }
    if (key.len != 1 + digest_alg_len(out->alg)) {
        return false;
    }
    memcpy(out->value, key.data + 1, key.len - 1);
    return true;
}

static bool blob_record_read(struct bytes value, struct blob_info *out)
{
    if (value.len != BLOB_RECORD_BYTES) {
        return false;
    }
    out->made_unix_s = (int64_t)store_get_u64(value.data);
    out->size_bytes = store_get_u64(value.data + 8);
    out->epoch = (uint32_t)store_get_u64(value.data + 16);
    return true;
}

/* A change of the sums, made in the transaction of the record it belongs to. */
struct blob_change {
    struct blob_key key;
    bool is_put;
    uint64_t size_bytes;
};

static bool blob_total_add(struct store_write *write, const char *name, uint64_t add, uint64_t sub,
                           struct gh_error *err)
{
    struct bytes key = bytes_of(name);
    uint64_t total = 0;
    struct bytes value;
    uint8_t raw[8];

    if (store_write_get(write, STORE_META, key, &value) && value.len == sizeof(raw)) {
        total = store_get_u64(value.data);
    }
    total = total + add >= sub ? total + add - sub : 0;
    store_put_u64(raw, total);
    return store_write_put(write, STORE_META, key, bytes_make(raw, sizeof(raw)), err);
}

static bool blob_change_run(struct store_write *write, void *arg, struct gh_error *err)
{
    const struct blob_change *change = arg;
    struct blob_info old = {0};
    struct bytes value;
    bool had = store_write_get(write, STORE_BLOBS, bytes_make(change->key.bytes, change->key.len),
                               &value) &&
               blob_record_read(value, &old);

    GH_TRY(blob_total_add(write, "blob-bytes", change->is_put ? change->size_bytes : 0,
                          had ? old.size_bytes : 0, err));
    return blob_total_add(write, "blob-count", change->is_put ? 1 : 0, had ? 1 : 0, err);
}

static void blob_change_done(void *arg, bool is_committed)
{
    free(arg);
}

static bool blob_change_submit(struct store *store, const struct blob_change *change,
                               struct bytes value, struct gh_error *err)
{
    GH_OWN(store_batch_freep) struct store_batch *batch = NULL;
    struct bytes key = bytes_make(change->key.bytes, change->key.len);
    struct blob_change *copy;

    GH_TRY(store_batch_new(&batch, err));
    if (change->is_put) {
        GH_TRY(store_batch_put(batch, STORE_BLOBS, key, value, err));
    } else {
        GH_TRY(store_batch_del(batch, STORE_BLOBS, key, err));
    }
    copy = malloc(sizeof(*copy));
    if (copy == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
    }
    *copy = *change;
    store_batch_run(batch, blob_change_run, copy);
    if (!store_submit(store, GH_TAKE(batch), blob_change_done, copy, err)) {
        free(copy);
        return false;
    }
    return true;
}

bool blob_index_put(struct store *store, const struct digest *digest, const struct blob_info *info,
                    struct gh_error *err)
{
    struct blob_change change = {.is_put = true, .size_bytes = info->size_bytes};
    uint8_t record[BLOB_RECORD_BYTES];

    (void)blob_key_make(digest, &change.key);
    store_put_u64(record, (uint64_t)info->made_unix_s);
    store_put_u64(record + 8, info->size_bytes);
    store_put_u64(record + 16, info->epoch);
    return blob_change_submit(store, &change, bytes_make(record, sizeof(record)), err);
}

bool blob_index_remove(struct store *store, const struct digest *digest, struct gh_error *err)
{
    struct blob_change change = {.is_put = false};

    (void)blob_key_make(digest, &change.key);
    return blob_change_submit(store, &change, bytes_make(NULL, 0), err);
}

struct blob_found {
    struct blob_info info;
    bool ok;
};

static void blob_index_on_record(struct bytes value, void *arg)
{
    struct blob_found *found = arg;

    found->ok = blob_record_read(value, &found->info);
}

bool blob_index_get(struct store *store, const struct digest *digest, struct blob_info *out)
{
    struct blob_found found = {0};
    struct blob_key key;

    if (!store_view(store, STORE_BLOBS, blob_key_make(digest, &key), blob_index_on_record,
                    &found) ||
        !found.ok) {
        return false;
    }
    *out = found.info;
    return true;
}

void blob_index_touch(struct store *store, const struct digest *digest, int64_t now_unix_s)
{
    struct blob_key key;

    store_touch(store, STORE_BLOBS, blob_key_make(digest, &key), now_unix_s);
}

static void blob_index_on_total(struct bytes value, void *arg)
{
    *(uint64_t *)arg = value.len == 8 ? store_get_u64(value.data) : 0;
}

void blob_index_totals(struct store *store, struct blob_totals *out)
{
    memset(out, 0, sizeof(*out));
    (void)store_view(store, STORE_META, bytes_of("blob-bytes"), blob_index_on_total, &out->bytes);
    (void)store_view(store, STORE_META, bytes_of("blob-count"), blob_index_on_total, &out->count);
}

struct blob_sample {
    struct store *store;
    struct blob_victim *victims;
    size_t count;
    size_t limit;
};

static bool blob_sample_one(struct bytes key, struct bytes value, void *arg)
{
    struct blob_sample *sample = arg;
    struct blob_victim *victim = &sample->victims[sample->count];
    struct blob_info info;
    int64_t used;

    if (!blob_key_read(key, &victim->digest) || !blob_record_read(value, &info)) {
        return true;
    }
    used = store_last_use(sample->store, STORE_BLOBS, key);
    victim->size_bytes = info.size_bytes;
    victim->last_use_unix_s = GH_MAX(used, info.made_unix_s);
    return ++sample->count < sample->limit;
}

static int blob_victim_order(const void *a, const void *b)
{
    int64_t x = ((const struct blob_victim *)a)->last_use_unix_s;
    int64_t y = ((const struct blob_victim *)b)->last_use_unix_s;

    return x < y ? -1 : x > y;
}

bool blob_index_sample(struct store *store, struct blob_victim **out, size_t *count,
                       struct gh_error *err)
{
    struct blob_sample sample = {.store = store, .limit = BLOB_INDEX_SAMPLE};
    struct blob_totals totals;
    uint8_t from[3];

    sample.victims = calloc(BLOB_INDEX_SAMPLE, sizeof(*sample.victims));
    if (sample.victims == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
    }
    blob_index_totals(store, &totals);
    if (totals.count > BLOB_INDEX_SAMPLE) {
        from[0] = DIGEST_SHA256;
        randombytes_buf(from + 1, sizeof(from) - 1);
        store_walk(store, STORE_BLOBS, bytes_make(from, sizeof(from)), blob_sample_one, &sample);
    }
    if (sample.count < sample.limit / 2) {
        sample.count = 0; /* too near the end: from the beginning */
        store_walk(store, STORE_BLOBS, bytes_make(NULL, 0), blob_sample_one, &sample);
    }
    qsort(sample.victims, sample.count, sizeof(*sample.victims), blob_victim_order);
    *out = sample.victims;
    *count = sample.count;
    return true;
}
