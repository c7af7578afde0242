#include "cache/decision_store.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "metrics/error.h"

#define DECISION_ORDER_BYTES 16 /* unix milliseconds, then a number that keeps them apart */
#define DECISION_TRIM_MOST 64   /* removed by one record at most: it catches up in steps */

struct decision_store {
    struct store *store;
    uint64_t max_count;
    atomic_uint_fast64_t next;
};

bool decision_store_new(struct store *store, uint64_t max_count, struct decision_store **out,
                        struct gh_error *err)
{
    struct decision_store *decisions = calloc(1, sizeof(*decisions));

    if (decisions == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
    }
    decisions->store = store;
    decisions->max_count = max_count != 0 ? max_count : DECISION_STORE_DEFAULT;
    *out = decisions;
    return true;
}

void decision_store_free(struct decision_store *decisions)
{
    free(decisions);
}

struct decision_change {
    uint64_t max_count;
    uint8_t order[DECISION_ORDER_BYTES];
    char id[DECISION_STORE_MAX_ID + 1];
};

/* Remove the oldest record. *had is false when there is none. */
static bool decision_trim_one(struct store_write *write, bool *had, struct gh_error *err)
{
    uint8_t order[DECISION_ORDER_BYTES];
    uint8_t id[DECISION_STORE_MAX_ID];
    struct bytes value;
    struct bytes key;
    size_t id_len;

    *had = store_write_next(write, STORE_DECISION_ORDER, bytes_make(NULL, 0), &key, &value) &&
           key.len == sizeof(order) && value.len <= sizeof(id);
    if (!*had) {
        return true;
    }
    memcpy(order, key.data, key.len); /* views end with the first change */
    memcpy(id, value.data, value.len);
    id_len = value.len;
    GH_TRY(
        store_write_del(write, STORE_DECISIONS, bytes_make(id, id_len), bytes_make(NULL, 0), err));
    return store_write_del(write, STORE_DECISION_ORDER, bytes_make(order, sizeof(order)),
                           bytes_make(NULL, 0), err);
}

static bool decision_change_run(struct store_write *write, void *arg, struct gh_error *err)
{
    const struct decision_change *change = arg;
    struct bytes name = bytes_of("decision-count");
    uint64_t count = 0;
    struct bytes value;
    uint8_t raw[8];
    bool had = true;

    if (store_write_get(write, STORE_DECISIONS, bytes_of(change->id), &value)) {
        return true; /* another thread was first: its place in the order stays */
    }
    if (store_write_get(write, STORE_META, name, &value) && value.len == sizeof(raw)) {
        count = store_get_u64(value.data);
    }
    for (int i = 0; i < DECISION_TRIM_MOST && count >= change->max_count && had; i++) {
        GH_TRY(decision_trim_one(write, &had, err));
        count -= had ? 1 : 0;
    }
    store_put_u64(raw, count + 1);
    GH_TRY(store_write_put(write, STORE_META, name, bytes_make(raw, sizeof(raw)), err));
    return store_write_put(write, STORE_DECISION_ORDER,
                           bytes_make(change->order, sizeof(change->order)), bytes_of(change->id),
                           err);
}

static void decision_change_done(void *arg, bool is_committed)
{
    free(arg);
}

bool decision_store_put(struct decision_store *decisions, const char *id, struct bytes record,
                        int64_t now_unix_ms, struct gh_error *err)
{
    GH_OWN(store_batch_freep) struct store_batch *batch = NULL;
    struct decision_change *change;
    struct bytes_buf value = {0};
    size_t id_len = strlen(id);
    bool ok;

    if (id_len == 0 || id_len > DECISION_STORE_MAX_ID || record.len > DECISION_STORE_MAX_RECORD) {
        return gh_fail(err, GH_SIZE_LIMIT_EXCEEDED,
                       "a decision of %zu bytes with an id of %zu bytes cannot be recorded",
                       record.len, id_len);
    }
    if (store_has(decisions->store, STORE_DECISIONS, bytes_of(id))) {
        return true;
    }
    GH_TRY(store_batch_new(&batch, err));
    GH_TRY(bytes_buf_alloc(STORE_MADE_BYTES + record.len, &value, err));
    store_put_u64(value.data, (uint64_t)(now_unix_ms / 1000));
    if (record.len > 0) {
        memcpy(value.data + STORE_MADE_BYTES, record.data, record.len);
    }
    ok = store_batch_put(batch, STORE_DECISIONS, bytes_of(id), bytes_view(&value), err);
    bytes_buf_done(&value);
    GH_TRY(ok);
    change = calloc(1, sizeof(*change));
    if (change == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
    }
    change->max_count = decisions->max_count;
    memcpy(change->id, id, id_len + 1);
    store_put_u64(change->order, (uint64_t)now_unix_ms);
    store_put_u64(change->order + 8, atomic_fetch_add(&decisions->next, 1));
    store_batch_run(batch, decision_change_run, change);
    if (!store_submit(decisions->store, GH_TAKE(batch), decision_change_done, change, err)) {
        free(change);
        return false;
    }
    return true;
}

bool decision_store_get(struct decision_store *decisions, const char *id, struct bytes_buf *out)
{
    struct bytes_buf value = {0};
    bool ok;

    if (strlen(id) > DECISION_STORE_MAX_ID ||
        !store_get(decisions->store, STORE_DECISIONS, bytes_of(id), &value)) {
        return false;
    }
    ok = value.len >= STORE_MADE_BYTES &&
         bytes_dup(bytes_slice(bytes_view(&value), STORE_MADE_BYTES, SIZE_MAX), out, NULL);
    bytes_buf_done(&value);
    return ok;
}

struct decision_walk {
    struct decision_store *decisions;
    decision_store_fn fn;
    void *arg;
};

static bool decision_walk_one(struct bytes key, struct bytes value, void *arg)
{
    struct decision_walk *walk = arg;
    char id[DECISION_STORE_MAX_ID + 1];
    struct bytes_buf record = {0};
    bool go_on = true;

    if (key.len != DECISION_ORDER_BYTES || value.len > DECISION_STORE_MAX_ID) {
        return true;
    }
    memcpy(id, value.data, value.len);
    id[value.len] = '\0';
    if (decision_store_get(walk->decisions, id, &record)) {
        go_on = walk->fn(id, bytes_view(&record), (int64_t)store_get_u64(key.data), walk->arg);
        bytes_buf_done(&record);
    }
    return go_on;
}

void decision_store_each(struct decision_store *decisions, int64_t since_unix_ms,
                         decision_store_fn fn, void *arg)
{
    struct decision_walk walk = {decisions, fn, arg};
    uint8_t from[DECISION_ORDER_BYTES] = {0};

    store_flush(decisions->store);
    store_put_u64(from, since_unix_ms > 0 ? (uint64_t)since_unix_ms : 0);
    store_walk(decisions->store, STORE_DECISION_ORDER, bytes_make(from, sizeof(from)),
               decision_walk_one, &walk);
}
