#include "proxy/housekeeping.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "cache/blob_store.h"
#include "cache/store.h"
#include "cache/verdict_cache.h"
#include "metrics/lock.h"
#include "metrics/log.h"
#include "metrics/text.h"
#include "proxy/answers.h"
#include "proxy/exception_watch.h"
#include "proxy/gateway.h"
#include "proxy/generation.h"
#include "proxy/recorder.h"
#include "proxy/thread.h"
#include "proxy/trust_refresh.h"
#include "proxy/worker.h"

#define HOUSEKEEPING_TICK_MS 1000
#define HOUSEKEEPING_SLOW_TICKS 60
#define HOUSEKEEPING_WATCH_TICKS 3
#define HOUSEKEEPING_KEY_WARNING_S (30 * 86400)

struct housekeeping {
    struct gateway *gateway;
    pthread_t thread;
    struct lock lock; /* rank GH_RANK_LIMIT: is_stopping */
    struct lock_cond wake;
    bool is_stopping;
    uint64_t evictions; /* counted so far */
};

static void housekeeping_show_exceptions(struct prom *prom, const struct snapshot *snapshot,
                                         int64_t now)
{
    size_t in_force = 0;
    size_t expired = 0;
    size_t pending = 0;

    for (size_t i = 0; i < snapshot->exception_count; i++) {
        const struct exception *exception = &snapshot->exceptions[i];

        if (exception_in_force(exception, now)) {
            in_force++;
        } else if (exception->created_unix_s > now) {
            pending++;
        } else {
            expired++;
        }
    }
    prom_set(prom, PROM_EXCEPTIONS, PROM_LABELS(snapshot->tenant, "in_force"), (double)in_force);
    prom_set(prom, PROM_EXCEPTIONS, PROM_LABELS(snapshot->tenant, "expired"), (double)expired);
    prom_set(prom, PROM_EXCEPTIONS, PROM_LABELS(snapshot->tenant, "pending"), (double)pending);
}

void housekeeping_show_keys(struct prom *prom, const struct generation *generation)
{
    int64_t now = gateway_now();

    prom_clear(prom, PROM_KEY_EXPIRY);
    prom_clear(prom, PROM_EXCEPTION_EXPIRY);
    prom_clear(prom, PROM_EXCEPTIONS);
    for (size_t t = 0; t < generation->config->tenant_count; t++) {
        const struct snapshot *snapshot = &generation->config->tenants[t].snapshot;

        for (size_t i = 0; i < snapshot->signer_count; i++) {
            const struct signer *signer = snapshot->signers[i];

            for (size_t k = 0; k < signer->key_count; k++) {
                if (signer->keys[k].not_after_unix_s != INT64_MAX) {
                    prom_set(prom, PROM_KEY_EXPIRY,
                             PROM_LABELS(snapshot->tenant, signer->name, signer->keys[k].source),
                             (double)signer->keys[k].not_after_unix_s);
                }
            }
        }
        for (size_t i = 0; i < snapshot->exception_count; i++) {
            prom_set(prom, PROM_EXCEPTION_EXPIRY,
                     PROM_LABELS(snapshot->tenant, snapshot->exceptions[i].id),
                     (double)snapshot->exceptions[i].expires_unix_s);
        }
        housekeeping_show_exceptions(prom, snapshot, now);
    }
}

static void housekeeping_put_note(struct text *out, const struct text *note)
{
    if (out->len > 0 && out->data[out->len - 1] != '[') {
        text_put_char(out, ',');
    }
    text_put_json(out, text_cstr(note));
}

/* A signer whose keys all end soon, or have ended. */
static void housekeeping_note_signer(const struct signer *signer, int64_t now, struct text *out)
{
    int64_t last = INT64_MIN;
    struct text note;

    for (size_t k = 0; k < signer->key_count; k++) {
        if (signer->keys[k].revoked == SIGNER_NOT_REVOKED) {
            last = GH_MAX(last, signer->keys[k].not_after_unix_s);
        }
    }
    if (signer->type != SIGNER_KEYS || last > now + HOUSEKEEPING_KEY_WARNING_S) {
        return;
    }
    text_init(&note, 512);
    text_printf(&note, "signer %s has no key that is valid in 30 days", signer->name);
    housekeeping_put_note(out, &note);
    text_done(&note);
}

static void housekeeping_note_roots(const struct config_tenant *tenant, int64_t now,
                                    struct text *out)
{
    for (size_t i = 0; i < tenant->root_count; i++) {
        struct text note;

        text_init(&note, 512);
        if (trust_refresh_note(&tenant->roots[i], now, &note)) {
            housekeeping_put_note(out, &note);
        }
        text_done(&note);
    }
}

void housekeeping_notes(struct housekeeping *housekeeping, struct text *out)
{
    GH_OWN(generation_unrefp)
    struct generation *generation = gateway_generation(housekeeping->gateway);

    for (size_t t = 0; t < generation->config->tenant_count; t++) {
        const struct snapshot *snapshot = &generation->config->tenants[t].snapshot;

        for (size_t i = 0; i < snapshot->signer_count; i++) {
            housekeeping_note_signer(snapshot->signers[i], gateway_now(), out);
        }
        housekeeping_note_roots(&generation->config->tenants[t], gateway_now(), out);
    }
}

static void housekeeping_gauges(struct housekeeping *housekeeping)
{
    struct gateway *gateway = housekeeping->gateway;
    struct blob_store_stats blobs;
    double connections = 0;

    /* Room is made by what is committed: the last fill before a pause is seen only now. */
    blob_store_make_room(gateway->blobs, 0);
    blob_store_stats(gateway->blobs, &blobs);
    prom_set(gateway->prom, PROM_CONTENT_BYTES, NULL, (double)blobs.bytes);
    if (blobs.evictions > housekeeping->evictions) {
        prom_add(gateway->prom, PROM_EVICTIONS, NULL, blobs.evictions - housekeeping->evictions);
        housekeeping->evictions = blobs.evictions;
    }
    for (size_t i = 0; i < gateway->worker_count; i++) {
        connections += worker_load(gateway->workers[i]);
    }
    prom_set(gateway->prom, PROM_CONNECTIONS, NULL, connections);
}

/* They begin and end by the clock, without a reload. */
static void housekeeping_count_exceptions(struct housekeeping *housekeeping)
{
    GH_OWN(generation_unrefp)
    struct generation *generation = gateway_generation(housekeeping->gateway);
    int64_t now = gateway_now();

    for (size_t t = 0; t < generation->config->tenant_count; t++) {
        housekeeping_show_exceptions(housekeeping->gateway->prom,
                                     &generation->config->tenants[t].snapshot, now);
    }
}

static bool housekeeping_wait(struct housekeeping *housekeeping)
{
    LOCK_HOLD(&housekeeping->lock);
    if (!housekeeping->is_stopping) {
        (void)lock_cond_wait_ms(&housekeeping->wake, &housekeeping->lock, HOUSEKEEPING_TICK_MS);
    }
    return !housekeeping->is_stopping;
}

static void *housekeeping_run(void *arg)
{
    struct housekeeping *housekeeping = arg;
    struct gateway *gateway = housekeeping->gateway;
    struct gh_error error = {0};

    if (!store_was_clean(gateway->store) && !blob_store_reconcile(gateway->blobs, &error)) {
        log_write(gateway->log, &(struct log_event){.level = LOG_WARN},
                  "the content could not be matched with its index: %s", error.text);
    }
    exception_watch_learn(gateway->exceptions);
    prom_add(gateway->prom, PROM_EVICTIONS, NULL, 0); /* there from the first scrape on */
    housekeeping_gauges(housekeeping);
    for (unsigned tick = 1; housekeeping_wait(housekeeping); tick++) {
        log_tick(gateway->log);
        recorder_tick(gateway->recorder);
        housekeeping_gauges(housekeeping);
        housekeeping_count_exceptions(housekeeping);
        answers_tick(gateway->answers, gateway_now());
        if (tick % HOUSEKEEPING_WATCH_TICKS == 0) {
            exception_watch_tick(gateway->exceptions, gateway_now());
        }
        if (tick % HOUSEKEEPING_SLOW_TICKS == 0) {
            store_tick(gateway->store);
            verdict_cache_tick(gateway->verdicts);
        }
    }
    return NULL;
}

bool housekeeping_new(struct gateway *gateway, struct housekeeping **out, struct gh_error *err)
{
    struct housekeeping *housekeeping = calloc(1, sizeof(*housekeeping));

    if (housekeeping == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for housekeeping");
    }
    housekeeping->gateway = gateway;
    lock_init(&housekeeping->lock, GH_RANK_LIMIT);
    lock_cond_init(&housekeeping->wake);
    if (!thread_start(&housekeeping->thread, housekeeping_run, housekeeping)) {
        lock_cond_done(&housekeeping->wake);
        lock_done(&housekeeping->lock);
        free(housekeeping);
        return gh_fail(err, GH_INTERNAL_ERROR, "no thread for housekeeping");
    }
    *out = housekeeping;
    return true;
}

void housekeeping_free(struct housekeeping *housekeeping)
{
    if (housekeeping == NULL) {
        return;
    }
    lock_acquire(&housekeeping->lock);
    housekeeping->is_stopping = true;
    lock_cond_broadcast(&housekeeping->wake);
    lock_release(&housekeeping->lock);
    (void)pthread_join(housekeeping->thread, NULL);
    lock_cond_done(&housekeeping->wake);
    lock_done(&housekeeping->lock);
    free(housekeeping);
}
