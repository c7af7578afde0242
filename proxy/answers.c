#include "proxy/answers.h"

#include <stdlib.h>
#include <string.h>

#include "cache/answer_store.h"
#include "cache/verdict_cache.h"
#include "metrics/error.h"
#include "metrics/log.h"
#include "policy/require.h"
#include "proxy/gateway.h"
#include "proxy/generation.h"
#include "proxy/wanted.h"
#include "proxy/worker.h"

struct answers {
    struct gateway *gateway;
    int64_t next_unix_s; /* atomic: no look before; what is kept lowers it */
    int is_asking;       /* atomic: a batch is under way */
    size_t turn;         /* housekeeping's own: which worker is next */
};

/* One batch of questions that are asked again. */
struct answers_batch {
    struct worker_mail mail; /* first */
    struct answers *answers;
    struct generation *generation;
    struct evidence_wants wants;
    struct wanted_answers answered;
};

bool answers_new(struct gateway *gateway, struct answers **out, struct gh_error *err)
{
    struct answers *answers = calloc(1, sizeof(*answers));

    if (answers == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for answers");
    }
    answers->gateway = gateway;
    *out = answers;
    return true;
}

void answers_free(struct answers *answers)
{
    free(answers);
}

static bool answers_name(const struct evidence_want *question, struct digest *out)
{
    return evidence_question_name(question->kind, question->url, bytes_view(&question->body), out,
                                  NULL);
}

bool answers_get(struct answers *answers, const struct evidence_want *question, bool is_due_too,
                 int64_t now_unix_s, struct bytes_buf *out)
{
    struct bytes_buf held = {0};
    struct answer_record record;
    struct digest name;
    bool is_given;

    if (!answers_name(question, &name) ||
        !answer_store_get(answers->gateway->store, &name, &held, &record)) {
        return false;
    }
    is_given = now_unix_s < record.until_unix_s && (is_due_too || now_unix_s < record.due_unix_s) &&
               record.answer.len <= question->limit_bytes && bytes_dup(record.answer, out, NULL);
    bytes_buf_done(&held);
    return is_given;
}

static void answers_expect(struct answers *answers, int64_t unix_s)
{
    int64_t next = __atomic_load_n(&answers->next_unix_s, __ATOMIC_RELAXED);

    while (unix_s < next && !__atomic_compare_exchange_n(&answers->next_unix_s, &next, unix_s, true,
                                                         __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
}

static void answers_put(struct answers *answers, const struct digest *name,
                        const struct answer_record *record)
{
    struct gh_error error = {0};

    if (!answer_store_put(answers->gateway->store, name, record, &error)) {
        /* What was verified with it is not kept, then: nothing is lost but time. */
        log_write(answers->gateway->log, &(struct log_event){.level = LOG_WARN},
                  "an answer about revocation is not kept: %s", error.text);
        return;
    }
    answers_expect(answers, record->due_unix_s);
}

/* Readers see the new answer before this begins, and look once more after they kept a verdict: so
 * none that rests on the old one stays. */
static void answers_end_verdicts(struct answers *answers, const struct digest *name,
                                 const char *url)
{
    struct verdict_cache_rest rest = {.kind = EVIDENCE_REST_ANSWER};
    struct gh_error error = {0};
    size_t count = 0;

    memcpy(rest.id, name->value, sizeof(rest.id));
    if (!verdict_cache_drop_rest(answers->gateway->verdicts, &rest, &count, &error)) {
        log_write(answers->gateway->log, &(struct log_event){.level = LOG_ERROR},
                  "verdicts that rest on %.200s could not be ended: %s", url, error.text);
    } else if (count > 0) {
        log_write(answers->gateway->log, &(struct log_event){.level = LOG_INFO},
                  "%.200s has a new answer: %zu verdicts that rested on it are made anew", url,
                  count);
    }
}

/* Whoever stands between gateway and responder can give yesterday's answer, which is as well signed
 * as today's: what is newer stays. */
static bool answers_holds_newer(struct answers *answers, const struct digest *name,
                                int64_t from_unix_s, int64_t due_unix_s, int64_t now_unix_s)
{
    struct bytes_buf held = {0};
    struct answer_record record;
    int64_t from = INT64_MIN;
    int64_t until;
    bool is_newer;

    if (!answer_store_get(answers->gateway->store, name, &held, &record)) {
        return false;
    }
    is_newer = now_unix_s < record.until_unix_s &&
               require_answer_life((enum evidence_want_kind)record.kind, record.answer, now_unix_s,
                                   &from, &until) &&
               from > from_unix_s;
    if (is_newer) {
        record.due_unix_s = due_unix_s;
        answers_put(answers, name, &record);
    }
    bytes_buf_done(&held);
    return is_newer;
}

bool answers_keep(struct answers *answers, const struct evidence_want *question,
                  struct bytes answer, int64_t interval_s, int64_t now_unix_s)
{
    struct answer_record record = {
        .kind = (uint8_t)question->kind,
        .limit_bytes = (uint32_t)question->limit_bytes,
        .fetched_unix_s = now_unix_s,
        .url = bytes_of(question->url),
        .body = bytes_view(&question->body),
        .answer = answer,
    };
    struct digest name;
    int64_t from;
    bool is_same;

    if (answers->gateway->is_stored_only || !answers_name(question, &name) ||
        !require_answer_life(question->kind, answer, now_unix_s, &from, &record.until_unix_s)) {
        return true; /* what cannot be used does not take the place of what can */
    }
    if (record.until_unix_s == INT64_MAX) {
        record.until_unix_s = now_unix_s + 2 * interval_s;
    }
    /* One that ends soon is renewed at half of what is left. */
    record.due_unix_s = now_unix_s + interval_s;
    if (record.until_unix_s < record.due_unix_s + interval_s) {
        record.due_unix_s = now_unix_s + GH_MAX((record.until_unix_s - now_unix_s) / 2, 1);
    }
    is_same = answer_store_is(answers->gateway->store, &name, answer);
    if (!is_same && answers_holds_newer(answers, &name, from, record.due_unix_s, now_unix_s)) {
        return false;
    }
    answers_put(answers, &name, &record);
    if (!is_same) {
        answers_end_verdicts(answers, &name, question->url);
    }
    return true;
}

void answers_defer(struct answers *answers, const struct evidence_want *question,
                   int64_t now_unix_s)
{
    struct bytes_buf held = {0};
    struct answer_record record;
    struct digest name;

    if (answers->gateway->is_stored_only || !answers_name(question, &name) ||
        !answer_store_get(answers->gateway->store, &name, &held, &record)) {
        return;
    }
    record.due_unix_s =
        now_unix_s +
        GH_MAX(GH_MIN(record.due_unix_s - record.fetched_unix_s, (int64_t)ANSWERS_RETRY_S), 1);
    answers_put(answers, &name, &record);
    bytes_buf_done(&held);
}

bool answers_are_kept(struct answers *answers, const struct evidence_answers *answered)
{
    for (size_t i = 0; i < answered->count; i++) {
        const struct evidence_answer *answer = &answered->items[i];
        struct digest name;

        if (answer->failure.cause != GH_CAUSE_NONE) {
            continue;
        }
        if (!evidence_question_name(answer->kind, answer->url, answer->body, &name, NULL) ||
            !answer_store_is(answers->gateway->store, &name, answer->answer)) {
            return false;
        }
    }
    return true;
}

/* ---- asking again ---- */

static void answers_batch_free(struct answers_batch *batch)
{
    __atomic_store_n(&batch->answers->is_asking, 0, __ATOMIC_RELEASE);
    evidence_wants_done(&batch->wants);
    wanted_answers_done(&batch->answered);
    generation_unref(batch->generation);
    free(batch);
}

/* What was fetched has been kept on its way; nothing is left to do. */
static void answers_batch_over(void *ctx, bool added)
{
    (void)added;
    answers_batch_free(ctx);
}

static void answers_batch_run(struct worker_mail *mail, struct worker *worker)
{
    struct answers_batch *batch = (struct answers_batch *)mail;

    if (wanted_renew(batch->answers->gateway, worker, batch->generation, &batch->wants,
                     &batch->answered, answers_batch_over, batch) == NULL) {
        answers_batch_free(batch);
    }
}

static void answers_batch_drop(struct worker_mail *mail)
{
    answers_batch_free((struct answers_batch *)mail);
}

struct answers_look {
    int64_t now_unix_s;
    bool is_found;
};

static bool answers_on_verdict(struct bytes key, struct bytes value, int64_t until_unix_s,
                               const struct verdict_cache_use *use, void *arg)
{
    struct answers_look *look = arg;

    (void)key;
    (void)value;
    (void)use;
    look->is_found = until_unix_s > look->now_unix_s;
    return !look->is_found;
}

static bool answers_is_used(struct answers *answers, const struct digest *name, int64_t now_unix_s)
{
    struct answers_look look = {.now_unix_s = now_unix_s};
    struct verdict_cache_rest rest = {.kind = EVIDENCE_REST_ANSWER};

    memcpy(rest.id, name->value, sizeof(rest.id));
    verdict_cache_each(answers->gateway->verdicts, &rest, answers_on_verdict, &look);
    return look.is_found;
}

/* Put what NAME stands for to the batch, or forget it where nothing rests on it. */
static void answers_renew_or_forget(struct answers *answers, const struct digest *name,
                                    struct answers_batch *batch, int64_t now_unix_s)
{
    char url[ANSWER_STORE_MAX_URL + 1];
    struct bytes_buf held = {0};
    struct answer_record record = {0};
    bool is_known = answer_store_get(answers->gateway->store, name, &held, &record) &&
                    record.kind <= EVIDENCE_WANT_VENDOR && record.url.len < sizeof(url);

    if (is_known && record.due_unix_s > now_unix_s) {
        answers_expect(answers, record.due_unix_s); /* renewed, not committed yet */
    } else if (is_known && (record.fetched_unix_s + ANSWERS_LINGER_S > now_unix_s ||
                            answers_is_used(answers, name, now_unix_s))) {
        memcpy(url, record.url.data, record.url.len);
        url[record.url.len] = '\0';
        if (!evidence_wants_add(&batch->wants, (enum evidence_want_kind)record.kind, url,
                                record.body, record.limit_bytes, NULL)) {
            answers_expect(answers, now_unix_s + 1);
        }
    } else {
        (void)!answer_store_remove(answers->gateway->store, name, NULL);
    }
    bytes_buf_done(&held);
}

void answers_tick(struct answers *answers, int64_t now_unix_s)
{
    struct gateway *gateway = answers->gateway;
    struct digest names[ANSWERS_BATCH];
    struct answers_batch *batch;
    size_t count = 0;
    int64_t next;

    if (now_unix_s < __atomic_load_n(&answers->next_unix_s, __ATOMIC_RELAXED) ||
        gateway->worker_count == 0 || __atomic_load_n(&answers->is_asking, __ATOMIC_ACQUIRE) != 0) {
        return;
    }
    batch = calloc(1, sizeof(*batch));
    if (batch == NULL) {
        return;
    }
    batch->answers = answers;
    batch->generation = gateway_generation(gateway);
    __atomic_store_n(&answers->is_asking, 1, __ATOMIC_RELEASE);
    /* First the mark, then the look: what is kept meanwhile lowers the mark again. */
    __atomic_store_n(&answers->next_unix_s, INT64_MAX, __ATOMIC_RELAXED);
    next = answer_store_due(gateway->store, now_unix_s, names, ANSWERS_BATCH, &count);
    for (size_t i = 0; i < count; i++) {
        answers_renew_or_forget(answers, &names[i], batch, now_unix_s);
    }
    /* What is being asked is due again when its answer is kept; were that to fail, soon. */
    answers_expect(answers, count > 0 ? GH_MIN(next, now_unix_s + ANSWERS_RETRY_S) : next);
    if (batch->wants.count == 0) {
        answers_batch_free(batch);
        return;
    }
    batch->mail.run = answers_batch_run;
    batch->mail.drop = answers_batch_drop;
    worker_post(gateway->workers[answers->turn++ % gateway->worker_count], &batch->mail);
}
