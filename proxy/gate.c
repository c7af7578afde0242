#include "proxy/gate.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/manifest.h"
#include "proxy/content.h"
#include "proxy/gateway.h"
#include "proxy/generation.h"
#include "proxy/pull.h"
#include "proxy/recorder.h"
#include "proxy/target.h"
#include "proxy/verdicts.h"
#include "proxy/verification.h"
#include "proxy/worker.h"

#define GATE_MAX_CHILDREN 256
#define GATE_MAX_PARALLEL 4 /* children verified at a time */

/* A child of an index whose policy wants every child signed itself. */
struct gate_child {
    struct gate_run *run;
    struct digest digest;
    char *media_type;
    struct verdict **verdicts; /* parallel to the plan's leaves */
    struct pull *pull;
    struct verification_seat *seat;
    bool is_started;
};

struct gate_run {
    struct worker_mail mail; /* first: brings a run back that found nothing to wait for */
    struct gateway *gateway;
    struct worker *worker;
    struct generation *generation;
    struct target target;
    struct content *subject;
    struct decide_plan plan;
    struct verdict **verdicts; /* parallel to the plan's leaves */
    struct gate_child *children;
    struct decide_child *decide_children; /* the same for decide(); decisions point into it */
    size_t child_count;
    struct verification_seat *seat;
    size_t pending;
    char *tag;
    char *principal;
    gate_fn fn;
    void *ctx;
    int64_t now_unix_s;
    int64_t at_unix_s;
    struct gh_error integrity;
    bool has_plan;
    bool is_explaining;
    bool is_posted; /* freed by its mail alone */
    bool is_left;
};

const char *gate_surface_label(enum gate_surface surface)
{
    static const char *const labels[] = {
        [GATE_PULL] = "pull",
        [GATE_PUSH] = "push",
        [GATE_ADMISSION] = "admission",
        [GATE_GATEKEEPER] = "gatekeeper",
        [GATE_API] = "api",
    };

    return labels[surface];
}

static void gate_child_done(struct gate_child *child, size_t leaf_count)
{
    for (size_t i = 0; child->verdicts != NULL && i < leaf_count; i++) {
        verdict_unref(child->verdicts[i]);
    }
    free(child->verdicts);
    free(child->media_type);
    pull_leave(child->pull);
    verification_leave(child->seat);
}

static void gate_run_done(struct gate_run *run)
{
    verification_leave(run->seat);
    for (size_t i = 0; i < run->child_count; i++) {
        gate_child_done(&run->children[i], run->plan.leaf_count);
    }
    free(run->children);
    free(run->decide_children);
    for (size_t i = 0; run->verdicts != NULL && i < run->plan.leaf_count; i++) {
        verdict_unref(run->verdicts[i]);
    }
    free(run->verdicts);
    if (run->has_plan) {
        decide_plan_done(&run->plan);
    }
    content_unref(run->subject);
    generation_unref(run->generation);
    free(run->tag);
    free(run->principal);
}

static void gate_run_free(struct gate_run *run)
{
    if (run != NULL) {
        gate_run_done(run);
        free(run);
    }
}

static struct verdicts_key gate_key(const struct gate_run *run, const struct digest *digest,
                                    const char *media_type, const char *tag,
                                    const struct decide_leaf *leaf)
{
    return (struct verdicts_key){.target = &run->target,
                                 .digest = digest,
                                 .media_type = media_type,
                                 .tag = tag,
                                 .require = leaf->require,
                                 .is_all_authorities = leaf->is_all_authorities,
                                 .who = run->principal};
}

static struct verdict *gate_stored(struct gate_run *run, const struct digest *digest,
                                   const char *media_type, const char *tag,
                                   const struct decide_leaf *leaf)
{
    const struct verdicts_key key = gate_key(run, digest, media_type, tag, leaf);

    if (run->is_explaining || run->at_unix_s != 0) {
        return NULL;
    }
    return verdicts_get(run->gateway, &key, run->now_unix_s);
}

/* A child that cannot be judged by itself, for a reason that lies in it: its requirements do not
 * hold. That is a matter of policies and their modes, not of the index's own bytes. */
static bool gate_refuse_child(struct gate_child *child, enum gh_cause cause, const char *text)
{
    const struct gate_run *run = child->run;

    for (size_t i = 0; i < run->plan.leaf_count; i++) {
        struct verdict *verdict = verdict_new();

        if (verdict == NULL) {
            return false;
        }
        (void)gh_fail(&verdict->error, cause, "%s", text);
        verdict->made_unix_s = run->now_unix_s;
        verdict->until_unix_s = run->now_unix_s;
        verdict_unref(child->verdicts[i]);
        child->verdicts[i] = verdict;
    }
    return true;
}

static bool gate_add_child(struct gate_run *run, const struct digest *digest,
                           struct bytes media_type, struct gate_child **out, struct gh_error *err)
{
    struct gate_child *child = &run->children[run->child_count];

    run->child_count++;
    child->run = run;
    child->digest = *digest;
    child->verdicts = calloc(run->plan.leaf_count + 1, sizeof(struct verdict *));
    GH_TRY(bytes_to_cstr(media_type, &child->media_type, err));
    *out = child;
    return child->verdicts != NULL || gh_fail(err, GH_INTERNAL_ERROR, "no memory for verdicts");
}

/* One level is judged: the children of an index in an index would have nobody to answer for them.
 */
static bool gate_read_child(struct gate_run *run, const struct manifest_descriptor *item,
                            struct gh_error *err)
{
    struct gate_child *child;

    GH_TRY(gate_add_child(run, &item->digest, item->media_type, &child, err));
    if (manifest_type_is_index(item->media_type)) {
        return gate_refuse_child(child, GH_INDEX_DEPTH_EXCEEDED,
                                 "an index within an index, where every child must be signed") ||
               gh_fail(err, GH_INTERNAL_ERROR, "no memory for verdicts");
    }
    for (size_t i = 0; i < run->plan.leaf_count; i++) {
        child->verdicts[i] =
            gate_stored(run, &child->digest, child->media_type, NULL, &run->plan.leaves[i]);
    }
    return true;
}

/* The children that a runtime could run: attestation entries are covered by their index. */
static bool gate_read_children(struct gate_run *run, struct gh_error *err)
{
    GH_OWN(manifest_freep) struct manifest *manifest = NULL;
    struct gate_child *child;
    size_t runnable = 0;

    GH_TRY(manifest_parse(run->subject->bytes, run->subject->media_type, &manifest, err));
    if (manifest->kind != MANIFEST_INDEX) {
        return true;
    }
    run->children = calloc(manifest->item_count + 1, sizeof(*run->children));
    run->decide_children = calloc(manifest->item_count + 1, sizeof(*run->decide_children));
    if (run->children == NULL || run->decide_children == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for the manifests of an index");
    }
    for (size_t i = 0; i < manifest->item_count; i++) {
        runnable += manifest_is_attestation_entry(&manifest->items[i]) ? 0 : 1;
    }
    if (runnable > GATE_MAX_CHILDREN) {
        GH_TRY(gate_add_child(run, &run->subject->digest, manifest->media_type, &child, err));
        return gate_refuse_child(child, GH_COUNT_LIMIT_EXCEEDED,
                                 "the index has more manifests than are judged one by one") ||
               gh_fail(err, GH_INTERNAL_ERROR, "no memory for verdicts");
    }
    for (size_t i = 0; i < manifest->item_count; i++) {
        if (!manifest_is_attestation_entry(&manifest->items[i])) {
            GH_TRY(gate_read_child(run, &manifest->items[i], err));
        }
    }
    return true;
}

/* False, and nothing to clean up, when memory is out. RUN points into itself: it must stay where it
 * is. */
static bool gate_run_init(struct gate_run *run, struct gateway *gateway, struct worker *worker,
                          const struct gate_ask *ask, gate_fn fn, void *ctx)
{
    const struct snapshot *snapshot =
        &ask->generation->config->tenants[ask->target->tenant].snapshot;
    enum digest_alg twin = decide_wants_twin(snapshot, &ask->subject->digest);
    struct decide_image image;
    struct gh_error error = {0};

    memset(run, 0, sizeof(*run));
    run->gateway = gateway;
    run->worker = worker;
    run->generation = generation_ref(ask->generation);
    run->target = *ask->target;
    run->subject = content_ref(ask->subject);
    run->tag = ask->tag != NULL ? strdup(ask->tag) : NULL;
    run->principal = strdup(ask->principal != NULL ? ask->principal : "");
    run->fn = fn;
    run->ctx = ctx;
    run->at_unix_s = ask->at_unix_s;
    run->now_unix_s = ask->at_unix_s != 0 ? ask->at_unix_s : gateway_now();
    run->is_explaining = ask->is_explaining;
    image = (struct decide_image){
        .name = run->target.ref.name, .tag = run->tag, .digest = run->subject->digest};
    if ((ask->tag != NULL && run->tag == NULL) || run->principal == NULL ||
        (twin != DIGEST_NONE && !digest_compute(twin, run->subject->bytes, &image.twin, &error)) ||
        !decide_plan(snapshot, &image, run->now_unix_s, &run->plan, &error)) {
        gate_run_done(run);
        return false;
    }
    run->has_plan = true;
    run->verdicts = calloc(run->plan.leaf_count + 1, sizeof(struct verdict *));
    if (run->verdicts == NULL) {
        gate_run_done(run);
        return false;
    }
    for (size_t i = 0; i < run->plan.leaf_count; i++) {
        run->verdicts[i] = gate_stored(run, &run->subject->digest, run->subject->media_type,
                                       run->tag, &run->plan.leaves[i]);
    }
    if (run->plan.is_each && !gate_read_children(run, &run->integrity) &&
        run->integrity.cause == GH_INTERNAL_ERROR) {
        gate_run_done(run);
        return false;
    }
    return true;
}

static struct gate_run *gate_run_new(struct gateway *gateway, struct worker *worker,
                                     const struct gate_ask *ask, gate_fn fn, void *ctx)
{
    struct gate_run *run = malloc(sizeof(*run));

    if (run != NULL && !gate_run_init(run, gateway, worker, ask, fn, ctx)) {
        free(run);
        return NULL;
    }
    return run;
}

/* Decide with what is known. False when memory is out (the decision is undecided then, too). */
static bool gate_make_once(struct gate_run *run, bool is_explaining, struct decision *decision)
{
    struct decide_child *children = run->decide_children;
    struct decide_input input = {
        .verdicts = (const struct verdict *const *)run->verdicts,
        .children = children,
        .child_count = run->child_count,
        .integrity = run->integrity.cause != GH_CAUSE_NONE ? &run->integrity : NULL,
        .is_explaining = is_explaining,
    };
    struct gh_error error = {0};

    for (size_t i = 0; i < run->child_count; i++) {
        children[i].digest = run->children[i].digest;
        children[i].verdicts = (const struct verdict *const *)run->children[i].verdicts;
    }
    return decide(&run->plan, &input, run->now_unix_s, decision, &error);
}

/* A decision that nobody has recorded yet is made once more with all that explains it: that costs
 * the first answer, and none of the later ones. */
static bool gate_make(struct gate_run *run, struct decision *decision)
{
    if (!gate_make_once(run, run->is_explaining, decision)) {
        return false;
    }
    if (run->is_explaining || decision->missing_count > 0 || run->gateway->recorder == NULL ||
        recorder_knows(run->gateway->recorder, decision->id)) {
        return true;
    }
    decision_done(decision);
    memset(decision, 0, sizeof(*decision));
    return gate_make_once(run, true, decision);
}

static void gate_deliver(struct gate_run *run, const struct decision *decision)
{
    run->fn(run->ctx, decision, &run->plan);
}

bool gate_decide_stored(struct gateway *gateway, const struct gate_ask *ask, gate_fn fn, void *ctx)
{
    struct gate_run run; /* nothing waits, so the stack will do */
    struct decision decision = {0};
    bool is_final;

    if (!gate_run_init(&run, gateway, NULL, ask, fn, ctx)) {
        return false;
    }
    is_final = gate_make(&run, &decision) && decision.missing_count == 0;
    if (is_final) {
        gate_deliver(&run, &decision);
    }
    decision_done(&decision);
    gate_run_done(&run);
    return is_final;
}

/* ---- what is missing ---- */

static void gate_finish(struct gate_run *run)
{
    struct decision decision = {0};

    if (!gate_make(run, &decision)) {
        /* Out of memory: say so as an undecided decision, which is what an empty one is not. */
        decision.outcome = DECIDE_UNDECIDED;
        (void)gh_fail(&decision.error, GH_INTERNAL_ERROR, "no memory for a decision");
    }
    gate_deliver(run, &decision);
    decision_done(&decision);
    gate_run_free(run);
}

static void gate_pending_over(struct gate_run *run);

/* What was verified for somebody was used by them, from the first time on. */
static void gate_note_use(struct gate_run *run, const struct digest *digest, const char *media_type,
                          const char *tag, const struct decide_leaf *leaf)
{
    const struct verdicts_key key = gate_key(run, digest, media_type, tag, leaf);

    if (!run->is_explaining && run->at_unix_s == 0) {
        verdicts_note_use(run->gateway, &key, run->now_unix_s);
    }
}

/* Copy what a verification found into the places of RUN, or of a child of it, that are empty. */
static void gate_take(struct gate_run *run, struct gate_child *child,
                      const struct verification_result *result)
{
    struct verdict **verdicts = child != NULL ? child->verdicts : run->verdicts;

    for (size_t i = 0; i < run->plan.leaf_count; i++) {
        const struct decide_leaf *leaf = &run->plan.leaves[i];
        struct verdict *found = verification_find(result, leaf->require);

        if (verdicts[i] != NULL || found == NULL) {
            continue;
        }
        verdicts[i] = verdict_ref(found);
        if (found->outcome == VERDICT_SATISFIED && child != NULL) {
            gate_note_use(run, &child->digest, child->media_type, NULL, leaf);
        } else if (found->outcome == VERDICT_SATISFIED) {
            gate_note_use(run, &run->subject->digest, run->subject->media_type, run->tag, leaf);
        }
    }
}

static void gate_on_subject(void *ctx, const struct verification_result *result)
{
    struct gate_run *run = ctx;

    run->seat = NULL;
    gate_take(run, NULL, result);
    gate_pending_over(run);
}

static void gate_on_child(void *ctx, const struct verification_result *result)
{
    struct gate_child *child = ctx;

    child->seat = NULL;
    gate_take(child->run, child, result);
    gate_pending_over(child->run);
}

/* The leaves without a verdict. OUT holds the plan's count. */
static size_t gate_missing(const struct gate_run *run, struct verdict *const *verdicts,
                           bool is_child, struct decide_leaf *out)
{
    size_t count = 0;

    assert(verdicts != NULL);
    for (size_t i = 0; i < run->plan.leaf_count; i++) {
        if (verdicts[i] == NULL && (!is_child || run->plan.leaves[i].is_each)) {
            out[count++] = run->plan.leaves[i];
        }
    }
    return count;
}

static bool gate_verify(struct gate_run *run, struct content *subject, const char *tag,
                        struct verdict *const *verdicts, bool is_child, verification_fn fn,
                        void *ctx, struct verification_seat **seat)
{
    struct decide_leaf *leaves = calloc(run->plan.leaf_count + 1, sizeof(*leaves));
    struct verification_ask ask = {
        .generation = run->generation,
        .target = &run->target,
        .tag = tag,
        .subject = subject,
        .leaves = leaves,
        .is_explaining = run->is_explaining,
        .at_unix_s = run->at_unix_s,
    };

    if (leaves == NULL) {
        return false;
    }
    ask.leaf_count = gate_missing(run, verdicts, is_child, leaves);
    *seat = ask.leaf_count > 0 ? verification_join(run->gateway, run->worker, &ask, fn, ctx) : NULL;
    free(leaves);
    return *seat != NULL;
}

static void gate_on_child_pulled(void *ctx, const struct pull_result *result)
{
    struct gate_child *child = ctx;

    child->pull = NULL;
    if (result->outcome == PULL_ABSENT || result->outcome == PULL_BROKEN) {
        (void)gate_refuse_child(child, result->error.cause, result->error.text);
    } else if (result->outcome == PULL_OK &&
               manifest_type_is_index(bytes_of(result->content->media_type))) {
        /* Whatever its descriptor says. */
        (void)gate_refuse_child(child, GH_INDEX_DEPTH_EXCEEDED,
                                "an index within an index, where every child must be signed");
    } else if (result->outcome == PULL_OK &&
               gate_verify(child->run, result->content, NULL, child->verdicts, true, gate_on_child,
                           child, &child->seat)) {
        return;
    }
    gate_pending_over(child->run); /* leaves without a verdict stay unknown: undecided */
}

/* Start children until enough are under way. */
static void gate_start_children(struct gate_run *run)
{
    struct decide_leaf *leaves = calloc(run->plan.leaf_count + 1, sizeof(*leaves));

    for (size_t i = 0; leaves != NULL && i < run->child_count && run->pending < GATE_MAX_PARALLEL;
         i++) {
        struct gate_child *child = &run->children[i];

        if (child->is_started || gate_missing(run, child->verdicts, true, leaves) == 0) {
            continue;
        }
        child->is_started = true;
        child->pull = pull_manifest(run->gateway, run->worker, run->generation, &run->target,
                                    &child->digest, NULL, NULL, gate_on_child_pulled, child);
        run->pending += child->pull != NULL ? 1 : 0;
    }
    free(leaves);
}

static void gate_pending_over(struct gate_run *run)
{
    run->pending--;
    gate_start_children(run);
    if (run->pending == 0) {
        gate_finish(run);
    }
}

static void gate_deferred(struct worker_mail *mail, struct worker *worker)
{
    struct gate_run *run = (struct gate_run *)mail;

    if (run->is_left) {
        gate_run_free(run);
        return;
    }
    gate_finish(run);
}

static void gate_deferred_dropped(struct worker_mail *mail)
{
    gate_run_free((struct gate_run *)mail);
}

struct gate_run *gate_decide(struct gateway *gateway, struct worker *worker,
                             const struct gate_ask *ask, gate_fn fn, void *ctx)
{
    struct gate_run *run = gate_run_new(gateway, worker, ask, fn, ctx);

    if (run == NULL) {
        return NULL;
    }
    if (gate_verify(run, run->subject, run->tag, run->verdicts, false, gate_on_subject, run,
                    &run->seat)) {
        run->pending++;
    }
    gate_start_children(run);
    if (run->pending > 0) {
        return run;
    }
    /* Somebody else's verification has just filled the store: answer from the loop, as promised. */
    run->is_posted = true;
    run->mail.run = gate_deferred;
    run->mail.drop = gate_deferred_dropped;
    worker_post(worker, &run->mail);
    return run;
}

void gate_leave(struct gate_run *run)
{
    if (run != NULL && run->is_posted) {
        run->is_left = true;
        return;
    }
    gate_run_free(run);
}
