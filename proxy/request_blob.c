#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cache/blob_store.h"
#include "crypto/manifest.h"
#include "proxy/archive.h"
#include "proxy/fill.h"
#include "proxy/known.h"
#include "proxy/pull.h"
#include "proxy/reach.h"
#include "proxy/recorder.h"
#include "proxy/request_state.h"
#include "proxy/respond.h"
#include "proxy/semantics.h"
#include "proxy/upstream.h"
#include "proxy/worker.h"

#define REQUEST_EVIDENCE_GUESS (256 * 1024) /* of evidence whose size nobody has said */

static void request_blob_open(struct request *r);

/* What leaves as evidence must not be what a runtime unpacks, whatever its manifest calls it. True:
 * answered. */
static bool request_blob_is_abuse(struct request *r, struct bytes head)
{
    char peer[EXCHANGE_PEER_TEXT_BYTES];
    char digest[DIGEST_MAX_TEXT];
    struct recorder_note note;
    struct gh_error error = {0};

    if (!r->is_evidence_blob || !archive_is_unpackable(head)) {
        return false;
    }
    digest_format(&r->route.digest, digest);
    (void)gh_fail(&error, GH_SIGNATURE_TAG_ABUSE,
                  "%s is an archive kept as evidence in %s, and no allowed image leads to it",
                  digest, r->target.ref.name);
    if (r->gateway->recorder != NULL) {
        request_note(r, &note, digest, "", peer);
        recorder_failure(r->gateway->recorder, &note, true, &error);
    }
    request_fail(r, 403, "DENIED", &error, 0);
    return true;
}

/* Headers of a blob answer, and which bytes of TOTAL it sends. False: answered (304, 416). */
static bool request_blob_range(struct request *r, uint64_t total)
{
    const struct http1_head *head = exchange_head(r->x);
    char digest[DIGEST_MAX_TEXT];
    char etag[DIGEST_MAX_TEXT + 3];
    struct bytes value;
    enum semantics_range range = SEMANTICS_RANGE_ALL;
    char content_range[80];

    digest_format(&r->route.digest, digest);
    (void)snprintf(etag, sizeof(etag), "\"%s\"", digest);
    request_common(r);
    exchange_header(r->x, "Docker-Content-Digest", digest);
    exchange_header(r->x, "ETag", etag);
    exchange_header(r->x, "Accept-Ranges", "bytes");
    if (http1_head_find(head, "if-none-match", &value) &&
        semantics_etag_matches(value, bytes_of(etag))) {
        exchange_begin(r->x, 304, (int64_t)total);
        exchange_end(r->x);
        return false;
    }
    r->first = 0;
    r->last = total - 1;
    r->blob_status = 200;
    if (http1_head_find(head, "range", &value)) {
        struct bytes validator;

        if (!http1_head_find(head, "if-range", &validator) ||
            semantics_if_range_matches(validator, bytes_of(etag))) {
            range = semantics_range_decide(value, total, &r->first, &r->last);
        }
    }
    if (range == SEMANTICS_RANGE_UNSATISFIABLE) {
        const struct respond_error error = {
            .status = 416, .code = "SIZE_INVALID", .message = "the range lies outside the blob"};

        (void)snprintf(content_range, sizeof(content_range), "bytes */%llu",
                       (unsigned long long)total);
        exchange_header_clear(r->x); /* what describes content does not describe the refusal */
        request_namespace(r);
        exchange_header(r->x, "Content-Range", content_range);
        respond_error(r->x, &error);
        return false;
    }
    if (range == SEMANTICS_RANGE_PART) {
        (void)snprintf(content_range, sizeof(content_range), "bytes %llu-%llu/%llu",
                       (unsigned long long)r->first, (unsigned long long)r->last,
                       (unsigned long long)total);
        exchange_header(r->x, "Content-Range", content_range);
        r->blob_status = 206;
    }
    exchange_header(r->x, "Content-Type", "application/octet-stream");
    return true;
}

/* ---- content that is there ---- */

struct request_file {
    struct blob_store *blobs;
    struct blob_file *file;
};

static void request_file_release(void *arg)
{
    struct request_file *held = arg;

    blob_file_unref(held->blobs, held->file);
    free(held);
}

/* FILE is taken. */
static void request_blob_file(struct request *r, struct blob_file *file)
{
    struct request_file *held;
    uint8_t head[ARCHIVE_HEAD_BYTES];
    ssize_t head_len = r->is_evidence_blob ? pread(file->fd, head, sizeof(head), 0) : 0;

    /* This may have waited: what was decided under a replaced generation is decided again. */
    if (request_begun_anew(r) || (head_len < 0 && (request_out_of_memory(r), true)) ||
        request_blob_is_abuse(r, bytes_make(head, (size_t)head_len))) {
        blob_file_unref(r->gateway->blobs, file);
        return;
    }
    held = malloc(sizeof(*held));
    if (held == NULL) {
        blob_file_unref(r->gateway->blobs, file);
        request_out_of_memory(r);
        return;
    }
    held->blobs = r->gateway->blobs;
    held->file = file;
    r->source = "cache";
    if (!request_blob_range(r, file->size_bytes)) {
        request_file_release(held);
        return;
    }
    exchange_begin(r->x, r->blob_status, (int64_t)(r->last - r->first + 1));
    exchange_put_file(r->x, file->fd, r->first, r->last - r->first + 1, request_file_release, held);
    exchange_end(r->x);
}

/* An empty blob has no last byte; answer it by itself. */
static void request_blob_empty(struct request *r)
{
    char digest[DIGEST_MAX_TEXT];

    digest_format(&r->route.digest, digest);
    request_common(r);
    exchange_header(r->x, "Docker-Content-Digest", digest);
    exchange_header(r->x, "Content-Type", "application/octet-stream");
    exchange_begin(r->x, 200, 0);
    exchange_end(r->x);
}

static void request_blob_memory(struct request *r, struct bytes_buf *blob)
{
    r->source = "memory";
    if (request_begun_anew(r) || request_blob_is_abuse(r, bytes_view(blob))) {
        bytes_buf_done(blob);
        return;
    }
    if (blob->len == 0) {
        request_blob_empty(r);
        bytes_buf_done(blob);
        return;
    }
    if (request_blob_range(r, blob->len)) {
        uint8_t *data = GH_TAKE(blob->data);

        exchange_begin(r->x, r->blob_status, (int64_t)(r->last - r->first + 1));
        (void)exchange_put(r->x, data + r->first, (size_t)(r->last - r->first + 1), free, data);
        exchange_end(r->x);
    }
    bytes_buf_done(blob);
}

/* ---- after an unclean stop a file is hashed before it is believed ---- */

struct request_check {
    struct blob_store *blobs;
    struct blob_file *file;
    bool is_good;
};

static void request_check_run(void *arg)
{
    struct request_check *check = arg;
    struct gh_error error = {0};

    check->is_good = blob_check(check->blobs, check->file, gateway_now(), &error);
}

static void request_check_done(struct request *r, void *arg)
{
    struct request_check *check = arg;

    if (check->is_good) {
        request_blob_file(r, GH_TAKE(check->file));
    } else {
        request_blob_open(r); /* the bad file is gone: fetch it */
    }
}

static void request_check_release(void *arg)
{
    struct request_check *check = arg;

    if (check->file != NULL) {
        blob_file_unref(check->blobs, check->file);
    }
    free(check);
}

static void request_blob_check(struct request *r, struct blob_file *file)
{
    struct request_check *check = calloc(1, sizeof(*check));

    if (check == NULL) {
        blob_file_unref(r->gateway->blobs, file);
        request_out_of_memory(r);
        return;
    }
    check->blobs = r->gateway->blobs;
    check->file = file;
    if (request_run(r, r->gateway->helpers, request_check_run, request_check_done,
                    request_check_release, check) == NULL) {
        request_check_release(check);
        request_out_of_memory(r);
    }
}

/* ---- content that is being fetched ---- */

/* A reader of a fill. The connection may hold it longer than the request lives. */
struct request_fill {
    struct request *r; /* NULL once the request is over */
    struct fill_reader *reader;
    uint64_t last;  /* inclusive */
    bool is_queued; /* the connection has it: its release frees */
};

static void request_fill_free(struct request_fill *fill)
{
    fill_leave(fill->reader);
    free(fill);
}

void request_fill_leave(struct request_fill *fill)
{
    if (fill == NULL) {
        return;
    }
    fill->r = NULL;
    if (!fill->is_queued) {
        request_fill_free(fill);
    }
}

static enum exchange_supply request_fill_poll(void *arg, uint64_t *limit)
{
    const struct request_fill *fill = arg;
    struct fill_view view;

    fill_view(fill->reader, &view);
    *limit = GH_MIN(view.available, fill->last + 1);
    if (view.state == FILL_FAILED) {
        return EXCHANGE_SUPPLY_FAILED;
    }
    return *limit == fill->last + 1 ? EXCHANGE_SUPPLY_COMPLETE : EXCHANGE_SUPPLY_GROWING;
}

static void request_fill_release(void *arg)
{
    struct request_fill *fill = arg;

    if (fill->r != NULL) {
        fill->r->fill = NULL;
    }
    request_fill_free(fill);
}

static void request_fill_failed(struct request *r, const struct fill_view *view)
{
    struct gh_error error = view->error;

    switch ((enum upstream_outcome)view->outcome) {
    case UPSTREAM_ABSENT:
        gh_error_clear(&error);
        (void)gh_fail(&error, GH_MANIFEST_UNKNOWN, "the registry does not have this blob");
        request_fail(r, 404, "BLOB_UNKNOWN", &error, 0);
        return;
    case UPSTREAM_DENIED:
        gh_error_clear(&error);
        (void)gh_fail(&error, GH_CLIENT_NOT_PERMITTED,
                      "the registry refused the gateway's credentials for %s", r->target.ref.name);
        request_fail(r, 403, "DENIED", &error, 0);
        return;
    case UPSTREAM_THROTTLED:
        request_fail(r, 429, "TOOMANYREQUESTS", &error, 15);
        return;
    case UPSTREAM_OK:
    case UPSTREAM_UNAVAILABLE:
    case UPSTREAM_REJECTED:
    case UPSTREAM_REFUSED:
    case UPSTREAM_TOO_LARGE:
    case UPSTREAM_FAILED:
        break;
    }
    if (error.cause == GH_DIGEST_MISMATCH) {
        request_fail(r, 502, "DIGEST_INVALID", &error, 0);
        return;
    }
    request_fail(r, 503, "UNAVAILABLE", &error, 15);
}

/* Begin as soon as the size is known and there is a file to send from. */
static void request_fill_begin(struct request *r)
{
    struct exchange_source source = {
        .poll = request_fill_poll, .release = request_fill_release, .arg = r->fill};
    struct fill_view view;
    uint64_t total;

    fill_view(r->fill->reader, &view);
    if (view.state == FILL_FAILED) {
        request_fill_failed(r, &view);
        return;
    }
    if (view.fd < 0 || view.size < 0) {
        return; /* wait for the next change */
    }
    if (request_begun_anew(r)) {
        return;
    }
    total = (uint64_t)view.size;
    if (total == 0) {
        if (view.state == FILL_WHOLE || view.state == FILL_PUBLISHED) {
            request_blob_empty(r);
        }
        return;
    }
    if (!request_blob_range(r, total)) {
        return;
    }
    source.fd = view.fd;
    source.offset = r->first;
    r->fill->last = r->last;
    r->fill->is_queued = true;
    exchange_begin(r->x, r->blob_status, (int64_t)(r->last - r->first + 1));
    exchange_put_source(r->x, &source);
    exchange_end(r->x);
}

static void request_on_fill(void *ctx)
{
    const struct request_fill *fill = ctx;
    struct request *r = fill->r;

    if (r == NULL) {
        return;
    }
    if (exchange_has_begun(r->x)) {
        exchange_wake(r->x);
        return;
    }
    request_fill_begin(r);
}

static void request_blob_fetch(struct request *r)
{
    char scope[IMAGE_MAX_UPSTREAM_BYTES + 300];
    const struct fill_ask ask = {
        .scope = scope,
        .digest = r->route.digest,
        .size = r->has_size ? (int64_t)r->size_bytes : -1,
        .upstream = r->target.upstream,
        .repository = r->target.ref.repository,
    };
    struct request_fill *fill = calloc(1, sizeof(*fill));
    struct blob_file *file = NULL;
    struct gh_error error = {0};

    if (fill == NULL) {
        request_out_of_memory(r);
        return;
    }
    fill->r = r;
    (void)snprintf(scope, sizeof(scope), "%s %s", r->target.tenant_name, r->target.ref.upstream);
    r->source = "upstream";
    switch (fill_join(worker_member(r->worker, WORKER_SLOT_FILL), &ask, request_on_fill, fill,
                      &fill->reader, &file, &error)) {
    case FILL_JOINED:
        r->fill = fill;
        request_fill_begin(r);
        return;
    case FILL_CACHED:
        free(fill);
        request_blob_file(r, file);
        return;
    case FILL_REFUSED:
        free(fill);
        request_fail(r, 503, "UNAVAILABLE", &error, 15);
        return;
    }
}

/* ---- evidence ---- */

void request_release(struct request *r)
{
    (void)__atomic_sub_fetch(&r->gateway->evidence_bytes, r->reserved_bytes, __ATOMIC_RELAXED);
    r->reserved_bytes = 0;
}

static void request_evidence_failed(struct request *r, const struct upstream_result *result)
{
    const struct fill_view view = {.outcome = (int)result->outcome, .error = result->error};

    if (result->outcome == UPSTREAM_TOO_LARGE) {
        request_fail(r, 403, "DENIED", &result->error, 0);
        return;
    }
    request_fill_failed(r, &view);
}

static void request_on_evidence(void *ctx, struct upstream_result *result)
{
    struct request *r = ctx;
    struct gh_error error = {0};

    r->fetch = NULL;
    if (result->outcome != UPSTREAM_OK) {
        request_evidence_failed(r, result);
    } else if (!digest_check(&r->route.digest, bytes_view(&result->body), &error)) {
        request_fail(r, 502, "DIGEST_INVALID", &error, 0);
    } else {
        r->source = "upstream";
        request_blob_memory(r, &result->body);
    }
    upstream_result_done(result);
}

/* Evidence is looked at before it leaves, so it is not streamed, and not larger than what the
 * gateway would read itself. */
static void request_evidence_fetch(struct request *r)
{
    const struct config_limits *limits = &r->generation->config->limits;
    int64_t wanted = r->has_size && r->size_bytes < (uint64_t)limits->evidence_bytes
                         ? (int64_t)r->size_bytes
                         : REQUEST_EVIDENCE_GUESS;
    struct upstream_ask ask = {
        .upstream = r->target.upstream,
        .repository = r->target.ref.repository,
        .body_limit = (size_t)limits->evidence_bytes,
    };
    char digest[DIGEST_MAX_TEXT];
    char path[IMAGE_MAX_NAME_BYTES + DIGEST_MAX_TEXT + 16];
    struct gh_error error = {0};

    r->reserved_bytes = wanted;
    if (__atomic_add_fetch(&r->gateway->evidence_bytes, wanted, __ATOMIC_RELAXED) >
        limits->evidence_memory_bytes) {
        (void)gh_fail(&error, GH_MEMORY_BUDGET_EXCEEDED, "too much evidence is being read");
        request_fail(r, 503, "UNAVAILABLE", &error, 5);
        return;
    }
    digest_format(&r->route.digest, digest);
    (void)snprintf(path, sizeof(path), "/v2/%s/blobs/%s", r->target.ref.repository, digest);
    ask.path = path;
    r->fetch = upstream_fetch(worker_member(r->worker, WORKER_SLOT_UPSTREAM), &ask,
                              request_on_evidence, r);
    if (r->fetch == NULL) {
        request_out_of_memory(r);
    }
}

/* ---- where the bytes are ---- */

/* A HEAD of what is not stored is answered from the size that the allowed manifest gives. */
static bool request_blob_head(struct request *r)
{
    if (!r->is_head || !r->has_size || r->size_bytes == 0) {
        return false;
    }
    if (request_blob_range(r, r->size_bytes)) {
        exchange_begin(r->x, r->blob_status, (int64_t)(r->last - r->first + 1));
        exchange_end(r->x);
    }
    return true;
}

static void request_blob_open(struct request *r)
{
    struct blob_file *file = NULL;
    struct bytes_buf small = {0};

    switch (blob_open(r->gateway->blobs, &r->route.digest, gateway_now(), &file)) {
    case BLOB_READY:
        if (file->size_bytes == 0) {
            blob_file_unref(r->gateway->blobs, file);
            request_blob_empty(r);
            return;
        }
        request_blob_file(r, file);
        return;
    case BLOB_UNCHECKED:
        request_blob_check(r, file);
        return;
    case BLOB_ABSENT:
        break;
    }
    if (known_blob_get(r->gateway, &r->route.digest, &small)) {
        request_blob_memory(r, &small);
        return;
    }
    if (r->is_evidence_blob) {
        request_evidence_fetch(r);
    } else if (!request_blob_head(r)) {
        request_blob_fetch(r);
    }
}

/* ---- whether they may leave ---- */

static void request_blob_unreachable(struct request *r)
{
    struct gh_error error = {0};
    char peer[EXCHANGE_PEER_TEXT_BYTES];
    char digest[DIGEST_MAX_TEXT];
    struct recorder_note note;

    digest_format(&r->route.digest, digest);
    (void)gh_fail(&error, GH_BLOB_NOT_REACHABLE, "no allowed image of %s leads to %s",
                  r->target.ref.name, digest);
    if (r->gateway->recorder != NULL) {
        request_note(r, &note, digest, "", peer);
        recorder_failure(r->gateway->recorder, &note, true, &error);
    }
    request_fail(r, 403, "DENIED", &error, 0);
}

/* Nothing allowed leads here. */
static void request_blob_refuse(struct request *r, const struct reach_answer *answer)
{
    char peer[EXCHANGE_PEER_TEXT_BYTES];
    struct recorder_note note;
    struct gh_error ignored = {0};
    bool is_decided = answer->decision != NULL &&
                      (answer->undecided == NULL || answer->decision->outcome != DECIDE_DENY);

    if (answer->decision == NULL && answer->undecided == NULL) {
        request_blob_unreachable(r);
        return;
    }
    if (!is_decided) {
        request_undecided(r, answer->undecided);
        return;
    }
    r->reason = gh_reason_label(gh_cause_reason(answer->decision->error.cause));
    memcpy(r->decision, answer->decision->id, sizeof(r->decision));
    request_note(r, &note, answer->subject->digest_text, answer->subject->media_type, peer);
    if (r->gateway->recorder != NULL) {
        (void)!recorder_decision(r->gateway->recorder, &note, answer->decision, answer->plan,
                                 &ignored);
    }
    request_namespace(r);
    respond_decision(r->x, answer->decision, answer->subject->digest_text);
}

/* The allow that a blob leaves under is recorded like any other. False: answered. */
static bool request_blob_record(struct request *r, const struct reach_answer *answer)
{
    char peer[EXCHANGE_PEER_TEXT_BYTES];
    struct recorder_note note;
    struct gh_error error = {0};

    memcpy(r->decision, answer->decision->id, sizeof(r->decision));
    request_note(r, &note, answer->subject->digest_text, answer->subject->media_type, peer);
    if (r->gateway->recorder != NULL &&
        !recorder_decision(r->gateway->recorder, &note, answer->decision, answer->plan, &error)) {
        request_fail(r, 503, "UNAVAILABLE", &error, 15);
        return false;
    }
    return true;
}

static void request_blob_reached(void *ctx, const struct reach_answer *answer)
{
    struct request *r = ctx;
    bool is_allowed = answer->decision != NULL && answer->decision->outcome == DECIDE_ALLOW;

    r->reach = NULL;
    if (request_begun_anew(r)) {
        return;
    }
    if (!is_allowed && !answer->is_evidence) {
        request_blob_refuse(r, answer);
        return;
    }
    if (is_allowed && !request_blob_record(r, answer)) {
        return;
    }
    r->is_evidence_blob = !is_allowed;
    r->has_size = answer->has_size;
    r->size_bytes = answer->size_bytes;
    if (r->content != NULL) {
        /* A manifest asked for as a blob: the same bytes under the same decision. */
        request_send_content(r, answer->decision, answer->plan);
        return;
    }
    request_blob_open(r);
}

void request_blob(struct request *r)
{
    struct reach_ask ask = {
        .generation = r->generation,
        .target = &r->target,
        .digest = r->route.digest,
        .principal = r->principal,
    };

    r->content = pull_stored(r->gateway, &r->target, &r->route.digest);
    ask.self = r->content;
    request_reach(r, &ask, request_blob_reached);
}
