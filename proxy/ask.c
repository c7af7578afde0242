#include "proxy/ask.h"

#include <stdlib.h>
#include <string.h>

#include "metrics/text.h"
#include "proxy/content.h"
#include "proxy/decision_text.h"
#include "proxy/failure.h"
#include "proxy/gateway.h"
#include "proxy/generation.h"
#include "proxy/pull.h"
#include "proxy/recorder.h"
#include "proxy/target.h"
#include "proxy/worker.h"

#define ASK_MAX_ANSWER (4u * 1024 * 1024)

struct ask {
    struct worker_mail mail; /* first: answers that are ready at once come from the loop, too */
    struct gateway *gateway;
    struct worker *worker;
    struct generation *generation;
    struct target target;
    struct content *content;
    struct pull *pull;
    struct gate_run *gate;
    char *image;
    char *principal;
    struct ask_question question;
    ask_fn fn;
    void *ctx;
    struct gh_error early; /* set: nothing could be asked */
    bool is_posted;
    bool is_left;
};

static void ask_free(struct ask *ask)
{
    pull_leave(ask->pull);
    gate_leave(ask->gate);
    content_unref(ask->content);
    generation_unref(ask->generation);
    free(ask->image);
    free(ask->principal);
    free(ask);
}

static void ask_answer(struct ask *ask, enum decide_outcome outcome, const struct text *json)
{
    const struct ask_answer answer = {.outcome = outcome,
                                      .json = text_ok(json) ? text_cstr(json) : "{}"};

    ask->fn(ask->ctx, &answer);
    ask_free(ask);
}

static struct recorder_note ask_note(const struct ask *ask)
{
    return (struct recorder_note){
        .tenant = ask->target.tenant_name != NULL ? ask->target.tenant_name : "default",
        .image = ask->image,
        .digest = ask->content != NULL ? ask->content->digest_text : "",
        .media_type = ask->content != NULL ? ask->content->media_type : "",
        .principal = ask->principal,
        .client = "",
        .surface = ask->question.surface,
    };
}

/* An answer without a decision: the image could not be had. */
static void ask_fail_as(struct ask *ask, const struct gh_error *error, enum decide_outcome outcome,
                        bool is_broken)
{
    const struct failure_about about = {
        .tenant = ask->target.tenant_name != NULL ? ask->target.tenant_name : "",
        .fingerprint = ask->generation->config->fingerprint_text,
        .image = ask->image,
        .outcome = outcome,
        .is_subject_broken = is_broken,
    };
    struct failure failure;
    struct text json;

    failure_init(&failure, &about, error);
    if (ask->question.is_recorded && failure.decision.id[0] != '\0' &&
        ask->gateway->recorder != NULL) {
        const struct recorder_note note = ask_note(ask);

        if (!recorder_image_failure(ask->gateway->recorder, &note, &failure)) {
            failure_unname(&failure);
        }
    }
    text_init(&json, ASK_MAX_ANSWER);
    decision_text_json(&json, ask->image, "", &failure.decision, NULL);
    ask_answer(ask, outcome, &json);
    text_done(&json);
}

static void ask_fail(struct ask *ask, const struct gh_error *error, enum decide_outcome outcome)
{
    ask_fail_as(ask, error, outcome, false);
}

struct ask_made {
    struct ask *ask;
    struct text json;
    struct gh_error unrecorded; /* set: an allow that may not be answered */
    enum decide_outcome outcome;
    bool is_made;
};

static void ask_on_made(void *ctx, const struct decision *decision, const struct decide_plan *plan)
{
    struct ask_made *made = ctx;
    struct ask *ask = made->ask;

    made->is_made = true;
    made->outcome = decision->outcome;
    if (ask->question.is_recorded && ask->gateway->recorder != NULL) {
        const struct recorder_note note = ask_note(ask);

        if (!recorder_decision(ask->gateway->recorder, &note, decision, plan, &made->unrecorded)) {
            return;
        }
    }
    decision_text_json(&made->json, ask->image, ask->content->digest_text, decision, plan);
}

/* An allow that could not be recorded is told as what it is: no decision. */
static void ask_tell(struct ask *ask, const struct ask_made *made)
{
    if (made->unrecorded.cause != GH_CAUSE_NONE) {
        ask_fail(ask, &made->unrecorded, DECIDE_UNDECIDED);
    } else {
        ask_answer(ask, made->outcome, &made->json);
    }
}

static void ask_on_decision(void *ctx, const struct decision *decision,
                            const struct decide_plan *plan)
{
    struct ask *ask = ctx;
    struct ask_made made = {.ask = ask};

    ask->gate = NULL;
    text_init(&made.json, ASK_MAX_ANSWER);
    ask_on_made(&made, decision, plan);
    ask_tell(ask, &made);
    text_done(&made.json);
}

static void ask_decide(struct ask *ask)
{
    const struct gate_ask gate = {
        .generation = ask->generation,
        .target = &ask->target,
        .tag = ask->target.ref.digest.alg == DIGEST_NONE ? ask->target.ref.tag : NULL,
        .subject = ask->content,
        .surface = ask->question.surface,
        .principal = ask->principal,
        .is_explaining = ask->question.is_explaining,
        .at_unix_s = ask->question.at_unix_s,
    };
    struct ask_made made = {.ask = ask};

    text_init(&made.json, ASK_MAX_ANSWER);
    (void)gate_decide_stored(ask->gateway, &gate, ask_on_made, &made);
    if (made.is_made) {
        ask_tell(ask, &made);
    } else {
        struct gh_error error = {0};

        ask->gate = gate_decide(ask->gateway, ask->worker, &gate, ask_on_decision, ask);
        if (ask->gate == NULL) {
            (void)gh_fail(&error, GH_MEMORY_BUDGET_EXCEEDED, "no memory");
            ask_fail(ask, &error, DECIDE_UNDECIDED);
        }
    }
    text_done(&made.json);
}

static void ask_on_pulled(void *ctx, const struct pull_result *result)
{
    struct ask *ask = ctx;

    ask->pull = NULL;
    switch (result->outcome) {
    case PULL_OK:
        ask->content = content_ref(result->content);
        ask_decide(ask);
        return;
    case PULL_DENIED:
        ask_fail(ask, &result->error, DECIDE_DENY);
        return;
    case PULL_BROKEN:
        ask_fail_as(ask, &result->error, DECIDE_DENY,
                    gh_cause_reason(result->error.cause) != GH_REASON_UNSUPPORTED);
        return;
    case PULL_ABSENT: /* nobody refused anything */
    case PULL_THROTTLED:
    case PULL_UNDECIDED:
        ask_fail(ask, &result->error, DECIDE_UNDECIDED);
        return;
    }
}

/* From the loop: what could be answered at once. */
static void ask_begin(struct worker_mail *mail, struct worker *worker)
{
    struct ask *ask = (struct ask *)mail;
    bool by_digest = ask->target.ref.digest.alg != DIGEST_NONE;

    ask->is_posted = false;
    if (ask->is_left) {
        ask_free(ask);
        return;
    }
    if (ask->early.cause != GH_CAUSE_NONE) {
        ask_fail(ask, &ask->early, DECIDE_DENY);
        return;
    }
    ask->content = by_digest ? pull_stored(ask->gateway, &ask->target, &ask->target.ref.digest)
                             : pull_stored_tag(ask->gateway, ask->generation, &ask->target,
                                               ask->target.ref.tag, NULL, gateway_now());
    if (ask->content != NULL) {
        ask_decide(ask);
        return;
    }
    ask->pull =
        pull_manifest(ask->gateway, worker, ask->generation, &ask->target, &ask->target.ref.digest,
                      by_digest ? NULL : ask->target.ref.tag, NULL, ask_on_pulled, ask);
    if (ask->pull == NULL) {
        struct gh_error error = {0};

        (void)gh_fail(&error, GH_MEMORY_BUDGET_EXCEEDED, "no memory");
        ask_fail(ask, &error, DECIDE_UNDECIDED);
    }
}

static void ask_dropped(struct worker_mail *mail)
{
    ask_free((struct ask *)mail);
}

static bool ask_find_tenant(struct ask *ask, const char *name, size_t *out)
{
    const struct config *config = ask->generation->config;
    const struct config_tenant *tenant =
        name == NULL ? &config->tenants[0] : config_tenant_find(config, name);

    if (tenant == NULL) {
        return gh_fail(&ask->early, GH_NAME_UNKNOWN, "there is no tenant called '%.128s'", name);
    }
    *out = (size_t)(tenant - config->tenants);
    return true;
}

struct ask *ask_start(struct gateway *gateway, struct worker *worker,
                      const struct ask_question *question, ask_fn fn, void *ctx)
{
    struct ask *ask = calloc(1, sizeof(*ask));
    size_t tenant = 0;

    if (ask == NULL) {
        return NULL;
    }
    ask->gateway = gateway;
    ask->worker = worker;
    ask->generation = gateway_generation(gateway);
    ask->question = *question;
    ask->image = strdup(question->image);
    ask->principal = strdup(question->principal != NULL ? question->principal : "");
    ask->fn = fn;
    ask->ctx = ctx;
    if (ask->image == NULL || ask->principal == NULL) {
        ask_free(ask);
        return NULL;
    }
    if (ask_find_tenant(ask, question->tenant, &tenant) &&
        target_of_text(ask->generation, tenant, ask->image, &ask->target, &ask->early) &&
        ask->target.ref.digest.alg == DIGEST_NONE && ask->target.ref.tag[0] == '\0') {
        memcpy(ask->target.ref.tag, "latest", sizeof("latest"));
    }
    ask->mail.run = ask_begin;
    ask->mail.drop = ask_dropped;
    ask->is_posted = true;
    worker_post(worker, &ask->mail);
    return ask;
}

void ask_leave(struct ask *ask)
{
    if (ask != NULL && ask->is_posted) {
        ask->is_left = true;
        return;
    }
    if (ask != NULL) {
        ask_free(ask);
    }
}
