#include "proxy/reevaluation.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "cache/verdict_cache.h"
#include "crypto/sjson.h"
#include "metrics/lock.h"
#include "metrics/log.h"
#include "metrics/prom.h"
#include "metrics/text.h"
#include "policy/config.h"
#include "proxy/content.h"
#include "proxy/gate.h"
#include "proxy/gateway.h"
#include "proxy/generation.h"
#include "proxy/inquiry.h"
#include "proxy/pull.h"
#include "proxy/recorder.h"
#include "proxy/target.h"
#include "proxy/thread.h"
#include "proxy/verdicts.h"
#include "proxy/withdrawal.h"
#include "proxy/worker.h"

#define REEVALUATION_NICE 19
#define REEVALUATION_SETTLE_MS 100 /* changes often come in a row */
#define REEVALUATION_REST_MS 1     /* at least, after each image */
#define REEVALUATION_MAX_LIST (2u * 1024 * 1024)
#define REEVALUATION_MAX_RECORD (40u * 1024)
#define REEVALUATION_MAX_NAME 1024
#define REEVALUATION_MAX_USE 1024

/* An image that was allowed, or part of what was. */
struct reevaluation_image {
    char *tenant;
    char *name;
    char *digest;
    char *use; /* JSON members: when and by whom */
    int64_t last_unix_s;
};

struct reevaluation_images {
    struct reevaluation_image *items;
    size_t count;
};

struct reevaluation_counts {
    size_t waiting, allowed, denied, undecided;
};

struct reevaluation {
    struct gateway *gateway;
    pthread_t thread;

    struct lock lock; /* guards what follows */
    struct lock_cond wake;
    bool is_stopping;
    struct generation
        *before;              /* the last that was evaluated to the end, or served from the start */
    struct generation *told;  /* the last whose withdrawn keys were told */
    struct generation *after; /* to be evaluated; NULL: nothing is to be done */
    uint64_t number;          /* of the last change */
    bool is_running;
    int64_t began_unix_s;
    int64_t ended_unix_s; /* 0: not yet */
    char fingerprint[DIGEST_MAX_TEXT];
    struct reevaluation_counts counts;
    struct text listed; /* JSON objects */
    size_t listed_count;
};

/* One pass, the thread's own. */
struct reevaluation_pass {
    struct reevaluation *self;
    struct generation *before;
    struct generation *told;
    struct generation *after;
    uint64_t number;
    struct inquiry *inquiry;
    struct reevaluation_counts counts;
    struct text record; /* JSON objects for the audit log */
    size_t recorded;
};

/* ---- which images ---- */

static void reevaluation_image_done(struct reevaluation_image *image)
{
    free(image->tenant);
    free(image->name);
    free(image->digest);
    free(image->use);
}

static void reevaluation_images_done(struct reevaluation_images *images)
{
    for (size_t i = 0; i < images->count; i++) {
        reevaluation_image_done(&images->items[i]);
    }
    free(images->items);
}

static int reevaluation_compare_names(const void *a, const void *b)
{
    const struct reevaluation_image *left = a;
    const struct reevaluation_image *right = b;
    int order = strcmp(left->digest, right->digest);

    order = order != 0 ? order : strcmp(left->name, right->name);
    return order != 0 ? order : strcmp(left->tenant, right->tenant);
}

static int reevaluation_compare_uses(const void *a, const void *b)
{
    const struct reevaluation_image *left = a;
    const struct reevaluation_image *right = b;

    return left->last_unix_s > right->last_unix_s ? -1 : left->last_unix_s < right->last_unix_s;
}

/* One entry for each image, those used last first, and no more than are wanted. */
static void reevaluation_settle(struct reevaluation_images *images)
{
    size_t kept = 0;

    qsort(images->items, images->count, sizeof(*images->items), reevaluation_compare_names);
    for (size_t i = 0; i < images->count; i++) {
        struct reevaluation_image *last = kept > 0 ? &images->items[kept - 1] : NULL;

        if (last == NULL || reevaluation_compare_names(last, &images->items[i]) != 0) {
            images->items[kept++] = images->items[i];
        } else if (last->last_unix_s < images->items[i].last_unix_s) {
            reevaluation_image_done(last);
            *last = images->items[i];
        } else {
            reevaluation_image_done(&images->items[i]);
        }
    }
    images->count = kept;
    qsort(images->items, images->count, sizeof(*images->items), reevaluation_compare_uses);
    while (images->count > REEVALUATION_MAX_IMAGES) {
        reevaluation_image_done(&images->items[--images->count]);
    }
}

static char *reevaluation_dup(struct bytes text)
{
    return strndup((const char *)text.data, text.len);
}

static bool reevaluation_on_verdict(struct bytes key, struct bytes value, int64_t until_unix_s,
                                    const struct verdict_cache_use *use, void *arg)
{
    struct reevaluation_images *images = arg;
    struct verdicts_about about;
    struct reevaluation_image image;
    struct text text;

    if (!verdicts_key_read(key, &about)) {
        return true;
    }
    text_init(&text, REEVALUATION_MAX_USE);
    verdicts_put_use(&text, use);
    image = (struct reevaluation_image){
        .tenant = reevaluation_dup(about.tenant),
        .name = reevaluation_dup(about.image),
        .digest = reevaluation_dup(about.digest),
        .use = strdup(text_ok(&text) ? text_cstr(&text) : "\"pulled_by\":[]"),
        .last_unix_s = use->last_unix_s};
    text_done(&text);
    if (image.tenant == NULL || image.name == NULL || image.digest == NULL || image.use == NULL) {
        reevaluation_image_done(&image);
        return false;
    }
    images->items[images->count++] = image;
    if (images->count == (size_t)2 * REEVALUATION_MAX_IMAGES) {
        reevaluation_settle(images);
    }
    return true;
}

/* ---- one image ---- */

static void reevaluation_on_decision(void *ctx, const struct decision *decision,
                                     const struct decide_plan *plan)
{
    *(enum decide_outcome *)ctx = decision->outcome;
}

/* What GENERATION says of it by stored verdicts alone. */
static enum decide_outcome reevaluation_stored(struct reevaluation_pass *pass,
                                               struct generation *generation,
                                               const struct reevaluation_image *image)
{
    const struct config_tenant *tenant = config_tenant_find(generation->config, image->tenant);
    struct gateway *gateway = inquiry_gateway(pass->inquiry);
    enum decide_outcome outcome = DECIDE_UNDECIDED;
    char name[REEVALUATION_MAX_NAME];
    GH_OWN(content_unrefp) struct content *content = NULL;
    struct gh_error ignored = {0};
    struct target target;

    if (tenant == NULL ||
        snprintf(name, sizeof(name), "%s@%s", image->name, image->digest) >= (int)sizeof(name) ||
        !target_of_text(generation, (size_t)(tenant - generation->config->tenants), name, &target,
                        &ignored)) {
        return DECIDE_UNDECIDED;
    }
    content = pull_stored(gateway, &target, &target.ref.digest);
    if (content != NULL) {
        const struct gate_ask ask = {.generation = generation,
                                     .target = &target,
                                     .subject = content,
                                     .surface = GATE_API,
                                     .principal = ""};

        (void)gate_decide_stored(gateway, &ask, reevaluation_on_decision, &outcome);
    }
    return outcome;
}

static const char *reevaluation_get(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));

    return value != NULL ? value : "";
}

static void reevaluation_put_row(struct text *out, const struct reevaluation_image *image,
                                 const json_t *now)
{
    static const char *const keys[] = {"verdict", "owner", "policy", "cause", "message"};

    text_put(out, "{\"tenant\":");
    text_put_json(out, image->tenant);
    text_put_key(out, "image");
    text_put_json(out, image->name);
    text_put_key(out, "digest");
    text_put_json(out, image->digest);
    for (size_t i = 0; i < GH_COUNT(keys); i++) {
        text_put_key(out, keys[i]);
        text_put_json(out, reevaluation_get(now, keys[i]));
    }
    text_put(out, ",");
    text_put(out, image->use); /* never empty */
    text_put(out, "}");
}

/* It was allowed and is not any more, as far as what is stored goes. */
static void reevaluation_list(struct reevaluation_pass *pass,
                              const struct reevaluation_image *image, const char *json)
{
    struct reevaluation *self = pass->self;
    GH_OWN(sjson_freep) json_t *now = NULL;
    struct gh_error ignored = {0};

    if (json == NULL || !sjson_parse_object(bytes_of(json), SJSON_MAX_BYTES, &now, &ignored)) {
        return;
    }
    log_write(self->gateway->log,
              &(struct log_event){.level = LOG_WARN,
                                  .digest = image->digest,
                                  .reason = "newly_denied",
                                  .cause = reevaluation_get(now, "cause")},
              "%s was allowed and, by what is stored, is not any more: %s", image->name,
              reevaluation_get(now, "message"));
    if (pass->record.len < REEVALUATION_MAX_RECORD) {
        text_put(&pass->record, pass->recorded++ > 0 ? "," : "");
        reevaluation_put_row(&pass->record, image, now);
    }
    LOCK_HOLD(&self->lock);
    if (self->listed_count < REEVALUATION_MAX_LISTED) {
        text_put(&self->listed, self->listed_count++ > 0 ? "," : "");
        reevaluation_put_row(&self->listed, image, now);
    }
}

static void reevaluation_image(struct reevaluation_pass *pass,
                               const struct reevaluation_image *image)
{
    char name[REEVALUATION_MAX_NAME];
    const struct inquiry_question question = {
        .image = name, .tenant = strcmp(image->tenant, "default") == 0 ? NULL : image->tenant};
    enum decide_outcome was = reevaluation_stored(pass, pass->before, image);
    enum decide_outcome now = reevaluation_stored(pass, pass->after, image);
    char *json = NULL;

    (void)snprintf(name, sizeof(name), "%s@%s", image->name, image->digest);
    if (now != DECIDE_ALLOW) {
        now = inquiry_ask(pass->inquiry, &question, &json);
    }
    switch (now) {
    case DECIDE_ALLOW:
        pass->counts.allowed++;
        break;
    case DECIDE_DENY:
        pass->counts.denied++;
        break;
    case DECIDE_UNDECIDED:
        pass->counts.undecided++;
        break;
    }
    if (now == DECIDE_DENY && was == DECIDE_ALLOW) {
        reevaluation_list(pass, image, json);
    }
    free(json);
}

/* ---- a pass ---- */

static void reevaluation_show(struct reevaluation_pass *pass)
{
    struct prom *prom = pass->self->gateway->prom;
    const struct reevaluation_counts *counts = &pass->counts;

    prom_set(prom, PROM_REEVALUATION_IMAGES, PROM_LABELS("waiting"), (double)counts->waiting);
    prom_set(prom, PROM_REEVALUATION_IMAGES, PROM_LABELS("allowed"), (double)counts->allowed);
    prom_set(prom, PROM_REEVALUATION_IMAGES, PROM_LABELS("denied"), (double)counts->denied);
    prom_set(prom, PROM_REEVALUATION_IMAGES, PROM_LABELS("undecided"), (double)counts->undecided);
    LOCK_HOLD(&pass->self->lock);
    pass->self->counts = *counts;
}

/* Wait; false when this pass is over: the process ends, or something else is in force by now. */
static bool reevaluation_rest(struct reevaluation_pass *pass, uint64_t milliseconds)
{
    struct reevaluation *self = pass->self;

    LOCK_HOLD(&self->lock);
    if (!self->is_stopping && self->number == pass->number) {
        (void)lock_cond_wait_ms(&self->wake, &self->lock,
                                (unsigned)GH_MIN(milliseconds, (uint64_t)60000));
    }
    return !self->is_stopping && self->number == pass->number;
}

static bool reevaluation_walk(struct reevaluation_pass *pass,
                              const struct reevaluation_images *images)
{
    pass->counts.waiting = images->count;
    for (size_t i = 0; i < images->count; i++) {
        uint64_t began = worker_clock_ms();

        reevaluation_image(pass, &images->items[i]);
        pass->counts.waiting--;
        reevaluation_show(pass);
        if (!reevaluation_rest(pass,
                               GH_MAX(worker_clock_ms() - began, (uint64_t)REEVALUATION_REST_MS))) {
            return false;
        }
    }
    return true;
}

static void reevaluation_record(struct reevaluation_pass *pass)
{
    const struct reevaluation_counts *counts = &pass->counts;
    struct gateway *gateway = pass->self->gateway;
    struct text members;

    text_init(&members, 2 * REEVALUATION_MAX_RECORD);
    text_put(&members, "\"fingerprint\":");
    text_put_json(&members, pass->after->config->fingerprint_text);
    text_printf(&members, ",\"allowed\":%zu,\"denied\":%zu,\"undecided\":%zu", counts->allowed,
                counts->denied, counts->undecided);
    text_put_key(&members, "newly_denied");
    text_printf(&members, "[%s]", text_cstr(&pass->record));
    (void)recorder_event(gateway->recorder, "reevaluation", text_cstr(&members));
    log_write(
        gateway->log, &(struct log_event){.level = LOG_INFO, .reason = "reevaluation"},
        "stored evidence was evaluated again: %zu images allowed, %zu denied, %zu are decided "
        "when they are asked for",
        counts->allowed, counts->denied, counts->undecided);
    text_done(&members);
}

/* False: it was cut short. */
static bool reevaluation_run(struct reevaluation_pass *pass)
{
    struct reevaluation *self = pass->self;
    struct reevaluation_images images = {
        .items = calloc((size_t)2 * REEVALUATION_MAX_IMAGES, sizeof(*images.items))};
    struct gh_error error = {0};
    bool is_whole = false;

    (void)withdrawal_report(self->gateway, pass->told->config, pass->after->config);
    text_init(&pass->record, 2 * REEVALUATION_MAX_RECORD);
    if (images.items != NULL &&
        inquiry_new_within(self->gateway, pass->after, &pass->inquiry, &error)) {
        verdict_cache_each(self->gateway->verdicts, NULL, reevaluation_on_verdict, &images);
        reevaluation_settle(&images);
        is_whole = reevaluation_walk(pass, &images);
    }
    if (is_whole) {
        reevaluation_record(pass);
    }
    inquiry_free(pass->inquiry);
    text_done(&pass->record);
    reevaluation_images_done(&images);
    return is_whole;
}

/* ---- the thread ---- */

/* Wait for a change to settle. False: the process ends. */
static bool reevaluation_next(struct reevaluation *self, struct reevaluation_pass *pass)
{
    LOCK_HOLD(&self->lock);
    while (!self->is_stopping && self->after == NULL) {
        lock_cond_wait(&self->wake, &self->lock);
    }
    do {
        pass->number = self->number;
        if (!self->is_stopping) {
            (void)lock_cond_wait_ms(&self->wake, &self->lock, REEVALUATION_SETTLE_MS);
        }
    } while (!self->is_stopping && self->number != pass->number);
    if (self->is_stopping) {
        return false;
    }
    pass->before = generation_ref(self->before);
    pass->told = GH_TAKE(self->told);
    pass->after = GH_TAKE(self->after);
    self->told = generation_ref(pass->after);
    self->is_running = true;
    self->began_unix_s = gateway_now();
    self->ended_unix_s = 0;
    self->counts = (struct reevaluation_counts){0};
    text_clear(&self->listed);
    self->listed_count = 0;
    (void)snprintf(self->fingerprint, sizeof(self->fingerprint), "%s",
                   pass->after->config->fingerprint_text);
    return true;
}

/* A pass that was cut short leaves `before` as it was: what it would have found is found later. */
static void reevaluation_over(struct reevaluation *self, struct reevaluation_pass *pass,
                              bool is_whole)
{
    LOCK_HOLD(&self->lock);
    self->is_running = false;
    if (is_whole) {
        self->ended_unix_s = gateway_now();
        generation_unref(self->before);
        self->before = generation_ref(pass->after);
    }
}

static void *reevaluation_main(void *arg)
{
    struct reevaluation *self = arg;
    struct reevaluation_pass pass = {.self = self};

    /* Of this thread and of those it starts: work that can wait. */
    (void)setpriority(PRIO_PROCESS, 0, REEVALUATION_NICE);
    while (reevaluation_next(self, &pass)) {
        reevaluation_over(self, &pass, reevaluation_run(&pass));
        generation_unref(pass.before);
        generation_unref(pass.told);
        generation_unref(pass.after);
        pass = (struct reevaluation_pass){.self = self};
    }
    return NULL;
}

bool reevaluation_new(struct gateway *gateway, struct reevaluation **out, struct gh_error *err)
{
    struct reevaluation *self = calloc(1, sizeof(*self));

    if (self == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory to evaluate again");
    }
    self->gateway = gateway;
    lock_init(&self->lock, GH_RANK_LIMIT);
    lock_cond_init(&self->wake);
    text_init(&self->listed, REEVALUATION_MAX_LIST);
    if (!thread_start(&self->thread, reevaluation_main, self)) {
        text_done(&self->listed);
        lock_cond_done(&self->wake);
        lock_done(&self->lock);
        free(self);
        return gh_fail(err, GH_INTERNAL_ERROR, "no thread to evaluate again");
    }
    *out = self;
    return true;
}

void reevaluation_stop(struct reevaluation *self)
{
    bool is_first;

    if (self == NULL) {
        return;
    }
    lock_acquire(&self->lock);
    is_first = !self->is_stopping;
    self->is_stopping = true;
    lock_cond_broadcast(&self->wake);
    lock_release(&self->lock);
    if (is_first) {
        (void)pthread_join(self->thread, NULL);
    }
}

void reevaluation_free(struct reevaluation *self)
{
    if (self == NULL) {
        return;
    }
    reevaluation_stop(self);
    generation_unref(self->before);
    generation_unref(self->told);
    generation_unref(self->after);
    text_done(&self->listed);
    lock_cond_done(&self->wake);
    lock_done(&self->lock);
    free(self);
}

void reevaluation_begin(struct reevaluation *self, struct generation *before,
                        struct generation *after)
{
    struct generation *dropped;

    if (digest_equal(&before->config->fingerprint, &after->config->fingerprint)) {
        return;
    }
    lock_acquire(&self->lock);
    if (self->before == NULL) {
        self->before = generation_ref(before);
        self->told = generation_ref(before);
    }
    dropped = self->after;
    self->after = generation_ref(after);
    self->number++;
    lock_cond_broadcast(&self->wake);
    lock_release(&self->lock);
    generation_unref(dropped);
}

void reevaluation_put(struct reevaluation *self, struct text *out)
{
    LOCK_HOLD(&self->lock);
    text_printf(out, "{\"running\":%s", self->is_running || self->after != NULL ? "true" : "false");
    text_put_key(out, "fingerprint");
    text_put_json(out, self->fingerprint);
    text_put_key(out, "began");
    text_put(out, "\"");
    text_put_time(out, self->began_unix_s);
    text_put(out, "\"");
    text_put_key(out, "ended");
    if (self->ended_unix_s > 0) {
        text_put(out, "\"");
        text_put_time(out, self->ended_unix_s);
        text_put(out, "\"");
    } else {
        text_put(out, "null");
    }
    text_printf(
        out, ",\"images\":{\"waiting\":%zu,\"allowed\":%zu,\"denied\":%zu,\"undecided\":%zu}",
        self->counts.waiting, self->counts.allowed, self->counts.denied, self->counts.undecided);
    text_put_key(out, "newly_denied");
    text_printf(out, "[%s]}", self->listed_count > 0 ? text_cstr(&self->listed) : "");
}
