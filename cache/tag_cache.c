#include "cache/tag_cache.h"

#include <string.h>

#include "metrics/error.h"

/* fetched, algorithm, digest, media type's length; then the media type */
#define TAG_HEAD_BYTES (STORE_MADE_BYTES + 1 + DIGEST_MAX_BYTES + 1)

static struct bytes tag_key(const struct cache_scope *scope, const char *tag, const char *accept,
                            struct store_key *out)
{
    struct bytes parts[2] = {bytes_of(tag), bytes_of(accept)};

    scope_key(scope, parts, 2, out);
    return bytes_make(out->bytes, sizeof(out->bytes));
}

enum tag_state tag_state_at(int64_t fetched_unix_s, int64_t now_unix_s, int64_t ttl_s,
                            int64_t stale_s)
{
    int64_t age;

    if (fetched_unix_s < 0 || now_unix_s < 0) {
        return TAG_ABSENT; /* no time: damage */
    }
    if (now_unix_s < fetched_unix_s) {
        return stale_s > 0 ? TAG_STALE : TAG_ABSENT;
    }
    age = now_unix_s - fetched_unix_s;
    if (age < ttl_s) {
        return TAG_FRESH;
    }
    return age - ttl_s < stale_s ? TAG_STALE : TAG_ABSENT;
}

bool tag_cache_put(struct store *store, const struct cache_scope *scope, const char *tag,
                   const char *accept, const struct tag_record *record, struct gh_error *err)
{
    GH_OWN(store_batch_freep) struct store_batch *batch = NULL;
    uint8_t value[TAG_HEAD_BYTES + TAG_CACHE_MAX_TYPE];
    size_t type_len = strnlen(record->media_type, TAG_CACHE_MAX_TYPE);
    struct store_key key;

    store_put_u64(value, (uint64_t)record->fetched_unix_s);
    value[STORE_MADE_BYTES] = (uint8_t)record->digest.alg;
    memcpy(value + STORE_MADE_BYTES + 1, record->digest.value, DIGEST_MAX_BYTES);
    value[TAG_HEAD_BYTES - 1] = (uint8_t)type_len;
    memcpy(value + TAG_HEAD_BYTES, record->media_type, type_len);
    GH_TRY(store_batch_new(&batch, err));
    GH_TRY(store_batch_put(batch, STORE_TAGS, tag_key(scope, tag, accept, &key),
                           bytes_make(value, TAG_HEAD_BYTES + type_len), err));
    return store_submit(store, GH_TAKE(batch), NULL, NULL, err);
}

struct tag_found {
    struct tag_record record;
    bool ok;
};

static void tag_on_value(struct bytes value, void *arg)
{
    struct tag_found *found = arg;
    struct tag_record *record = &found->record;

    if (value.len < TAG_HEAD_BYTES ||
        value.len - TAG_HEAD_BYTES != value.data[TAG_HEAD_BYTES - 1]) {
        return;
    }
    record->fetched_unix_s = (int64_t)store_get_u64(value.data);
    record->digest.alg = (enum digest_alg)value.data[STORE_MADE_BYTES];
    memcpy(record->digest.value, value.data + STORE_MADE_BYTES + 1, DIGEST_MAX_BYTES);
    memcpy(record->media_type, value.data + TAG_HEAD_BYTES, value.len - TAG_HEAD_BYTES);
    record->media_type[value.len - TAG_HEAD_BYTES] = '\0';
    found->ok = record->digest.alg == DIGEST_SHA256 || record->digest.alg == DIGEST_SHA512;
}

enum tag_state tag_cache_get(struct store *store, const struct cache_scope *scope, const char *tag,
                             const char *accept, int64_t now_unix_s, int64_t ttl_s, int64_t stale_s,
                             struct tag_record *out)
{
    struct tag_found found = {0};
    struct store_key key;
    struct bytes k = tag_key(scope, tag, accept, &key);
    enum tag_state state;

    if (!store_view(store, STORE_TAGS, k, tag_on_value, &found) || !found.ok) {
        return TAG_ABSENT;
    }
    state = tag_state_at(found.record.fetched_unix_s, now_unix_s, ttl_s, stale_s);
    if (state != TAG_ABSENT) {
        *out = found.record;
        store_touch(store, STORE_TAGS, k, now_unix_s);
    }
    return state;
}

bool tag_cache_remove(struct store *store, const struct cache_scope *scope, const char *tag,
                      const char *accept, struct gh_error *err)
{
    GH_OWN(store_batch_freep) struct store_batch *batch = NULL;
    struct store_key key;

    GH_TRY(store_batch_new(&batch, err));
    GH_TRY(store_batch_del(batch, STORE_TAGS, tag_key(scope, tag, accept, &key), err));
    return store_submit(store, GH_TAKE(batch), NULL, NULL, err);
}
