#include "proxy/pull.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache/manifest_store.h"
#include "crypto/manifest.h"
#include "metrics/text.h"
#include "proxy/content.h"
#include "proxy/gateway.h"
#include "proxy/generation.h"
#include "proxy/known.h"
#include "proxy/recent.h"
#include "proxy/target.h"
#include "proxy/upstream.h"
#include "proxy/worker.h"

#define PULL_ACCEPT_ALL                                                                            \
    MANIFEST_OCI_INDEX ", " MANIFEST_OCI_IMAGE ", " MANIFEST_DOCKER_LIST ","                       \
                       " " MANIFEST_DOCKER_IMAGE
#define PULL_MAX_PATH 1024
#define PULL_MAX_ACCEPT 256

struct pull {
    struct flight_seat *seat;
    pull_fn fn;
    void *ctx;
};

/* The work itself, of the one who leads. */
struct pull_work {
    struct gateway *gateway;
    struct worker *worker;
    struct generation *generation;
    struct target target;
    struct flight *flight;
    char accept[PULL_MAX_ACCEPT]; /* "": every known type */
    bool is_by_digest;
    struct digest digest;   /* wanted; or what the tag was last seen at */
    struct known_tag known; /* what is remembered of the tag */
    bool has_known;
    char path[PULL_MAX_PATH];
};

static void pull_result_destroy(struct flight_result *base)
{
    struct pull_result *result = (struct pull_result *)base;

    content_unref(result->content);
    free(result);
}

static struct pull_result *pull_result_new(enum pull_outcome outcome)
{
    struct pull_result *result = calloc(1, sizeof(*result));

    if (result != NULL) {
        result->base.references = 1;
        result->base.destroy = pull_result_destroy;
        result->outcome = outcome;
    }
    return result;
}

static struct content *pull_load(struct gateway *gateway, const struct target *target,
                                 const struct digest *digest, int64_t now_unix_s)
{
    struct manifest_record record;
    struct content *content;

    if (!known_manifest(gateway, target, digest) ||
        !manifest_store_get(gateway->store, digest, now_unix_s, &record)) {
        return NULL;
    }
    content = content_new(digest, record.media_type, bytes_view(&record.content));
    manifest_record_done(&record);
    return content;
}

struct content *pull_stored(struct gateway *gateway, const struct target *target,
                            const struct digest *digest)
{
    int64_t now = gateway_now();
    struct recent_key key;
    struct content *content;
    int64_t confirmed;

    if (gateway->store == NULL) {
        return NULL;
    }
    recent_key_digest(target, RECENT_MANIFEST, digest, &key);
    if (recent_get(gateway->recent, &key, now, &content, &confirmed)) {
        return content;
    }
    content = pull_load(gateway, target, digest, gateway_use_time(gateway));
    if (content != NULL) {
        recent_put(gateway->recent, &key, content, now, now);
    }
    return content;
}

/*
 * Whether the manifest a tag leads to depends on what the client accepts: only a client that does
 * not take everything may be given another one (a platform's instead of the index). What it takes
 * is told by the known types alone, in one order, so that what clients write makes no more than
 * fifteen different keys. OUT is "" for a client that takes everything, or nothing we know.
 */
static void pull_accept_class(const char *accept, char out[PULL_MAX_ACCEPT])
{
    static const char *const types[] = {MANIFEST_OCI_INDEX, MANIFEST_OCI_IMAGE,
                                        MANIFEST_DOCKER_LIST, MANIFEST_DOCKER_IMAGE};
    size_t used = 0;
    size_t count = 0;

    out[0] = '\0';
    if (accept == NULL || strstr(accept, "*/*") != NULL) {
        return;
    }
    for (size_t i = 0; i < GH_COUNT(types); i++) {
        /* Nearly all write them in lower case, and strcasestr() is slow. */
        if (strstr(accept, types[i]) != NULL || strcasestr(accept, types[i]) != NULL) {
            const char *const parts[] = {count++ > 0 ? ", " : "", types[i]};

            used += text_join(out + used, PULL_MAX_ACCEPT - used, parts, GH_COUNT(parts));
        }
    }
    if (count == GH_COUNT(types)) {
        out[0] = '\0';
    }
}

static bool pull_is_fresh(const struct generation *generation, int64_t confirmed_unix_s,
                          int64_t now_unix_s)
{
    return now_unix_s >= confirmed_unix_s &&
           now_unix_s - confirmed_unix_s < generation->config->cache.tag_ttl_s;
}

struct content *pull_stored_tag(struct gateway *gateway, const struct generation *generation,
                                const struct target *target, const char *tag, const char *accept,
                                int64_t now_unix_s)
{
    char class[PULL_MAX_ACCEPT];
    struct known_tag known;
    struct recent_key key;
    struct content *content;

    if (gateway->store == NULL) {
        return NULL;
    }
    pull_accept_class(accept, class);
    recent_key_tag(target, tag, class, &key);
    if (recent_get(gateway->recent, &key, now_unix_s, &content, &known.confirmed_unix_s)) {
        if (pull_is_fresh(generation, known.confirmed_unix_s, now_unix_s)) {
            return content;
        }
        content_unref(content);
        return NULL;
    }
    if (!known_tag_get(gateway, target, tag, class, &known) ||
        !pull_is_fresh(generation, known.confirmed_unix_s, now_unix_s)) {
        return NULL;
    }
    content = pull_stored(gateway, target, &known.digest);
    if (content != NULL) {
        recent_put(gateway->recent, &key, content, known.confirmed_unix_s, now_unix_s);
    }
    return content;
}

static void pull_work_free(struct pull_work *work)
{
    generation_unref(work->generation);
    free(work);
}

/* The end of every way: RESULT may be NULL when memory was out. */
static void pull_work_finish(struct pull_work *work, struct pull_result *result)
{
    flight_finish(work->flight, result != NULL ? &result->base : NULL);
    pull_work_free(work);
}

static void pull_work_fail(struct pull_work *work, enum pull_outcome outcome,
                           const struct gh_error *error, unsigned retry_after_s)
{
    struct pull_result *result = pull_result_new(outcome);

    if (result != NULL) {
        result->error = *error;
        result->retry_after_s = retry_after_s;
    }
    pull_work_finish(work, result);
}

static void pull_work_succeed(struct pull_work *work, struct content *content, bool is_stale)
{
    struct pull_result *result = pull_result_new(PULL_OK);

    if (result == NULL) {
        content_unref(content);
    } else {
        result->content = content;
        result->is_stale = is_stale;
    }
    pull_work_finish(work, result);
}

/* Confirmed now: remember the digest of the tag, and that this repository has the manifest. */
static void pull_remember(struct pull_work *work, const struct content *content)
{
    if (work->gateway->store == NULL) {
        return;
    }
    known_manifest_put(work->gateway, &work->target, &content->digest, gateway_now());
    if (!work->is_by_digest) {
        const struct known_tag known = {.digest = content->digest,
                                        .confirmed_unix_s = gateway_now()};

        known_tag_put(work->gateway, &work->target, work->target.ref.tag, work->accept, &known);
    }
}

static void pull_fetch(struct pull_work *work, enum upstream_method method);

/* The last digest of a tag serves while the upstream is away, for as long as tag_stale says. */
static bool pull_serve_stale(struct pull_work *work)
{
    struct content *content;

    if (!work->has_known || gateway_now() - work->known.confirmed_unix_s >
                                work->generation->config->cache.tag_stale_s) {
        return false;
    }
    content = pull_stored(work->gateway, &work->target, &work->known.digest);
    if (content == NULL) {
        return false;
    }
    pull_work_succeed(work, content, true);
    return true;
}

static void pull_on_failure(struct pull_work *work, const struct upstream_result *result)
{
    struct gh_error error = {0};

    switch (result->outcome) {
    case UPSTREAM_ABSENT:
    case UPSTREAM_DENIED:
        if (!work->is_by_digest && work->gateway->store != NULL) {
            known_tag_forget(work->gateway, &work->target, work->target.ref.tag, work->accept);
        }
        if (result->outcome == UPSTREAM_ABSENT) {
            (void)gh_fail(&error, GH_MANIFEST_UNKNOWN, "the registry does not have %s%s%s",
                          work->target.ref.name, work->is_by_digest ? "@" : ":",
                          strrchr(work->path, '/') + 1);
            pull_work_fail(work, PULL_ABSENT, &error, 0);
            return;
        }
        (void)gh_fail(&error, GH_CLIENT_NOT_PERMITTED,
                      "the registry refused the gateway's credentials for %s",
                      work->target.ref.name);
        pull_work_fail(work, PULL_DENIED, &error, 0);
        return;
    case UPSTREAM_TOO_LARGE:
        pull_work_fail(work, PULL_BROKEN, &result->error, 0);
        return;
    case UPSTREAM_THROTTLED:
    case UPSTREAM_UNAVAILABLE:
    case UPSTREAM_REJECTED:
    case UPSTREAM_REFUSED:
    case UPSTREAM_FAILED:
    case UPSTREAM_OK:
        break;
    }
    if (pull_serve_stale(work)) {
        return;
    }
    (void)gh_fail(&error, GH_UPSTREAM_UNAVAILABLE, "%s", result->error.text);
    pull_work_fail(work, result->outcome == UPSTREAM_THROTTLED ? PULL_THROTTLED : PULL_UNDECIDED,
                   &error, result->retry_after_s);
}

/* HEAD named a digest: enough when those very bytes were hashed before, a GET otherwise. */
static void pull_on_head(struct pull_work *work, const struct upstream_result *result)
{
    const char *named = upstream_head_get(&result->head, UPSTREAM_DOCKER_CONTENT_DIGEST);
    struct gh_error ignored = {0};
    struct digest digest;

    if (result->outcome == UPSTREAM_OK && named != NULL &&
        digest_parse(bytes_of(named), &digest, &ignored) &&
        digest_equal(&digest, &work->known.digest)) {
        struct content *content = pull_stored(work->gateway, &work->target, &digest);

        if (content != NULL) {
            pull_remember(work, content);
            pull_work_succeed(work, content, false);
            return;
        }
    }
    if (result->outcome == UPSTREAM_OK || result->outcome == UPSTREAM_REJECTED) {
        pull_fetch(work, UPSTREAM_GET);
        return;
    }
    pull_on_failure(work, result);
}

/* Hash, compare, parse: only then do the bytes become content. */
static bool pull_check(const struct pull_work *work, const struct upstream_result *result,
                       struct content **out, struct gh_error *err)
{
    const char *type = upstream_head_get(&result->head, UPSTREAM_CONTENT_TYPE);
    const char *named = upstream_head_get(&result->head, UPSTREAM_DOCKER_CONTENT_DIGEST);
    GH_OWN(manifest_freep) struct manifest *manifest = NULL;
    struct bytes body = bytes_view(&result->body);
    char media_type[MANIFEST_MAX_MEDIA_TYPE + 1];
    struct gh_error ignored = {0};
    struct digest claimed;
    struct digest digest;

    if (work->is_by_digest) {
        GH_TRY(digest_check(&work->digest, body, err));
        digest = work->digest;
    } else {
        GH_TRY(digest_compute(DIGEST_SHA256, body, &digest, err));
        if (named != NULL && digest_parse(bytes_of(named), &claimed, &ignored) &&
            claimed.alg == digest.alg) {
            GH_TRY(digest_check(&claimed, body, err));
        }
    }
    GH_TRY(manifest_parse(body, type, &manifest, err));
    (void)snprintf(media_type, sizeof(media_type), "%.*s", (int)manifest->media_type.len,
                   (const char *)manifest->media_type.data);
    *out = content_new(&digest, media_type, body);
    if (*out == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for a manifest");
    }
    return true;
}

static void pull_on_get(struct pull_work *work, const struct upstream_result *result)
{
    struct gh_error error = {0};
    struct content *content;

    if (result->outcome != UPSTREAM_OK) {
        pull_on_failure(work, result);
        return;
    }
    if (!pull_check(work, result, &content, &error)) {
        pull_work_fail(work, error.cause == GH_INTERNAL_ERROR ? PULL_UNDECIDED : PULL_BROKEN,
                       &error, 0);
        return;
    }
    if (work->gateway->store != NULL &&
        !manifest_store_put(work->gateway->store, &content->digest, bytes_of(content->media_type),
                            content->bytes, gateway_now(), &error)) {
        gh_error_clear(&error); /* a full index costs the next request an upstream one, no more */
    }
    pull_remember(work, content);
    pull_work_succeed(work, content, false);
}

static void pull_on_head_done(void *ctx, struct upstream_result *result)
{
    pull_on_head(ctx, result);
    upstream_result_done(result);
}

static void pull_on_get_done(void *ctx, struct upstream_result *result)
{
    pull_on_get(ctx, result);
    upstream_result_done(result);
}

static void pull_fetch(struct pull_work *work, enum upstream_method method)
{
    const struct upstream_ask ask = {
        .upstream = work->target.upstream,
        .method = method,
        .path = work->path,
        .repository = work->target.ref.repository,
        .accept = work->accept[0] != '\0' ? work->accept : PULL_ACCEPT_ALL,
        .body_limit = (size_t)work->generation->config->limits.manifest_bytes,
    };
    struct upstream_client *client = worker_member(work->worker, WORKER_SLOT_UPSTREAM);
    struct gh_error error = {0};

    if (work->gateway->is_stored_only) {
        (void)gh_fail(&error, GH_UPSTREAM_UNAVAILABLE, "its manifest is not stored");
        pull_work_fail(work, PULL_UNDECIDED, &error, 0);
        return;
    }
    if (upstream_fetch(client, &ask, method == UPSTREAM_HEAD ? pull_on_head_done : pull_on_get_done,
                       work) == NULL) {
        (void)gh_fail(&error, GH_INTERNAL_ERROR, "no memory to ask the registry");
        pull_work_fail(work, PULL_UNDECIDED, &error, 0);
    }
}

static bool pull_start(struct gateway *gateway, struct worker *worker,
                       struct generation *generation, const struct target *target,
                       const struct digest *digest, const char *tag, const char *accept,
                       struct flight *flight)
{
    struct pull_work *work = calloc(1, sizeof(*work));
    char text[DIGEST_MAX_TEXT];

    if (work == NULL) {
        flight_finish(flight, NULL);
        return false;
    }
    work->gateway = gateway;
    work->worker = worker;
    work->generation = generation_ref(generation);
    work->target = *target;
    work->flight = flight;
    work->is_by_digest = tag == NULL;
    if (tag == NULL) {
        work->digest = *digest;
        digest_format(digest, text);
    } else {
        (void)snprintf(work->target.ref.tag, sizeof(work->target.ref.tag), "%s", tag);
        pull_accept_class(accept, work->accept);
        work->has_known = gateway->store != NULL &&
                          known_tag_get(gateway, target, tag, work->accept, &work->known);
    }
    (void)snprintf(work->path, sizeof(work->path), "/v2/%s/manifests/%s", target->ref.repository,
                   tag != NULL ? tag : text);
    pull_fetch(work, work->has_known ? UPSTREAM_HEAD : UPSTREAM_GET);
    return true;
}

static void pull_arrived(void *ctx, struct flight_result *base)
{
    static const struct pull_result nothing = {
        .outcome = PULL_UNDECIDED,
        .error = {.cause = GH_INTERNAL_ERROR, .text = "no memory for the answer"}};
    struct pull *pull = ctx;

    pull->fn(pull->ctx, base != NULL ? (const struct pull_result *)base : &nothing);
    free(pull);
}

static void pull_key(struct text *key, const struct generation *generation,
                     const struct target *target, const struct digest *digest, const char *tag,
                     const char *accept)
{
    char text[DIGEST_MAX_TEXT] = "";
    char class[PULL_MAX_ACCEPT];

    if (tag == NULL) {
        digest_format(digest, text);
    }
    pull_accept_class(tag != NULL ? accept : NULL, class);
    text_printf(key, "pull %llu %s %s %s %s", (unsigned long long)generation->number,
                target->tenant_name, target->ref.name, tag != NULL ? tag : text, class);
}

struct pull *pull_manifest(struct gateway *gateway, struct worker *worker,
                           struct generation *generation, const struct target *target,
                           const struct digest *digest, const char *tag, const char *accept,
                           pull_fn fn, void *ctx)
{
    GH_OWN(text_done) struct text key;
    struct pull *pull = calloc(1, sizeof(*pull));
    struct flight *lead = NULL;
    struct gh_error error = {0};

    text_init(&key, 8192);
    pull_key(&key, generation, target, digest, tag, accept);
    if (pull == NULL || !text_ok(&key)) {
        free(pull);
        return NULL;
    }
    pull->fn = fn;
    pull->ctx = ctx;
    if (!flight_join(gateway->flights, bytes_make(key.data, key.len), worker, pull_arrived, pull,
                     &pull->seat, &lead, &error)) {
        free(pull);
        return NULL;
    }
    if (lead != NULL) {
        (void)pull_start(gateway, worker, generation, target, digest, tag, accept, lead);
    }
    return pull;
}

/* The seat's mail frees itself; what it would have called is gone. */
void pull_leave(struct pull *pull)
{
    if (pull != NULL) {
        flight_leave(pull->seat);
        free(pull);
    }
}
