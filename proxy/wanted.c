#include "proxy/wanted.h"

#include <stdlib.h>
#include <string.h>

#include "proxy/answers.h"
#include "proxy/config_files.h"
#include "proxy/gateway.h"
#include "proxy/generation.h"
#include "proxy/helper.h"
#include "proxy/upstream.h"
#include "proxy/worker.h"

#define WANTED_TIMEOUT_MS 5000      /* of one address */
#define WANTED_OCSP_TIMEOUT_MS 2000 /* small answers, and a list may stand behind them */
#define WANTED_MAX_ANSWERS 64       /* of one verification */

/* One question under way. */
struct wanted_item {
    struct helper_job job; /* files are read, and answers looked up and kept, on a helper */
    struct wanted_fetch *fetch;
    struct evidence_want question; /* owned until it becomes an answer */
    char *address;                 /* rewritten */
    struct upstream_request *request;
    struct bytes_buf answer;
    struct gh_error failure;
    bool is_known; /* the answer was kept from before */
};

struct wanted_fetch {
    struct gateway *gateway;
    struct worker *worker;
    struct generation *generation; /* own reference: whoever asked may leave first */
    int64_t interval_s;            /* answers are kept for that long */
    bool is_renewal;               /* what is kept is no answer */
    struct wanted_answers *answers;
    wanted_fn fn;
    void *ctx;
    struct wanted_item *items[EVIDENCE_MAX_WANTS];
    size_t pending;
    bool is_cancelled;
    bool is_stopping;
    bool has_added;
};

void wanted_answers_done(struct wanted_answers *answers)
{
    for (size_t i = 0; i < answers->view.count; i++) {
        free(answers->questions[i].url);
        bytes_buf_done(&answers->questions[i].body);
        bytes_buf_done(&answers->answers[i]);
    }
    free(answers->items);
    free(answers->questions);
    free(answers->answers);
    memset(answers, 0, sizeof(*answers));
}

/* Move the item's question and answer into the list. */
static bool wanted_add(struct wanted_answers *answers, struct wanted_item *item)
{
    size_t count = answers->view.count;
    struct evidence_answer *made;

    if (answers->items == NULL) {
        answers->items = calloc(WANTED_MAX_ANSWERS, sizeof(*answers->items));
        answers->questions = calloc(WANTED_MAX_ANSWERS, sizeof(*answers->questions));
        answers->answers = calloc(WANTED_MAX_ANSWERS, sizeof(*answers->answers));
    }
    if (answers->items == NULL || answers->questions == NULL || answers->answers == NULL ||
        count == WANTED_MAX_ANSWERS) {
        return false;
    }
    answers->questions[count] = item->question;
    answers->answers[count] = item->answer;
    made = &answers->items[count];
    made->kind = item->question.kind;
    made->url = answers->questions[count].url;
    made->body = bytes_view(&answers->questions[count].body);
    made->answer = bytes_view(&answers->answers[count]);
    made->failure = item->failure;
    memset(&item->question, 0, sizeof(item->question));
    memset(&item->answer, 0, sizeof(item->answer));
    answers->view.items = answers->items;
    answers->view.count = count + 1;
    return true;
}

static void wanted_item_free(struct wanted_item *item)
{
    free(item->question.url);
    bytes_buf_done(&item->question.body);
    bytes_buf_done(&item->answer);
    free(item->address);
    free(item);
}

static void wanted_fetch_free(struct wanted_fetch *fetch)
{
    generation_unref(fetch->generation);
    free(fetch);
}

static void wanted_item_over(struct wanted_item *item)
{
    struct wanted_fetch *fetch = item->fetch;

    if (!fetch->is_cancelled) {
        fetch->has_added = wanted_add(fetch->answers, item) || fetch->has_added;
    }
    for (size_t i = 0; i < EVIDENCE_MAX_WANTS; i++) {
        if (fetch->items[i] == item) {
            fetch->items[i] = NULL;
        }
    }
    wanted_item_free(item);
    if (--fetch->pending == 0) {
        if (!fetch->is_cancelled) {
            fetch->fn(fetch->ctx, fetch->has_added && !fetch->is_stopping);
        }
        wanted_fetch_free(fetch);
    }
}

/* The worker has ended, and the pools may have: whoever waits must not go on from here. */
static void wanted_job_dropped(struct helper_job *job)
{
    struct wanted_item *item = (struct wanted_item *)job;

    item->fetch->is_stopping = true;
    wanted_item_over(item);
}

static bool wanted_submit(struct wanted_item *item, void (*run)(struct helper_job *job),
                          void (*done)(struct helper_job *job, struct worker *worker))
{
    item->job.worker = item->fetch->worker;
    item->job.run = run;
    item->job.done = done;
    item->job.drop = wanted_job_dropped;
    return helper_submit(item->fetch->gateway->helpers, &item->job);
}

static void wanted_job_over(struct helper_job *job, struct worker *worker)
{
    (void)worker;
    wanted_item_over((struct wanted_item *)job);
}

/* On a helper: keep what was fetched, or see what there is where it was not. */
static void wanted_settle(struct helper_job *job)
{
    struct wanted_item *item = (struct wanted_item *)job;
    struct answers *answers = item->fetch->gateway->answers;
    int64_t now = gateway_now();

    if (answers == NULL) {
        return;
    }
    if (item->failure.cause == GH_CAUSE_NONE) {
        struct bytes_buf newer = {0};

        if (!answers_keep(answers, &item->question, bytes_view(&item->answer),
                          item->fetch->interval_s, now) &&
            answers_get(answers, &item->question, true, now, &newer)) {
            bytes_buf_done(&item->answer);
            item->answer = newer;
        }
    } else if (item->fetch->is_renewal) {
        answers_defer(answers, &item->question, now);
    } else if (answers_get(answers, &item->question, true, now, &item->answer)) {
        gh_error_clear(&item->failure);
    }
}

static void wanted_on_answer(void *ctx, struct upstream_result *result)
{
    struct wanted_item *item = ctx;

    item->request = NULL;
    if (result->outcome == UPSTREAM_OK) {
        item->answer = result->body;
        memset(&result->body, 0, sizeof(result->body));
    } else {
        (void)gh_fail(&item->failure, GH_REVOCATION_UNAVAILABLE, "%s: %s", item->address,
                      result->error.text);
    }
    upstream_result_done(result);
    if (item->fetch->gateway->answers == NULL || item->fetch->is_cancelled ||
        !wanted_submit(item, wanted_settle, wanted_job_over)) {
        wanted_item_over(item);
    }
}

static void wanted_read_file(struct helper_job *job)
{
    struct wanted_item *item = (struct wanted_item *)job;
    struct gh_error error = {0};
    unsigned mode;

    if (!config_files_read(item->address + strlen("file://"), item->question.limit_bytes,
                           &item->answer, &mode, &error)) {
        (void)gh_fail(&item->failure, GH_REVOCATION_UNAVAILABLE, "%s", error.text);
    }
    wanted_settle(job);
}

/* What must not be asked for fails before anybody is asked. */
static bool wanted_is_refused(struct wanted_item *item)
{
    bool is_rewritten = strcmp(item->address, item->question.url) != 0;

    if (item->fetch->gateway->is_background) {
        return !gh_fail(&item->failure, GH_REVOCATION_UNAVAILABLE,
                        "%s: nothing is fetched in the background", item->address);
    }
    if (item->question.kind == EVIDENCE_WANT_VENDOR && !is_rewritten) {
        /* The vendor answers to its customers alone: somebody must sign the question. */
        return !gh_fail(&item->failure, GH_NOTATION_PLUGIN_REQUIRED,
                        "fetch.rewrite names nothing that asks %.100s with credentials",
                        item->question.url);
    }
    if (item->fetch->generation->config->is_offline && !is_rewritten) {
        return !gh_fail(&item->failure, GH_REVOCATION_UNAVAILABLE,
                        "%s: offline, and fetch.rewrite does not name it", item->address);
    }
    return false;
}

static bool wanted_send(struct wanted_item *item)
{
    const char *const bodies[] = {
        [EVIDENCE_WANT_CRL] = NULL,
        [EVIDENCE_WANT_OCSP] = "application/ocsp-request",
        [EVIDENCE_WANT_VENDOR] = "application/json",
    };
    struct upstream_ask ask = {
        .upstream = item->fetch->generation->outside,
        .method = item->question.body.len > 0 ? UPSTREAM_POST : UPSTREAM_GET,
        .path = item->address,
        .body = bytes_view(&item->question.body),
        .body_type = bodies[item->question.kind],
        .body_limit = item->question.limit_bytes,
        .timeout_ms =
            item->question.kind == EVIDENCE_WANT_OCSP ? WANTED_OCSP_TIMEOUT_MS : WANTED_TIMEOUT_MS,
    };

    if (wanted_is_refused(item)) {
        return wanted_submit(item, wanted_settle, wanted_job_over);
    }
    if (strncmp(item->address, "file://", 7) == 0) {
        return wanted_submit(item, wanted_read_file, wanted_job_over);
    }
    item->request = upstream_fetch(worker_member(item->fetch->worker, WORKER_SLOT_UPSTREAM), &ask,
                                   wanted_on_answer, item);
    return item->request != NULL;
}

/* On a helper: what is kept may be large. */
static void wanted_look(struct helper_job *job)
{
    struct wanted_item *item = (struct wanted_item *)job;
    struct gateway *gateway = item->fetch->gateway;

    item->is_known = answers_get(gateway->answers, &item->question,
                                 gateway->is_stored_only && !gateway->is_background, gateway_now(),
                                 &item->answer);
}

static void wanted_looked(struct helper_job *job, struct worker *worker)
{
    struct wanted_item *item = (struct wanted_item *)job;

    (void)worker;
    if (item->is_known || item->fetch->is_cancelled) {
        wanted_item_over(item);
    } else if (!wanted_send(item)) {
        (void)gh_fail(&item->failure, GH_REVOCATION_UNAVAILABLE, "%s: too much is under way",
                      item->address);
        wanted_item_over(item);
    }
}

static bool wanted_begin(struct wanted_item *item)
{
    return item->fetch->gateway->answers != NULL && !item->fetch->is_renewal
               ? wanted_submit(item, wanted_look, wanted_looked)
               : wanted_send(item);
}

static struct wanted_item *wanted_item_new(struct wanted_fetch *fetch,
                                           const struct generation *generation,
                                           struct evidence_want *want)
{
    struct wanted_item *item = calloc(1, sizeof(*item));

    if (item == NULL) {
        return NULL;
    }
    item->fetch = fetch;
    item->address = config_files_rewrite(&generation->config->fetch, want->url);
    if (item->address == NULL) {
        free(item);
        return NULL;
    }
    item->question = *want;
    memset(want, 0, sizeof(*want));
    return item;
}

static struct wanted_fetch *wanted_run(struct wanted_fetch *fetch, struct evidence_wants *wants)
{
    size_t count = wants->count;

    for (size_t i = 0; i < count; i++) {
        struct wanted_item *item = wanted_item_new(fetch, fetch->generation, &wants->items[i]);

        if (item == NULL) {
            continue;
        }
        fetch->items[i] = item;
        fetch->pending++;
        if (!wanted_begin(item)) {
            fetch->items[i] = NULL;
            fetch->pending--;
            wanted_item_free(item);
        }
    }
    evidence_wants_done(wants);
    if (fetch->pending == 0) {
        wanted_fetch_free(fetch);
        return NULL;
    }
    return fetch;
}

static struct wanted_fetch *wanted_new(struct gateway *gateway, struct worker *worker,
                                       struct generation *generation,
                                       struct wanted_answers *answers, wanted_fn fn, void *ctx)
{
    struct wanted_fetch *fetch = calloc(1, sizeof(*fetch));

    if (fetch == NULL) {
        return NULL;
    }
    fetch->gateway = gateway;
    fetch->worker = worker;
    fetch->generation = generation_ref(generation);
    fetch->interval_s = generation->config->cache.revocation_refresh_s;
    fetch->answers = answers;
    fetch->fn = fn;
    fetch->ctx = ctx;
    return fetch;
}

struct wanted_fetch *wanted_start(struct gateway *gateway, struct worker *worker,
                                  struct generation *generation, struct evidence_wants *wants,
                                  struct wanted_answers *answers, wanted_fn fn, void *ctx)
{
    struct wanted_fetch *fetch = wanted_new(gateway, worker, generation, answers, fn, ctx);

    return fetch != NULL ? wanted_run(fetch, wants) : NULL;
}

struct wanted_fetch *wanted_renew(struct gateway *gateway, struct worker *worker,
                                  struct generation *generation, struct evidence_wants *wants,
                                  struct wanted_answers *answers, wanted_fn fn, void *ctx)
{
    struct wanted_fetch *fetch = wanted_new(gateway, worker, generation, answers, fn, ctx);

    if (fetch == NULL) {
        return NULL;
    }
    fetch->is_renewal = true;
    return wanted_run(fetch, wants);
}

void wanted_cancel(struct wanted_fetch *fetch)
{
    if (fetch == NULL) {
        return;
    }
    fetch->is_cancelled = true;
    for (size_t i = 0; i < EVIDENCE_MAX_WANTS; i++) {
        struct wanted_item *item = fetch->items[i];

        if (item != NULL && item->request != NULL) {
            upstream_cancel(item->request);
            fetch->items[i] = NULL;
            wanted_item_free(item);
            if (--fetch->pending == 0) {
                wanted_fetch_free(fetch);
                return;
            }
        }
    }
}
