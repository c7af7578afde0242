#include "cache/evidence_index.h"

#include <string.h>

#include "metrics/error.h"

bool evidence_index_put(struct store *store, const struct cache_scope *scope,
                        const struct digest *subject, struct bytes record, int64_t now_unix_s,
                        struct gh_error *err)
{
    GH_OWN(store_batch_freep) struct store_batch *batch = NULL;
    struct bytes_buf value = {0};
    struct store_key key;
    bool ok;

    GH_TRY(store_batch_new(&batch, err));
    GH_TRY(bytes_buf_alloc(STORE_MADE_BYTES + record.len, &value, err));
    store_put_u64(value.data, (uint64_t)now_unix_s);
    if (record.len > 0) {
        memcpy(value.data + STORE_MADE_BYTES, record.data, record.len);
    }
    ok = store_batch_put(batch, STORE_EVIDENCE, scope_digest_key(scope, subject, &key),
                         bytes_view(&value), err);
    bytes_buf_done(&value);
    return ok && store_submit(store, GH_TAKE(batch), NULL, NULL, err);
}

struct evidence_found {
    struct bytes_buf record;
    int64_t made_unix_s;
    bool ok;
};

static void evidence_on_value(struct bytes value, void *arg)
{
    struct evidence_found *found = arg;

    if (value.len >= STORE_MADE_BYTES) {
        found->made_unix_s = (int64_t)store_get_u64(value.data);
        found->ok = bytes_dup(bytes_slice(value, STORE_MADE_BYTES, SIZE_MAX), &found->record, NULL);
    }
}

bool evidence_index_get(struct store *store, const struct cache_scope *scope,
                        const struct digest *subject, int64_t now_unix_s, struct bytes_buf *out,
                        int64_t *made_unix_s)
{
    struct evidence_found found = {0};
    struct store_key key;
    struct bytes k = scope_digest_key(scope, subject, &key);

    if (!store_view(store, STORE_EVIDENCE, k, evidence_on_value, &found) || !found.ok) {
        return false;
    }
    store_touch(store, STORE_EVIDENCE, k, now_unix_s);
    *out = found.record;
    *made_unix_s = found.made_unix_s;
    return true;
}

bool evidence_index_has(struct store *store, const struct cache_scope *scope,
                        const struct digest *subject)
{
    struct store_key key;

    return store_has(store, STORE_EVIDENCE, scope_digest_key(scope, subject, &key));
}

bool evidence_index_remove(struct store *store, const struct cache_scope *scope,
                           const struct digest *subject, struct gh_error *err)
{
    GH_OWN(store_batch_freep) struct store_batch *batch = NULL;
    struct store_key key;

    GH_TRY(store_batch_new(&batch, err));
    GH_TRY(store_batch_del(batch, STORE_EVIDENCE, scope_digest_key(scope, subject, &key), err));
    return store_submit(store, GH_TAKE(batch), NULL, NULL, err);
}
