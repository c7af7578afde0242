#include "proxy/trust_held.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/digest.h"
#include "metrics/error.h"
#include "metrics/lock.h"
#include "proxy/config_files.h"
#include "proxy/tuf_refresh.h"

#define TRUST_HELD_TARGET "trusted_root.json"
#define TRUST_HELD_MAX_NAME 100  /* of tenant and root, each, in a file name */
#define TRUST_HELD_HASH_BYTES 16 /* of SHA-256, in a file name */

struct trust_held_copy {
    struct trust_held_copy *next;
    char *folder;
    struct bytes_buf target;
    int64_t refreshed_unix_s;
};

struct trust_held {
    struct lock lock; /* the list */
    struct trust_held_copy *copies;
};

static void trust_held_str_freep(char **string)
{
    free(*string);
}

bool trust_held_new(struct trust_held **out, struct gh_error *err)
{
    struct trust_held *held = calloc(1, sizeof(*held));

    if (held == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for trust roots");
    }
    lock_init(&held->lock, GH_RANK_LIMIT);
    *out = held;
    return true;
}

void trust_held_free(struct trust_held *held)
{
    if (held == NULL) {
        return;
    }
    while (held->copies != NULL) {
        struct trust_held_copy *copy = held->copies;

        held->copies = copy->next;
        bytes_buf_done(&copy->target);
        free(copy->folder);
        free(copy);
    }
    lock_done(&held->lock);
    free(held);
}

/* ---- folders ---- */

/* Another repository or another beginning of trust is another folder: nothing carries over. */
static bool trust_held_hash(const struct config_tuf_ask *ask,
                            char out[2 * TRUST_HELD_HASH_BYTES + 1], struct gh_error *err)
{
    GH_OWN(digest_stream_freep) struct digest_stream *stream = NULL;
    struct digest digest;
    struct bytes raw;

    GH_TRY(digest_stream_new(DIGEST_SHA256, &stream, err));
    GH_TRY(digest_stream_update(stream, bytes_make((const uint8_t *)ask->url, strlen(ask->url) + 1),
                                err));
    GH_TRY(digest_stream_update(stream, ask->initial_root, err));
    GH_TRY(digest_stream_final(stream, &digest, err));
    raw = digest_bytes(&digest);
    for (size_t i = 0; i < TRUST_HELD_HASH_BYTES; i++) {
        (void)snprintf(out + 2 * i, 3, "%02x", raw.data[i]);
    }
    return true;
}

static bool trust_held_folder(const struct config_tuf_ask *ask, char **out, struct gh_error *err)
{
    GH_OWN(trust_held_str_freep) char *tenant = NULL;
    GH_OWN(trust_held_str_freep) char *root = NULL;
    char hash[2 * TRUST_HELD_HASH_BYTES + 1];

    if (ask->storage == NULL) {
        return gh_fail(err, GH_TRUST_ROOT_MISSING, "there is no storage.path to keep it in");
    }
    GH_TRY(tuf_path_escape(bytes_of(ask->tenant), false, TRUST_HELD_MAX_NAME, &tenant, err));
    GH_TRY(tuf_path_escape(bytes_of(ask->root), false, TRUST_HELD_MAX_NAME, &root, err));
    GH_TRY(trust_held_hash(ask, hash, err));
    if (asprintf(out, "%s/tuf/%s-%s-%s", ask->storage, tenant, root, hash) < 0) {
        *out = NULL;
        return gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
    }
    return true;
}

static bool trust_held_is_folder(const char *path)
{
    struct stat facts;

    return stat(path, &facts) == 0 && S_ISDIR(facts.st_mode);
}

/* Whether a refresh is under way in the folder, here or in another process. */
static bool trust_held_is_busy(const char *folder)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool is_busy = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;

    if (fd >= 0) {
        (void)close(fd);
    }
    return is_busy;
}

/* ---- memory ---- */

static struct trust_held_copy *trust_held_find(struct trust_held *held, const char *folder)
{
    struct trust_held_copy *copy = held->copies;

    while (copy != NULL && strcmp(copy->folder, folder) != 0) {
        copy = copy->next;
    }
    return copy;
}

static bool trust_held_recall(struct trust_held *held, const char *folder,
                              struct config_tuf_state *out)
{
    struct gh_error ignored = {0};
    const struct trust_held_copy *copy;

    LOCK_HOLD(&held->lock);
    copy = trust_held_find(held, folder);
    if (copy == NULL || !bytes_dup(bytes_view(&copy->target), &out->trusted_root, &ignored)) {
        return false;
    }
    out->refreshed_unix_s = copy->refreshed_unix_s;
    return true;
}

/* Without memory for it a later reload waits; nothing else is lost. */
static void trust_held_remember(struct trust_held *held, const char *folder,
                                const struct config_tuf_state *state)
{
    struct bytes_buf target = {0};
    struct gh_error ignored = {0};
    struct trust_held_copy *copy;

    LOCK_HOLD(&held->lock);
    copy = trust_held_find(held, folder);
    if (copy == NULL) {
        copy = calloc(1, sizeof(*copy));
        if (copy == NULL || (copy->folder = strdup(folder)) == NULL) {
            free(copy);
            return;
        }
        copy->next = held->copies;
        held->copies = copy;
    }
    if (bytes_dup(bytes_view(&state->trusted_root), &target, &ignored)) {
        bytes_buf_done(&copy->target);
        copy->target = target;
        copy->refreshed_unix_s = state->refreshed_unix_s;
    }
}

/* ---- reading ---- */

bool trust_held_load(void *context, const struct config_tuf_ask *ask, struct config_tuf_state *out)
{
    struct trust_held *held = context;
    GH_OWN(trust_held_str_freep) char *folder = NULL;
    struct tuf_status status;
    struct tuf_refresh refresh = {.target = TRUST_HELD_TARGET, .url = ask->url};
    struct gh_error error = {0};

    if (!trust_held_folder(ask, &folder, &error)) {
        (void)snprintf(out->problem, sizeof(out->problem), "%.199s", error.text);
        return false;
    }
    if (!trust_held_is_folder(folder)) {
        return false;
    }
    if (held != NULL && trust_held_is_busy(folder) && trust_held_recall(held, folder, out)) {
        return true;
    }
    refresh.folder = folder;
    if (!tuf_refresh_held(&refresh, &out->trusted_root, &status, &out->refreshed_unix_s, &error)) {
        if (error.cause != GH_TRUST_ROOT_MISSING) {
            (void)snprintf(out->problem, sizeof(out->problem), "%.199s", error.text);
        }
        return false;
    }
    if (held != NULL) {
        trust_held_remember(held, folder, out);
    }
    return true;
}

bool trust_held_status(const struct config_tuf_ask *ask, struct tuf_status *status,
                       int64_t *refreshed_unix_s, struct gh_error *err)
{
    GH_OWN(trust_held_str_freep) char *folder = NULL;
    GH_OWN(bytes_buf_done) struct bytes_buf target = {0};
    struct tuf_refresh refresh = {.target = TRUST_HELD_TARGET, .url = ask->url};

    GH_TRY(trust_held_folder(ask, &folder, err));
    if (!trust_held_is_folder(folder)) {
        return gh_fail(err, GH_TRUST_ROOT_MISSING, "it has not been fetched yet");
    }
    refresh.folder = folder;
    return tuf_refresh_held(&refresh, &target, status, refreshed_unix_s, err);
}

int64_t trust_held_stamp(const struct config_tuf_ask *ask)
{
    GH_OWN(trust_held_str_freep) char *folder = NULL;
    GH_OWN(trust_held_str_freep) char *path = NULL;
    struct gh_error ignored = {0};
    struct stat facts;

    if (!trust_held_folder(ask, &folder, &ignored)) {
        return 0;
    }
    if (asprintf(&path, "%s/%s", folder, TUF_REFRESH_TIME_NAME) < 0) {
        path = NULL;
        return 0;
    }
    /* Nanoseconds: two refreshes within one second are two. */
    return stat(path, &facts) == 0
               ? (int64_t)facts.st_mtim.tv_sec * 1000000000 + facts.st_mtim.tv_nsec
               : 0;
}

void trust_held_ask(const struct config *config, const struct config_tenant *tenant,
                    const struct config_root *root, struct config_tuf_ask *out)
{
    *out = (struct config_tuf_ask){.storage = config->storage.path,
                                   .tenant = tenant->name,
                                   .root = root->name,
                                   .url = root->url,
                                   .initial_root = root->initial_root};
}

/* ---- refreshing ---- */

static bool trust_held_make_folders(const char *storage, struct gh_error *err)
{
    GH_OWN(trust_held_str_freep) char *parent = NULL;

    if (asprintf(&parent, "%s/tuf", storage) < 0) {
        parent = NULL;
        return gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
    }
    if ((mkdir(storage, 0750) != 0 && errno != EEXIST) ||
        (mkdir(parent, 0755) != 0 && errno != EEXIST)) {
        return gh_fail(err, GH_INTERNAL_ERROR, "cannot make the folder %.150s: %s", parent,
                       strerror(errno));
    }
    return true;
}

bool trust_held_update(const struct config_fetch *fetch, bool is_offline,
                       const struct config_tuf_ask *ask, int64_t now_unix_s, const int *stop,
                       struct tuf_status *status, struct gh_error *err)
{
    GH_OWN(trust_held_str_freep) char *folder = NULL;
    GH_OWN(trust_held_str_freep) char *url = config_files_rewrite(fetch, ask->url);
    GH_OWN(bytes_buf_done) struct bytes_buf target = {0};
    struct tuf_refresh refresh = {.url = url,
                                  .initial_root = ask->initial_root,
                                  .target = TRUST_HELD_TARGET,
                                  .now_unix_s = now_unix_s,
                                  .stop = stop};

    if (url == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
    }
    if (is_offline && strncmp(url, "file://", 7) != 0) {
        return gh_fail(err, GH_POLICY_DENIED, "offline: %.150s is not fetched", url);
    }
    GH_TRY(trust_held_folder(ask, &folder, err));
    GH_TRY(trust_held_make_folders(ask->storage, err));
    refresh.folder = folder;
    if (stop != NULL && trust_held_is_busy(folder)) {
        return gh_fail(err, GH_UPSTREAM_UNAVAILABLE, "another process is refreshing it");
    }
    return tuf_refresh_run(&refresh, &target, status, err);
}
