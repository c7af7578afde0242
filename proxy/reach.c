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

struct reach_subject {
    struct content *content;
    unsigned depth;
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
    char *principal;
    reach_fn fn;
    void *ctx;
    bool is_evidence;
    bool has_size;
    uint64_t size_bytes;
    bool is_over;
};

static void reach_free(struct reach *reach)
{
    gate_leave(reach->gate);
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
        if (digest_equal(&reach->subjects[i].content->digest, digest)) {
            return true;
        }
    }
    return false;
}

/* CONTENT is taken. */
static void reach_add(struct reach *reach, struct content *content, unsigned depth)
{
    if (reach->subject_count == REACH_MAX_SUBJECTS) {
        content_unref(content);
        return;
    }
    reach->subjects[reach->subject_count].content = content;
    reach->subjects[reach->subject_count].depth = depth;
    reach->subject_count++;
}

/* Put the parents of DIGEST on the list. A parent whose bytes are gone cannot be judged. */
static void reach_add_parents(struct reach *reach, const struct digest *digest, unsigned depth)
{
    struct edge_list list = {0};

    if (depth > REACH_MAX_DEPTH ||
        !known_parents(reach->gateway, &reach->target, digest, gateway_now(), &list)) {
        return;
    }
    for (size_t i = 0; i < list.count; i++) {
        struct content *content;

        if (depth == 1 && !reach->has_size) {
            reach->has_size = true;
            reach->size_bytes = list.parents[i].size_bytes;
        }
        if (list.parents[i].kind == EDGE_EVIDENCE) {
            reach->is_evidence = reach->is_evidence || depth == 1;
            continue;
        }
        if (reach_has(reach, &list.parents[i].digest)) {
            continue;
        }
        content = pull_stored(reach->gateway, &reach->target, &list.parents[i].digest);
        if (content != NULL) {
            reach_add(reach, content, depth);
        }
    }
    edge_list_done(&list);
}

static void reach_answer(struct reach *reach, const struct decision *decision,
                         const struct decide_plan *plan, const struct content *subject)
{
    const struct reach_answer answer = {
        .decision = decision,
        .plan = plan,
        .subject = subject,
        .is_evidence = reach->is_evidence,
        .has_size = reach->has_size,
        .size_bytes = reach->size_bytes,
    };

    reach->is_over = true;
    reach->fn(reach->ctx, &answer);
}

struct reach_try {
    struct reach *reach;
    const struct content *subject;
    bool is_allowed;
};

static void reach_on_stored(void *ctx, const struct decision *decision,
                            const struct decide_plan *plan)
{
    struct reach_try *attempt = ctx;

    if (decision->outcome == DECIDE_ALLOW) {
        attempt->is_allowed = true;
        reach_answer(attempt->reach, decision, plan, attempt->subject);
    }
}

static struct gate_ask reach_gate_ask(struct reach *reach, struct content *subject)
{
    return (struct gate_ask){.generation = reach->generation,
                             .target = &reach->target,
                             .subject = subject,
                             .surface = GATE_PULL,
                             .principal = reach->principal};
}

/* First everything that stored verdicts can answer, upwards breadth first. */
static bool reach_try_stored(struct reach *reach)
{
    for (size_t i = 0; i < reach->subject_count; i++) {
        struct reach_try attempt = {.reach = reach, .subject = reach->subjects[i].content};
        const struct gate_ask ask = reach_gate_ask(reach, reach->subjects[i].content);

        (void)gate_decide_stored(reach->gateway, &ask, reach_on_stored, &attempt);
        if (attempt.is_allowed) {
            return true;
        }
        reach_add_parents(reach, &reach->subjects[i].content->digest, reach->subjects[i].depth + 1);
    }
    return false;
}

static bool reach_verify_next(struct reach *reach);

static void reach_on_verified(void *ctx, const struct decision *decision,
                              const struct decide_plan *plan)
{
    struct reach *reach = ctx;
    const struct content *subject = reach->subjects[reach->next - 1].content;
    bool is_last = reach->next == reach->subject_count || reach->verified == REACH_MAX_VERIFIED;

    reach->gate = NULL;
    if (decision->outcome == DECIDE_ALLOW || is_last || !reach_verify_next(reach)) {
        reach_answer(reach, decision, plan, subject);
        reach_free(reach);
    }
}

static void reach_on_denied(void *ctx, const struct decision *decision,
                            const struct decide_plan *plan)
{
    struct reach *reach = ctx;

    reach_answer(reach, decision, plan, reach->subjects[0].content);
}

/* Then what has to be verified anew, nearest first. */
static bool reach_verify_next(struct reach *reach)
{
    while (reach->next < reach->subject_count && reach->verified < REACH_MAX_VERIFIED) {
        struct gate_ask ask = reach_gate_ask(reach, reach->subjects[reach->next].content);

        reach->next++;
        reach->verified++;
        reach->gate = gate_decide(reach->gateway, reach->worker, &ask, reach_on_verified, reach);
        if (reach->gate != NULL) {
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
        reach_add(reach, content_ref(ask->self), 0);
    } else {
        reach_add_parents(reach, &ask->digest, 1);
    }
    if (!reach_try_stored(reach)) {
        if (reach->subject_count == 0 || reach->is_evidence) {
            reach_answer(reach, NULL, NULL, NULL);
        } else if (reach_verify_next(reach)) {
            return reach;
        } else {
            /* Stored verdicts deny everything that leads here. */
            const struct gate_ask denied = reach_gate_ask(reach, reach->subjects[0].content);

            (void)gate_decide_stored(gateway, &denied, reach_on_denied, reach);
        }
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
