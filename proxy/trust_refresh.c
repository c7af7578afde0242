#include "proxy/trust_refresh.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "crypto/digest.h"
#include "metrics/error.h"
#include "metrics/lock.h"
#include "metrics/log.h"
#include "metrics/text.h"
#include "policy/config.h"
#include "proxy/gateway.h"
#include "proxy/generation.h"
#include "proxy/recorder.h"
#include "proxy/thread.h"
#include "proxy/trust_held.h"

#define TRUST_REFRESH_TICK_MS 5000
#define TRUST_REFRESH_RETRY_MAX_S 3600
#define TRUST_REFRESH_WARNING_S (30 * 86400)
#define TRUST_REFRESH_MAX_EVENT 4096

/* One root as it is watched; outlives the configuration that names it. */
struct trust_refresh_item {
    struct trust_refresh_item *next;
    char *key; /* tenant, root, URL and content of the initial root */
    int64_t next_unix_s;
    int64_t seen;         /* stamp of the refresh that is in force; 0: not known */
    int64_t stale_told_s; /* the end of its age that was told */
    unsigned failures;    /* in a row */
};

struct trust_refresh {
    struct gateway *gateway;
    trust_refresh_fn rebuild;
    void *context;
    pthread_t thread;
    struct lock lock; /* rank GH_RANK_LIMIT: the flags */
    struct lock_cond wake;
    bool is_stopping;
    int stop; /* atomic: is_stopping, for transfers under way */
    bool is_past_first_round;
    struct trust_refresh_item *items; /* the thread's own */
};

int64_t trust_refresh_interval(int64_t now_unix_s, int64_t timestamp_ends_unix_s, int64_t max_age_s)
{
    int64_t interval = TRUST_REFRESH_EVERY_S;

    if (timestamp_ends_unix_s > now_unix_s) {
        interval = GH_MIN(interval, (timestamp_ends_unix_s - now_unix_s) / 2);
    }
    interval = GH_MIN(interval, max_age_s / 3);
    return GH_MAX(interval, TRUST_REFRESH_FLOOR_S);
}

/* Up to a tenth less: a fleet of gateways must not ask at once. */
static int64_t trust_refresh_jitter(int64_t interval)
{
    uint32_t chance = 0;

    (void)!getrandom(&chance, sizeof(chance), 0);
    return interval - (int64_t)((double)interval * 0.1 * (double)chance / (double)UINT32_MAX);
}

static char *trust_refresh_key(const struct config_tuf_ask *ask)
{
    struct digest digest;
    struct gh_error ignored = {0};
    char *key = NULL;
    char text[DIGEST_MAX_TEXT];

    if (!digest_compute(DIGEST_SHA256, ask->initial_root, &digest, &ignored)) {
        return NULL;
    }
    digest_format(&digest, text);
    return asprintf(&key, "%s\n%s\n%s\n%s", ask->tenant, ask->root, ask->url, text) < 0 ? NULL
                                                                                        : key;
}

static struct trust_refresh_item *trust_refresh_item(struct trust_refresh *refresh,
                                                     const struct config_tuf_ask *ask)
{
    char *key = trust_refresh_key(ask);
    struct trust_refresh_item *item = refresh->items;

    while (key != NULL && item != NULL && strcmp(item->key, key) != 0) {
        item = item->next;
    }
    if (item == NULL && key != NULL && (item = calloc(1, sizeof(*item))) != NULL) {
        item->key = GH_TAKE(key);
        item->next = refresh->items;
        refresh->items = item;
    }
    free(key);
    return item;
}

static void trust_refresh_failed(struct trust_refresh *refresh, struct trust_refresh_item *item,
                                 const struct config_tuf_ask *ask, const struct config_root *root,
                                 const struct gh_error *error)
{
    int64_t now = gateway_now();
    unsigned doublings = GH_MIN(item->failures, 6u);
    int64_t wait = GH_MIN((int64_t)TRUST_REFRESH_RETRY_S << doublings, TRUST_REFRESH_RETRY_MAX_S);
    struct text held;

    item->failures++;
    wait = GH_MIN(wait, GH_MAX(root->max_age_s / 3, TRUST_REFRESH_FLOOR_S));
    item->next_unix_s = now + trust_refresh_jitter(wait);
    text_init(&held, 128);
    if (root->content != NULL) {
        text_put(&held, "what is held serves until ");
        text_put_time(&held, root->stale_at_unix_s);
    } else {
        text_put(&held, "nothing is held");
    }
    prom_add(refresh->gateway->prom, PROM_TRUST_ROOT_REFRESHES,
             PROM_LABELS(ask->tenant, ask->root, "failure"), 1);
    log_write(refresh->gateway->log,
              &(struct log_event){
                  .level = root->stale_at_unix_s < now + root->max_age_s / 2 ? LOG_ERROR : LOG_WARN,
                  .reason = gh_cause_label(error->cause)},
              "the trust root %s was not refreshed (%s): %s", ask->root, text_cstr(&held),
              error->text);
    text_done(&held);
}

static void trust_refresh_fetch(struct trust_refresh *refresh, const struct config *config,
                                const struct config_tuf_ask *ask, const struct config_root *root,
                                struct trust_refresh_item *item)
{
    struct tuf_status status = {0};
    struct gh_error error = {0};
    int64_t now = gateway_now();

    if (!trust_held_update(&config->fetch, config->is_offline, ask, now, &refresh->stop, &status,
                           &error)) {
        trust_refresh_failed(refresh, item, ask, root, &error);
        return;
    }
    item->failures = 0;
    item->next_unix_s = now + trust_refresh_jitter(trust_refresh_interval(
                                  now, status.timestamp_expires_unix_s, root->max_age_s));
    prom_add(refresh->gateway->prom, PROM_TRUST_ROOT_REFRESHES,
             PROM_LABELS(ask->tenant, ask->root, "success"), 1);
    log_write(refresh->gateway->log, &(struct log_event){.level = LOG_INFO},
              "the trust root %s was refreshed: root %lld, timestamp %lld", ask->root,
              (long long)status.root_version, (long long)status.timestamp_version);
}

static bool trust_refresh_look(struct trust_refresh *refresh, const struct config *config,
                               const struct config_tenant *tenant, const struct config_root *root)
{
    int64_t now = gateway_now();
    struct trust_refresh_item *item;
    struct config_tuf_ask ask;
    int64_t stamp;
    bool is_changed = false;

    trust_held_ask(config, tenant, root, &ask);
    item = trust_refresh_item(refresh, &ask);
    if (item == NULL) {
        return false; /* no memory: the next round tries again */
    }
    if (now >= item->next_unix_s) {
        trust_refresh_fetch(refresh, config, &ask, root, item);
    }
    stamp = trust_held_stamp(&ask); /* this refresh, or somebody ran `trust update` */
    if (stamp != item->seen) {
        item->seen = stamp;
        is_changed = true;
    }
    if (!is_changed && root->content != NULL && root->stale_at_unix_s <= now &&
        item->stale_told_s != root->stale_at_unix_s) {
        item->stale_told_s = root->stale_at_unix_s;
        log_write(
            refresh->gateway->log,
            &(struct log_event){.level = LOG_ERROR, .reason = gh_cause_label(GH_TRUST_ROOT_STALE)},
            "the trust root %s is past its max_age: what rests on it is refused", ask.root);
        is_changed = true;
    }
    return is_changed;
}

static void trust_refresh_round(struct trust_refresh *refresh)
{
    GH_OWN(generation_unrefp)
    struct generation *generation = gateway_generation(refresh->gateway);
    const struct config *config = generation->config;
    bool is_changed = false;

    for (size_t t = 0; t < config->tenant_count; t++) {
        for (size_t i = 0; i < config->tenants[t].root_count; i++) {
            if (config->tenants[t].roots[i].url != NULL) {
                is_changed = trust_refresh_look(refresh, config, &config->tenants[t],
                                                &config->tenants[t].roots[i]) ||
                             is_changed;
            }
        }
    }
    if (is_changed) {
        (void)refresh->rebuild(refresh->context);
    }
}

static bool trust_refresh_pause(struct trust_refresh *refresh)
{
    LOCK_HOLD(&refresh->lock);
    refresh->is_past_first_round = true;
    lock_cond_broadcast(&refresh->wake);
    if (!refresh->is_stopping) {
        (void)lock_cond_wait_ms(&refresh->wake, &refresh->lock, TRUST_REFRESH_TICK_MS);
    }
    return !refresh->is_stopping;
}

static void *trust_refresh_run(void *arg)
{
    struct trust_refresh *refresh = arg;

    do {
        trust_refresh_round(refresh);
    } while (trust_refresh_pause(refresh));
    return NULL;
}

void trust_refresh_wait(struct trust_refresh *refresh)
{
    GH_OWN(generation_unrefp)
    struct generation *generation = gateway_generation(refresh->gateway);
    bool is_lacking = false;

    for (size_t t = 0; t < generation->config->tenant_count; t++) {
        const struct config_tenant *tenant = &generation->config->tenants[t];

        for (size_t i = 0; i < tenant->root_count; i++) {
            is_lacking =
                is_lacking || (tenant->roots[i].url != NULL && tenant->roots[i].content == NULL);
        }
    }
    LOCK_HOLD(&refresh->lock);
    while (is_lacking && !refresh->is_past_first_round &&
           lock_cond_wait_ms(&refresh->wake, &refresh->lock, TRUST_REFRESH_START_MS)) {
    }
}

bool trust_refresh_new(struct gateway *gateway, trust_refresh_fn rebuild, void *context,
                       struct trust_refresh **out, struct gh_error *err)
{
    struct trust_refresh *refresh = calloc(1, sizeof(*refresh));

    if (refresh == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for refreshing trust roots");
    }
    refresh->gateway = gateway;
    refresh->rebuild = rebuild;
    refresh->context = context;
    lock_init(&refresh->lock, GH_RANK_LIMIT);
    lock_cond_init(&refresh->wake);
    if (!thread_start(&refresh->thread, trust_refresh_run, refresh)) {
        lock_cond_done(&refresh->wake);
        lock_done(&refresh->lock);
        free(refresh);
        return gh_fail(err, GH_INTERNAL_ERROR, "no thread for refreshing trust roots");
    }
    *out = refresh;
    return true;
}

void trust_refresh_free(struct trust_refresh *refresh)
{
    if (refresh == NULL) {
        return;
    }
    lock_acquire(&refresh->lock);
    refresh->is_stopping = true;
    __atomic_store_n(&refresh->stop, 1, __ATOMIC_RELAXED);
    lock_cond_broadcast(&refresh->wake);
    lock_release(&refresh->lock);
    (void)pthread_join(refresh->thread, NULL);
    while (refresh->items != NULL) {
        struct trust_refresh_item *item = refresh->items;

        refresh->items = item->next;
        free(item->key);
        free(item);
    }
    lock_cond_done(&refresh->wake);
    lock_done(&refresh->lock);
    free(refresh);
}

/* ---- what others see of it ---- */

static const struct config_root *trust_refresh_find(const struct config *config, const char *tenant,
                                                    const char *name)
{
    for (size_t t = 0; config != NULL && t < config->tenant_count; t++) {
        for (size_t i = 0;
             strcmp(config->tenants[t].name, tenant) == 0 && i < config->tenants[t].root_count;
             i++) {
            if (strcmp(config->tenants[t].roots[i].name, name) == 0) {
                return &config->tenants[t].roots[i];
            }
        }
    }
    return NULL;
}

const char *trust_refresh_lost(const struct config *old, const struct config *new)
{
    for (size_t t = 0; t < new->tenant_count; t++) {
        for (size_t i = 0; i < new->tenants[t].root_count; i++) {
            const struct config_root *root = &new->tenants[t].roots[i];
            const struct config_root *before =
                trust_refresh_find(old, new->tenants[t].name, root->name);

            if (root->url != NULL && root->content == NULL && before != NULL &&
                before->content != NULL) {
                return root->name;
            }
        }
    }
    return NULL;
}

static void trust_refresh_put_content(struct text *out, const char *key,
                                      const struct config_root *root)
{
    char digest[DIGEST_MAX_TEXT] = "";

    if (root != NULL && root->content != NULL) {
        digest_format(root->content, digest);
    }
    text_put_key(out, key);
    text_put_json(out, digest);
}

void trust_refresh_record(struct recorder *recorder, const struct config *old,
                          const struct config *new)
{
    for (size_t t = 0; t < new->tenant_count; t++) {
        for (size_t i = 0; i < new->tenants[t].root_count; i++) {
            const struct config_root *root = &new->tenants[t].roots[i];
            const struct config_root *before =
                trust_refresh_find(old, new->tenants[t].name, root->name);
            struct text members;

            if (before != NULL && (before->content == NULL) == (root->content == NULL) &&
                (root->content == NULL || digest_equal(before->content, root->content))) {
                continue;
            }
            text_init(&members, TRUST_REFRESH_MAX_EVENT);
            text_put(&members, "\"tenant\":");
            text_put_json(&members, new->tenants[t].name);
            text_put_key(&members, "root");
            text_put_json(&members, root->name);
            text_put_key(&members, "source");
            text_put_json(&members, root->source);
            trust_refresh_put_content(&members, "content", root);
            trust_refresh_put_content(&members, "previous", before);
            (void)recorder_event(recorder, "trust", text_cstr(&members));
            text_done(&members);
        }
    }
}

void trust_refresh_show(struct prom *prom, const struct config *config)
{
    prom_clear(prom, PROM_ROOT_EXPIRY);
    prom_clear(prom, PROM_ROOT_REFRESH);
    for (size_t t = 0; t < config->tenant_count; t++) {
        const struct config_tenant *tenant = &config->tenants[t];

        for (size_t i = 0; i < tenant->root_count; i++) {
            const struct config_root *root = &tenant->roots[i];
            int64_t end = GH_MIN(root->stale_at_unix_s, root->ends_unix_s);

            if (end != INT64_MAX && end != INT64_MIN) {
                prom_set(prom, PROM_ROOT_EXPIRY, PROM_LABELS(tenant->name, root->name),
                         (double)end);
            }
            if (root->url != NULL) {
                prom_set(prom, PROM_ROOT_REFRESH, PROM_LABELS(tenant->name, root->name),
                         (double)root->refreshed_unix_s);
            }
        }
    }
}

bool trust_refresh_note(const struct config_root *root, int64_t now_unix_s, struct text *out)
{
    if (root->url != NULL && root->content == NULL) {
        text_printf(out, "trust root %s has not been fetched yet", root->name);
        return true;
    }
    if (root->stale_at_unix_s <= now_unix_s) {
        text_printf(out, "trust root %s is past its max_age: what rests on it is refused",
                    root->name);
        return true;
    }
    if (root->url != NULL && root->stale_at_unix_s < now_unix_s + root->max_age_s / 2) {
        text_printf(out, "trust root %s is not being refreshed: it serves until ", root->name);
        text_put_time(out, root->stale_at_unix_s);
        return true;
    }
    if (root->ends_unix_s < now_unix_s + TRUST_REFRESH_WARNING_S) {
        text_printf(out, "trust root %s: its certificates end at ", root->name);
        text_put_time(out, root->ends_unix_s);
        return true;
    }
    if (root->lists_end_unix_s < now_unix_s) {
        text_printf(out, "trust root %s: a revocation list should have been replaced at ",
                    root->name);
        text_put_time(out, root->lists_end_unix_s);
        return true;
    }
    return false;
}
