#include "proxy/upstream.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proxy/upstream_client.h"

#define UPSTREAM_DEFAULT_CONCURRENCY 64
#define UPSTREAM_DEFAULT_CONNECT_MS 10000
#define UPSTREAM_DEFAULT_FIRST_BYTE_MS 30000
#define UPSTREAM_DEFAULT_STALL_MS 30000
#define UPSTREAM_DEFAULT_RETRY_MS 200
#define UPSTREAM_DEFAULT_BREAKER_FAILURES 5
#define UPSTREAM_DEFAULT_BREAKER_MS 2000

int64_t upstream_now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static bool upstream_copy_list(const char *const *list, size_t count, const char *const **out)
{
    char **copy = calloc(count + 1, sizeof(*copy));

    if (copy == NULL) {
        return false;
    }
    *out = (const char *const *)copy;
    for (size_t i = 0; i < count; i++) {
        copy[i] = strdup(list[i]);
        if (copy[i] == NULL) {
            return false;
        }
    }
    return true;
}

static void upstream_free_list(const char *const *list, size_t count)
{
    for (size_t i = 0; list != NULL && i < count; i++) {
        free((void *)(uintptr_t)list[i]);
    }
    free((void *)(uintptr_t)list);
}

static void upstream_config_done(struct upstream_config *config)
{
    free((void *)(uintptr_t)config->name);
    free((void *)(uintptr_t)config->tenant);
    free((void *)(uintptr_t)config->url);
    free((void *)(uintptr_t)config->username);
    upstream_free_list(config->auth_hosts, config->auth_host_count);
    upstream_free_list(config->redirect_hosts, config->redirect_host_count);
    upstream_free_list(config->named_hosts, config->named_host_count);
    if (config->password.data != NULL) {
        explicit_bzero((void *)(uintptr_t)config->password.data, config->password.len);
        free((void *)(uintptr_t)config->password.data);
    }
    free((void *)(uintptr_t)config->ca_pem.data);
    memset(config, 0, sizeof(*config));
}

static bool upstream_copy_bytes(struct bytes in, struct bytes *out, struct gh_error *err)
{
    struct bytes_buf copy = {0};

    if (in.len == 0) {
        return true;
    }
    GH_TRY(bytes_dup(in, &copy, err));
    *out = bytes_view(&copy); /* the view owns it from here; upstream_config_done() frees */
    return true;
}

static void upstream_config_defaults(struct upstream_config *config)
{
    unsigned *const fields[] = {&config->concurrency,           &config->connect_timeout_ms,
                                &config->first_byte_timeout_ms, &config->stall_timeout_ms,
                                &config->retry_base_ms,         &config->breaker_failures,
                                &config->breaker_hold_ms};
    static const unsigned defaults[] = {
        UPSTREAM_DEFAULT_CONCURRENCY,   UPSTREAM_DEFAULT_CONNECT_MS,
        UPSTREAM_DEFAULT_FIRST_BYTE_MS, UPSTREAM_DEFAULT_STALL_MS,
        UPSTREAM_DEFAULT_RETRY_MS,      UPSTREAM_DEFAULT_BREAKER_FAILURES,
        UPSTREAM_DEFAULT_BREAKER_MS};

    for (size_t i = 0; i < GH_COUNT(fields); i++) {
        if (*fields[i] == 0) {
            *fields[i] = defaults[i];
        }
    }
}

/* The pointers in OUT are freed by upstream_config_done(), also after a failure. */
static bool upstream_config_copy(const struct upstream_config *in, struct upstream_config *out,
                                 struct gh_error *err)
{
    *out = *in;
    out->name = strdup(in->name);
    out->tenant = strdup(in->tenant != NULL ? in->tenant : "");
    out->url = strdup(in->url);
    out->username = in->username != NULL ? strdup(in->username) : NULL;
    out->auth_hosts = NULL;
    out->redirect_hosts = NULL;
    out->named_hosts = NULL;
    out->password = (struct bytes){0};
    out->ca_pem = (struct bytes){0};
    if (out->name == NULL || out->tenant == NULL || out->url == NULL ||
        (in->username != NULL && out->username == NULL) ||
        !upstream_copy_list(in->auth_hosts, in->auth_host_count, &out->auth_hosts) ||
        !upstream_copy_list(in->redirect_hosts, in->redirect_host_count, &out->redirect_hosts) ||
        !upstream_copy_list(in->named_hosts, in->named_host_count, &out->named_hosts)) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for an upstream's configuration");
    }
    GH_TRY(upstream_copy_bytes(in->password, &out->password, err));
    GH_TRY(upstream_copy_bytes(in->ca_pem, &out->ca_pem, err));
    upstream_config_defaults(out);
    return true;
}

static void upstream_free(struct upstream *upstream)
{
    upstream_config_done(&upstream->config);
    upstream_auth_done(&upstream->auth);
    upstream_auth_wipe(upstream->basic);
    free(upstream->base);
    lock_done(&upstream->lock);
    free(upstream);
}
GH_DEFINE_FREEP(upstream, struct upstream)

bool upstream_new(const struct upstream_config *config, struct upstream **out, struct gh_error *err)
{
    GH_OWN(upstream_freep) struct upstream *upstream = calloc(1, sizeof(*upstream));
    size_t len;

    if (upstream == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for an upstream");
    }
    lock_init(&upstream->lock, GH_RANK_UPSTREAM);
    atomic_init(&upstream->references, 1);
    GH_TRY(upstream_config_copy(config, &upstream->config, err));
    GH_TRY(upstream_redirect_origin(config->url, &upstream->origin, err));
    upstream->base = strdup(config->url);
    if (upstream->base == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for an upstream");
    }
    for (len = strlen(upstream->base); len > 0 && upstream->base[len - 1] == '/'; len--) {
        upstream->base[len - 1] = '\0';
    }
    if (config->username != NULL) {
        upstream->basic = upstream_auth_basic(config->username, config->password);
        if (upstream->basic == NULL) {
            return gh_fail(err, GH_INTERNAL_ERROR, "no memory for an upstream");
        }
    }
    upstream_limit_init(&upstream->limit, upstream->config.concurrency,
                        upstream->config.requests_per_second,
                        /* One dead host says nothing of the rest of the world. */
                        config->is_any_host ? UINT_MAX : upstream->config.breaker_failures,
                        upstream->config.breaker_hold_ms);
    *out = GH_TAKE(upstream);
    return true;
}

struct upstream *upstream_ref(struct upstream *upstream)
{
    atomic_fetch_add_explicit(&upstream->references, 1, memory_order_relaxed);
    return upstream;
}

void upstream_unref(struct upstream *upstream)
{
    if (upstream != NULL &&
        atomic_fetch_sub_explicit(&upstream->references, 1, memory_order_acq_rel) == 1) {
        upstream_free(upstream);
    }
}

void upstream_answer_with(struct upstream *upstream, upstream_answer_fn answer, void *ctx)
{
    upstream->answer = answer;
    upstream->answer_ctx = ctx;
}

const char *upstream_name(const struct upstream *upstream)
{
    return upstream->config.name;
}

const struct upstream_config *upstream_settings(const struct upstream *upstream)
{
    return &upstream->config;
}

bool upstream_is_available(struct upstream *upstream)
{
    bool is_open;

    lock_acquire(&upstream->lock);
    is_open = upstream_limit_is_open(&upstream->limit, upstream_now_ms());
    lock_release(&upstream->lock);
    return !is_open;
}

void upstream_wake_waiting(struct upstream *upstream)
{
    for (size_t i = 0; upstream->waiting > 0 && i < upstream->watcher_count; i++) {
        upstream_client_wake(upstream->watchers[i].client);
    }
}

bool upstream_watch(struct upstream *upstream, struct upstream_client *client)
{
    size_t i = 0;

    lock_acquire(&upstream->lock);
    while (i < upstream->watcher_count && upstream->watchers[i].client != client) {
        i++;
    }
    if (i == UPSTREAM_MAX_WATCHERS) {
        lock_release(&upstream->lock);
        return false;
    }
    if (i == upstream->watcher_count) {
        upstream->watchers[i] = (struct upstream_watcher){.client = client};
        upstream->watcher_count++;
    }
    upstream->watchers[i].requests++;
    lock_release(&upstream->lock);
    return true;
}

void upstream_unwatch(struct upstream *upstream, struct upstream_client *client)
{
    lock_acquire(&upstream->lock);
    for (size_t i = 0; i < upstream->watcher_count; i++) {
        if (upstream->watchers[i].client == client && --upstream->watchers[i].requests == 0) {
            upstream->watchers[i] = upstream->watchers[--upstream->watcher_count];
            break;
        }
    }
    lock_release(&upstream->lock);
}

void upstream_result_done(struct upstream_result *result)
{
    for (size_t i = 0; i < UPSTREAM_HEADER_COUNT; i++) {
        free(result->head.headers[i]);
    }
    bytes_buf_done(&result->body);
    memset(result, 0, sizeof(*result));
}

const char *upstream_head_get(const struct upstream_head *head, enum upstream_header header)
{
    return head->headers[header];
}
