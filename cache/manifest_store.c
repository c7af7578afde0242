#include "cache/manifest_store.h"

#include <stdlib.h>
#include <string.h>

#include "metrics/error.h"

#define MANIFEST_HEAD_BYTES (STORE_MADE_BYTES + 1) /* made, length of the media type */

struct manifest_key {
    uint8_t bytes[1 + DIGEST_MAX_BYTES];
};

static struct bytes manifest_key_make(const struct digest *digest, struct manifest_key *out)
{
    struct bytes value = digest_bytes(digest);

    out->bytes[0] = (uint8_t)digest->alg;
    memcpy(out->bytes + 1, value.data, value.len);
    return bytes_make(out->bytes, value.len + 1);
}

void manifest_record_done(struct manifest_record *record)
{
    bytes_buf_done(&record->content);
    memset(record, 0, sizeof(*record));
}

bool manifest_store_put(struct store *store, const struct digest *digest, struct bytes media_type,
                        struct bytes content, int64_t now_unix_s, struct gh_error *err)
{
    GH_OWN(store_batch_freep) struct store_batch *batch = NULL;
    struct bytes_buf value = {0};
    struct manifest_key key;
    bool ok;

    if (content.len > MANIFEST_STORE_MAX_BYTES || media_type.len > MANIFEST_STORE_MAX_TYPE ||
        bytes_contains_nul(media_type)) {
        return gh_fail(err, GH_SIZE_LIMIT_EXCEEDED,
                       "%zu bytes with a media type of %zu bytes do not fit the manifest store",
                       content.len, media_type.len);
    }
    GH_TRY(digest_check(digest, content, err));
    GH_TRY(store_batch_new(&batch, err));
    GH_TRY(bytes_buf_alloc(MANIFEST_HEAD_BYTES + media_type.len + content.len, &value, err));
    store_put_u64(value.data, (uint64_t)now_unix_s);
    value.data[STORE_MADE_BYTES] = (uint8_t)media_type.len;
    if (media_type.len > 0) {
        memcpy(value.data + MANIFEST_HEAD_BYTES, media_type.data, media_type.len);
    }
    if (content.len > 0) {
        memcpy(value.data + MANIFEST_HEAD_BYTES + media_type.len, content.data, content.len);
    }
    ok = store_batch_put(batch, STORE_MANIFESTS, manifest_key_make(digest, &key),
                         bytes_view(&value), err);
    bytes_buf_done(&value);
    return ok && store_submit(store, GH_TAKE(batch), NULL, NULL, err);
}

static bool manifest_read(struct bytes value, struct manifest_record *out)
{
    size_t type_len;

    if (value.len < MANIFEST_HEAD_BYTES) {
        return false;
    }
    type_len = value.data[STORE_MADE_BYTES];
    if (value.len - MANIFEST_HEAD_BYTES < type_len) {
        return false;
    }
    out->made_unix_s = (int64_t)store_get_u64(value.data);
    memcpy(out->media_type, value.data + MANIFEST_HEAD_BYTES, type_len);
    out->media_type[type_len] = '\0';
    return bytes_dup(bytes_slice(value, MANIFEST_HEAD_BYTES + type_len, SIZE_MAX), &out->content,
                     NULL);
}

struct manifest_found {
    struct manifest_record record;
    bool ok;
};

static void manifest_on_value(struct bytes value, void *arg)
{
    struct manifest_found *found = arg;

    found->ok = manifest_read(value, &found->record);
}

bool manifest_store_get(struct store *store, const struct digest *digest, int64_t now_unix_s,
                        struct manifest_record *out)
{
    struct manifest_found found = {0};
    struct manifest_key key;
    struct bytes k = manifest_key_make(digest, &key);

    if (!store_view(store, STORE_MANIFESTS, k, manifest_on_value, &found) || !found.ok) {
        return false;
    }
    if (!digest_check(digest, bytes_view(&found.record.content), NULL)) {
        manifest_record_done(&found.record);
        (void)!manifest_store_remove(store, digest, NULL);
        return false;
    }
    store_touch(store, STORE_MANIFESTS, k, now_unix_s);
    *out = found.record;
    return true;
}

bool manifest_store_has(struct store *store, const struct digest *digest)
{
    struct manifest_key key;

    return store_has(store, STORE_MANIFESTS, manifest_key_make(digest, &key));
}

bool manifest_store_remove(struct store *store, const struct digest *digest, struct gh_error *err)
{
    GH_OWN(store_batch_freep) struct store_batch *batch = NULL;
    struct manifest_key key;

    GH_TRY(store_batch_new(&batch, err));
    GH_TRY(store_batch_del(batch, STORE_MANIFESTS, manifest_key_make(digest, &key), err));
    return store_submit(store, GH_TAKE(batch), NULL, NULL, err);
}
