#include "proxy/reach.h"

#include <stdlib.h>
#include <string.h>

#include "cache/edges.h"
#include "proxy/content.h"
#include "proxy/gateway.h"
#include "proxy/generation.h"
#include "proxy/known.h"
#include "proxy/pull.h"
#include "proxy/target.h"

/* A manifest that leads to what was asked for; at depth 0 what was asked for itself. */
struct reach_subject {
    struct digest digest;
    struct content *content; /* NULL until it is looked at, and where its bytes are gone */
    unsigned depth;
    bool has_size; /* of what was asked for, as the way through this subject says */
    uint64_t size_bytes;
    bool is_denied; /* by stored verdicts */
};

struct reach {
    struct gateway *gateway;
    struct worker *worker;
    struct generation *generation;
    struct target target;
    struct reach_subject subjects[REACH_MAX_SUBJECTS];
    size_t subject_count;
    size_t next; /* to be verified anew */
    size_t verified;
    struct gate_run *gate;
    struct pull *pull; /* of a subject whose bytes are gone */
    char *principal;
    reach_fn fn;
    void *ctx;
    struct reach_subject evidence; /* the edge from readable evidence */
    bool is_evidence;
    struct gh_error undecided; /* of the first subject that could not be judged */
    bool is_over;
};

static void reach_free(struct reach *reach)
{
    gate_leave(reach->gate);
    pull_leave(reach->pull);
    for (size_t i = 0; i < reach->subject_count; i++) {
        content_unref(reach->subjects[i].content);
    }
    generation_unref(reach->generation);
    free(reach->principal);
    free(reach);
}

static bool reach_has(const struct reach *reach, const struct digest *digest)
{
    for (size_t i = 0; i < reach->subject_count; i++) {
        if (digest_equal(&reach->subjects[i].digest, digest)) {
            return true;
        }
    }
    return false;
}

/* Put the parents of DIGEST on the list. CHILD is the subject they are parents of; NULL: what was
 * asked for, a blob. A manifest is reached as an index's manifest alone: a signer that names some
 * bytes as a layer has not said that they may be run as an image, and evidence says nothing about
 * what it is kept beside. */
static void reach_add_parents(struct reach *reach, const struct digest *digest,
                              const struct reach_subject *child)
{
    unsigned depth = child != NULL ? child->depth + 1 : 1;
    struct edge_list list = {0};

    if (depth > REACH_MAX_DEPTH ||
        !known_parents(reach->gateway, &reach->target, digest, gateway_now(), &list)) {
        return;
    }
    for (size_t i = 0; i < list.count && reach->subject_count < REACH_MAX_SUBJECTS; i++) {
        const struct edge_parent *parent = &list.parents[i];
        struct reach_subject made = {.digest = parent->digest,
                                     .depth = depth,
                                     .has_size = true,
                                     .size_bytes = parent->size_bytes};

        if (child != NULL && parent->kind != EDGE_MANIFEST) {
            continue;
        }
        if (parent->kind == EDGE_EVIDENCE) {
            reach->evidence = reach->is_evidence ? reach->evidence : made;
            reach->is_evidence = true;
            continue;
        }
        if (child != NULL && child->depth > 0) {
            made.has_size = child->has_size;
            made.size_bytes = child->size_bytes;
        }
        if (!reach_has(reach, &parent->digest)) {
            reach->subjects[reach->subject_count++] = made;
        }
    }
    edge_list_done(&list);
}

/* AT: what the answer is about; NULL without a decision. */
static void reach_answer(struct reach *reach, const struct decision *decision,
                         const struct decide_plan *plan, const struct reach_subject *at)
{
    bool is_allowed = decision != NULL && decision->outcome == DECIDE_ALLOW;
    bool is_evidence = !is_allowed && reach->is_evidence;
    const struct reach_subject *way = is_evidence ? &reach->evidence : at;
    const struct reach_answer answer = {
        .decision = decision,
        .plan = plan,
        .subject = at != NULL ? at->content : NULL,
        .undecided =
            !is_allowed && reach->undecided.cause != GH_CAUSE_NONE ? &reach->undecided : NULL,
        .is_evidence = is_evidence,
        .has_size = way != NULL && way->has_size,
        .size_bytes = way != NULL ? way->size_bytes : 0,
    };

    reach->is_over = true;
    reach->fn(reach->ctx, &answer);
}

struct reach_try {
    struct reach *reach;
    struct reach_subject *at;
    bool is_allowed;
};

static void reach_on_stored(void *ctx, const struct decision *decision,
                            const struct decide_plan *plan)
{
    struct reach_try *attempt = ctx;

    attempt->at->is_denied = decision->outcome != DECIDE_ALLOW;
    if (decision->outcome == DECIDE_UNDECIDED && attempt->reach->undecided.cause == GH_CAUSE_NONE) {
        attempt->reach->undecided = decision->error;
    }
    if (decision->outcome == DECIDE_ALLOW) {
        attempt->is_allowed = true;
        reach_answer(attempt->reach, decision, plan, attempt->at);
    }
}

static struct gate_ask reach_gate_ask(struct reach *reach, const struct reach_subject *at)
{
    return (struct gate_ask){.generation = reach->generation,
                             .target = &reach->target,
                             .subject = at->content,
                             .surface = GATE_PULL,
                             .principal = reach->principal};
}

/* First everything that stored verdicts can answer, upwards breadth first. A parent whose bytes are
 * gone cannot be judged yet, but what leads to it can. */
static bool reach_try_stored(struct reach *reach)
{
    for (size_t i = 0; i < reach->subject_count; i++) {
        struct reach_subject *at = &reach->subjects[i];

        if (at->content == NULL) {
            at->content = pull_stored(reach->gateway, &reach->target, &at->digest);
        }
        if (at->content != NULL) {
            struct reach_try attempt = {.reach = reach, .at = at};
            const struct gate_ask ask = reach_gate_ask(reach, at);

            (void)gate_decide_stored(reach->gateway, &ask, reach_on_stored, &attempt);
            if (attempt.is_allowed) {
                return true;
            }
        }
        reach_add_parents(reach, &at->digest, at);
    }
    return false;
}

static bool reach_verify_next(struct reach *reach);

struct reach_nearest {
    struct reach *reach;
    const struct reach_subject *at;
};

static void reach_on_nearest(void *ctx, const struct decision *decision,
                             const struct decide_plan *plan)
{
    const struct reach_nearest *nearest = ctx;

    reach_answer(nearest->reach, decision, plan, nearest->at);
}

/* Nothing allowed leads here: the reason shown is that of the nearest. DECISION about AT is what
 * there is otherwise; may be NULL. */
static void reach_refuse(struct reach *reach, const struct decision *decision,
                         const struct decide_plan *plan, const struct reach_subject *at)
{
    for (size_t i = 0; i < reach->subject_count && !reach->is_over; i++) {
        struct reach_nearest nearest = {.reach = reach, .at = &reach->subjects[i]};
        const struct gate_ask ask = reach_gate_ask(reach, nearest.at);

        if (nearest.at == at) {
            break;
        }
        if (nearest.at->content != NULL) {
            (void)gate_decide_stored(reach->gateway, &ask, reach_on_nearest, &nearest);
        }
    }
    if (!reach->is_over) {
        reach_answer(reach, decision, plan, at);
    }
}

static void reach_on_verified(void *ctx, const struct decision *decision,
                              const struct decide_plan *plan)
{
    struct reach *reach = ctx;
    const struct reach_subject *at = &reach->subjects[reach->next - 1];

    reach->gate = NULL;
    if (decision->outcome == DECIDE_UNDECIDED && reach->undecided.cause == GH_CAUSE_NONE) {
        reach->undecided = decision->error;
    }
    if (decision->outcome != DECIDE_ALLOW && reach_verify_next(reach)) {
        return;
    }
    if (decision->outcome == DECIDE_DENY) {
        reach_refuse(reach, decision, plan, at);
    } else {
        reach_answer(reach, decision, plan, at);
    }
    reach_free(reach);
}

/* Decide about a subject whose bytes are here. */
static bool reach_decide(struct reach *reach, const struct reach_subject *at)
{
    const struct gate_ask ask = reach_gate_ask(reach, at);

    reach->gate = gate_decide(reach->gateway, reach->worker, &ask, reach_on_verified, reach);
    if (reach->gate == NULL) {
        (void)gh_fail(&reach->undecided, GH_INTERNAL_ERROR, "no memory to decide");
    }
    return reach->gate != NULL;
}

/* Nothing more can be tried: what was decided last says why, or nothing does. */
static void reach_end(struct reach *reach)
{
    reach_refuse(reach, NULL, NULL, NULL);
    reach_free(reach);
}

static void reach_on_pulled(void *ctx, const struct pull_result *result)
{
    struct reach *reach = ctx;
    struct reach_subject *at = &reach->subjects[reach->next - 1];
    bool is_known = result->outcome == PULL_OK || result->outcome == PULL_ABSENT ||
                    result->outcome == PULL_BROKEN;

    reach->pull = NULL;
    if (!is_known && reach->undecided.cause == GH_CAUSE_NONE) {
        reach->undecided = result->error;
    }
    if (result->outcome == PULL_OK) {
        at->content = content_ref(result->content);
        if (reach_decide(reach, at)) {
            return;
        }
    }
    if (!reach_verify_next(reach)) {
        reach_end(reach);
    }
}

/* Bytes that were evicted are fetched again: the edges say that they led here. */
static bool reach_fetch(struct reach *reach, const struct reach_subject *at)
{
    reach->pull = pull_manifest(reach->gateway, reach->worker, reach->generation, &reach->target,
                                &at->digest, NULL, NULL, reach_on_pulled, reach);
    if (reach->pull == NULL) {
        (void)gh_fail(&reach->undecided, GH_INTERNAL_ERROR, "no memory to ask the registry");
    }
    return reach->pull != NULL;
}

/* Then what has to be verified anew, nearest first. */
static bool reach_verify_next(struct reach *reach)
{
    while (reach->next < reach->subject_count) {
        const struct reach_subject *at = &reach->subjects[reach->next++];

        if (at->is_denied) {
            continue;
        }
        if (reach->verified++ == REACH_MAX_VERIFIED) {
            (void)gh_fail(&reach->undecided, GH_COUNT_LIMIT_EXCEEDED,
                          "more images lead here than are verified for one request; pull the "
                          "image by its name first");
            return false;
        }
        if (at->content != NULL ? reach_decide(reach, at) : reach_fetch(reach, at)) {
            return true;
        }
    }
    return false;
}

struct reach *reach_start(struct gateway *gateway, struct worker *worker,
                          const struct reach_ask *ask, reach_fn fn, void *ctx, bool *is_over)
{
    struct reach *reach = calloc(1, sizeof(*reach));

    *is_over = false;
    if (reach == NULL) {
        return NULL;
    }
    reach->gateway = gateway;
    reach->worker = worker;
    reach->generation = generation_ref(ask->generation);
    reach->target = *ask->target;
    reach->principal = strdup(ask->principal != NULL ? ask->principal : "");
    reach->fn = fn;
    reach->ctx = ctx;
    if (reach->principal == NULL) {
        reach_free(reach);
        return NULL;
    }
    if (ask->self != NULL) {
        reach->subjects[0].digest = ask->self->digest;
        reach->subjects[0].content = content_ref(ask->self);
        reach->subject_count = 1;
    } else {
        reach_add_parents(reach, &ask->digest, NULL);
    }
    if (!reach_try_stored(reach)) {
        if (reach_verify_next(reach)) {
            return reach;
        }
        reach_refuse(reach, NULL, NULL, NULL);
    }
    *is_over = reach->is_over;
    reach_free(reach);
    return NULL;
}

void reach_leave(struct reach *reach)
{
    if (reach != NULL) {
        reach_free(reach);
    }
}
