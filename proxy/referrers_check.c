/*
 * Judging what came: hashing, parsing and keeping. A registry may send evidence of megabytes and
 * lists that take a tenth of a second to parse; a worker has thousands of connections to look after
 * meanwhile, so that goes to a helper.
 */
#include <stdlib.h>
#include <string.h>

#include "proxy/referrers_search.h"

struct referrers_check *referrers_check_new(struct referrers_task *task)
{
    const struct referrers_ask *ask = &task->search->ask;
    struct referrers_check *check = calloc(1, sizeof(*check));

    if (check != NULL) {
        check->task = task;
        check->kind = task->kind;
        check->digest = task->digest;
        check->size = task->size;
        check->store_ctx = ask->store_ctx;
        check->lookup = ask->lookup;
        check->store = ask->store;
    }
    return check;
}

static void check_free(struct referrers_check *check)
{
    bytes_buf_done(&check->content);
    manifest_free(check->manifest);
    json_decref(check->doc);
    free(check->type);
    free(check->link);
    free(check);
}

/* Asked for is only what has a digest: blobs, and manifests that a list names. */
static bool check_look_up(struct referrers_check *check)
{
    enum referrers_part part =
        check->kind == REFERRERS_TASK_BLOB ? REFERRERS_BLOB : REFERRERS_MANIFEST;

    if (!check->lookup(check->store_ctx, part, &check->digest, &check->content)) {
        return false;
    }
    /* Where the list lies about the size, the registry shall say it again. */
    check->is_here = (int64_t)check->content.len == check->size;
    return check->is_here;
}

static bool check_content(struct referrers_check *check, struct gh_error *err)
{
    struct bytes content = bytes_view(&check->content);
    bool is_blob = check->kind == REFERRERS_TASK_BLOB;

    if (check->kind == REFERRERS_TASK_TAG) { /* found by name: its digest is whatever came */
        GH_TRY(digest_compute(DIGEST_SHA256, content, &check->digest, err));
    } else {
        GH_TRY(digest_check(&check->digest, content, err));
    }
    if (check->store != NULL) {
        check->store(check->store_ctx, is_blob ? REFERRERS_BLOB : REFERRERS_MANIFEST,
                     &check->digest, is_blob ? NULL : check->type, content);
    }
    return true;
}

static void check_judge(struct referrers_check *check)
{
    struct bytes content;

    if (check->is_lookup && !check_look_up(check)) {
        return;
    }
    content = bytes_view(&check->content);
    switch (check->kind) {
    case REFERRERS_TASK_PAGE:
    case REFERRERS_TASK_FALLBACK:
        (void)!referrers_page_parse(content, check->type, &check->doc, &check->list, &check->error);
        return;
    case REFERRERS_TASK_TAG:
    case REFERRERS_TASK_MANIFEST:
        if (check->is_lookup || check_content(check, &check->error)) {
            (void)!manifest_parse(content, check->type, &check->manifest, &check->error);
        }
        return;
    case REFERRERS_TASK_BLOB:
        if (!check->is_lookup) {
            (void)!check_content(check, &check->error);
        }
        return;
    }
}

static void check_run(struct helper_job *job)
{
    check_judge((struct referrers_check *)job);
}

static void check_done(struct helper_job *job, struct worker *worker)
{
    struct referrers_check *check = (struct referrers_check *)job;

    (void)worker;
    if (check->task != NULL) {
        check->task->check = NULL;
        referrers_task_judged(check->task, check);
    }
    check_free(check);
}

/* The worker has ended, and with it every search of it. */
static void check_drop(struct helper_job *job)
{
    check_free((struct referrers_check *)job);
}

void referrers_check_start(struct referrers_check *check, size_t len)
{
    struct referrers_task *task = check->task;
    const struct referrers_ask *ask = &task->search->ask;

    if (ask->helpers != NULL && len > REFERRERS_INLINE_BYTES) {
        check->job.worker = ask->worker;
        check->job.run = check_run;
        check->job.done = check_done;
        check->job.drop = check_drop;
        task->check = check;
        if (helper_submit(ask->helpers, &check->job)) {
            return;
        }
        task->check = NULL;
    }
    check_judge(check);
    referrers_task_judged(task, check);
    check_free(check);
}

void referrers_check_leave(struct referrers_check *check)
{
    if (check != NULL) {
        check->task = NULL;
    }
}
