#include "proxy/serving.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <curl/curl.h>
#include <event2/event.h>
#include <event2/thread.h>
#include <openssl/rand.h>

#include "cache/blob_store.h"
#include "cache/decision_store.h"
#include "cache/edges.h"
#include "cache/verdict_cache.h"
#include "metrics/audit.h"
#include "metrics/log.h"
#include "metrics/text.h"
#include "proxy/admin.h"
#include "proxy/answers.h"
#include "proxy/audit_sink.h"
#include "proxy/certificates.h"
#include "proxy/config_files.h"
#include "proxy/exception_watch.h"
#include "proxy/fill.h"
#include "proxy/flight.h"
#include "proxy/gateway.h"
#include "proxy/generation.h"
#include "proxy/helper.h"
#include "proxy/housekeeping.h"
#include "proxy/listener.h"
#include "proxy/probe.h"
#include "proxy/problems.h"
#include "proxy/recent.h"
#include "proxy/recorder.h"
#include "proxy/reevaluation.h"
#include "proxy/request.h"
#include "proxy/session.h"
#include "proxy/settled.h"
#include "proxy/trust_held.h"
#include "proxy/trust_refresh.h"
#include "proxy/upstream.h"
#include "proxy/verdicts.h"
#include "proxy/verification.h"
#include "proxy/worker.h"

#define SERVING_DRAIN_MS 20000
#define SERVING_POLL_MS 50
#define SERVING_MAX_LISTENERS 16
#define SERVING_HELPERS 4
#define SERVING_PASSWORD_HELPERS 2

struct serving_listener {
    struct listener *listener;
    struct tls *tls; /* of certificates; NULL: plain */
};

struct serving {
    struct gateway gateway;
    const char *file;
    struct config_files files;
    struct audit *audit;
    struct audit_sink *sink; /* NULL: none */
    struct config *started;  /* what the process began with: some of it stays until it ends */
    struct certificates *certificates;
    struct quota *quota;
    struct event_base *base;
    struct event *signals[4];
    struct event *drain;
    struct serving_listener listeners[SERVING_MAX_LISTENERS];
    size_t listener_count;
    struct housekeeping *housekeeping;
    struct reevaluation *reevaluation;
    struct trust_held *held;
    struct trust_refresh *trust;
    struct probe *probe;
    struct admin *admin;
    struct lock reload_lock;
    int64_t drain_until_ms;
    bool is_draining; /* atomic */
    int status;
};

/* What a reload cannot change, as it is told. */
struct serving_settled {
    struct serving *serving;
    struct text *names;
    size_t count;
};

struct gateway *serving_gateway(struct serving *serving)
{
    return &serving->gateway;
}

struct reevaluation *serving_reevaluation(struct serving *serving)
{
    return serving->reevaluation;
}

/* ---- loading ---- */

/* CERTIFICATES: NULL where they stay as they are. */
static bool serving_load(struct serving *serving, uint64_t number, struct generation **out,
                         struct certificates_next **certificates, struct config_problems *problems,
                         struct gh_error *err)
{
    struct config_loader loader;
    GH_OWN(generation_unrefp)
    struct generation *previous =
        serving->gateway.generation != NULL ? gateway_generation(&serving->gateway) : NULL;
    struct config *config = NULL;

    bool is_loaded;

    config_files_loader(&serving->files, &loader);
    is_loaded = config_load(&loader, serving->file, gateway_now(), &config, problems, err) &&
                generation_new(config, number, previous, out, err);
    if (is_loaded && certificates != NULL &&
        !certificates_prepare(serving->certificates, (*out)->config, certificates, err)) {
        generation_unref(GH_TAKE(*out));
        is_loaded = false;
    }
    config_files_settle(&serving->files, is_loaded);
    return is_loaded;
}

static void serving_show_generation(struct serving *serving, const struct generation *generation)
{
    struct prom *prom = serving->gateway.prom;

    prom_clear(prom, PROM_CONFIG_INFO);
    prom_set(prom, PROM_CONFIG_INFO, PROM_LABELS(generation->config->fingerprint_text), 1);
    housekeeping_show_keys(prom, generation);
    trust_refresh_show(prom, generation->config);
}

/* Put a new generation in force, and what is derived from it. Gives: how many changes that made. */
static size_t serving_adopt(struct serving *serving, struct generation *generation)
{
    GH_OWN(generation_unrefp)
    struct generation *previous = gateway_generation(&serving->gateway);

    size_t changes =
        recorder_changes(serving->gateway.recorder, previous->config, generation->config);

    trust_refresh_record(serving->gateway.recorder, previous->config, generation->config);
    serving_show_generation(serving, generation);
    GH_OWN(generation_unrefp) struct generation *adopted = generation_ref(generation);
    gateway_adopt(&serving->gateway, generation);
    reevaluation_begin(serving->reevaluation, previous, adopted);
    return changes;
}

/* Put what was fetched for trust roots in force: the files are those of the last load, whatever is
 * being edited meanwhile. Roots that cannot be used any more leave the old ones until they age. */
static bool serving_renew(void *context)
{
    struct serving *serving = context;
    struct config_problems problems = {0};
    struct generation *generation = NULL;
    struct gh_error error = {0};
    const char *lost = NULL;
    bool is_ok;

    LOCK_HOLD(&serving->reload_lock);
    serving->files.is_replaying = true;
    is_ok = serving_load(serving, serving->gateway.generation_number + 1, &generation, NULL,
                         &problems, &error);
    serving->files.is_replaying = false;
    config_problems_done(&problems);
    if (is_ok) {
        lost = trust_refresh_lost(serving->gateway.generation->config, generation->config);
    }
    if (lost != NULL) {
        is_ok = gh_fail(&error, GH_TRUST_ROOT_MALFORMED, "what was fetched for %s cannot be used",
                        lost);
        generation_unref(generation);
    }
    if (is_ok) {
        (void)serving_adopt(serving, generation);
    } else {
        log_write(serving->gateway.log, &(struct log_event){.level = LOG_ERROR},
                  "trust roots were fetched and not put in force: %s", error.text);
    }
    return is_ok;
}

/* The old one ends first, since both would move the same cursor. */
static void serving_renew_sink(struct serving *serving, const struct config_audit_sink *before,
                               const struct config_audit_sink *after)
{
    struct gh_error error = {0};
    struct audit_head head;

    if (audit_sink_is_same(before, after)) {
        return;
    }
    audit_sink_free(GH_TAKE(serving->sink));
    audit_get_head(serving->audit, &head);
    if (!audit_sink_new(&serving->gateway, serving->started, after, head.seq, &serving->sink,
                        &error)) {
        log_write(serving->gateway.log,
                  &(struct log_event){.level = LOG_ERROR, .reason = "audit_sink"},
                  "audit records are not delivered any more: %s", error.text);
    }
}

static void serving_on_settled(const char *name, void *arg)
{
    struct serving_settled *settled = arg;

    text_put(settled->names, settled->count++ > 0 ? "," : "");
    text_put_json(settled->names, name);
    log_write(settled->serving->gateway.log,
              &(struct log_event){.level = LOG_WARN, .reason = "restart_needed"},
              "%s was changed: that takes effect at the next start", name);
}

/* Put GENERATION (taken) in force, and say what that changes. */
static void serving_put_in_force(struct serving *serving, struct generation *generation,
                                 struct certificates_next *certificates, struct text *members)
{
    GH_OWN(generation_unrefp)
    struct generation *before = gateway_generation(&serving->gateway);
    GH_OWN(generation_unrefp) struct generation *after = generation_ref(generation);
    const struct config_limits *limits = &after->config->limits;
    struct serving_settled settled = {.serving = serving, .names = members};

    text_put_key(members, "fingerprint");
    text_put_json(members, after->config->fingerprint_text);
    certificates_adopt(serving->certificates, certificates);
    quota_set(serving->quota, (unsigned)limits->connections,
              (unsigned)limits->connections_per_address);
    text_printf(members, ",\"changes\":%zu", serving_adopt(serving, generation));
    serving_renew_sink(serving, before->config->audit.sink, after->config->audit.sink);
    text_put_key(members, "restart");
    text_put(members, "[");
    (void)settled_each(serving->started, after->config, serving_on_settled, &settled);
    text_put(members, "]");
}

static bool serving_apply_log(struct serving *serving, const struct config *config,
                              struct gh_error *err)
{
    return log_set_access(serving->gateway.log, config->log.access, err);
}

bool serving_reload(struct serving *serving, struct text *out)
{
    struct config_problems problems = {0};
    struct certificates_next *certificates = NULL;
    struct generation *generation = NULL;
    struct gh_error error = {0};
    struct text members;
    bool is_ok;

    LOCK_HOLD(&serving->reload_lock);
    is_ok = serving_load(serving, serving->gateway.generation_number + 1, &generation,
                         &certificates, &problems, &error);
    if (is_ok && !serving_apply_log(serving, generation->config, &error)) {
        certificates_next_free(certificates);
        generation_unref(generation);
        is_ok = false;
    }
    text_init(&members, 32u * 1024);
    text_printf(&members, "\"ok\":%s", is_ok ? "true" : "false");
    if (is_ok) {
        serving_put_in_force(serving, generation, certificates, &members);
    } else {
        text_put_key(&members, "message");
        text_put_json(&members, error.text);
        text_put_key(&members, "place");
        text_put_json(&members, error.place);
    }
    text_put_key(&members, "problems");
    problems_json(&members, &problems);
    prom_set(serving->gateway.prom, PROM_CONFIG_RELOAD, NULL, is_ok ? 1 : 0);
    (void)recorder_event(serving->gateway.recorder, "reload", text_cstr(&members));
    log_write(serving->gateway.log, &(struct log_event){.level = is_ok ? LOG_INFO : LOG_ERROR},
              is_ok ? "configuration reloaded%s%s%s" : "reload failed, nothing changed: %s%s%s",
              is_ok ? "" : error.place, error.place[0] == '\0' ? "" : ": ",
              is_ok ? "" : error.text);
    text_put(out, text_cstr(&members));
    text_done(&members);
    config_problems_done(&problems);
    return is_ok;
}

bool serving_is_ready(struct serving *serving, struct text *out)
{
    bool is_ready = !__atomic_load_n(&serving->is_draining, __ATOMIC_RELAXED);

    text_printf(out, "\"ready\":%s", is_ready ? "true" : "false");
    text_printf(out, ",\"audit\":%s",
                recorder_is_available(serving->gateway.recorder) ? "true" : "false");
    text_put_key(out, "notes");
    text_put(out, "[");
    housekeeping_notes(serving->housekeeping, out);
    probe_notes(serving->probe, out);
    text_put(out, "]");
    return is_ready;
}

/* ---- starting ---- */

static bool serving_open_stores(struct serving *serving, const struct config *config,
                                struct gh_error *err)
{
    struct gateway *gateway = &serving->gateway;
    const struct store_config store = {.path = config->storage.path};
    const struct blob_store_config blobs = {.max_bytes = (uint64_t)config->storage.max_size_bytes};
    const struct verdict_cache_config verdicts = {.hooks = verdicts_hooks};

    GH_TRY(store_open(&store, &gateway->store, err));
    GH_TRY(blob_store_new(gateway->store, &blobs, &gateway->blobs, err));
    GH_TRY(verdict_cache_new(gateway->store, &verdicts, &gateway->verdicts, err));
    GH_TRY(answers_new(gateway, &gateway->answers, err));
    GH_TRY(edges_new(gateway->store, &gateway->edges, err));
    GH_TRY(recent_new(&gateway->recent, err));
    GH_TRY(decision_store_new(gateway->store, 0, &gateway->decisions, err));
    return fill_set_new(gateway->blobs, gateway->helpers, &gateway->fills, err);
}

static bool serving_open_audit(struct serving *serving, const struct config *config,
                               struct gh_error *err)
{
    GH_OWN(bytes_buf_done) struct bytes_buf key = {0};
    unsigned mode;
    struct audit_head head;
    struct audit_config audit = {.path = config->audit.path,
                                 .checkpoint_every_ms = config->audit.checkpoint_every_s * 1000};

    if (config->audit.checkpoint_key != NULL) {
        GH_TRY(config_files_read(config->audit.checkpoint_key, 64u * 1024, &key, &mode, err));
        audit.key_pem = key.data;
        audit.key_pem_len = key.len;
    }
    GH_TRY(audit_open(&audit, gateway_now() * 1000, &serving->audit, err));
    GH_TRY(recorder_new(&serving->gateway, serving->audit, &serving->gateway.recorder, err));
    audit_get_head(serving->audit, &head);
    return audit_sink_new(&serving->gateway, config, config->audit.sink, head.seq, &serving->sink,
                          err);
}

static unsigned serving_worker_count(const struct config *config)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);

    if (config->workers > 0) {
        return (unsigned)GH_MIN(config->workers, (int64_t)FILL_MAX_WORKERS);
    }
    return (unsigned)GH_MIN(GH_MAX(cores, 1L), (long)FILL_MAX_WORKERS);
}

static void serving_free_client(void *client)
{
    upstream_client_free(client);
}

static bool serving_start_worker(struct serving *serving, unsigned index,
                                 const struct conn_limits *limits, struct gh_error *err)
{
    struct gateway *gateway = &serving->gateway;
    struct upstream_client *client = NULL;
    struct fill_worker *fill = NULL;
    struct worker *worker = NULL;

    GH_TRY(worker_new(index, &worker, err));
    gateway->workers[gateway->worker_count++] = worker;
    GH_TRY(conn_set_new(worker, limits, err));
    GH_TRY(upstream_client_new(worker_base(worker), gateway->prom, &client, err));
    worker_attach(worker, WORKER_SLOT_UPSTREAM,
                  &(struct worker_member){.self = client, .on_stop = serving_free_client});
    GH_TRY(fill_worker_new(gateway->fills, worker, client, &fill, err));
    worker_attach(worker, WORKER_SLOT_FILL,
                  &(struct worker_member){.self = fill, .on_stop = fill_worker_free});
    GH_TRY(verification_attach(worker, err));
    return worker_start(worker, err);
}

static bool serving_start_workers(struct serving *serving, const struct config *config,
                                  struct gh_error *err)
{
    unsigned count = serving_worker_count(config);
    struct conn_limits limits;

    conn_limits_default(&limits);
    limits.header_timeout_ms = (unsigned)(config->limits.header_timeout_s * 1000);
    limits.idle_timeout_ms = (unsigned)(config->limits.idle_timeout_s * 1000);
    for (unsigned i = 0; i < count; i++) {
        GH_TRY(serving_start_worker(serving, i, &limits, err));
    }
    return quota_new((unsigned)config->limits.connections,
                     (unsigned)config->limits.connections_per_address, &serving->quota, err);
}

static bool serving_listen(struct serving *serving, const char *address,
                           const struct config_tls *tls, const struct exchange_handler *handler,
                           void *role, const char *headers, struct gh_error *err)
{
    struct serving_listener *listener = &serving->listeners[serving->listener_count];
    struct listener_config config = {
        .address = address,
        .handler = handler,
        .role = role,
        .refusal_headers = headers,
        .quota = serving->quota,
        .workers = serving->gateway.workers,
        .worker_count = (unsigned)serving->gateway.worker_count,
    };

    if (serving->listener_count == SERVING_MAX_LISTENERS) {
        return gh_fail(err, GH_COUNT_LIMIT_EXCEEDED, "more than %d listeners",
                       SERVING_MAX_LISTENERS);
    }
    if (tls != NULL) {
        GH_TRY(certificates_add(serving->certificates, address, tls, &listener->tls, err));
        config.tls = listener->tls;
    }
    GH_TRY(listener_new(serving->base, &config, &listener->listener, err));
    serving->listener_count++;
    return true;
}

static bool serving_open_listeners(struct serving *serving, const struct config *config,
                                   struct gh_error *err)
{
    GH_TRY(admin_new(serving, config->admin.token,
                     config->admin.tls != NULL && config->admin.tls->client_ca != NULL,
                     &serving->admin, err));
    for (size_t i = 0; i < config->listen.count; i++) {
        GH_TRY(serving_listen(serving, config->listen.items[i].address, config->listen.items[i].tls,
                              request_handler(), &serving->gateway, REQUEST_REFUSAL_HEADERS, err));
    }
    if (config->admin.address != NULL) {
        GH_TRY(serving_listen(serving, config->admin.address, config->admin.tls, admin_handler(),
                              serving->admin, NULL, err));
    }
    for (size_t i = 0; i < serving->listener_count; i++) {
        log_write(serving->gateway.log, &(struct log_event){.level = LOG_INFO}, "listening on %s%s",
                  listener_address(serving->listeners[i].listener),
                  serving->listeners[i].tls != NULL ? " (TLS)" : "");
    }
    return true;
}

/* ---- signals and the end ---- */

static void serving_on_poll(evutil_socket_t fd, short what, void *arg)
{
    struct serving *serving = arg;
    bool is_busy = false;

    for (size_t i = 0; i < serving->gateway.worker_count; i++) {
        is_busy = is_busy || worker_load(serving->gateway.workers[i]) > 0;
    }
    if (!is_busy || (int64_t)worker_clock_ms() >= serving->drain_until_ms) {
        (void)event_base_loopbreak(serving->base);
    }
}

static void serving_begin_drain(struct serving *serving)
{
    const struct timeval poll = {.tv_usec = SERVING_POLL_MS * 1000};

    if (serving->is_draining) {
        (void)event_base_loopbreak(serving->base); /* asked twice: now */
        return;
    }
    __atomic_store_n(&serving->is_draining, true, __ATOMIC_RELAXED);
    serving->drain_until_ms = (int64_t)worker_clock_ms() + SERVING_DRAIN_MS;
    log_write(serving->gateway.log, &(struct log_event){.level = LOG_INFO}, "draining");
    for (size_t i = 0; i < serving->listener_count; i++) {
        listener_close(serving->listeners[i].listener);
    }
    for (size_t i = 0; i < serving->gateway.worker_count; i++) {
        worker_drain(serving->gateway.workers[i]);
    }
    serving->drain = event_new(serving->base, -1, EV_PERSIST, serving_on_poll, serving);
    if (serving->drain == NULL || event_add(serving->drain, &poll) != 0) {
        (void)event_base_loopbreak(serving->base);
    }
}

struct serving_reload_job {
    struct helper_job job; /* first */
    struct serving *serving;
};

static void serving_reload_run(struct helper_job *job)
{
    struct serving_reload_job *self = (struct serving_reload_job *)job;
    struct text ignored;

    text_init(&ignored, 64u * 1024);
    (void)serving_reload(self->serving, &ignored);
    text_done(&ignored);
    free(self);
}

static void serving_on_signal(evutil_socket_t signal, short what, void *arg)
{
    struct serving *serving = arg;
    struct gh_error error = {0};
    struct serving_reload_job *reload;

    switch ((int)signal) {
    case SIGHUP:
        reload = calloc(1, sizeof(*reload));
        if (reload != NULL) {
            reload->serving = serving;
            reload->job.run = serving_reload_run;
            if (!helper_submit(serving->gateway.helpers, &reload->job)) {
                free(reload);
            }
        }
        return;
    case SIGUSR1:
        if (!log_reopen(serving->gateway.log, &error) ||
            !audit_reopen(serving->audit, gateway_now() * 1000, &error)) {
            log_write(serving->gateway.log, &(struct log_event){.level = LOG_ERROR},
                      "a log could not be opened again: %s", error.text);
        }
        return;
    default:
        serving_begin_drain(serving);
        return;
    }
}

static bool serving_watch_signals(struct serving *serving, struct gh_error *err)
{
    static const int watched[] = {SIGHUP, SIGUSR1, SIGTERM, SIGINT};

    for (size_t i = 0; i < GH_COUNT(watched); i++) {
        serving->signals[i] = evsignal_new(serving->base, watched[i], serving_on_signal, serving);
        if (serving->signals[i] == NULL || event_add(serving->signals[i], NULL) != 0) {
            return gh_fail(err, GH_INTERNAL_ERROR, "signals cannot be watched");
        }
    }
    return true;
}

static void serving_stop_threads(struct serving *serving)
{
    struct gateway *gateway = &serving->gateway;

    probe_free(serving->probe);
    trust_refresh_free(serving->trust);
    reevaluation_stop(serving->reevaluation);
    housekeeping_free(serving->housekeeping);
    exception_watch_stop(gateway->exceptions);
    for (size_t i = 0; i < serving->listener_count; i++) {
        listener_stop(serving->listeners[i].listener);
    }
    /* Workers hand jobs to the pools, jobs and workers post to workers: so every worker ends before
     * a pool does, and none is freed before the last thread that could post to it is gone. */
    for (size_t i = 0; i < gateway->worker_count; i++) {
        worker_stop(gateway->workers[i]);
    }
    for (size_t i = 0; i < gateway->worker_count; i++) {
        worker_join(gateway->workers[i]);
    }
    helper_pool_free(gateway->verifiers);
    helper_pool_free(gateway->passwords);
    helper_pool_free(gateway->helpers);
    for (size_t i = 0; i < gateway->worker_count; i++) {
        worker_free(gateway->workers[i]);
    }
}

static void serving_done(struct serving *serving)
{
    struct gateway *gateway = &serving->gateway;

    serving_stop_threads(serving);
    for (size_t i = 0; i < serving->listener_count; i++) {
        listener_free(serving->listeners[i].listener);
    }
    certificates_free(serving->certificates);
    for (size_t i = 0; i < GH_COUNT(serving->signals); i++) {
        if (serving->signals[i] != NULL) {
            event_free(serving->signals[i]);
        }
    }
    if (serving->drain != NULL) {
        event_free(serving->drain);
    }
    admin_free(serving->admin);
    quota_free(serving->quota);
    reevaluation_free(serving->reevaluation);
    if (gateway->recorder != NULL) {
        recorder_stop(gateway->recorder);
    }
    audit_sink_free(serving->sink);
    recorder_free(gateway->recorder);
    audit_close(serving->audit, gateway_now() * 1000);
    fill_set_free(gateway->fills);
    flights_free(gateway->flights);
    session_set_free(gateway->sessions);
    exception_watch_free(gateway->exceptions);
    decision_store_free(gateway->decisions);
    edges_free(gateway->edges);
    recent_free(gateway->recent);
    request_spares_free(gateway);
    answers_free(gateway->answers);
    verdict_cache_free(gateway->verdicts);
    blob_store_free(gateway->blobs);
    store_close(gateway->store);
    generation_unref(gateway->generation);
    config_unref(serving->started);
    config_files_done(&serving->files);
    trust_held_free(serving->held);
    prom_free(gateway->prom);
    log_free(gateway->log);
    if (serving->base != NULL) {
        event_base_free(serving->base);
    }
    lock_done(&gateway->lock);
    lock_done(&serving->reload_lock);
}

static void serving_raise_descriptors(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static bool serving_prepare(struct serving *serving, struct gh_error *err)
{
    struct gateway *gateway = &serving->gateway;
    static const struct log_config log = {.level = LOG_INFO};
    long cores = sysconf(_SC_NPROCESSORS_ONLN);

    lock_init(&gateway->lock, GH_RANK_CONFIG);
    lock_init(&serving->reload_lock, GH_RANK_RELOAD);
    GH_TRY(log_new(&log, &gateway->log, err));
    GH_TRY(prom_new(&gateway->prom, err));
    GH_TRY(trust_held_new(&serving->held, err));
    serving->files = (struct config_files){
        .tuf = trust_held_load, .tuf_context = serving->held, .is_keeping = true};
    GH_TRY(certificates_new(&serving->certificates, err));
    GH_TRY(session_set_new(&gateway->sessions, err));
    GH_TRY(exception_watch_new(gateway, &gateway->exceptions, err));
    if (RAND_bytes(gateway->token_key, sizeof(gateway->token_key)) != 1) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no random numbers");
    }
    GH_TRY(flights_new(&gateway->flights, err));
    GH_TRY(helper_pool_new(SERVING_HELPERS, &gateway->helpers, err));
    GH_TRY(helper_pool_new((unsigned)GH_MAX(cores, 1L), &gateway->verifiers, err));
    GH_TRY(helper_pool_new(SERVING_PASSWORD_HELPERS, &gateway->passwords, err));
    serving->base = event_base_new();
    return serving->base != NULL || gh_fail(err, GH_INTERNAL_ERROR, "no event loop");
}

static bool serving_record_start(struct serving *serving, const struct config *config,
                                 struct gh_error *err)
{
    struct text members;
    bool is_written;

    text_init(&members, 1024);
    text_put(&members, "\"version\":\"" GATEHOUSE_VERSION "\"");
    text_put_key(&members, "fingerprint");
    text_put_json(&members, config->fingerprint_text);
    is_written = recorder_event(serving->gateway.recorder, "start", text_cstr(&members));
    text_done(&members);
    return is_written || gh_fail(err, GH_AUDIT_UNAVAILABLE, "the audit log cannot be written");
}

static bool serving_start(struct serving *serving, const struct config *config,
                          struct gh_error *err)
{
    GH_TRY(serving_apply_log(serving, config, err));
    GH_TRY(serving_open_stores(serving, config, err));
    GH_TRY(serving_open_audit(serving, config, err));
    GH_TRY(serving_start_workers(serving, config, err));
    GH_TRY(serving_watch_signals(serving, err));
    GH_TRY(serving_open_listeners(serving, config, err));
    GH_TRY(serving_record_start(serving, config, err));
    GH_TRY(housekeeping_new(&serving->gateway, &serving->housekeeping, err));
    GH_TRY(reevaluation_new(&serving->gateway, &serving->reevaluation, err));
    prom_set(serving->gateway.prom, PROM_CONFIG_RELOAD, NULL, 1);
    prom_set(serving->gateway.prom, PROM_BUILD_INFO, PROM_LABELS(GATEHOUSE_VERSION), 1);
    serving_show_generation(serving, serving->gateway.generation);
    /* The last: from here on the first generation may be replaced. */
    GH_TRY(trust_refresh_new(&serving->gateway, serving_renew, serving, &serving->trust, err));
    trust_refresh_wait(serving->trust);
    GH_TRY(probe_new(&serving->gateway, &serving->probe, err));
    for (size_t i = 0; i < serving->listener_count; i++) {
        listener_start(serving->listeners[i].listener);
    }
    return true;
}

static bool serving_begin(struct serving *serving)
{
    struct config_problems problems = {0};
    struct generation *generation = NULL;
    struct gh_error error = {0};
    bool is_ok = serving_prepare(serving, &error) &&
                 serving_load(serving, 1, &generation, NULL, &problems, &error);

    config_files_print(&problems, true);
    if (is_ok) {
        serving->started = config_ref(generation->config);
        gateway_adopt(&serving->gateway, generation);
        is_ok = serving_start(serving, generation->config, &error);
    }
    if (!is_ok && problems.error_count == 0) {
        (void)fprintf(stderr, "gatehouse: %s%s%s\n", error.place,
                      error.place[0] != '\0' ? ": " : "", error.text);
    }
    config_problems_done(&problems);
    return is_ok;
}

int serving_run(const char *file)
{
    struct serving *serving = calloc(1, sizeof(*serving));

    if (serving == NULL) {
        return 2;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN); /* a full audit log is an error of write(), not our end */
    (void)evthread_use_pthreads();
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0) {
        free(serving);
        return 2;
    }
    serving_raise_descriptors();
    serving->file = file;
    if (serving_begin(serving)) {
        (void)event_base_dispatch(serving->base);
    } else {
        serving->status = 2;
    }
    serving_done(serving);
    int status = serving->status;
    free(serving);
    curl_global_cleanup();
    return status;
}
