#include "proxy/exception_watch.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache/decision_store.h"
#include "crypto/sjson.h"
#include "metrics/lock.h"
#include "metrics/log.h"
#include "metrics/prom.h"
#include "policy/config.h"
#include "proxy/ask.h"
#include "proxy/gateway.h"
#include "proxy/generation.h"
#include "proxy/worker.h"

#define WATCH_MAX_ENTRIES 20000
#define WATCH_MAX_COUNTS 4096 /* tenants by kinds */
#define WATCH_BUCKETS 4096

struct watch_entry {
    struct watch_entry *next;
    char *tenant;
    char *id;
    struct exception_seen seen;
    int64_t first_unix_s;   /* met in force */
    int64_t checked_unix_s; /* when its images were looked at last */
    int64_t noted_days;     /* the least of 14, 7, 1 that was reported; INT64_MAX: none */
    bool is_unused_noted;
};

/* Bypasses of a tenant and kind, by the hour. */
struct watch_count {
    char *tenant;
    const char *kind;
    int64_t hour; /* of the newest bucket */
    uint32_t hours[EXCEPTION_WATCH_HOURS];
};

/* One exception whose images are asked about, one after the other, on the first worker. */
struct watch_check {
    struct worker_mail mail; /* first */
    struct exception_watch *watch;
    char *tenant;
    char *id;
    char **images;
    size_t count;
    size_t next;
    bool is_failed;
};

struct exception_watch {
    struct gateway *gateway;
    struct lock lock;
    struct watch_entry *buckets[WATCH_BUCKETS];
    size_t entry_count;
    struct watch_count *counts[WATCH_MAX_COUNTS];
    size_t count_count;
    uint64_t generation;       /* that the checks were begun for */
    struct watch_check *check; /* under way; one at a time */
    struct ask *ask;           /* likewise; the first worker's */
    struct worker_mail stop;   /* to the first worker, at the end */
};

bool exception_watch_new(struct gateway *gateway, struct exception_watch **out,
                         struct gh_error *err)
{
    struct exception_watch *watch = calloc(1, sizeof(*watch));

    if (watch == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory to watch exceptions");
    }
    watch->gateway = gateway;
    lock_init(&watch->lock, GH_RANK_LIMIT);
    *out = watch;
    return true;
}

static void watch_on_stop(struct worker_mail *mail, struct worker *worker)
{
    struct exception_watch *watch =
        (struct exception_watch *)((char *)mail - offsetof(struct exception_watch, stop));

    ask_leave(watch->ask);
    watch->ask = NULL;
}

static void watch_stop_dropped(struct worker_mail *mail)
{
    (void)mail; /* part of the watch */
}

void exception_watch_stop(struct exception_watch *watch)
{
    if (watch != NULL && watch->gateway->worker_count > 0) {
        watch->stop.run = watch_on_stop;
        watch->stop.drop = watch_stop_dropped;
        worker_post(watch->gateway->workers[0], &watch->stop);
    }
}

static void watch_check_free(struct watch_check *check)
{
    if (check == NULL) {
        return;
    }
    for (size_t i = 0; i < check->count; i++) {
        free(check->images[i]);
    }
    free(check->images);
    free(check->tenant);
    free(check->id);
    free(check);
}

void exception_watch_free(struct exception_watch *watch)
{
    if (watch == NULL) {
        return;
    }
    watch_check_free(watch->check);
    for (size_t i = 0; i < WATCH_BUCKETS; i++) {
        while (watch->buckets[i] != NULL) {
            struct watch_entry *entry = watch->buckets[i];

            watch->buckets[i] = entry->next;
            free(entry->tenant);
            free(entry->id);
            free(entry);
        }
    }
    for (size_t i = 0; i < watch->count_count; i++) {
        free(watch->counts[i]->tenant);
        free(watch->counts[i]);
    }
    lock_done(&watch->lock);
    free(watch);
}

/* ---- entries, with the lock held ---- */

static struct watch_entry **watch_place(struct exception_watch *watch, const char *tenant,
                                        const char *id)
{
    unsigned hash = 5381;

    for (const char *c = tenant; *c != '\0'; c++) {
        hash = hash * 33 + (unsigned char)*c;
    }
    for (const char *c = id; *c != '\0'; c++) {
        hash = hash * 33 + (unsigned char)*c;
    }
    return &watch->buckets[hash % WATCH_BUCKETS];
}

static struct watch_entry *watch_look(struct exception_watch *watch, const char *tenant,
                                      const char *id)
{
    struct watch_entry *entry = *watch_place(watch, tenant, id);

    while (entry != NULL && (strcmp(entry->id, id) != 0 || strcmp(entry->tenant, tenant) != 0)) {
        entry = entry->next;
    }
    return entry;
}

/* NULL when memory is out or there are too many: what is not watched is only not reported. */
static struct watch_entry *watch_entry(struct exception_watch *watch, const char *tenant,
                                       const char *id)
{
    struct watch_entry *entry = watch_look(watch, tenant, id);
    struct watch_entry **place = watch_place(watch, tenant, id);

    if (entry != NULL || watch->entry_count == WATCH_MAX_ENTRIES) {
        return entry;
    }
    entry = calloc(1, sizeof(*entry));
    if (entry == NULL) {
        return NULL;
    }
    entry->tenant = strdup(tenant);
    entry->id = strdup(id);
    if (entry->tenant == NULL || entry->id == NULL) {
        free(entry->tenant);
        free(entry->id);
        free(entry);
        return NULL;
    }
    entry->noted_days = INT64_MAX;
    entry->next = *place;
    *place = entry;
    watch->entry_count++;
    return entry;
}

void exception_watch_used(struct exception_watch *watch, const char *tenant, const char *id,
                          int64_t now_unix_s)
{
    struct watch_entry *entry;

    LOCK_HOLD(&watch->lock);
    entry = watch_entry(watch, tenant, id);
    if (entry != NULL) {
        entry->seen.uses++;
        entry->seen.last_unix_s = now_unix_s;
    }
}

void exception_watch_seen(struct exception_watch *watch, const char *tenant, const char *id,
                          struct exception_seen *out)
{
    const struct watch_entry *entry;

    LOCK_HOLD(&watch->lock);
    entry = watch_look(watch, tenant, id);
    *out = entry != NULL ? entry->seen : (struct exception_seen){0};
}

/* ---- the rolling window ---- */

/* Make NOW's hour the newest, and forget what left the window. */
static void watch_roll(struct watch_count *count, int64_t hour)
{
    for (int64_t steps = 0; count->hour < hour && steps < EXCEPTION_WATCH_HOURS; steps++) {
        count->hour++;
        count->hours[count->hour % EXCEPTION_WATCH_HOURS] = 0;
    }
    count->hour = GH_MAX(count->hour, hour);
}

void exception_watch_bypass(struct exception_watch *watch, const char *tenant, const char *kind,
                            int64_t now_unix_s)
{
    struct watch_count *count = NULL;

    LOCK_HOLD(&watch->lock);
    for (size_t i = 0; i < watch->count_count && count == NULL; i++) {
        if (strcmp(watch->counts[i]->kind, kind) == 0 &&
            strcmp(watch->counts[i]->tenant, tenant) == 0) {
            count = watch->counts[i];
        }
    }
    if (count == NULL && watch->count_count < WATCH_MAX_COUNTS) {
        count = calloc(1, sizeof(*count));
        if (count == NULL) {
            return;
        }
        count->tenant = strdup(tenant);
        if (count->tenant == NULL) {
            free(count);
            return;
        }
        count->kind = kind;
        count->hour = now_unix_s / 3600;
        watch->counts[watch->count_count++] = count;
    }
    if (count != NULL) {
        watch_roll(count, now_unix_s / 3600);
        count->hours[count->hour % EXCEPTION_WATCH_HOURS]++;
    }
}

static void watch_show_windows(struct exception_watch *watch, int64_t now_unix_s)
{
    static const struct {
        const char *name;
        int64_t hours;
    } windows[] = {{"1h", 1}, {"1d", 24}, {"7d", EXCEPTION_WATCH_HOURS}};

    LOCK_HOLD(&watch->lock);
    for (size_t i = 0; i < watch->count_count; i++) {
        struct watch_count *count = watch->counts[i];

        watch_roll(count, now_unix_s / 3600);
        for (size_t w = 0; w < GH_COUNT(windows); w++) {
            uint64_t sum = 0;

            for (int64_t h = 0; h < windows[w].hours && h <= count->hour; h++) {
                sum += count->hours[(count->hour - h) % EXCEPTION_WATCH_HOURS];
            }
            prom_set(watch->gateway->prom, PROM_BYPASSES_RECENT,
                     PROM_LABELS(count->tenant, count->kind, windows[w].name), (double)sum);
        }
    }
}

/* ---- what was recorded before ---- */

static bool watch_learn_one(const char *decision, struct bytes record, int64_t made_unix_ms,
                            void *arg)
{
    struct exception_watch *watch = arg;
    GH_OWN(generation_unrefp) struct generation *generation = NULL;
    GH_OWN(sjson_freep) json_t *doc = NULL;
    struct gh_error error = {0};
    json_t *list = NULL;
    json_t *item;
    size_t index;

    if (bytes_find(record, BYTES_LITERAL("\"exceptions\":[\"")) == SIZE_MAX ||
        !sjson_parse_object(record, DECISION_STORE_MAX_RECORD, &doc, &error) ||
        !sjson_opt_array(doc, "exceptions", &list, &error)) {
        return true;
    }
    generation = gateway_generation(watch->gateway);
    json_array_foreach (list, index, item) {
        const char *id = json_string_value(item);

        /* The record does not name the tenant: an id that two of them have is used in both. */
        for (size_t t = 0; id != NULL && t < generation->tenant_count; t++) {
            struct watch_entry *entry;

            LOCK_HOLD(&watch->lock);
            entry = watch_entry(watch, generation->config->tenants[t].name, id);
            if (entry != NULL) {
                entry->seen.last_unix_s = GH_MAX(entry->seen.last_unix_s, made_unix_ms / 1000);
            }
        }
    }
    return true;
}

void exception_watch_learn(struct exception_watch *watch)
{
    if (watch->gateway->decisions != NULL) {
        decision_store_each(watch->gateway->decisions, 0, watch_learn_one, watch);
    }
}

/* ---- whether an image verifies by now ---- */

static void watch_check_next(struct watch_check *check);

static void watch_check_over(struct watch_check *check, bool is_known)
{
    struct exception_watch *watch = check->watch;
    enum exception_verifies before = EXCEPTION_VERIFIES_UNKNOWN;
    struct watch_entry *entry;

    lock_acquire(&watch->lock);
    entry = watch_look(watch, check->tenant, check->id);
    if (entry != NULL && is_known) {
        before = entry->seen.verifies;
        entry->seen.verifies = check->is_failed ? EXCEPTION_VERIFIES_NOT : EXCEPTION_VERIFIES;
    }
    watch->check = NULL;
    lock_release(&watch->lock);
    if (is_known && !check->is_failed && before != EXCEPTION_VERIFIES) {
        log_write(watch->gateway->log,
                  &(struct log_event){.level = LOG_INFO, .reason = "exception_closable"},
                  "exception %s of tenant %s can be closed: its images satisfy policy without it",
                  check->id, check->tenant);
    }
    watch_check_free(check);
}

static void watch_on_answer(void *ctx, const struct ask_answer *answer)
{
    struct watch_check *check = ctx;
    GH_OWN(sjson_freep) json_t *doc = NULL;
    struct gh_error error = {0};
    json_t *used = NULL;

    check->watch->ask = NULL;
    if (answer->outcome == DECIDE_UNDECIDED ||
        !sjson_parse_object(bytes_of(answer->json), DECISION_STORE_MAX_RECORD, &doc, &error) ||
        !sjson_opt_array(doc, "exceptions", &used, &error)) {
        watch_check_over(check, false); /* nothing was learnt; asked again in its turn */
        return;
    }
    check->is_failed =
        check->is_failed || answer->outcome != DECIDE_ALLOW || json_array_size(used) > 0;
    watch_check_next(check);
}

static void watch_check_next(struct watch_check *check)
{
    struct exception_watch *watch = check->watch;
    struct ask_question question = {.tenant = check->tenant, .surface = GATE_API, .principal = ""};

    if (check->is_failed || check->next == check->count) {
        watch_check_over(check, true);
        return;
    }
    question.image = check->images[check->next++];
    watch->ask =
        ask_start(watch->gateway, watch->gateway->workers[0], &question, watch_on_answer, check);
    if (watch->ask == NULL) {
        watch_check_over(check, false);
    }
}

static void watch_check_begin(struct worker_mail *mail, struct worker *worker)
{
    watch_check_next((struct watch_check *)mail);
}

static void watch_check_dropped(struct worker_mail *mail)
{
    (void)mail; /* the watch frees it */
}

/* Only exceptions for digests can be asked about; a pattern's images are not known. */
static struct watch_check *watch_check_new(struct exception_watch *watch, const char *tenant,
                                           const struct exception *exception)
{
    struct watch_check *check = calloc(1, sizeof(*check));
    bool is_good = check != NULL;

    if (is_good) {
        check->watch = watch;
        check->mail.run = watch_check_begin;
        check->mail.drop = watch_check_dropped;
        check->tenant = strdup(tenant);
        check->id = strdup(exception->id);
        check->images = calloc(exception->image_count + 1, sizeof(*check->images));
        is_good = check->tenant != NULL && check->id != NULL && check->images != NULL;
    }
    for (size_t i = 0; is_good && i < exception->image_count; i++) {
        const struct image_pattern *image = &exception->images[i];
        char digest[DIGEST_MAX_TEXT];

        is_good = image->is_literal && image->digest.alg != DIGEST_NONE;
        if (is_good) {
            digest_format(&image->digest, digest);
            is_good = asprintf(&check->images[check->count], "%s@%s", image->text, digest) > 0;
            check->count += is_good ? 1 : 0;
        }
    }
    if (!is_good) {
        watch_check_free(check);
        return NULL;
    }
    return check;
}

/* ---- reports ---- */

static void watch_report_end(struct exception_watch *watch, const struct exception *exception,
                             struct watch_entry *entry, int64_t now_unix_s)
{
    static const int64_t marks[] = {1, 7, 14};
    int64_t left = exception_days_left(exception, now_unix_s);

    for (size_t i = 0; i < GH_COUNT(marks); i++) {
        if (left > marks[i]) {
            continue;
        }
        if (entry->noted_days > marks[i]) {
            entry->noted_days = marks[i];
            log_write(watch->gateway->log,
                      &(struct log_event){.level = LOG_WARN, .reason = "exception_expiring"},
                      "exception %s of tenant %s, owner %s, ends in %lld day%s", exception->id,
                      entry->tenant, exception->owner, (long long)left, left == 1 ? "" : "s");
        }
        return;
    }
    entry->noted_days = INT64_MAX; /* renewed */
}

static void watch_report_unused(struct exception_watch *watch, const struct exception *exception,
                                struct watch_entry *entry, int64_t now_unix_s)
{
    int64_t since = GH_MAX(exception->created_unix_s, entry->seen.last_unix_s);

    if (now_unix_s - since < EXCEPTION_WATCH_UNUSED_S) {
        entry->is_unused_noted = false;
        return;
    }
    if (!entry->is_unused_noted) {
        entry->is_unused_noted = true;
        log_write(watch->gateway->log,
                  &(struct log_event){.level = LOG_INFO, .reason = "exception_unused"},
                  "exception %s of tenant %s, owner %s, was not used for %lld days", exception->id,
                  entry->tenant, exception->owner, (long long)((now_unix_s - since) / 86400));
    }
}

/* Begin to look at one whose turn it is. With the lock held. */
static bool watch_wants_check(const struct exception_watch *watch, const struct watch_entry *entry,
                              int64_t now_unix_s)
{
    return watch->check == NULL && watch->gateway->worker_count > 0 &&
           now_unix_s - entry->checked_unix_s >= EXCEPTION_WATCH_CHECK_S;
}

static void watch_tenant(struct exception_watch *watch, const struct snapshot *snapshot,
                         int64_t now_unix_s)
{
    size_t expiring = 0;
    size_t unused = 0;
    size_t closable = 0;

    for (size_t i = 0; i < snapshot->exception_count; i++) {
        const struct exception *exception = &snapshot->exceptions[i];
        struct watch_check *check = NULL;
        struct watch_entry *entry;

        if (!exception_in_force(exception, now_unix_s)) {
            continue;
        }
        LOCK_HOLD(&watch->lock);
        entry = watch_entry(watch, snapshot->tenant, exception->id);
        if (entry == NULL) {
            continue;
        }
        watch_report_end(watch, exception, entry, now_unix_s);
        watch_report_unused(watch, exception, entry, now_unix_s);
        expiring += exception_days_left(exception, now_unix_s) <= 14 ? 1 : 0;
        unused += entry->is_unused_noted ? 1 : 0;
        closable += entry->seen.verifies == EXCEPTION_VERIFIES ? 1 : 0;
        if (watch_wants_check(watch, entry, now_unix_s)) {
            entry->checked_unix_s = now_unix_s;
            check = watch_check_new(watch, snapshot->tenant, exception);
        }
        if (check != NULL) {
            watch->check = check;
            worker_post(watch->gateway->workers[0], &check->mail);
        }
    }
    prom_set(watch->gateway->prom, PROM_EXCEPTIONS, PROM_LABELS(snapshot->tenant, "expiring"),
             (double)expiring);
    prom_set(watch->gateway->prom, PROM_EXCEPTIONS, PROM_LABELS(snapshot->tenant, "unused"),
             (double)unused);
    prom_set(watch->gateway->prom, PROM_EXCEPTIONS, PROM_LABELS(snapshot->tenant, "closable"),
             (double)closable);
}

void exception_watch_tick(struct exception_watch *watch, int64_t now_unix_s)
{
    GH_OWN(generation_unrefp) struct generation *generation = gateway_generation(watch->gateway);

    if (watch->generation != generation->number) {
        /* What was looked at under another configuration is looked at anew. */
        watch->generation = generation->number;
        LOCK_HOLD(&watch->lock);
        for (size_t i = 0; i < WATCH_BUCKETS; i++) {
            for (struct watch_entry *e = watch->buckets[i]; e != NULL; e = e->next) {
                e->checked_unix_s = 0;
            }
        }
    }
    for (size_t t = 0; t < generation->config->tenant_count; t++) {
        watch_tenant(watch, &generation->config->tenants[t].snapshot, now_unix_s);
    }
    watch_show_windows(watch, now_unix_s);
}
