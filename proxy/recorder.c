#include "proxy/recorder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cache/decision_store.h"
#include "metrics/audit.h"
#include "metrics/lock.h"
#include "metrics/log.h"
#include "metrics/text.h"
#include "policy/config.h"
#include "policy/config_diff.h"
#include "proxy/audit_text.h"
#include "proxy/decision_text.h"
#include "proxy/exception_watch.h"
#include "proxy/failure.h"
#include "proxy/gateway.h"

#define RECORDER_SLOTS (1u << 17) /* of what was recorded lately; a clash records once more */
#define RECORDER_FOLDS 1024
#define RECORDER_FOLD_MS 60000
#define RECORDER_FOLD_PROBES 32
#define RECORDER_FAILURE_BUCKETS                                                                   \
    16 /* records of one cause that one client can make in a minute                                \
        */
#define RECORDER_MAX_DECISION (48u * 1024) /* longer ones are recorded without their candidates */
#define RECORDER_MAX_RECORD (60u * 1024)
#define RECORDER_MAX_PATH 1024
#define RECORDER_DAY_S 86400

/* What was written and is counted for a while. */
struct recorder_fold {
    uint64_t key; /* 0: free */
    uint64_t repeats;
    int64_t since_ms;
    char id[DECIDE_ID_BYTES + 1];
    char client[48];
};

struct recorder {
    struct gateway *gateway;
    struct audit *audit;
    uint64_t allowed[RECORDER_SLOTS]; /* atomic; hashes of id, principal and day */
    uint64_t kept[RECORDER_SLOTS];    /* atomic; hashes of ids whose decision is kept */
    bool is_failing;                  /* atomic */
    struct lock lock;
    struct recorder_fold folds[RECORDER_FOLDS];
};

static int64_t recorder_now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

bool recorder_new(struct gateway *gateway, struct audit *audit, struct recorder **out,
                  struct gh_error *err)
{
    struct recorder *recorder = calloc(1, sizeof(*recorder));

    if (recorder == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory to record decisions");
    }
    recorder->gateway = gateway;
    recorder->audit = audit;
    lock_init(&recorder->lock, GH_RANK_LIMIT);
    *out = recorder;
    return true;
}

void recorder_free(struct recorder *recorder)
{
    if (recorder == NULL) {
        return;
    }
    lock_done(&recorder->lock);
    free(recorder);
}

static uint64_t recorder_hash(const char *a, const char *b, int64_t number)
{
    uint64_t hash = 14695981039346656037ull ^ (uint64_t)number;
    const char *const parts[] = {a, b};

    for (size_t i = 0; i < GH_COUNT(parts); i++) {
        for (const char *c = parts[i]; *c != '\0'; c++) {
            hash = (hash ^ (uint8_t)*c) * 1099511628211ull;
        }
        hash = (hash ^ 0xff) * 1099511628211ull;
    }
    hash ^= hash >> 29;
    hash *= 0xbf58476d1ce4e5b9ull;
    hash ^= hash >> 32;
    return hash != 0 ? hash : 1;
}

static bool recorder_slot_has(const uint64_t *slots, uint64_t hash)
{
    return __atomic_load_n(&slots[hash % RECORDER_SLOTS], __ATOMIC_RELAXED) == hash;
}

static void recorder_slot_set(uint64_t *slots, uint64_t hash)
{
    __atomic_store_n(&slots[hash % RECORDER_SLOTS], hash, __ATOMIC_RELAXED);
}

bool recorder_knows(const struct recorder *recorder, const char *id)
{
    return recorder_slot_has(recorder->kept, recorder_hash(id, "", 0));
}

bool recorder_is_available(const struct recorder *recorder)
{
    return !__atomic_load_n(&recorder->is_failing, __ATOMIC_RELAXED);
}

/* ---- counters ---- */

static void recorder_count(struct recorder *recorder, const struct recorder_note *note,
                           const struct decision *decision)
{
    static const struct {
        unsigned bit;
        const char *kind;
    } bypasses[] = {
        {DECIDE_BYPASS_EXCEPTION, "exception"},
        {DECIDE_BYPASS_WARN, "warn"},
        {DECIDE_BYPASS_AUDIT, "audit"},
        {DECIDE_BYPASS_EMERGENCY, "emergency"},
    };
    struct prom *prom = recorder->gateway->prom;
    const char *surface = gate_surface_label(note->surface);
    const char *policy = decision->policy != NULL ? decision->policy->name : "";
    bool is_allowed = decision->outcome == DECIDE_ALLOW;
    const char *reason = is_allowed ? "" : gh_reason_label(gh_cause_reason(decision->error.cause));

    prom_add(prom, PROM_DECISIONS,
             PROM_LABELS(note->tenant, is_allowed ? "" : policy, surface,
                         decide_outcome_label(decision->outcome), reason),
             1);
    if (decision->outcome == DECIDE_DENY) {
        prom_add(prom, PROM_DENIALS, PROM_LABELS(note->tenant, policy, surface, reason), 1);
    }
    for (size_t i = 0; is_allowed && i < decision->failure_count; i++) {
        const struct decide_failure *failure = &decision->failures[i];

        if (failure->mode == POLICY_WARN && failure->policy != NULL) {
            prom_add(prom, PROM_WARNINGS,
                     PROM_LABELS(note->tenant, failure->policy->name, surface,
                                 gh_reason_label(gh_cause_reason(failure->error.cause))),
                     1);
        }
    }
    for (size_t i = 0; i < decision->use_count; i++) {
        prom_add(prom, PROM_EXCEPTIONS_USED,
                 PROM_LABELS(note->tenant, decision->uses[i].exception->id), 1);
        if (is_allowed && recorder->gateway->exceptions != NULL) {
            exception_watch_used(recorder->gateway->exceptions, note->tenant,
                                 decision->uses[i].exception->id, gateway_now());
        }
    }
    for (size_t i = 0; is_allowed && i < GH_COUNT(bypasses); i++) {
        if ((decision->bypasses & bypasses[i].bit) != 0) {
            prom_add(prom, PROM_BYPASSES, PROM_LABELS(note->tenant, bypasses[i].kind), 1);
            if (recorder->gateway->exceptions != NULL) {
                exception_watch_bypass(recorder->gateway->exceptions, note->tenant,
                                       bypasses[i].kind, gateway_now());
            }
        }
    }
}

/* ---- the audit log ---- */

static bool recorder_write(struct recorder *recorder, const char *type, const struct text *body,
                           struct gh_error *err)
{
    const struct audit_entry entry = {.type = type, .body = body->data, .body_len = body->len};
    struct gh_error detail = {0};
    bool is_written =
        text_ok(body) && audit_append(recorder->audit, &entry, 1, recorder_now_ms(), NULL, &detail);

    __atomic_store_n(&recorder->is_failing, !is_written, __ATOMIC_RELAXED);
    if (!is_written) {
        log_write(recorder->gateway->log,
                  &(struct log_event){.level = LOG_ERROR, .reason = "audit_unavailable"},
                  "the audit log cannot be written, nothing new is allowed: %s", detail.text);
        return gh_fail(err, GH_AUDIT_UNAVAILABLE,
                       "the decision cannot be recorded, so nothing new is allowed now");
    }
    prom_add(recorder->gateway->prom, PROM_AUDIT_RECORDS, PROM_LABELS(NULL), 1);
    return true;
}

static void recorder_put(struct text *out, const char *key, const char *value)
{
    text_put_key(out, key);
    text_put_json(out, value != NULL ? value : "");
}

static void recorder_put_note(struct text *out, const struct recorder_note *note)
{
    recorder_put(out, "tenant", note->tenant);
    recorder_put(out, "surface", gate_surface_label(note->surface));
    recorder_put(out, "principal", note->principal);
    recorder_put(out, "client", note->client);
    recorder_put(out, "media_type", note->media_type);
}

/* Keep the whole decision for `why`, and put it into the audit record the first time. */
static void recorder_keep(struct recorder *recorder, const struct recorder_note *note,
                          const struct decision *decision, const struct text *json)
{
    struct gh_error error = {0};

    if (text_ok(json) && recorder->gateway->decisions != NULL &&
        decision_store_put(recorder->gateway->decisions, decision->id,
                           bytes_make(json->data, json->len), recorder_now_ms(), &error)) {
        recorder_slot_set(recorder->kept, recorder_hash(decision->id, "", 0));
    }
}

static bool recorder_write_decision(struct recorder *recorder, const struct recorder_note *note,
                                    const struct decision *decision, const struct decide_plan *plan,
                                    struct gh_error *err)
{
    bool is_known = recorder_knows(recorder, decision->id);
    bool is_written;
    struct text json;
    struct text body;

    text_init(&json, RECORDER_MAX_DECISION);
    text_init(&body, RECORDER_MAX_RECORD);
    if (!is_known) {
        decision_text_json(&json, note->image, note->digest, decision, plan);
        is_known = !text_ok(&json);
    }
    text_put(&body, "{");
    recorder_put(&body, "id", decision->id);
    recorder_put(&body, "verdict", decide_outcome_label(decision->outcome));
    recorder_put_note(&body, note);
    audit_text_passes(&body, decision);
    if (is_known) {
        recorder_put(&body, "image", note->image);
        recorder_put(&body, "digest", note->digest);
        recorder_put(&body, "cause", gh_cause_label(decision->error.cause));
        recorder_put(&body, "fingerprint", decision->fingerprint);
    } else {
        recorder_keep(recorder, note, decision, &json);
        text_put_key(&body, "decision");
        text_put(&body, json.data);
    }
    text_put(&body, "}");
    is_written = recorder_write(recorder,
                                decision->outcome == DECIDE_ALLOW  ? "allow"
                                : decision->outcome == DECIDE_DENY ? "denial"
                                                                   : "undecided",
                                &body, err);
    text_done(&json);
    text_done(&body);
    return is_written;
}

/* True: the same was written lately; it is counted. */
static bool recorder_fold(struct recorder *recorder, const struct recorder_note *note,
                          const char *id)
{
    uint64_t hash = recorder_hash(id, note->client, 0);
    struct recorder_fold *fold = NULL;
    int64_t now_ms = recorder_now_ms();

    LOCK_HOLD(&recorder->lock);
    for (size_t i = 0; i < RECORDER_FOLD_PROBES; i++) {
        struct recorder_fold *at = &recorder->folds[(hash + i) % RECORDER_FOLDS];
        bool is_over = now_ms - at->since_ms >= RECORDER_FOLD_MS;

        if (at->key == hash && !is_over) {
            at->repeats++;
            return true;
        }
        if (fold == NULL && (at->key == 0 || (is_over && at->repeats == 0))) {
            fold = at;
        }
    }
    if (fold == NULL) {
        return false; /* the counts there are not written yet: record this one whole */
    }
    *fold = (struct recorder_fold){.key = hash, .since_ms = now_ms};
    memcpy(fold->id, id, GH_MIN(strlen(id), sizeof(fold->id) - 1));
    memcpy(fold->client, note->client, GH_MIN(strlen(note->client), sizeof(fold->client) - 1));
    return false;
}

/* Each answer that something let pass is recorded: whole, or in the count of a minute. */
static void recorder_pass(struct recorder *recorder, const struct recorder_note *note,
                          const struct decision *decision, bool is_recorded)
{
    struct gh_error ignored = {0};
    struct text body;

    if (decision->bypasses == 0 || recorder_fold(recorder, note, decision->id) || is_recorded) {
        return;
    }
    text_init(&body, RECORDER_MAX_RECORD);
    text_put(&body, "{");
    recorder_put(&body, "id", decision->id);
    recorder_put_note(&body, note);
    recorder_put(&body, "image", note->image);
    recorder_put(&body, "digest", note->digest);
    audit_text_passes(&body, decision);
    text_put(&body, "}");
    (void)!recorder_write(recorder, "pass", &body, &ignored);
    text_done(&body);
}

static void recorder_log(struct recorder *recorder, const struct recorder_note *note,
                         const struct decision *decision)
{
    log_write(recorder->gateway->log,
              &(struct log_event){.level = LOG_INFO,
                                  .digest = note->digest,
                                  .reason = gh_reason_label(gh_cause_reason(decision->error.cause)),
                                  .cause = gh_cause_label(decision->error.cause),
                                  .decision = decision->id},
              "%s %s: %s", decision->outcome == DECIDE_DENY ? "denied" : "could not decide about",
              note->image, decision->message != NULL ? decision->message : "");
}

/* As often as an allow is written: once per decision, principal and day. */
static void recorder_log_uses(struct recorder *recorder, const struct recorder_note *note,
                              const struct decision *decision)
{
    for (size_t i = 0; i < decision->use_count; i++) {
        const struct exception *exception = decision->uses[i].exception;

        log_write(recorder->gateway->log,
                  &(struct log_event){.level = LOG_INFO,
                                      .digest = note->digest,
                                      .reason = "exception_used",
                                      .decision = decision->id},
                  "allowed %s by exception %s, owner %s, days left: %lld", note->image,
                  exception->id, exception->owner, (long long)decision->uses[i].days_left);
    }
}

bool recorder_decision(struct recorder *recorder, const struct recorder_note *note,
                       const struct decision *decision, const struct decide_plan *plan,
                       struct gh_error *err)
{
    struct gh_error ignored = {0};
    int64_t day = gateway_now() / RECORDER_DAY_S;
    bool is_recorded = false;
    uint64_t hash;

    if (decision->outcome != DECIDE_ALLOW) {
        recorder_count(recorder, note, decision);
        if (!recorder_fold(recorder, note, decision->id)) {
            recorder_log(recorder, note, decision);
            (void)!recorder_write_decision(recorder, note, decision, plan, &ignored);
        }
        return true;
    }
    hash = recorder_hash(decision->id, note->principal, day);
    if (!recorder_slot_has(recorder->allowed, hash)) {
        if (recorder_write_decision(recorder, note, decision, plan, err)) {
            recorder_slot_set(recorder->allowed, hash);
            is_recorded = true;
            recorder_log_uses(recorder, note, decision);
        } else if (recorder_slot_has(recorder->allowed,
                                     recorder_hash(decision->id, note->principal, day - 1))) {
            gh_error_clear(err); /* allowed before: a new day alone refuses nobody */
        } else {
            return false;
        }
    }
    recorder_pass(recorder, note, decision, is_recorded);
    recorder_count(recorder, note, decision);
    return true;
}

static void recorder_count_failure(struct recorder *recorder, const struct recorder_note *note,
                                   bool is_denial, const struct gh_error *error)
{
    const char *reason = gh_reason_label(gh_cause_reason(error->cause));
    const char *surface = gate_surface_label(note->surface);

    prom_add(recorder->gateway->prom, PROM_DECISIONS,
             PROM_LABELS(note->tenant, "", surface, is_denial ? "deny" : "error", reason), 1);
    if (is_denial) {
        prom_add(recorder->gateway->prom, PROM_DENIALS,
                 PROM_LABELS(note->tenant, "", surface, reason), 1);
    }
}

/* Any client can name things without end, so names are folded into a few. */
static bool recorder_fold_failure(struct recorder *recorder, const struct recorder_note *note,
                                  const struct gh_error *error)
{
    char bucket[80];

    (void)snprintf(bucket, sizeof(bucket), "%u-%s",
                   (unsigned)(recorder_hash(note->image, "", 0) % RECORDER_FAILURE_BUCKETS),
                   gh_cause_label(error->cause));
    return recorder_fold(recorder, note, bucket);
}

void recorder_failure(struct recorder *recorder, const struct recorder_note *note, bool is_denial,
                      const struct gh_error *error)
{
    const char *reason = gh_reason_label(gh_cause_reason(error->cause));
    struct gh_error ignored = {0};
    struct text body;

    recorder_count_failure(recorder, note, is_denial, error);
    if (recorder_fold_failure(recorder, note, error)) {
        return;
    }
    log_write(recorder->gateway->log,
              &(struct log_event){.level = LOG_INFO,
                                  .digest = note->digest,
                                  .reason = reason,
                                  .cause = gh_cause_label(error->cause)},
              "%s: %s", note->image, error->text);
    text_init(&body, RECORDER_MAX_RECORD);
    text_put(&body, "{");
    recorder_put(&body, "image", note->image);
    recorder_put(&body, "digest", note->digest);
    recorder_put_note(&body, note);
    recorder_put(&body, "verdict", is_denial ? "deny" : "error");
    recorder_put(&body, "reason", reason);
    recorder_put(&body, "cause", gh_cause_label(error->cause));
    recorder_put(&body, "message", error->text);
    text_put(&body, "}");
    (void)!recorder_write(recorder, is_denial ? "denial" : "undecided", &body, &ignored);
    text_done(&body);
}

bool recorder_image_failure(struct recorder *recorder, const struct recorder_note *note,
                            const struct failure *failure)
{
    const struct decision *decision = &failure->decision;
    struct gh_error ignored = {0};
    bool is_known = recorder_knows(recorder, decision->id);

    recorder_count_failure(recorder, note, decision->outcome == DECIDE_DENY, &decision->error);
    if (!is_known && recorder_fold_failure(recorder, note, &decision->error)) {
        return false;
    }
    if (recorder_fold(recorder, note, decision->id)) {
        return true;
    }
    recorder_log(recorder, note, decision);
    return recorder_write_decision(recorder, note, decision, NULL, &ignored);
}

bool recorder_event(struct recorder *recorder, const char *type, const char *members)
{
    struct gh_error ignored = {0};
    struct text body;
    bool is_written;

    text_init(&body, RECORDER_MAX_RECORD);
    text_printf(&body, "{%s}", members);
    is_written = recorder_write(recorder, type, &body, &ignored);
    text_done(&body);
    return is_written;
}

bool recorder_verdict(struct recorder *recorder, const struct recorder_subject *subject,
                      const struct verdict *verdict, struct gh_error *err)
{
    struct text body;
    bool is_written;

    text_init(&body, RECORDER_MAX_RECORD);
    text_put(&body, "{");
    recorder_put(&body, "tenant", subject->tenant);
    recorder_put(&body, "image", subject->image);
    recorder_put(&body, "digest", subject->digest);
    if (subject->tag != NULL) {
        recorder_put(&body, "tag", subject->tag);
    }
    recorder_put(&body, "requirement", subject->requirement);
    recorder_put(&body, "fingerprint", subject->fingerprint);
    audit_text_verdict(&body, verdict);
    text_put(&body, "}");
    is_written = recorder_write(recorder, "verdict", &body, err);
    text_done(&body);
    return is_written;
}

struct recorder_change {
    struct recorder *recorder;
    const char *fingerprint;
};

static void recorder_on_change(const struct config_change *change, void *arg)
{
    struct recorder_change *context = arg;
    struct gh_error ignored = {0};
    struct text body;

    text_init(&body, RECORDER_MAX_RECORD);
    text_put(&body, "{");
    audit_text_change(&body, change);
    recorder_put(&body, "fingerprint", context->fingerprint);
    text_put(&body, "}");
    (void)!recorder_write(context->recorder, "change", &body, &ignored);
    text_done(&body);
}

size_t recorder_changes(struct recorder *recorder, const struct config *before,
                        const struct config *after)
{
    struct recorder_change context = {recorder, after->fingerprint_text};

    return config_diff(before, after, recorder_now_ms() / 1000, recorder_on_change, &context);
}

void recorder_admin(struct recorder *recorder, const struct recorder_call *call)
{
    const struct recorder_note note = {.client = call->client};
    struct gh_error ignored = {0};
    struct text body;

    if (call->status == 401 && recorder_fold(recorder, &note, "admin")) {
        return;
    }
    text_init(&body, RECORDER_MAX_RECORD);
    text_put(&body, "{");
    recorder_put(&body, "client", call->client);
    recorder_put(&body, "who", call->who);
    recorder_put(&body, "method", call->method);
    text_put_key(&body, "path");
    text_put_json_bytes(&body, call->path, GH_MIN(call->path_len, (size_t)RECORDER_MAX_PATH));
    text_printf(&body, ",\"status\":%u}", call->status);
    (void)!recorder_write(recorder, "admin", &body, &ignored);
    text_done(&body);
}

/* Write the counts of folds that are over, or of all. */
static void recorder_flush_folds(struct recorder *recorder, bool is_all)
{
    int64_t now_ms = recorder_now_ms();

    for (size_t i = 0; i < RECORDER_FOLDS; i++) {
        struct recorder_fold over = {0};
        struct text members;

        lock_acquire(&recorder->lock);
        if (recorder->folds[i].key != 0 &&
            (is_all || now_ms - recorder->folds[i].since_ms >= RECORDER_FOLD_MS)) {
            over = recorder->folds[i];
            memset(&recorder->folds[i], 0, sizeof(recorder->folds[i]));
        }
        lock_release(&recorder->lock);
        if (over.repeats == 0) {
            continue;
        }
        text_init(&members, 1024);
        text_put(&members, "\"id\":");
        text_put_json(&members, over.id);
        text_put_key(&members, "client");
        text_put_json(&members, over.client);
        text_printf(&members, ",\"repeats\":%llu", (unsigned long long)over.repeats);
        (void)recorder_event(recorder, "repeats", text_cstr(&members));
        text_done(&members);
    }
}

void recorder_stop(struct recorder *recorder)
{
    recorder_flush_folds(recorder, true);
    (void)recorder_event(recorder, "stop", "");
}

void recorder_tick(struct recorder *recorder)
{
    struct gh_error error = {0};

    recorder_flush_folds(recorder, false);
    if (!audit_tick(recorder->audit, recorder_now_ms(), &error)) {
        log_write(recorder->gateway->log,
                  &(struct log_event){.level = LOG_ERROR, .reason = "audit_unavailable"},
                  "the audit log cannot be synced: %s", error.text);
    }
}
