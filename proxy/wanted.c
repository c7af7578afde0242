#include "proxy/wanted.h"

#include <stdlib.h>
#include <string.h>

#include "proxy/config_files.h"
#include "proxy/gateway.h"
#include "proxy/generation.h"
#include "proxy/helper.h"
#include "proxy/upstream.h"
#include "proxy/worker.h"

#define WANTED_TIMEOUT_MS 5000 /* of one address */
#define WANTED_MAX_ANSWERS 64  /* of one verification */

/* One question under way. */
struct wanted_item {
    struct helper_job job; /* file:// is read on a helper */
    struct wanted_fetch *fetch;
    struct evidence_want question; /* owned until it becomes an answer */
    char *address;                 /* rewritten */
    struct upstream_request *request;
    struct bytes_buf answer;
    struct gh_error failure;
};

struct wanted_fetch {
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
        free(fetch);
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
    wanted_item_over(item);
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
}

/* The failure is known; it is told from the loop like every answer. */
static void wanted_read_nothing(struct helper_job *job)
{
    (void)job;
}

static void wanted_file_read(struct helper_job *job, struct worker *worker)
{
    wanted_item_over((struct wanted_item *)job);
}

/* The worker has ended, and the pools may have: whoever waits must not go on from here. */
static void wanted_file_dropped(struct helper_job *job)
{
    struct wanted_item *item = (struct wanted_item *)job;

    item->fetch->is_stopping = true;
    wanted_item_over(item);
}

static bool wanted_send(struct gateway *gateway, struct worker *worker,
                        struct generation *generation, struct wanted_item *item)
{
    const char *const bodies[] = {
        [EVIDENCE_WANT_CRL] = NULL,
        [EVIDENCE_WANT_OCSP] = "application/ocsp-request",
        [EVIDENCE_WANT_VENDOR] = "application/json",
    };
    struct upstream_ask ask = {
        .upstream = generation->outside,
        .method = item->question.body.len > 0 ? UPSTREAM_POST : UPSTREAM_GET,
        .path = item->address,
        .body = bytes_view(&item->question.body),
        .body_type = bodies[item->question.kind],
        .body_limit = item->question.limit_bytes,
        .timeout_ms = WANTED_TIMEOUT_MS,
    };

    if (generation->config->is_offline && strcmp(item->address, item->question.url) == 0) {
        (void)gh_fail(&item->failure, GH_REVOCATION_UNAVAILABLE,
                      "%s: offline, and fetch.rewrite does not name it", item->address);
        item->job.worker = worker;
        item->job.run = wanted_read_nothing;
        item->job.done = wanted_file_read;
        item->job.drop = wanted_file_dropped;
        return helper_submit(gateway->helpers, &item->job);
    }
    if (strncmp(item->address, "file://", 7) == 0) {
        item->job.worker = worker;
        item->job.run = wanted_read_file;
        item->job.done = wanted_file_read;
        item->job.drop = wanted_file_dropped;
        return helper_submit(gateway->helpers, &item->job);
    }
    item->request =
        upstream_fetch(worker_member(worker, WORKER_SLOT_UPSTREAM), &ask, wanted_on_answer, item);
    return item->request != NULL;
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

struct wanted_fetch *wanted_start(struct gateway *gateway, struct worker *worker,
                                  struct generation *generation, struct evidence_wants *wants,
                                  struct wanted_answers *answers, wanted_fn fn, void *ctx)
{
    struct wanted_fetch *fetch = calloc(1, sizeof(*fetch));
    size_t count = wants->count;

    if (fetch == NULL) {
        return NULL;
    }
    fetch->answers = answers;
    fetch->fn = fn;
    fetch->ctx = ctx;
    for (size_t i = 0; i < count; i++) {
        struct wanted_item *item = wanted_item_new(fetch, generation, &wants->items[i]);

        if (item == NULL) {
            continue;
        }
        fetch->items[i] = item;
        fetch->pending++;
        if (!wanted_send(gateway, worker, generation, item)) {
            fetch->items[i] = NULL;
            fetch->pending--;
            wanted_item_free(item);
        }
    }
    evidence_wants_done(wants);
    if (fetch->pending == 0) {
        free(fetch);
        return NULL;
    }
    return fetch;
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
                free(fetch);
                return;
            }
        }
    }
}
