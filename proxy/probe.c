#include "proxy/probe.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include <event2/event.h>

#include "crypto/checkpoint.h"
#include "crypto/trustroot.h"
#include "metrics/lock.h"
#include "metrics/log.h"
#include "metrics/text.h"
#include "proxy/config_files.h"
#include "proxy/gateway.h"
#include "proxy/generation.h"
#include "proxy/probe_log.h"
#include "proxy/probe_memory.h"
#include "proxy/recorder.h"
#include "proxy/thread.h"
#include "proxy/upstream.h"

#define PROBE_TICK_MS 500
#define PROBE_FIRST_S 10 /* the first look comes within this, by chance */
#define PROBE_MAX_EVENT (60u * 1024)
#define PROBE_MAX_NOTE (12u * 1024) /* in an audit record */
#define PROBE_MAX_TUF_BYTES (1024u * 1024)

/* One log, or the repository of one root. */
struct probe_item {
    struct probe_item *next;
    char *key; /* tenant, root and address */
    char *tenant;
    char *root;
    char *url;
    char *label; /* of metrics: the address without its scheme */
    bool is_log; /* else a TUF repository */
    bool is_wanted;
    int64_t every_s;
    int64_t next_ms;

    /* The look under way: it holds the generation whose keys it uses. */
    struct probe *probe;
    struct generation *generation;
    char *address; /* `url` as fetch.rewrite leads */
    struct upstream *upstream;
    struct upstream_request *request;
    struct probe_log *look;

    /* What is known; written by the thread under the lock. */
    struct probe_memory memory;
    bool is_memory_lost; /* it could not be stored: told once */
    unsigned failures;   /* in a row */
    struct gh_error failure;
};

struct probe {
    struct gateway *gateway;
    char *storage;
    pthread_t thread;
    struct event_base *base;
    struct event *timer;
    struct event *stop;
    struct upstream_client *client;
    struct lock lock; /* rank GH_RANK_LIMIT: the list and what notes show of its items */
    struct probe_item *items;
};

/* ---- items ------------------------------------------------------------------------------- */

static void probe_item_idle(struct probe_item *item)
{
    upstream_cancel(item->request);
    probe_log_cancel(item->look);
    item->request = NULL;
    item->look = NULL;
    generation_unref(item->generation);
    item->generation = NULL;
}

static void probe_item_free(struct probe_item *item)
{
    if (item == NULL) {
        return;
    }
    probe_item_idle(item);
    upstream_unref(item->upstream);
    probe_memory_done(&item->memory);
    free(item->address);
    free(item->label);
    free(item->url);
    free(item->root);
    free(item->tenant);
    free(item->key);
    free(item);
}

static int64_t probe_chance(int64_t below)
{
    uint32_t chance = 0;

    (void)!getrandom(&chance, sizeof(chance), 0);
    return (int64_t)((double)below * (double)chance / ((double)UINT32_MAX + 1));
}

/* A tenth less, by chance: a fleet of gateways must not ask at once. */
static int64_t probe_pause_ms(const struct probe_item *item)
{
    return item->every_s * 1000 - probe_chance(item->every_s * 100);
}

static const char *const *probe_labels(const struct probe_item *item, const char *out[4],
                                       const char *last)
{
    out[0] = item->tenant;
    out[1] = item->root;
    out[2] = item->is_log ? item->label : last;
    out[3] = last;
    return out;
}

/* Gauges are set anew when the list has changed, because the family forgets all at once. */
static void probe_item_show(const struct probe *probe, const struct probe_item *item)
{
    struct prom *prom = probe->gateway->prom;
    const char *labels[4];

    probe_labels(item, labels, "");
    if (!item->is_log) {
        prom_set(prom, PROM_ROOT_UP, labels, item->failures == 0 ? 1 : 0);
        return;
    }
    prom_set(prom, PROM_LOG_UP, labels, item->failures == 0 ? 1 : 0);
    if (item->memory.head.len > 0) {
        struct checkpoint head;

        prom_set(prom, PROM_LOG_CONSISTENT, labels,
                 item->memory.alarm.cause == GH_CAUSE_NONE ? 1 : 0);
        prom_set(prom, PROM_LOG_SUCCESS, labels, (double)item->memory.seen_unix_s);
        if (checkpoint_parse(bytes_view(&item->memory.head), &head, NULL)) {
            prom_set(prom, PROM_LOG_SIZE, labels, (double)head.size);
            checkpoint_done(&head);
        }
    }
}

/* Counters of what should never happen begin at zero, so that the first one is an increase. */
static void probe_begin_counters(const struct probe_item *item)
{
    static const enum gh_cause causes[] = {GH_LOG_FORKED, GH_LOG_PROOF_INVALID, GH_LOG_REPLACED,
                                           GH_LOG_SHRUNK};
    const char *labels[4];

    for (size_t i = 0; item->is_log && i < GH_COUNT(causes); i++) {
        prom_add(item->probe->gateway->prom, PROM_LOG_ALARMS,
                 probe_labels(item, labels, gh_cause_label(causes[i])), 0);
    }
}

static void probe_show(const struct probe *probe)
{
    static const enum prom_family families[] = {PROM_LOG_UP, PROM_LOG_SIZE, PROM_LOG_SUCCESS,
                                                PROM_LOG_CONSISTENT, PROM_ROOT_UP};

    for (size_t i = 0; i < GH_COUNT(families); i++) {
        prom_clear(probe->gateway->prom, families[i]);
    }
    for (const struct probe_item *item = probe->items; item != NULL; item = item->next) {
        if (item->memory.seen_unix_s > 0 || item->failures > 0) {
            probe_item_show(probe, item);
        }
    }
}

static void probe_count(const struct probe_item *item, const char *result)
{
    const char *labels[4];

    prom_add(item->probe->gateway->prom, item->is_log ? PROM_LOG_PROBES : PROM_ROOT_PROBES,
             probe_labels(item, labels, result), 1);
}

/* ---- the ends of looks ------------------------------------------------------------------- */

static const char *probe_what(const struct probe_item *item)
{
    return item->is_log ? "transparency log" : "repository";
}

static void probe_failed(struct probe_item *item, const struct gh_error *error)
{
    lock_acquire(&item->probe->lock);
    item->failures++;
    item->failure = *error;
    lock_release(&item->probe->lock);
    probe_count(item, "failure");
    if (item->failures == 1) {
        log_write(item->probe->gateway->log,
                  &(struct log_event){.level = LOG_WARN, .cause = gh_cause_label(error->cause)},
                  "the %s %s of root %s could not be looked at: %s", probe_what(item), item->label,
                  item->root, error->text);
    }
}

static void probe_answered(struct probe_item *item)
{
    bool was_silent = item->failures > 0;

    lock_acquire(&item->probe->lock);
    item->failures = 0;
    gh_error_clear(&item->failure);
    lock_release(&item->probe->lock);
    if (was_silent) {
        log_write(item->probe->gateway->log, &(struct log_event){.level = LOG_INFO},
                  "the %s %s of root %s answers again", probe_what(item), item->label, item->root);
    }
}

static void probe_put_pair(struct text *out, const char *key, const char *value)
{
    text_put_key(out, key);
    text_put_json(out, value);
}

/* A note of a size that no log makes is cut: the record must fit, the log's file has it all. */
static void probe_put_note(struct text *out, const char *key, struct bytes note)
{
    text_put_key(out, key);
    text_put_json_bytes(out, note.data, GH_MIN(note.len, (size_t)PROBE_MAX_NOTE));
}

/* Both signed notes go into the record: together they are the proof, wherever it is looked at. */
static void probe_record(const struct probe_item *item, const char *state,
                         const struct gh_error *error, struct bytes shown)
{
    struct text members;

    text_init(&members, PROBE_MAX_EVENT);
    text_put(&members, "\"state\":");
    text_put_json(&members, state);
    probe_put_pair(&members, "tenant", item->tenant);
    probe_put_pair(&members, "root", item->root);
    probe_put_pair(&members, "log", item->url);
    probe_put_pair(&members, "cause", gh_cause_label(error->cause));
    probe_put_pair(&members, "message", error->text);
    probe_put_note(&members, "known", bytes_view(&item->memory.head));
    probe_put_note(&members, "shown", shown);
    (void)recorder_event(item->probe->gateway->recorder, "log_alarm", text_cstr(&members));
    text_done(&members);
}

static void probe_store(struct probe_item *item)
{
    struct gh_error error = {0};
    bool is_stored = probe_memory_store(item->probe->storage, item->key, &item->memory, &error);

    if (!is_stored && !item->is_memory_lost) {
        log_write(item->probe->gateway->log, &(struct log_event){.level = LOG_ERROR},
                  "what the transparency log %s showed could not be stored: %s", item->label,
                  error.text);
    }
    item->is_memory_lost = !is_stored;
}

static void probe_log_good(struct probe_item *item, struct probe_log_result *result)
{
    struct probe_memory *memory = &item->memory;
    struct gh_error was = memory->alarm;
    bool is_changed = !bytes_equal(bytes_view(&memory->head), bytes_view(&result->note));

    lock_acquire(&item->probe->lock);
    memory->kind = result->kind;
    memory->seen_unix_s = gateway_now();
    gh_error_clear(&memory->alarm);
    bytes_buf_done(&memory->broken);
    if (is_changed) {
        bytes_buf_done(&memory->head);
        memory->head = result->note;
        result->note = (struct bytes_buf){0};
    }
    lock_release(&item->probe->lock);
    if (was.cause != GH_CAUSE_NONE) {
        probe_record(item, "over", &was, bytes_view(&memory->head));
        log_write(item->probe->gateway->log, &(struct log_event){.level = LOG_WARN},
                  "the transparency log %s of root %s is consistent again with what it showed "
                  "before the alarm",
                  item->label, item->root);
    }
    probe_count(item, "success");
    probe_store(item);
}

static void probe_log_alarm(struct probe_item *item, struct probe_log_result *result)
{
    struct probe_memory *memory = &item->memory;
    bool is_new = memory->alarm.cause != result->error.cause;
    const char *labels[4];

    lock_acquire(&item->probe->lock);
    memory->alarm = result->error;
    memory->alarm_unix_s = is_new ? gateway_now() : memory->alarm_unix_s;
    bytes_buf_done(&memory->broken);
    memory->broken = result->note;
    result->note = (struct bytes_buf){0};
    lock_release(&item->probe->lock);
    probe_count(item, "alarm");
    probe_store(item);
    if (!is_new) {
        return;
    }
    prom_add(item->probe->gateway->prom, PROM_LOG_ALARMS,
             probe_labels(item, labels, gh_cause_label(result->error.cause)), 1);
    probe_record(item, "raised", &result->error, bytes_view(&memory->broken));
    log_write(item->probe->gateway->log,
              &(struct log_event){.level = LOG_ERROR,
                                  .reason = gh_reason_label(gh_cause_reason(result->error.cause)),
                                  .cause = gh_cause_label(result->error.cause)},
              "the transparency log %s of root %s is not what it was: %s", item->label, item->root,
              result->error.text);
}

static void probe_item_rest(struct probe_item *item)
{
    probe_item_show(item->probe, item);
    generation_unref(item->generation);
    item->generation = NULL;
    item->next_ms = upstream_now_ms() + probe_pause_ms(item);
}

static void probe_on_look(void *ctx, struct probe_log_result *result)
{
    struct probe_item *item = ctx;

    item->look = NULL;
    switch (result->outcome) {
    case PROBE_LOG_FAILED:
        probe_failed(item, &result->error);
        break;
    case PROBE_LOG_GOOD:
        probe_answered(item);
        probe_log_good(item, result);
        break;
    case PROBE_LOG_ALARM:
        probe_answered(item);
        probe_log_alarm(item, result);
        break;
    }
    probe_item_rest(item);
}

static void probe_on_repository(void *ctx, struct upstream_result *result)
{
    struct probe_item *item = ctx;

    item->request = NULL;
    if (result->outcome == UPSTREAM_OK) {
        probe_answered(item);
        probe_count(item, "success");
    } else {
        probe_failed(item, &result->error);
    }
    upstream_result_done(result);
    probe_item_rest(item);
}

/* ---- looking ----------------------------------------------------------------------------- */

static const struct config_root *probe_find_root(const struct config *config,
                                                 const struct probe_item *item)
{
    const struct config_tenant *tenant = config_tenant_find(config, item->tenant);

    for (size_t i = 0; tenant != NULL && i < tenant->root_count; i++) {
        if (strcmp(tenant->roots[i].name, item->root) == 0) {
            return &tenant->roots[i];
        }
    }
    return NULL;
}

/* Whether the log is to be watched now: one that has ended shows nothing new. */
static bool probe_is_current(const struct trustroot_log *log)
{
    return log->key != NULL && log->base_url[0] != '\0' &&
           trustroot_log_covers(log, gateway_now() * 1000);
}

/* The registry client's object for the address; only its own host may be private. */
static bool probe_open(struct probe_item *item, struct gh_error *err)
{
    struct upstream_config config = {.name = item->label};
    char *address = config_files_rewrite(&item->generation->config->fetch, item->url);

    if (address == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
    }
    if (strncmp(address, "file://", 7) == 0) {
        free(address);
        return gh_fail(err, GH_POLICY_DENIED,
                       "fetch.rewrite leads to a file, and files are not watched");
    }
    if (item->upstream != NULL && strcmp(item->address, address) == 0) {
        free(address);
        return true;
    }
    upstream_unref(item->upstream);
    item->upstream = NULL;
    free(item->address);
    item->address = address;
    config.url = address;
    return upstream_new(&config, &item->upstream, err);
}

static bool probe_look_at_log(struct probe_item *item, const struct config_root *root,
                              struct gh_error *err)
{
    struct probe_log_ask ask = {.client = item->probe->client, .memory = &item->memory};
    size_t count = 0;
    const struct trustroot_log *logs =
        root->sigstore != NULL ? trustroot_tlogs(root->sigstore, &count) : NULL;

    for (size_t i = 0; i < count && ask.key_count < PROBE_LOG_MAX_KEYS; i++) {
        if (probe_is_current(&logs[i]) && strcmp(logs[i].base_url, item->url) == 0) {
            ask.keys[ask.key_count++] = &logs[i];
        }
    }
    if (ask.key_count == 0) {
        return gh_fail(err, GH_TLOG_LOG_UNKNOWN, "the trust root names it no longer");
    }
    GH_TRY(probe_open(item, err));
    ask.upstream = item->upstream;
    item->look = probe_log_start(&ask, probe_on_look, item);
    return item->look != NULL || gh_fail(err, GH_INTERNAL_ERROR, "no memory for a look");
}

/* What it holds is judged by the refresh; here it only has to answer. */
static bool probe_look_at_repository(struct probe_item *item, struct gh_error *err)
{
    struct upstream_ask ask = {.path = "/timestamp.json",
                               .body_limit = PROBE_MAX_TUF_BYTES,
                               .timeout_ms = PROBE_LOG_TIMEOUT_MS};

    GH_TRY(probe_open(item, err));
    ask.upstream = item->upstream;
    item->request = upstream_fetch(item->probe->client, &ask, probe_on_repository, item);
    return item->request != NULL || gh_fail(err, GH_INTERNAL_ERROR, "no memory for a request");
}

static void probe_look(struct probe_item *item)
{
    struct gh_error error = {0};
    const struct config_root *root;
    bool is_under_way = false;

    item->generation = gateway_generation(item->probe->gateway);
    root = probe_find_root(item->generation->config, item);
    if (root != NULL) {
        is_under_way = item->is_log ? probe_look_at_log(item, root, &error)
                                    : probe_look_at_repository(item, &error);
    }
    if (!is_under_way) {
        if (error.cause != GH_CAUSE_NONE) {
            probe_failed(item, &error);
        }
        probe_item_rest(item);
    }
}

/* ---- the list ---------------------------------------------------------------------------- */

static void probe_recall(struct probe_item *item)
{
    struct gh_error error = {0};

    if (item->is_log &&
        !probe_memory_load(item->probe->storage, item->key, &item->memory, &error)) {
        /* Said aloud: whoever can damage the file can make a fork pass as a first sight. */
        log_write(item->probe->gateway->log, &(struct log_event){.level = LOG_ERROR},
                  "what the transparency log %s showed before is lost, watching begins anew: %s",
                  item->label, error.text);
    }
}

static struct probe_item *probe_item_new(struct probe *probe, char *key, const char *tenant,
                                         const char *root, const char *url)
{
    struct probe_item *item = calloc(1, sizeof(*item));
    const char *scheme = strstr(url, "://");

    if (item == NULL) {
        free(key);
        return NULL;
    }
    item->probe = probe;
    item->key = key;
    item->tenant = strdup(tenant);
    item->root = strdup(root);
    item->url = strdup(url);
    item->label = strdup(scheme != NULL ? scheme + 3 : url);
    if (item->tenant == NULL || item->root == NULL || item->url == NULL || item->label == NULL) {
        probe_item_free(item);
        return NULL;
    }
    return item;
}

/* Without memory for it the next round tries again. True: the list has changed. */
static bool probe_want(struct probe *probe, const struct config_tenant *tenant,
                       const struct config_root *root, const char *url, bool is_log)
{
    struct probe_item *item = probe->items;
    char *key = NULL;

    if (asprintf(&key, "%s\n%s\n%s", tenant->name, root->name, url) < 0) {
        return false;
    }
    while (item != NULL && (strcmp(item->key, key) != 0 || item->is_log != is_log)) {
        item = item->next;
    }
    if (item != NULL) {
        free(key);
        item->is_wanted = true;
        item->every_s = root->probe_s;
        return false;
    }
    item = probe_item_new(probe, key, tenant->name, root->name, url);
    if (item == NULL) {
        return false;
    }
    item->is_log = is_log;
    item->is_wanted = true;
    item->every_s = root->probe_s;
    item->next_ms = upstream_now_ms() +
                    probe_chance(GH_MIN(root->probe_s * 100, PROBE_FIRST_S * INT64_C(1000)));
    probe_recall(item);
    probe_begin_counters(item);
    lock_acquire(&probe->lock);
    item->next = probe->items;
    probe->items = item;
    lock_release(&probe->lock);
    return true;
}

/* A repository on disk is there or not: nothing to watch. */
static bool probe_is_file(const struct config *config, const char *url)
{
    char *address = config_files_rewrite(&config->fetch, url);
    bool is_file = address == NULL || strncmp(address, "file://", 7) == 0;

    free(address);
    return is_file;
}

static bool probe_want_root(struct probe *probe, const struct config *config,
                            const struct config_tenant *tenant, const struct config_root *root)
{
    size_t count = 0;
    const struct trustroot_log *logs =
        root->sigstore != NULL ? trustroot_tlogs(root->sigstore, &count) : NULL;
    bool is_changed = false;

    if (root->url != NULL && !probe_is_file(config, root->url)) {
        is_changed = probe_want(probe, tenant, root, root->url, false);
    }
    for (size_t i = 0; i < count; i++) {
        if (probe_is_current(&logs[i])) {
            is_changed = probe_want(probe, tenant, root, logs[i].base_url, true) || is_changed;
        }
    }
    return is_changed;
}

static bool probe_drop_unwanted(struct probe *probe)
{
    struct probe_item **link = &probe->items;
    bool is_changed = false;

    while (*link != NULL) {
        struct probe_item *item = *link;

        if (item->is_wanted) {
            link = &item->next;
            continue;
        }
        lock_acquire(&probe->lock);
        *link = item->next;
        lock_release(&probe->lock);
        probe_item_free(item);
        is_changed = true;
    }
    return is_changed;
}

/* What the configuration in force asks for. */
static void probe_list(struct probe *probe)
{
    GH_OWN(generation_unrefp) struct generation *generation = gateway_generation(probe->gateway);
    const struct config *config = generation->config;
    bool is_changed = false;

    for (struct probe_item *item = probe->items; item != NULL; item = item->next) {
        item->is_wanted = false;
    }
    for (size_t t = 0; t < config->tenant_count; t++) {
        for (size_t i = 0; i < config->tenants[t].root_count; i++) {
            const struct config_root *root = &config->tenants[t].roots[i];

            if (root->probe_s > 0) {
                is_changed =
                    probe_want_root(probe, config, &config->tenants[t], root) || is_changed;
            }
        }
    }
    is_changed = probe_drop_unwanted(probe) || is_changed;
    if (is_changed) {
        probe_show(probe);
    }
}

static void probe_on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct probe *probe = arg;

    probe_list(probe);
    for (struct probe_item *item = probe->items; item != NULL; item = item->next) {
        if (item->generation == NULL && upstream_now_ms() >= item->next_ms) {
            probe_look(item);
        }
    }
}

/* ---- the thread -------------------------------------------------------------------------- */

static void probe_on_stop(evutil_socket_t fd, short what, void *arg)
{
    (void)event_base_loopbreak(((struct probe *)arg)->base);
}

static void *probe_run(void *arg)
{
    struct probe *probe = arg;

    (void)event_base_loop(probe->base, EVLOOP_NO_EXIT_ON_EMPTY);
    for (struct probe_item *item = probe->items; item != NULL; item = item->next) {
        probe_item_idle(item);
    }
    upstream_client_free(probe->client);
    probe->client = NULL;
    return NULL;
}

static void probe_release(struct probe *probe)
{
    while (probe->items != NULL) {
        struct probe_item *item = probe->items;

        probe->items = item->next;
        probe_item_free(item);
    }
    upstream_client_free(probe->client);
    if (probe->timer != NULL) {
        event_free(probe->timer);
    }
    if (probe->stop != NULL) {
        event_free(probe->stop);
    }
    if (probe->base != NULL) {
        event_base_free(probe->base);
    }
    free(probe->storage);
    lock_done(&probe->lock);
    free(probe);
}

static bool probe_make_loop(struct probe *probe, struct gh_error *err)
{
    const struct timeval tick = {.tv_usec = PROBE_TICK_MS * 1000};
    GH_OWN(generation_unrefp) struct generation *generation = gateway_generation(probe->gateway);

    probe->storage = strdup(generation->config->storage.path);
    probe->base = event_base_new();
    if (probe->storage == NULL || probe->base == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for watching logs");
    }
    GH_TRY(upstream_client_new(probe->base, NULL, &probe->client, err));
    probe->timer = event_new(probe->base, -1, EV_PERSIST, probe_on_tick, probe);
    probe->stop = event_new(probe->base, -1, 0, probe_on_stop, probe);
    return (probe->timer != NULL && probe->stop != NULL && event_add(probe->timer, &tick) == 0) ||
           gh_fail(err, GH_INTERNAL_ERROR, "no memory for watching logs");
}

bool probe_new(struct gateway *gateway, struct probe **out, struct gh_error *err)
{
    struct probe *probe = calloc(1, sizeof(*probe));

    if (probe == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for watching logs");
    }
    probe->gateway = gateway;
    lock_init(&probe->lock, GH_RANK_LIMIT);
    if (!probe_make_loop(probe, err)) {
        probe_release(probe);
        return false;
    }
    if (!thread_start(&probe->thread, probe_run, probe)) {
        probe_release(probe);
        return gh_fail(err, GH_INTERNAL_ERROR, "no thread for watching logs");
    }
    *out = probe;
    return true;
}

void probe_free(struct probe *probe)
{
    if (probe == NULL) {
        return;
    }
    event_active(probe->stop, EV_TIMEOUT, 0);
    (void)pthread_join(probe->thread, NULL);
    probe_release(probe);
}

/* ---- what people should know ------------------------------------------------------------- */

static bool probe_note(const struct probe_item *item, struct text *out)
{
    if (item->memory.alarm.cause != GH_CAUSE_NONE) {
        text_printf(out, "transparency log %s of root %s is not what it was since ", item->label,
                    item->root);
        text_put_time(out, item->memory.alarm_unix_s);
        text_printf(out, ": %s", item->memory.alarm.text);
        return true;
    }
    if (item->failures >= PROBE_SILENT_ROUNDS) {
        text_printf(out, "%s %s of root %s does not answer: %s", probe_what(item), item->label,
                    item->root, item->failure.text);
        return true;
    }
    return false;
}

void probe_notes(struct probe *probe, struct text *out)
{
    if (probe == NULL) {
        return;
    }
    LOCK_HOLD(&probe->lock);
    for (const struct probe_item *item = probe->items; item != NULL; item = item->next) {
        struct text note;

        text_init(&note, 1024);
        if (probe_note(item, &note)) {
            if (out->len > 0 && out->data[out->len - 1] != '[') {
                text_put_char(out, ',');
            }
            text_put_json(out, text_cstr(&note));
        }
        text_done(&note);
    }
}
