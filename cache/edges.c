#include "cache/edges.h"

#include <stdlib.h>
#include <string.h>

#include "metrics/error.h"
#include "metrics/lock.h"

/*
 * A value: made, then entries (named last first), then the MAC. An entry: kind, algorithm, digest,
 * size, and two media types with their lengths.
 */
#define EDGE_ENTRY_MAX (1 + 1 + DIGEST_MAX_BYTES + 8 + 2 * (1 + EDGES_MAX_TYPE))

struct edges {
    struct store *store;
    struct lock lock; /* GH_RANK_STORE: reading a list, adding to it and storing it is one step */
};

bool edges_new(struct store *store, struct edges **out, struct gh_error *err)
{
    struct edges *edges = calloc(1, sizeof(*edges));

    if (edges == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
    }
    edges->store = store;
    lock_init(&edges->lock, GH_RANK_STORE);
    *out = edges;
    return true;
}

void edges_free(struct edges *edges)
{
    if (edges != NULL) {
        lock_done(&edges->lock);
        free(edges);
    }
}

void edge_list_done(struct edge_list *list)
{
    free(list->parents);
    list->parents = NULL;
    list->count = 0;
}

static bool edge_read_type(struct bytes *in, char out[EDGES_MAX_TYPE + 1])
{
    uint8_t len;

    GH_TRY(bytes_u8(in, &len, NULL));
    GH_TRY(bytes_copy(in, out, len, NULL));
    out[len] = '\0';
    return true;
}

static bool edge_read(struct bytes *in, struct edge_parent *out)
{
    uint8_t kind;
    uint8_t alg;

    memset(out, 0, sizeof(*out));
    GH_TRY(bytes_u8(in, &kind, NULL));
    GH_TRY(bytes_u8(in, &alg, NULL));
    out->kind = (enum edge_kind)kind;
    out->digest.alg = (enum digest_alg)alg;
    if (kind < EDGE_MANIFEST || kind > EDGE_EVIDENCE ||
        (out->digest.alg != DIGEST_SHA256 && out->digest.alg != DIGEST_SHA512)) {
        return false;
    }
    GH_TRY(bytes_copy(in, out->digest.value, digest_alg_len(out->digest.alg), NULL));
    GH_TRY(bytes_u64be(in, &out->size_bytes, NULL));
    GH_TRY(edge_read_type(in, out->media_type));
    return edge_read_type(in, out->child_media_type);
}

static uint8_t *edge_write_type(uint8_t *out, const char *type)
{
    size_t len = strlen(type);

    *out++ = (uint8_t)len;
    memcpy(out, type, len);
    return out + len;
}

static uint8_t *edge_write(uint8_t *out, const struct edge_parent *parent)
{
    struct bytes value = digest_bytes(&parent->digest);

    *out++ = (uint8_t)parent->kind;
    *out++ = (uint8_t)parent->digest.alg;
    memcpy(out, value.data, value.len);
    out += value.len;
    store_put_u64(out, parent->size_bytes);
    out = edge_write_type(out + 8, parent->media_type);
    return edge_write_type(out, parent->child_media_type);
}

/* The key goes into the MAC: a value moved to another child's key is not ours there. */
static void edges_mac(const struct store *store, const struct store_key *key, struct bytes body,
                      uint8_t out[STORE_MAC_BYTES])
{
    char context[8 + 2 * STORE_KEY_BYTES + 1] = "edges/";

    bytes_hex_encode(bytes_make(key->bytes, sizeof(key->bytes)), context + 6);
    store_mac(store, context, body, out);
}

struct edges_found {
    const struct store *store;
    const struct store_key *key;
    struct edge_list list;
    bool ok;
};

/* Read all entries; the array has room for one more. */
static bool edges_read(struct bytes body, struct edge_list *out)
{
    struct bytes in = body;
    struct edge_parent one;
    size_t count = 0;

    while (in.len > 0) {
        if (count == EDGES_MAX_PARENTS || !edge_read(&in, &one)) {
            return false;
        }
        count++;
    }
    out->parents = calloc(count + 1, sizeof(*out->parents));
    if (out->parents == NULL) {
        return false;
    }
    for (in = body; out->count < count; out->count++) {
        if (!edge_read(&in, &out->parents[out->count])) {
            return false;
        }
    }
    return true;
}

static void edges_on_value(struct bytes value, void *arg)
{
    struct edges_found *found = arg;
    uint8_t mac[STORE_MAC_BYTES];
    struct bytes body;

    if (value.len < STORE_MADE_BYTES + STORE_MAC_BYTES) {
        return;
    }
    body = bytes_slice(value, 0, value.len - STORE_MAC_BYTES);
    edges_mac(found->store, found->key, body, mac);
    if (!bytes_equal_secret(bytes_make(mac, sizeof(mac)),
                            bytes_slice(value, body.len, STORE_MAC_BYTES))) {
        return;
    }
    found->ok = edges_read(bytes_slice(body, STORE_MADE_BYTES, SIZE_MAX), &found->list);
}

static bool edges_load(struct edges *edges, const struct store_key *key, struct edge_list *out)
{
    struct edges_found found = {.store = edges->store, .key = key};

    if (!store_view(edges->store, STORE_EDGES, bytes_make(key->bytes, sizeof(key->bytes)),
                    edges_on_value, &found) ||
        !found.ok) {
        edge_list_done(&found.list);
        return false;
    }
    *out = found.list;
    return true;
}

bool edges_get(struct edges *edges, const struct cache_scope *scope, const struct digest *child,
               int64_t now_unix_s, struct edge_list *out)
{
    struct store_key key;

    (void)scope_digest_key(scope, child, &key);
    if (!edges_load(edges, &key, out)) {
        return false;
    }
    store_touch(edges->store, STORE_EDGES, bytes_make(key.bytes, sizeof(key.bytes)), now_unix_s);
    return true;
}

static bool edge_same(const struct edge_parent *a, const struct edge_parent *b)
{
    return a->kind == b->kind && a->size_bytes == b->size_bytes &&
           digest_equal(&a->digest, &b->digest) && strcmp(a->media_type, b->media_type) == 0 &&
           strcmp(a->child_media_type, b->child_media_type) == 0;
}

/* Put an edge in front. False when it is known and far enough in front already. */
static bool edge_list_add(struct edge_list *list, const struct edge_parent *parent)
{
    size_t at = 0;

    while (at < list->count && !edge_same(&list->parents[at], parent)) {
        at++;
    }
    if (at < list->count && at < EDGES_MAX_PARENTS / 2) {
        return false;
    }
    if (at == list->count) { /* a new one; the array has room for one over the limit */
        at = GH_MIN(list->count, (size_t)EDGES_MAX_PARENTS - 1);
        list->count = at + 1;
    }
    memmove(&list->parents[1], &list->parents[0], at * sizeof(list->parents[0]));
    list->parents[0] = *parent;
    return true;
}

static bool edges_batch_list(struct edges *edges, struct store_batch *batch,
                             const struct store_key *key, const struct edge_list *list,
                             int64_t now_unix_s, struct gh_error *err)
{
    struct bytes_buf value = {0};
    uint8_t *out;
    bool ok;

    GH_TRY(bytes_buf_alloc(STORE_MADE_BYTES + list->count * EDGE_ENTRY_MAX + STORE_MAC_BYTES,
                           &value, err));
    store_put_u64(value.data, (uint64_t)now_unix_s);
    out = value.data + STORE_MADE_BYTES;
    for (size_t i = 0; i < list->count; i++) {
        out = edge_write(out, &list->parents[i]);
    }
    edges_mac(edges->store, key, bytes_make(value.data, (size_t)(out - value.data)), out);
    out += STORE_MAC_BYTES;
    ok = store_batch_put(batch, STORE_EDGES, bytes_make(key->bytes, sizeof(key->bytes)),
                         bytes_make(value.data, (size_t)(out - value.data)), err);
    bytes_buf_done(&value);
    return ok;
}

static bool edge_copy_type(char out[EDGES_MAX_TYPE + 1], struct bytes type, struct gh_error *err)
{
    if (type.len > EDGES_MAX_TYPE || bytes_contains_nul(type)) {
        return gh_fail(err, GH_SIZE_LIMIT_EXCEEDED, "a media type is longer than %d bytes",
                       EDGES_MAX_TYPE);
    }
    if (type.len > 0) {
        memcpy(out, type.data, type.len);
    }
    out[type.len] = '\0';
    return true;
}

/* What goes into one child's list: the edges a manifest has to one digest. */
struct edges_run {
    const struct cache_scope *scope;
    struct edge_parent parent; /* its own fields; those of the edge are filled in */
    const struct edge_child *const *children;
    size_t count;
    int64_t now_unix_s;
};

/* Room for COUNT more. */
static bool edge_list_grow(struct edge_list *list, size_t count, struct gh_error *err)
{
    struct edge_parent *grown = calloc(list->count + count + 1, sizeof(*grown));

    if (grown == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
    }
    if (list->count > 0) {
        memcpy(grown, list->parents, list->count * sizeof(*grown));
    }
    free(list->parents);
    list->parents = grown;
    return true;
}

/* Add one child's edges to the batch, where there is anything to change. The lock is held. */
static bool edges_put_run(struct edges *edges, struct store_batch *batch, struct edges_run *run,
                          bool *changed, struct gh_error *err)
{
    struct edge_list list = {0};
    struct store_key key;
    bool added = false;
    bool ok;

    (void)scope_digest_key(run->scope, &run->children[0]->digest, &key);
    (void)edges_load(edges, &key, &list);
    ok = edge_list_grow(&list, run->count, err);
    for (size_t i = 0; ok && i < run->count; i++) {
        run->parent.kind = run->children[i]->kind;
        run->parent.size_bytes = run->children[i]->size_bytes;
        ok = edge_copy_type(run->parent.child_media_type, run->children[i]->media_type, err);
        added = (ok && edge_list_add(&list, &run->parent)) || added;
    }
    if (ok && added) {
        ok = edges_batch_list(edges, batch, &key, &list, run->now_unix_s, err);
        *changed = true;
    }
    edge_list_done(&list);
    return ok;
}

static int edge_child_order(const void *a, const void *b)
{
    const struct edge_child *x = *(const struct edge_child *const *)a;
    const struct edge_child *y = *(const struct edge_child *const *)b;

    return memcmp(&x->digest, &y->digest, sizeof(x->digest));
}

/* One digest may stand in a manifest several times (config and layer, say): such entries go into
 * one list together. */
static bool edges_put_sorted(struct edges *edges, struct store_batch *batch,
                             const struct edge_child **sorted, size_t count, struct edges_run *run,
                             bool *changed, struct gh_error *err)
{
    size_t first = 0;

    qsort(sorted, count, sizeof(*sorted), edge_child_order);
    while (first < count) {
        size_t end = first + 1;

        while (end < count && digest_equal(&sorted[first]->digest, &sorted[end]->digest)) {
            end++;
        }
        run->children = sorted + first;
        run->count = end - first;
        GH_TRY(edges_put_run(edges, batch, run, changed, err));
        first = end;
    }
    return true;
}

bool edges_put(struct edges *edges, const struct cache_scope *scope, const struct digest *parent,
               struct bytes parent_media_type, const struct edge_child *children, size_t count,
               int64_t now_unix_s, struct gh_error *err)
{
    GH_OWN(store_batch_freep) struct store_batch *batch = NULL;
    struct edges_run run = {.scope = scope, .now_unix_s = now_unix_s};
    const struct edge_child **sorted;
    bool changed = false;
    bool ok;

    if (count > EDGES_MAX_CHILDREN) {
        return gh_fail(err, GH_COUNT_LIMIT_EXCEEDED, "a manifest names more than %d children",
                       EDGES_MAX_CHILDREN);
    }
    run.parent.digest = *parent;
    GH_TRY(edge_copy_type(run.parent.media_type, parent_media_type, err));
    GH_TRY(store_batch_new(&batch, err));
    sorted = calloc(count + 1, sizeof(*sorted));
    if (sorted == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
    }
    for (size_t i = 0; i < count; i++) {
        sorted[i] = &children[i];
    }
    LOCK_HOLD(&edges->lock);
    ok = edges_put_sorted(edges, batch, sorted, count, &run, &changed, err);
    free(sorted);
    return ok && (!changed || store_submit(edges->store, GH_TAKE(batch), NULL, NULL, err));
}
