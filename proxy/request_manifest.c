#include <string.h>

#include "crypto/manifest.h"
#include "proxy/known.h"
#include "proxy/pull.h"
#include "proxy/reach.h"
#include "proxy/recorder.h"
#include "proxy/request_state.h"
#include "proxy/respond.h"
#include "proxy/semantics.h"

static void request_manifest_decide(struct request *r);

static void request_content_release(void *arg)
{
    content_unref(arg);
}

void request_send_content(struct request *r, const struct decision *decision,
                          const struct decide_plan *plan)
{
    struct content *content = r->content;
    char etag[DIGEST_MAX_TEXT + 2];
    struct bytes condition;

    if (decision != NULL) {
        respond_decision_headers(r->x, decision);
    }
    if (r->is_stale) {
        exchange_header(r->x, "Warning",
                        "299 - \"the registry cannot be reached; this is the last digest the tag "
                        "was seen at\"");
    }
    request_common(r);
    etag[0] = '"';
    memcpy(etag + 1, content->digest_text, strlen(content->digest_text));
    memcpy(etag + 1 + strlen(content->digest_text), "\"", 2);
    exchange_header(r->x, "Content-Type", content->media_type);
    exchange_header(r->x, "Docker-Content-Digest", content->digest_text);
    exchange_header(r->x, "ETag", etag);
    r->source = "memory";
    if (http1_head_find(exchange_head(r->x), "if-none-match", &condition) &&
        semantics_etag_matches(condition, bytes_of(etag))) {
        exchange_begin(r->x, 304, (int64_t)content->bytes.len);
        exchange_end(r->x);
        return;
    }
    exchange_begin(r->x, 200, (int64_t)content->bytes.len);
    (void)exchange_put(r->x, content->bytes.data, content->bytes.len, request_content_release,
                       content_ref(content));
    exchange_end(r->x);
}

/* The gate has spoken: record, then answer. SUBJECT is what was decided about; r->content is what
 * leaves. */
static void request_answer(struct request *r, const struct decision *decision,
                           const struct decide_plan *plan, const struct content *subject)
{
    char peer[EXCHANGE_PEER_TEXT_BYTES];
    struct recorder_note note;
    struct gh_error error = {0};

    if (request_begun_anew(r)) {
        return;
    }
    request_note(r, &note, subject->digest_text, subject->media_type, peer);
    memcpy(r->decision, decision->id, sizeof(r->decision));
    if (r->gateway->recorder != NULL &&
        !recorder_decision(r->gateway->recorder, &note, decision, plan, &error)) {
        request_fail(r, 503, "UNAVAILABLE", &error, 15);
        return;
    }
    if (decision->outcome != DECIDE_ALLOW) {
        r->reason = gh_reason_label(gh_cause_reason(decision->error.cause));
        request_namespace(r);
        respond_decision(r->x, decision, subject->digest_text);
        return;
    }
    known_edges_put(r->gateway, &r->target, r->content, false, gateway_now());
    request_send_content(r, decision, plan);
}

static void request_on_decision(void *ctx, const struct decision *decision,
                                const struct decide_plan *plan)
{
    struct request *r = ctx;

    r->gate = NULL;
    request_answer(r, decision, plan, r->content);
}

static void request_on_reached(void *ctx, const struct reach_answer *answer)
{
    struct request *r = ctx;

    r->reach = NULL;
    if (answer->undecided != NULL &&
        (answer->decision == NULL || answer->decision->outcome == DECIDE_DENY)) {
        if (!request_begun_anew(r)) {
            request_undecided(r, answer->undecided);
        }
        return;
    }
    if (answer->decision == NULL) {
        request_out_of_memory(r); /* the manifest itself is always decided about */
        return;
    }
    request_answer(r, answer->decision, answer->plan, answer->subject);
}

/* ---- evidence that clients may read for themselves ---- */

static void request_serve_evidence(struct request *r)
{
    if (!request_begun_anew(r)) {
        known_edges_put(r->gateway, &r->target, r->content, true, gateway_now());
        request_send_content(r, NULL, NULL);
    }
}

static void request_on_evidence_subject(void *ctx, const struct pull_result *result)
{
    struct request *r = ctx;

    r->pull = NULL;
    if (result->outcome == PULL_OK) {
        request_serve_evidence(r);
        return;
    }
    if (result->outcome == PULL_ABSENT || result->outcome == PULL_BROKEN) {
        request_manifest_decide(r); /* evidence of nothing: a subject like any other */
        return;
    }
    request_pull_failed(r, result);
}

/*
 * Whether the content is evidence by every type it declares, and what it is evidence of. A digest
 * names no subject: what has none of its own is known from the evidence tag that led here before;
 * then *subject stays empty.
 */
static bool request_is_evidence(struct request *r, struct digest *subject)
{
    GH_OWN(manifest_freep) struct manifest *manifest = NULL;
    struct gh_error error = {0};

    if (!manifest_parse(r->content->bytes, r->content->media_type, &manifest, &error) ||
        !manifest_is_evidence(manifest)) {
        return false;
    }
    if (manifest->has_subject) {
        *subject = manifest->subject.digest;
        return true;
    }
    if (r->is_evidence_tag) {
        *subject = r->evidence_subject;
        return true;
    }
    *subject = (struct digest){.alg = DIGEST_NONE};
    return r->route.is_digest &&
           known_is_evidence(r->gateway, &r->target, &r->content->digest, gateway_now());
}

static bool request_try_evidence(struct request *r)
{
    struct digest subject;
    struct content *known;

    if (r->has_evidence_checked) {
        return false;
    }
    r->has_evidence_checked = true;
    if (!request_is_evidence(r, &subject)) {
        return false;
    }
    if (subject.alg == DIGEST_NONE) {
        request_serve_evidence(r);
        return true;
    }
    known = pull_stored(r->gateway, &r->target, &subject);
    if (known != NULL) {
        content_unref(known);
        request_serve_evidence(r);
        return true;
    }
    r->pull = pull_manifest(r->gateway, r->worker, r->generation, &r->target, &subject, NULL, NULL,
                            request_on_evidence_subject, r);
    return r->pull != NULL;
}

/* ---- deciding ---- */

struct request_stored {
    struct request *r;
    bool is_answered;
};

/* A stored allow is the way of nearly all requests; a stored refusal may still be evidence. */
static void request_on_stored(void *ctx, const struct decision *decision,
                              const struct decide_plan *plan)
{
    struct request_stored *stored = ctx;
    struct request *r = stored->r;

    if (decision->outcome == DECIDE_ALLOW ||
        (!r->route.is_digest && !r->is_evidence_tag && r->has_evidence_checked)) {
        stored->is_answered = true;
        request_answer(r, decision, plan, r->content);
    }
}

static void request_manifest_decide(struct request *r)
{
    const struct gate_ask ask = {
        .generation = r->generation,
        .target = &r->target,
        .tag = r->route.is_digest ? NULL : r->route.tag,
        .subject = r->content,
        .surface = GATE_PULL,
        .principal = r->principal,
    };
    struct request_stored stored = {.r = r};

    if (!r->has_evidence_checked) {
        r->has_evidence_checked = !r->route.is_digest && !r->is_evidence_tag;
    }
    (void)gate_decide_stored(r->gateway, &ask, request_on_stored, &stored);
    if (stored.is_answered || request_try_evidence(r)) {
        return;
    }
    if (r->route.is_digest) {
        const struct reach_ask reach = {.generation = r->generation,
                                        .target = &r->target,
                                        .digest = r->content->digest,
                                        .self = r->content,
                                        .principal = r->principal};

        request_reach(r, &reach, request_on_reached);
        return;
    }
    r->gate = gate_decide(r->gateway, r->worker, &ask, request_on_decision, r);
    if (r->gate == NULL) {
        request_out_of_memory(r);
    }
}

static void request_on_pulled(void *ctx, const struct pull_result *result)
{
    struct request *r = ctx;

    r->pull = NULL;
    if (result->outcome != PULL_OK) {
        request_pull_failed(r, result);
        return;
    }
    r->content = content_ref(result->content);
    r->is_stale = result->is_stale;
    request_manifest_decide(r);
}

void request_manifest(struct request *r)
{
    const char *tag = r->route.is_digest ? NULL : r->route.tag;

    r->has_evidence_checked = false;
    r->content = r->route.is_digest ? pull_stored(r->gateway, &r->target, &r->route.digest)
                                    : pull_stored_tag(r->gateway, r->generation, &r->target, tag,
                                                      r->accept, gateway_now());
    if (r->content != NULL) {
        request_manifest_decide(r);
        return;
    }
    r->pull = pull_manifest(r->gateway, r->worker, r->generation, &r->target, &r->route.digest, tag,
                            r->accept, request_on_pulled, r);
    if (r->pull == NULL) {
        request_out_of_memory(r);
    }
}
