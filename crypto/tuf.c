#include "crypto/tuf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/sjson.h"
#include "crypto/tuf_search.h"

enum tuf_state {
    TUF_STATE_READ_ROOT,
    TUF_STATE_FETCH_ROOT,
    TUF_STATE_STORE_ROOT,
    TUF_STATE_FORGET_TIMESTAMP,
    TUF_STATE_FORGET_SNAPSHOT,
    TUF_STATE_READ_TIMESTAMP,
    TUF_STATE_FETCH_TIMESTAMP,
    TUF_STATE_STORE_TIMESTAMP,
    TUF_STATE_READ_SNAPSHOT,
    TUF_STATE_FETCH_SNAPSHOT,
    TUF_STATE_STORE_SNAPSHOT,
    TUF_STATE_READ_TARGETS,
    TUF_STATE_FETCH_TARGETS,
    TUF_STATE_STORE_TARGETS,
    TUF_STATE_IDLE,
    TUF_STATE_READ_ROLE,
    TUF_STATE_FETCH_ROLE,
    TUF_STATE_STORE_ROLE,
    TUF_STATE_TARGET,
    TUF_STATE_FAILED
};

struct tuf_client {
    int64_t now_unix_s;
    enum tuf_state state;
    unsigned rotations;
    bool must_forget; /* the timestamp's or snapshot's keys were rotated */
    struct tuf_metadata *root;
    struct tuf_metadata *timestamp;
    struct tuf_metadata *snapshot;
    struct tuf_metadata *targets;
    struct tuf_file wanted; /* entry of the document that is read or fetched now */
    char *name;             /* of the request: owned */
    char *path;             /* of the request: owned */
    struct tuf_search search;
};

bool tuf_client_new(int64_t now_unix_s, struct tuf_client **out, struct gh_error *err)
{
    struct tuf_client *client = calloc(1, sizeof(*client));

    if (client == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
    }
    client->now_unix_s = now_unix_s;
    client->state = TUF_STATE_READ_ROOT;
    *out = client;
    return true;
}

void tuf_client_free(struct tuf_client *client)
{
    if (client == NULL) {
        return;
    }
    tuf_search_done(&client->search);
    tuf_metadata_free(client->root);
    tuf_metadata_free(client->timestamp);
    tuf_metadata_free(client->snapshot);
    tuf_metadata_free(client->targets);
    free(client->name);
    free(client->path);
    free(client);
}

static void client_replace(struct tuf_metadata **slot, struct tuf_metadata *metadata)
{
    tuf_metadata_free(*slot);
    *slot = metadata;
}

static bool client_set_names(struct tuf_client *client, char *name, char *path,
                             struct gh_error *err)
{
    free(client->name);
    free(client->path);
    client->name = name;
    client->path = path;
    if (name == NULL || path == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
    }
    return true;
}

/* Go on with a document: `<name>.json` in the state, `<version>.<name>.json` in the repository,
 * where a version is part of the name at all (version 0: it is not). */
static bool client_go(struct tuf_client *client, enum tuf_state state, const char *role,
                      int64_t version, struct gh_error *err)
{
    GH_OWN(bytes_buf_done) struct bytes_buf escaped = {0};
    char *name = NULL, *path = NULL;
    char *text;

    GH_TRY(tuf_path_escape(bytes_of(role), false, TUF_FILE_MAX_BYTES, &text, err));
    escaped = (struct bytes_buf){(uint8_t *)text, strlen(text)};
    if (asprintf(&name, "%s.json", text) < 0) {
        name = NULL;
    }
    if ((version > 0 ? asprintf(&path, "%lld.%s.json", (long long)version, text)
                     : asprintf(&path, "%s.json", text)) < 0) {
        path = NULL;
    }
    client->state = state;
    return client_set_names(client, name, path, err);
}

static const struct tuf_role *client_top_role(const struct tuf_client *client, enum tuf_type type)
{
    return &client->root->roles[type]; /* in the order of enum tuf_type */
}

static bool client_check_end(const struct tuf_client *client, const char *role,
                             const struct tuf_metadata *metadata, struct gh_error *err)
{
    if (metadata->expires_unix_s <= client->now_unix_s) {
        return gh_fail(err, GH_TUF_FREEZE, "%.60s metadata version %lld ended at %lld, now is %lld",
                       role, (long long)metadata->version, (long long)metadata->expires_unix_s,
                       (long long)client->now_unix_s);
    }
    return true;
}

static bool client_absent(const struct tuf_client *client, struct gh_error *err)
{
    return gh_fail(err, GH_TUF_MIX_MATCH, "the repository does not have %.120s", client->path);
}

/* ---- root ---- */

static bool client_take_first_root(struct tuf_client *client, const struct bytes *content,
                                   struct gh_error *err)
{
    GH_OWN(tuf_metadata_freep) struct tuf_metadata *root = NULL;

    if (content == NULL) {
        return gh_fail(err, GH_TRUST_ROOT_MISSING, "there is no root.json to begin with");
    }
    GH_TRY(tuf_metadata_read(TUF_ROOT, *content, &root, err));
    GH_TRY(tuf_metadata_verify(root, &root->roles[TUF_ROOT], root, err));
    client->root = GH_TAKE(root);
    return client_go(client, TUF_STATE_FETCH_ROOT, "root", client->root->version + 1, err);
}

/* Whether a key that spoke for the role does so no longer. */
static bool client_key_removed(const struct tuf_role *before, const struct tuf_role *after)
{
    for (size_t i = 0; i < json_array_size(before->key_ids); i++) {
        const char *id = json_string_value(json_array_get(before->key_ids, i));
        bool is_kept = false;

        for (size_t j = 0; j < json_array_size(after->key_ids) && !is_kept; j++) {
            is_kept = strcmp(json_string_value(json_array_get(after->key_ids, j)), id) == 0;
        }
        if (!is_kept) {
            return true;
        }
    }
    return false;
}

/* The walk along the roots is over: only the last one must not have ended. */
static bool client_settle_root(struct tuf_client *client, struct gh_error *err)
{
    GH_TRY(client_check_end(client, "root", client->root, err));
    /* Recovery from a fast-forward attack: versions that removed keys vouched for bind nobody. */
    return client_go(client,
                     client->must_forget ? TUF_STATE_FORGET_TIMESTAMP : TUF_STATE_READ_TIMESTAMP,
                     "timestamp", 0, err);
}

static bool client_take_root(struct tuf_client *client, const struct bytes *content,
                             struct gh_error *err)
{
    GH_OWN(tuf_metadata_freep) struct tuf_metadata *next = NULL;

    if (content == NULL) {
        return client_settle_root(client, err);
    }
    if (client->rotations == TUF_MAX_ROTATIONS) {
        return gh_fail(err, GH_TUF_LIMIT_EXCEEDED, "more than %d root rotations in one refresh",
                       TUF_MAX_ROTATIONS);
    }
    GH_TRY(tuf_metadata_read(TUF_ROOT, *content, &next, err));
    GH_TRY(tuf_metadata_verify(client->root, client_top_role(client, TUF_ROOT), next, err));
    GH_TRY(tuf_metadata_verify(next, &next->roles[TUF_ROOT], next, err));
    if (next->version != client->root->version + 1) {
        return gh_fail(err, GH_TUF_ROLLBACK, "root version %lld follows version %lld",
                       (long long)next->version, (long long)client->root->version);
    }
    client->must_forget =
        client->must_forget ||
        client_key_removed(client_top_role(client, TUF_TIMESTAMP), &next->roles[TUF_TIMESTAMP]) ||
        client_key_removed(client_top_role(client, TUF_SNAPSHOT), &next->roles[TUF_SNAPSHOT]);
    client->rotations++;
    client_replace(&client->root, GH_TAKE(next));
    return client_go(client, TUF_STATE_STORE_ROOT, "root", 0, err);
}

/* ---- timestamp ---- */

/* What is in the state is evidence of what was seen before, as far as the present root's keys still
 * vouch for it. What does not verify is not used, and not an error: keys rotate. */
static struct tuf_metadata *client_read_held(const struct tuf_client *client, enum tuf_type type,
                                             const struct bytes *content)
{
    GH_OWN(tuf_metadata_freep) struct tuf_metadata *held = NULL;
    struct gh_error ignored = {0};

    if (content == NULL || !tuf_metadata_read(type, *content, &held, &ignored) ||
        !tuf_metadata_verify(client->root, client_top_role(client, type), held, &ignored)) {
        return NULL;
    }
    return GH_TAKE(held);
}

/* The snapshot that the timestamp names is next. */
static bool client_want_snapshot(struct tuf_client *client, enum tuf_state state,
                                 struct gh_error *err)
{
    if (!tuf_metadata_meta(client->timestamp, "snapshot.json", &client->wanted)) {
        return gh_fail(err, GH_TUF_MIX_MATCH, "the timestamp names no snapshot");
    }
    return client_go(client, state, "snapshot",
                     client->root->is_consistent ? client->wanted.version : 0, err);
}

static bool client_check_timestamp(const struct tuf_client *client, const struct tuf_metadata *next,
                                   struct gh_error *err)
{
    struct tuf_file before, after;

    if (next->version < client->timestamp->version) {
        return gh_fail(err, GH_TUF_ROLLBACK, "timestamp version %lld, version %lld was seen before",
                       (long long)next->version, (long long)client->timestamp->version);
    }
    if (tuf_metadata_meta(client->timestamp, "snapshot.json", &before) &&
        tuf_metadata_meta(next, "snapshot.json", &after) && after.version < before.version &&
        next->version > client->timestamp->version) {
        return gh_fail(err, GH_TUF_ROLLBACK,
                       "the timestamp names snapshot version %lld, version %lld was seen before",
                       (long long)after.version, (long long)before.version);
    }
    return true;
}

static bool client_take_timestamp(struct tuf_client *client, const struct bytes *content,
                                  struct gh_error *err)
{
    GH_OWN(tuf_metadata_freep) struct tuf_metadata *next = NULL;

    if (content == NULL) {
        return client_absent(client, err);
    }
    GH_TRY(tuf_metadata_read(TUF_TIMESTAMP, *content, &next, err));
    GH_TRY(tuf_metadata_verify(client->root, client_top_role(client, TUF_TIMESTAMP), next, err));
    if (client->timestamp != NULL) {
        GH_TRY(client_check_timestamp(client, next, err));
        if (next->version == client->timestamp->version) {
            /* nothing new: what was seen first under a version stands */
            GH_TRY(client_check_end(client, "timestamp", client->timestamp, err));
            return client_want_snapshot(client, TUF_STATE_READ_SNAPSHOT, err);
        }
    }
    GH_TRY(client_check_end(client, "timestamp", next, err));
    client_replace(&client->timestamp, GH_TAKE(next));
    return client_go(client, TUF_STATE_STORE_TIMESTAMP, "timestamp", 0, err);
}

/* ---- snapshot ---- */

static bool client_want_targets(struct tuf_client *client, enum tuf_state state,
                                struct gh_error *err)
{
    if (!tuf_metadata_meta(client->snapshot, "targets.json", &client->wanted)) {
        return gh_fail(err, GH_TUF_MIX_MATCH, "the snapshot does not list targets.json");
    }
    return client_go(client, state, "targets",
                     client->root->is_consistent ? client->wanted.version : 0, err);
}

/* Whether a document is the very one that is wanted now, and has not ended. */
static bool client_is_wanted(const struct tuf_client *client, const struct tuf_metadata *metadata)
{
    struct gh_error ignored = {0};

    return metadata->version == client->wanted.version &&
           metadata->expires_unix_s > client->now_unix_s &&
           tuf_file_check(&client->wanted, bytes_view(&metadata->bytes), false, GH_TUF_MIX_MATCH,
                          &ignored);
}

static bool client_take_held_snapshot(struct tuf_client *client, const struct bytes *content,
                                      struct gh_error *err)
{
    client_replace(&client->snapshot, client_read_held(client, TUF_SNAPSHOT, content));
    if (client->snapshot != NULL && client_is_wanted(client, client->snapshot)) {
        return client_want_targets(client, TUF_STATE_READ_TARGETS, err);
    }
    return client_want_snapshot(client, TUF_STATE_FETCH_SNAPSHOT, err);
}

/* No version that was listed before may decrease, and none may vanish. */
static bool client_check_snapshot(const struct tuf_client *client, const struct tuf_metadata *next,
                                  struct gh_error *err)
{
    struct tuf_file before, after;
    const char *name;
    json_t *value;

    if (client->snapshot == NULL) {
        return true;
    }
    if (next->version < client->snapshot->version) {
        return gh_fail(err, GH_TUF_ROLLBACK, "snapshot version %lld, version %lld was seen before",
                       (long long)next->version, (long long)client->snapshot->version);
    }
    json_object_foreach (json_object_get(client->snapshot->body, "meta"), name, value) {
        if (!tuf_metadata_meta(client->snapshot, name, &before)) {
            continue;
        }
        if (!tuf_metadata_meta(next, name, &after)) {
            return gh_fail(err, GH_TUF_ROLLBACK, "the snapshot no longer lists '%.80s'", name);
        }
        if (after.version < before.version) {
            return gh_fail(err, GH_TUF_ROLLBACK,
                           "the snapshot lists '%.80s' version %lld, version %lld was seen before",
                           name, (long long)after.version, (long long)before.version);
        }
    }
    return true;
}

/* What every document but root and timestamp must be: the one its parent names. */
static bool client_check_named(const struct tuf_client *client, const char *role,
                               const struct tuf_metadata *metadata, struct gh_error *err)
{
    if (metadata->version != client->wanted.version) {
        return gh_fail(err, GH_TUF_MIX_MATCH, "%.60s metadata is version %lld, wanted %lld", role,
                       (long long)metadata->version, (long long)client->wanted.version);
    }
    return true;
}

static bool client_take_snapshot(struct tuf_client *client, const struct bytes *content,
                                 struct gh_error *err)
{
    GH_OWN(tuf_metadata_freep) struct tuf_metadata *next = NULL;

    if (content == NULL) {
        return client_absent(client, err);
    }
    GH_TRY(tuf_file_check(&client->wanted, *content, false, GH_TUF_MIX_MATCH, err));
    GH_TRY(tuf_metadata_read(TUF_SNAPSHOT, *content, &next, err));
    GH_TRY(tuf_metadata_verify(client->root, client_top_role(client, TUF_SNAPSHOT), next, err));
    GH_TRY(client_check_named(client, "snapshot", next, err));
    GH_TRY(client_check_snapshot(client, next, err));
    GH_TRY(client_check_end(client, "snapshot", next, err));
    client_replace(&client->snapshot, GH_TAKE(next));
    return client_go(client, TUF_STATE_STORE_SNAPSHOT, "snapshot", 0, err);
}

/* ---- targets ---- */

static bool client_take_held_targets(struct tuf_client *client, const struct bytes *content,
                                     struct gh_error *err)
{
    client_replace(&client->targets, client_read_held(client, TUF_TARGETS, content));
    if (client->targets != NULL && client_is_wanted(client, client->targets)) {
        client->state = TUF_STATE_IDLE;
        return true;
    }
    client_replace(&client->targets, NULL);
    return client_want_targets(client, TUF_STATE_FETCH_TARGETS, err);
}

/* A targets role that was fetched, verified against the delegator that leads to it now. */
static bool client_read_role(struct tuf_client *client, const char *name,
                             const struct tuf_metadata *delegator, const struct tuf_role *role,
                             const struct bytes *content, struct tuf_metadata **out,
                             struct gh_error *err)
{
    GH_OWN(tuf_metadata_freep) struct tuf_metadata *next = NULL;

    if (content == NULL) {
        return client_absent(client, err);
    }
    GH_TRY(tuf_file_check(&client->wanted, *content, false, GH_TUF_MIX_MATCH, err));
    GH_TRY(tuf_metadata_read(TUF_TARGETS, *content, &next, err));
    GH_TRY(tuf_metadata_verify(delegator, role, next, err));
    GH_TRY(client_check_named(client, name, next, err));
    GH_TRY(client_check_end(client, name, next, err));
    *out = GH_TAKE(next);
    return true;
}

static bool client_take_targets(struct tuf_client *client, const struct bytes *content,
                                struct gh_error *err)
{
    struct tuf_metadata *next;

    GH_TRY(client_read_role(client, "targets", client->root, client_top_role(client, TUF_TARGETS),
                            content, &next, err));
    client_replace(&client->targets, next);
    return client_go(client, TUF_STATE_STORE_TARGETS, "targets", 0, err);
}

/* ---- the search for a target ---- */

/* ROLE lists the target: fetch it, under a name that holds its hash in a consistent repository. */
static bool client_want_target(struct tuf_client *client, struct gh_error *err)
{
    const char *hash = tuf_file_hash(&client->search.target);
    struct bytes path = bytes_of(client->search.path);
    size_t slash = bytes_find_last(path, BYTES_LITERAL("/"));
    size_t folder = slash == SIZE_MAX ? 0 : slash + 1;
    char *whole = NULL, *escaped = NULL, *name = NULL;

    if (hash == NULL) {
        return gh_fail(err, GH_TUF_TARGET_MISMATCH, "the target has no hash of a known algorithm");
    }
    if (client->search.target.length > (int64_t)TUF_MAX_TARGET_BYTES) {
        return gh_fail(err, GH_TUF_LIMIT_EXCEEDED, "a target of %lld bytes, at most %u",
                       (long long)client->search.target.length, TUF_MAX_TARGET_BYTES);
    }
    if (client->root->is_consistent) {
        if (asprintf(&whole, "%.*s%.128s.%s", (int)folder, client->search.path, hash,
                     client->search.path + folder) < 0) {
            whole = NULL;
        }
    } else {
        whole = strdup(client->search.path);
    }
    if (whole == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
    }
    /* the hash is outside data: what it names must stay below the targets' URL */
    if (!tuf_path_check(bytes_of(whole), err) ||
        !tuf_path_escape(bytes_of(whole), true, 4 * TUF_PATH_MAX_BYTES, &escaped, err)) {
        free(whole);
        return false;
    }
    free(whole);
    name = strdup(client->search.path);
    client->state = TUF_STATE_TARGET;
    return client_set_names(client, name, escaped, err);
}

/* The role that the search came to is read from the state first. */
static bool client_visit(struct tuf_client *client, struct gh_error *err)
{
    const char *role = client->search.at.name;
    char *name = NULL;
    bool is_listed;

    if (asprintf(&name, "%s.json", role) < 0) {
        return gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
    }
    is_listed = tuf_metadata_meta(client->snapshot, name, &client->wanted);
    free(name);
    if (!is_listed) {
        return gh_fail(err, GH_TUF_MIX_MATCH, "the snapshot does not list '%.80s.json'", role);
    }
    return client_go(client, TUF_STATE_READ_ROLE, role,
                     client->root->is_consistent ? client->wanted.version : 0, err);
}

/* Look into a role, then go on with the next one on the stack. */
static bool client_search(struct tuf_client *client, const struct tuf_metadata *role,
                          struct gh_error *err)
{
    struct tuf_search *search = &client->search;
    bool is_found;

    if (tuf_metadata_target(role, bytes_of(search->path), &search->target)) {
        return client_want_target(client, err);
    }
    GH_TRY(tuf_search_push(search, role, err));
    GH_TRY(tuf_search_next(search, &is_found, err));
    if (is_found) {
        return client_visit(client, err);
    }
    return gh_fail(err, GH_TUF_TARGET_MISMATCH, "no role lists the target '%.120s'", search->path);
}

bool tuf_client_find(struct tuf_client *client, struct bytes path, struct gh_error *err)
{
    if (client->state != TUF_STATE_IDLE) {
        return gh_fail(err, GH_INTERNAL_ERROR, "the TUF metadata has not been refreshed");
    }
    tuf_search_done(&client->search);
    GH_TRY(tuf_path_check(path, err));
    if (!bytes_to_cstr(path, &client->search.path, err)) {
        return gh_recast(err, GH_TUF_TARGET_MISMATCH);
    }
    if (!client_search(client, client->targets, err)) {
        client->state = TUF_STATE_FAILED;
        return false;
    }
    return true;
}

static bool client_take_held_role(struct tuf_client *client, const struct bytes *content,
                                  struct gh_error *err)
{
    const struct tuf_visit *at = &client->search.at;
    struct gh_error ignored = {0};
    struct tuf_metadata *held;

    /* An earlier search may have come here by another delegator; only this one's keys count. */
    if (content != NULL &&
        client_read_role(client, at->name, at->delegator, at->role, content, &held, &ignored)) {
        tuf_search_keep(&client->search, held);
        return client_search(client, held, err);
    }
    client->state = TUF_STATE_FETCH_ROLE;
    return true;
}

static bool client_take_role(struct tuf_client *client, const struct bytes *content,
                             struct gh_error *err)
{
    const struct tuf_visit *at = &client->search.at;
    struct tuf_metadata *role;

    GH_TRY(client_read_role(client, at->name, at->delegator, at->role, content, &role, err));
    tuf_search_keep(&client->search, role);
    client->state = TUF_STATE_STORE_ROLE;
    return true;
}

static bool client_take_target(struct tuf_client *client, const struct bytes *content,
                               struct gh_error *err)
{
    if (content == NULL) {
        return gh_fail(err, GH_TUF_TARGET_MISMATCH,
                       "the repository does not have the target '%.120s'", client->search.path);
    }
    GH_TRY(tuf_file_check(&client->search.target, *content, true, GH_TUF_TARGET_MISMATCH, err));
    client->state = TUF_STATE_IDLE;
    return true;
}

bool tuf_client_is_target(const struct tuf_client *client, struct bytes content)
{
    struct gh_error ignored = {0};

    return client->state == TUF_STATE_TARGET &&
           tuf_file_check(&client->search.target, content, true, GH_TUF_TARGET_MISMATCH, &ignored);
}

/* ---- the machine ---- */

static size_t client_fetch_limit(const struct tuf_client *client, enum tuf_type type)
{
    size_t limit = tuf_metadata_limit(type);

    if ((type == TUF_SNAPSHOT || type == TUF_TARGETS) && client->wanted.has_length &&
        (uint64_t)client->wanted.length < limit) {
        return (size_t)client->wanted.length;
    }
    return limit;
}

static const struct {
    enum tuf_request_kind kind;
    enum tuf_type type;
} client_requests[] = {
    [TUF_STATE_READ_ROOT] = {TUF_READ, TUF_ROOT},
    [TUF_STATE_FETCH_ROOT] = {TUF_FETCH, TUF_ROOT},
    [TUF_STATE_STORE_ROOT] = {TUF_STORE, TUF_ROOT},
    [TUF_STATE_FORGET_TIMESTAMP] = {TUF_FORGET, TUF_TIMESTAMP},
    [TUF_STATE_FORGET_SNAPSHOT] = {TUF_FORGET, TUF_SNAPSHOT},
    [TUF_STATE_READ_TIMESTAMP] = {TUF_READ, TUF_TIMESTAMP},
    [TUF_STATE_FETCH_TIMESTAMP] = {TUF_FETCH, TUF_TIMESTAMP},
    [TUF_STATE_STORE_TIMESTAMP] = {TUF_STORE, TUF_TIMESTAMP},
    [TUF_STATE_READ_SNAPSHOT] = {TUF_READ, TUF_SNAPSHOT},
    [TUF_STATE_FETCH_SNAPSHOT] = {TUF_FETCH, TUF_SNAPSHOT},
    [TUF_STATE_STORE_SNAPSHOT] = {TUF_STORE, TUF_SNAPSHOT},
    [TUF_STATE_READ_TARGETS] = {TUF_READ, TUF_TARGETS},
    [TUF_STATE_FETCH_TARGETS] = {TUF_FETCH, TUF_TARGETS},
    [TUF_STATE_STORE_TARGETS] = {TUF_STORE, TUF_TARGETS},
    [TUF_STATE_IDLE] = {TUF_IDLE, TUF_ROOT},
    [TUF_STATE_READ_ROLE] = {TUF_READ, TUF_TARGETS},
    [TUF_STATE_FETCH_ROLE] = {TUF_FETCH, TUF_TARGETS},
    [TUF_STATE_STORE_ROLE] = {TUF_STORE, TUF_TARGETS},
    [TUF_STATE_TARGET] = {TUF_TARGET, TUF_TARGETS},
    [TUF_STATE_FAILED] = {TUF_IDLE, TUF_ROOT},
};

static const struct tuf_metadata *client_stored(const struct tuf_client *client)
{
    if (client->state == TUF_STATE_STORE_ROLE) {
        return client->search.roles[client->search.role_count - 1];
    }
    switch (client_requests[client->state].type) {
    case TUF_ROOT:
        return client->root;
    case TUF_TIMESTAMP:
        return client->timestamp;
    case TUF_SNAPSHOT:
        return client->snapshot;
    case TUF_TARGETS:
        return client->targets;
    }
    return NULL;
}

void tuf_client_next(const struct tuf_client *client, struct tuf_request *out)
{
    *out = (struct tuf_request){.kind = client_requests[client->state].kind};
    out->name = client->state == TUF_STATE_READ_ROOT ? "root.json" : client->name;
    out->path = client->path;
    switch (out->kind) {
    case TUF_STORE:
        out->content = bytes_view(&client_stored(client)->bytes);
        break;
    case TUF_FETCH:
        out->limit_bytes = client_fetch_limit(client, client_requests[client->state].type);
        break;
    case TUF_READ:
        out->limit_bytes = tuf_metadata_limit(client_requests[client->state].type);
        break;
    case TUF_TARGET:
        out->limit_bytes = (size_t)client->search.target.length; /* at most TUF_MAX_TARGET_BYTES */
        break;
    case TUF_IDLE:
    case TUF_FORGET:
        break;
    }
}

static bool client_step(struct tuf_client *client, const struct bytes *content,
                        struct gh_error *err)
{
    switch (client->state) {
    case TUF_STATE_READ_ROOT:
        return client_take_first_root(client, content, err);
    case TUF_STATE_FETCH_ROOT:
        return client_take_root(client, content, err);
    case TUF_STATE_STORE_ROOT:
        return client_go(client, TUF_STATE_FETCH_ROOT, "root", client->root->version + 1, err);
    case TUF_STATE_FORGET_TIMESTAMP:
        return client_go(client, TUF_STATE_FORGET_SNAPSHOT, "snapshot", 0, err);
    case TUF_STATE_FORGET_SNAPSHOT:
        return client_go(client, TUF_STATE_FETCH_TIMESTAMP, "timestamp", 0, err);
    case TUF_STATE_READ_TIMESTAMP:
        client_replace(&client->timestamp, client_read_held(client, TUF_TIMESTAMP, content));
        return client_go(client, TUF_STATE_FETCH_TIMESTAMP, "timestamp", 0, err);
    case TUF_STATE_FETCH_TIMESTAMP:
        return client_take_timestamp(client, content, err);
    case TUF_STATE_STORE_TIMESTAMP:
        return client_want_snapshot(client, TUF_STATE_READ_SNAPSHOT, err);
    case TUF_STATE_READ_SNAPSHOT:
        return client_take_held_snapshot(client, content, err);
    case TUF_STATE_FETCH_SNAPSHOT:
        return client_take_snapshot(client, content, err);
    case TUF_STATE_STORE_SNAPSHOT:
        return client_want_targets(client, TUF_STATE_READ_TARGETS, err);
    case TUF_STATE_READ_TARGETS:
        return client_take_held_targets(client, content, err);
    case TUF_STATE_FETCH_TARGETS:
        return client_take_targets(client, content, err);
    case TUF_STATE_STORE_TARGETS:
        client->state = TUF_STATE_IDLE;
        return true;
    case TUF_STATE_READ_ROLE:
        return client_take_held_role(client, content, err);
    case TUF_STATE_FETCH_ROLE:
        return client_take_role(client, content, err);
    case TUF_STATE_STORE_ROLE:
        return client_search(client, client_stored(client), err);
    case TUF_STATE_TARGET:
        return client_take_target(client, content, err);
    case TUF_STATE_IDLE:
    case TUF_STATE_FAILED:
        break;
    }
    return gh_fail(err, GH_INTERNAL_ERROR, "the TUF client asked for nothing");
}

bool tuf_client_answer(struct tuf_client *client, const struct bytes *content, struct gh_error *err)
{
    if (!client_step(client, content, err)) {
        client->state = TUF_STATE_FAILED;
        return false;
    }
    return true;
}

void tuf_client_status(const struct tuf_client *client, struct tuf_status *out)
{
    *out = (struct tuf_status){0};
    if (client->root != NULL) {
        out->root_version = client->root->version;
        out->root_expires_unix_s = client->root->expires_unix_s;
    }
    if (client->timestamp != NULL) {
        out->timestamp_version = client->timestamp->version;
        out->timestamp_expires_unix_s = client->timestamp->expires_unix_s;
    }
    if (client->snapshot != NULL) {
        out->snapshot_version = client->snapshot->version;
        out->snapshot_expires_unix_s = client->snapshot->expires_unix_s;
    }
    if (client->targets != NULL) {
        out->targets_version = client->targets->version;
        out->targets_expires_unix_s = client->targets->expires_unix_s;
    }
}
