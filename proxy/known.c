#include "proxy/known.h"

#include <stdlib.h>
#include <string.h>

#include "cache/edges.h"
#include "cache/evidence_index.h"
#include "cache/manifest_store.h"
#include "cache/tag_cache.h"
#include "crypto/manifest.h"
#include "policy/evidence_record.h"
#include "proxy/content.h"
#include "proxy/gateway.h"
#include "proxy/recent.h"
#include "proxy/target.h"

/* The repository's name stands for upstream and repository alike. */
static struct cache_scope known_scope(const struct target *target)
{
    return (struct cache_scope){.tenant = target->tenant_name,
                                .upstream = target->ref.upstream,
                                .repository = target->ref.repository};
}

bool known_tag_get(struct gateway *gateway, const struct target *target, const char *tag,
                   const char *accept, struct known_tag *out)
{
    const struct cache_scope scope = known_scope(target);
    struct tag_record record;

    if (tag_cache_get(gateway->store, &scope, tag, accept, gateway_now(), 0, INT64_MAX / 2,
                      &record) == TAG_ABSENT) {
        return false;
    }
    out->digest = record.digest;
    out->confirmed_unix_s = record.fetched_unix_s;
    return true;
}

/* What cannot be remembered is asked again: failures of these writes cost time, never safety. */
static void known_ignore(bool is_done)
{
    (void)is_done;
}

static void known_tag_changed(struct gateway *gateway, const struct target *target, const char *tag,
                              const char *accept)
{
    struct recent_key key;

    recent_key_tag(target, tag, accept, &key);
    recent_forget(gateway->recent, &key);
}

void known_tag_put(struct gateway *gateway, const struct target *target, const char *tag,
                   const char *accept, const struct known_tag *known)
{
    const struct cache_scope scope = known_scope(target);
    struct tag_record record = {.digest = known->digest, .fetched_unix_s = known->confirmed_unix_s};
    struct gh_error error = {0};

    known_ignore(tag_cache_put(gateway->store, &scope, tag, accept, &record, &error));
    known_tag_changed(gateway, target, tag, accept);
}

void known_tag_forget(struct gateway *gateway, const struct target *target, const char *tag,
                      const char *accept)
{
    const struct cache_scope scope = known_scope(target);
    struct gh_error error = {0};

    known_ignore(tag_cache_remove(gateway->store, &scope, tag, accept, &error));
    known_tag_changed(gateway, target, tag, accept);
}

/* A manifest that the upstream served from here is its own parent. */
bool known_manifest(struct gateway *gateway, const struct target *target,
                    const struct digest *digest)
{
    const struct cache_scope scope = known_scope(target);
    struct edge_list list = {0};
    bool is_known = false;

    if (!edges_get(gateway->edges, &scope, digest, gateway_use_time(gateway), &list)) {
        return false;
    }
    for (size_t i = 0; i < list.count; i++) {
        is_known = is_known || digest_equal(&list.parents[i].digest, digest);
    }
    edge_list_done(&list);
    return is_known;
}

void known_manifest_put(struct gateway *gateway, const struct target *target,
                        const struct digest *digest, int64_t now_unix_s)
{
    const struct cache_scope scope = known_scope(target);
    const struct edge_child self = {.digest = *digest, .kind = EDGE_MANIFEST};
    struct gh_error error = {0};

    known_ignore(
        edges_put(gateway->edges, &scope, digest, bytes_make("", 0), &self, 1, now_unix_s, &error));
}

static void known_edge(struct edge_child *out, const struct manifest_descriptor *item,
                       enum edge_kind kind)
{
    *out = (struct edge_child){.digest = item->digest,
                               .kind = kind,
                               .size_bytes = (uint64_t)item->size,
                               .media_type = item->media_type};
}

/* The media type is part of the content, and content has one digest: the digest says it all. */
static bool known_edges_are_recent(struct gateway *gateway, struct recent_key *key,
                                   int64_t now_unix_s)
{
    struct content *none;
    int64_t confirmed_unix_s;

    return recent_get(gateway->recent, key, now_unix_s, &none, &confirmed_unix_s);
}

void known_edges_put(struct gateway *gateway, const struct target *target,
                     const struct content *parent, bool is_evidence, int64_t now_unix_s)
{
    const struct cache_scope scope = known_scope(target);
    GH_OWN(manifest_freep) struct manifest *manifest = NULL;
    struct edge_child *children;
    struct gh_error error = {0};
    struct recent_key key;
    size_t count = 0;

    recent_key_digest(target, is_evidence ? RECENT_EVIDENCE_EDGES : RECENT_EDGES, &parent->digest,
                      &key);
    if (known_edges_are_recent(gateway, &key, now_unix_s) ||
        !manifest_parse(parent->bytes, parent->media_type, &manifest, &error)) {
        return;
    }
    children = calloc(manifest->item_count + 2, sizeof(*children));
    if (children == NULL) {
        return;
    }
    if (is_evidence) { /* to itself: clients ask for the digest that a tag told them */
        children[count++] = (struct edge_child){.digest = parent->digest,
                                                .kind = EDGE_EVIDENCE,
                                                .size_bytes = parent->bytes.len,
                                                .media_type = bytes_of(parent->media_type)};
    }
    if (manifest->has_config) {
        known_edge(&children[count++], &manifest->config,
                   is_evidence ? EDGE_EVIDENCE : EDGE_CONFIG);
    }
    for (size_t i = 0; i < manifest->item_count; i++) {
        enum edge_kind kind = manifest->kind == MANIFEST_INDEX ? EDGE_MANIFEST : EDGE_LAYER;

        known_edge(&children[count++], &manifest->items[i], is_evidence ? EDGE_EVIDENCE : kind);
    }
    if (edges_put(gateway->edges, &scope, &parent->digest, bytes_of(parent->media_type), children,
                  count, now_unix_s, &error)) {
        recent_put(gateway->recent, &key, NULL, now_unix_s, now_unix_s);
    }
    free(children);
}

bool known_is_evidence(struct gateway *gateway, const struct target *target,
                       const struct digest *digest, int64_t now_unix_s)
{
    const struct cache_scope scope = known_scope(target);
    struct edge_list list = {0};
    bool is_known = false;

    if (!edges_get(gateway->edges, &scope, digest, now_unix_s, &list)) {
        return false;
    }
    for (size_t i = 0; i < list.count; i++) {
        is_known = is_known || (list.parents[i].kind == EDGE_EVIDENCE &&
                                digest_equal(&list.parents[i].digest, digest));
    }
    edge_list_done(&list);
    return is_known;
}

bool known_parents(struct gateway *gateway, const struct target *target,
                   const struct digest *digest, int64_t now_unix_s, struct edge_list *out)
{
    const struct cache_scope scope = known_scope(target);
    size_t kept = 0;

    if (!edges_get(gateway->edges, &scope, digest, now_unix_s, out)) {
        return false;
    }
    for (size_t i = 0; i < out->count; i++) {
        if (!digest_equal(&out->parents[i].digest, digest)) {
            out->parents[kept++] = out->parents[i];
        }
    }
    out->count = kept;
    if (kept == 0) {
        edge_list_done(out);
        return false;
    }
    return true;
}

bool known_blob_get(struct gateway *gateway, const struct digest *digest, struct bytes_buf *out)
{
    struct manifest_record record;

    if (!manifest_store_get(gateway->store, digest, gateway_use_time(gateway), &record)) {
        return false;
    }
    *out = record.content;
    memset(&record.content, 0, sizeof(record.content));
    manifest_record_done(&record);
    return true;
}

void known_blob_put(struct gateway *gateway, const struct digest *digest, const char *media_type,
                    struct bytes content)
{
    struct gh_error error = {0};

    known_ignore(manifest_store_put(gateway->store, digest,
                                    bytes_of(media_type != NULL ? media_type : ""), content,
                                    gateway_now(), &error));
}

void known_evidence_put(struct gateway *gateway, const struct target *target,
                        const struct digest *subject, const struct evidence_set *set,
                        int64_t now_unix_s)
{
    const struct cache_scope scope = known_scope(target);
    GH_OWN(bytes_buf_done) struct bytes_buf record = {0};
    struct gh_error error = {0};

    known_ignore(evidence_record_encode(set, &record, &error) &&
                 evidence_index_put(gateway->store, &scope, subject, bytes_view(&record),
                                    now_unix_s, &error));
}

bool known_evidence_has(struct gateway *gateway, const struct target *target,
                        const struct digest *subject)
{
    const struct cache_scope scope = known_scope(target);

    return evidence_index_has(gateway->store, &scope, subject);
}

struct evidence_record *known_evidence_get(struct gateway *gateway, const struct target *target,
                                           const struct digest *subject, int64_t *made_unix_s)
{
    const struct cache_scope scope = known_scope(target);
    GH_OWN(evidence_record_freep) struct evidence_record *record = NULL;
    GH_OWN(bytes_buf_done) struct bytes_buf stored = {0};
    struct gh_error error = {0};

    if (!evidence_index_get(gateway->store, &scope, subject, gateway_use_time(gateway), &stored,
                            made_unix_s) ||
        !evidence_record_decode(bytes_view(&stored), &record, &error)) {
        return NULL;
    }
    for (size_t i = 0; i < record->set.count; i++) {
        struct bytes_buf blob;

        if (!known_blob_get(gateway, &record->items[i].digest, &blob) ||
            !evidence_record_fill(record, i, &blob, &error)) {
            return NULL;
        }
    }
    return GH_TAKE(record);
}
