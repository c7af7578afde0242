#include "cache/answer_store.h"

#include <string.h>

#include "metrics/error.h"

/* Numbers are big-endian: made (8), due (8), until (8), kind (1), limit (4), lengths of URL (2) and
 * body (4); then URL, body and answer, and the MAC of everything before. */
#define ANSWER_HEAD_BYTES (STORE_MADE_BYTES + 8 + 8 + 1 + 4 + 2 + 4)
#define ANSWER_NAME_BYTES 32
#define ANSWER_MAC_CONTEXT "answer"

static struct bytes answer_key(const struct digest *name)
{
    return bytes_make(name->value, ANSWER_NAME_BYTES);
}

static void answer_put_number(uint8_t *out, size_t bytes, uint64_t value)
{
    for (size_t i = bytes; i > 0; i--) {
        out[i - 1] = (uint8_t)value;
        value >>= 8;
    }
}

static uint8_t *answer_put_bytes(uint8_t *out, struct bytes in)
{
    if (in.len > 0) {
        memcpy(out, in.data, in.len);
    }
    return out + in.len;
}

static void answer_encode(const struct store *store, const struct answer_record *record,
                          const struct bytes_buf *out)
{
    uint8_t *at = out->data;

    store_put_u64(at, (uint64_t)record->fetched_unix_s);
    store_put_u64(at + 8, (uint64_t)record->due_unix_s);
    store_put_u64(at + 16, (uint64_t)record->until_unix_s);
    at[24] = record->kind;
    answer_put_number(at + 25, 4, record->limit_bytes);
    answer_put_number(at + 29, 2, record->url.len);
    answer_put_number(at + 31, 4, record->body.len);
    at = answer_put_bytes(at + ANSWER_HEAD_BYTES, record->url);
    at = answer_put_bytes(at, record->body);
    at = answer_put_bytes(at, record->answer);
    store_mac(store, ANSWER_MAC_CONTEXT, bytes_make(out->data, (size_t)(at - out->data)), at);
}

/* Views into VALUE; the MAC is the caller's to check. */
static bool answer_decode(struct bytes value, struct answer_record *out)
{
    struct bytes rest;
    size_t url;
    size_t body;

    if (value.len < ANSWER_HEAD_BYTES + STORE_MAC_BYTES) {
        return false;
    }
    out->fetched_unix_s = (int64_t)store_get_u64(value.data);
    out->due_unix_s = (int64_t)store_get_u64(value.data + 8);
    out->until_unix_s = (int64_t)store_get_u64(value.data + 16);
    out->kind = value.data[24];
    out->limit_bytes = (uint32_t)value.data[25] << 24 | (uint32_t)value.data[26] << 16 |
                       (uint32_t)value.data[27] << 8 | value.data[28];
    url = (size_t)value.data[29] << 8 | value.data[30];
    body = (size_t)value.data[31] << 24 | (size_t)value.data[32] << 16 |
           (size_t)value.data[33] << 8 | value.data[34];
    rest = bytes_slice(value, ANSWER_HEAD_BYTES, value.len - ANSWER_HEAD_BYTES - STORE_MAC_BYTES);
    if (url > rest.len || body > rest.len - url) {
        return false;
    }
    out->url = bytes_slice(rest, 0, url);
    out->body = bytes_slice(rest, url, body);
    out->answer = bytes_slice(rest, url + body, SIZE_MAX);
    return true;
}

bool answer_store_put(struct store *store, const struct digest *name,
                      const struct answer_record *record, struct gh_error *err)
{
    GH_OWN(store_batch_freep) struct store_batch *batch = NULL;
    struct bytes_buf value = {0};
    bool ok;

    if (record->url.len > ANSWER_STORE_MAX_URL || record->body.len > ANSWER_STORE_MAX_BODY ||
        record->answer.len > ANSWER_STORE_MAX_ANSWER) {
        return gh_fail(err, GH_SIZE_LIMIT_EXCEEDED, "an answer of %zu bytes is not kept",
                       record->answer.len);
    }
    GH_TRY(store_batch_new(&batch, err));
    GH_TRY(bytes_buf_alloc(ANSWER_HEAD_BYTES + record->url.len + record->body.len +
                               record->answer.len + STORE_MAC_BYTES,
                           &value, err));
    answer_encode(store, record, &value);
    ok = store_batch_put(batch, STORE_ANSWERS, answer_key(name), bytes_view(&value), err);
    bytes_buf_done(&value);
    return ok && store_submit(store, GH_TAKE(batch), NULL, NULL, err);
}

bool answer_store_get(struct store *store, const struct digest *name, struct bytes_buf *held,
                      struct answer_record *out)
{
    uint8_t mac[STORE_MAC_BYTES];
    struct bytes_buf value = {0};
    struct bytes view;

    if (!store_get(store, STORE_ANSWERS, answer_key(name), &value)) {
        return false;
    }
    view = bytes_view(&value);
    if (answer_decode(view, out)) {
        store_mac(store, ANSWER_MAC_CONTEXT, bytes_slice(view, 0, view.len - STORE_MAC_BYTES), mac);
        if (memcmp(mac, view.data + view.len - STORE_MAC_BYTES, STORE_MAC_BYTES) == 0) {
            *held = value;
            return true;
        }
    }
    bytes_buf_done(&value);
    return false;
}

struct answer_compare {
    struct bytes answer;
    bool is_same;
};

static void answer_on_compare(struct bytes value, void *arg)
{
    struct answer_compare *compare = arg;
    struct answer_record record;

    compare->is_same = answer_decode(value, &record) && bytes_equal(record.answer, compare->answer);
}

bool answer_store_is(struct store *store, const struct digest *name, struct bytes answer)
{
    struct answer_compare compare = {.answer = answer};

    return store_view(store, STORE_ANSWERS, answer_key(name), answer_on_compare, &compare) &&
           compare.is_same;
}

bool answer_store_remove(struct store *store, const struct digest *name, struct gh_error *err)
{
    GH_OWN(store_batch_freep) struct store_batch *batch = NULL;

    GH_TRY(store_batch_new(&batch, err));
    GH_TRY(store_batch_del(batch, STORE_ANSWERS, answer_key(name), err));
    return store_submit(store, GH_TAKE(batch), NULL, NULL, err);
}

struct answer_walk {
    int64_t now_unix_s;
    int64_t next_unix_s;
    struct digest *names;
    size_t max;
    size_t count;
};

static bool answer_on_walk(struct bytes key, struct bytes value, void *arg)
{
    struct answer_walk *walk = arg;
    int64_t due = value.len >= ANSWER_HEAD_BYTES ? (int64_t)store_get_u64(value.data + 8) : 0;

    if (key.len != ANSWER_NAME_BYTES) {
        return true;
    }
    if (due <= walk->now_unix_s && walk->count < walk->max) {
        struct digest *name = &walk->names[walk->count++];

        memset(name, 0, sizeof(*name));
        name->alg = DIGEST_SHA256;
        memcpy(name->value, key.data, ANSWER_NAME_BYTES);
        return true;
    }
    walk->next_unix_s = GH_MIN(walk->next_unix_s, due);
    return true;
}

int64_t answer_store_due(struct store *store, int64_t now_unix_s, struct digest *names, size_t max,
                         size_t *count)
{
    struct answer_walk walk = {
        .now_unix_s = now_unix_s, .next_unix_s = INT64_MAX, .names = names, .max = max};

    store_walk(store, STORE_ANSWERS, bytes_make(NULL, 0), answer_on_walk, &walk);
    *count = walk.count;
    return walk.next_unix_s;
}

struct answer_each {
    answer_store_fn fn;
    void *arg;
};

static bool answer_on_each(struct bytes key, struct bytes value, void *arg)
{
    const struct answer_each *each = arg;
    struct answer_record record;

    (void)key;
    return !answer_decode(value, &record) || each->fn(&record, each->arg);
}

void answer_store_each(struct store *store, answer_store_fn fn, void *arg)
{
    struct answer_each each = {fn, arg};

    store_walk(store, STORE_ANSWERS, bytes_make(NULL, 0), answer_on_each, &each);
}
