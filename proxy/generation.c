#include "proxy/generation.h"

#include <stdlib.h>
#include <string.h>

#include "metrics/error.h"
#include "proxy/allowance.h"
#include "proxy/config_files.h"
#include "proxy/htpasswd.h"
#include "proxy/token.h"
#include "proxy/upstream.h"

#define GENERATION_MAX_CA_BYTES (4u * 1024 * 1024)
#define GENERATION_MAX_USERS_BYTES (4u * 1024 * 1024)

struct generation *generation_ref(struct generation *generation)
{
    (void)__atomic_add_fetch(&generation->references, 1, __ATOMIC_RELAXED);
    return generation;
}

static void generation_free(struct generation *generation)
{
    for (size_t t = 0; t < generation->tenant_count; t++) {
        struct generation_tenant *tenant = &generation->tenants[t];

        for (size_t i = 0; tenant->upstreams != NULL && i < tenant->config->upstreams.count; i++) {
            upstream_unref(tenant->upstreams[i]);
        }
        free(tenant->upstreams);
        htpasswd_free(tenant->htpasswd);
        allowance_unref(tenant->allowance);
    }
    free(generation->tenants);
    upstream_unref(generation->outside);
    config_unref(generation->config);
    free(generation);
}

void generation_unref(struct generation *generation)
{
    if (generation != NULL &&
        __atomic_sub_fetch(&generation->references, 1, __ATOMIC_ACQ_REL) == 0) {
        generation_free(generation);
    }
}

/* Append the host[:port] of a URL; others are skipped. */
static bool generation_add_host(struct config_strings *out, const char *url, struct gh_error *err)
{
    const char *host = strstr(url, "://");
    const char **grown;

    if (host == NULL || strncmp(url, "file:", 5) == 0) {
        return true;
    }
    host += 3;
    grown = realloc(out->items, (out->count + 1) * sizeof(*grown));
    if (grown == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for hosts");
    }
    out->items = grown;
    grown[out->count] = strndup(host, strcspn(host, "/"));
    if (grown[out->count] == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for hosts");
    }
    out->count++;
    return true;
}

/* Every host that a URL of the configuration names may have a private address. */
static bool generation_named_hosts(const struct config_tenant *tenant, struct config_strings *out,
                                   struct gh_error *err)
{
    for (size_t i = 0; i < tenant->upstreams.count; i++) {
        GH_TRY(generation_add_host(out, tenant->upstreams.items[i].url, err));
    }
    return true;
}

static void generation_hosts_done(struct config_strings *hosts)
{
    for (size_t i = 0; i < hosts->count; i++) {
        free((char *)hosts->items[i]);
    }
    free(hosts->items);
}

static enum upstream_referrers generation_referrers(int mode)
{
    switch (mode) {
    case CONFIG_REFERRERS_API:
        return UPSTREAM_REFERRERS_API;
    case CONFIG_REFERRERS_TAG:
        return UPSTREAM_REFERRERS_TAG;
    case CONFIG_REFERRERS_BOTH:
        return UPSTREAM_REFERRERS_BOTH;
    default:
        return UPSTREAM_REFERRERS_AUTO;
    }
}

static bool generation_make_upstream(const struct config_tenant *tenant,
                                     const struct config_upstream *config,
                                     const struct config_strings *named, const char *user,
                                     const char *password, struct upstream **out,
                                     struct gh_error *err)
{
    GH_OWN(bytes_buf_done) struct bytes_buf ca = {0};
    unsigned mode;
    struct upstream_config made = {
        .name = config->at.name,
        .tenant = tenant->name,
        .url = config->url,
        .auth_hosts = config->auth_hosts.items,
        .auth_host_count = config->auth_hosts.count,
        .redirect_hosts = config->redirect_hosts.items,
        .redirect_host_count = config->redirect_hosts.count,
        .named_hosts = named->items,
        .named_host_count = named->count,
        .concurrency = (unsigned)config->concurrency,
        .requests_per_second = (unsigned)config->requests_per_second,
        .referrers = generation_referrers(config->referrers),
    };

    if (user != NULL) {
        made.username = user;
        made.password = bytes_of(password);
    }
    if (config->ca != NULL) {
        GH_TRY(config_files_read(config->ca, GENERATION_MAX_CA_BYTES, &ca, &mode, err));
        made.ca_pem = bytes_view(&ca);
    }
    return upstream_new(&made, out, err);
}

static bool generation_strings_equal(const struct config_strings *a, const struct config_strings *b)
{
    if (a->count != b->count) {
        return false;
    }
    for (size_t i = 0; i < a->count; i++) {
        if (strcmp(a->items[i], b->items[i]) != 0) {
            return false;
        }
    }
    return true;
}

static bool generation_text_equal(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/* A certificate file may have changed behind its name, so an upstream with one is made anew. */
static bool generation_upstream_is_same(const struct config_upstream *a,
                                        const struct config_upstream *b)
{
    const struct config_credentials *x = a->credentials;
    const struct config_credentials *y = b->credentials;

    return strcmp(a->at.name, b->at.name) == 0 && strcmp(a->url, b->url) == 0 &&
           generation_strings_equal(&a->auth_hosts, &b->auth_hosts) &&
           generation_strings_equal(&a->redirect_hosts, &b->redirect_hosts) && a->ca == NULL &&
           b->ca == NULL && a->concurrency == b->concurrency &&
           a->requests_per_second == b->requests_per_second && a->referrers == b->referrers &&
           (x == NULL) == (y == NULL) &&
           (x == NULL || (generation_text_equal(x->username, y->username) &&
                          generation_text_equal(x->password, y->password)));
}

/* Which hosts may have a private address follows from all URLs of a tenant. */
static bool generation_names_same_hosts(const struct config_tenant *a,
                                        const struct config_tenant *b)
{
    if (a->upstreams.count != b->upstreams.count) {
        return false;
    }
    for (size_t i = 0; i < a->upstreams.count; i++) {
        if (strcmp(a->upstreams.items[i].url, b->upstreams.items[i].url) != 0) {
            return false;
        }
    }
    return true;
}

static struct upstream *generation_keep(const struct generation *previous,
                                        const struct config_tenant *tenant,
                                        const struct config_upstream *wanted)
{
    for (size_t t = 0; previous != NULL && t < previous->tenant_count; t++) {
        const struct generation_tenant *old = &previous->tenants[t];

        if (strcmp(old->config->name, tenant->name) != 0 ||
            !generation_names_same_hosts(old->config, tenant)) {
            continue;
        }
        for (size_t i = 0; i < old->config->upstreams.count; i++) {
            if (generation_upstream_is_same(&old->config->upstreams.items[i], wanted)) {
                return upstream_ref(old->upstreams[i]);
            }
        }
    }
    return NULL;
}

/* What a tenant has used is not forgotten by a reload. */
static struct allowance *generation_allowance(const struct generation *previous,
                                              const struct config_tenant *tenant)
{
    for (size_t t = 0; previous != NULL && t < previous->tenant_count; t++) {
        if (strcmp(previous->tenants[t].config->name, tenant->name) == 0) {
            return allowance_ref(previous->tenants[t].allowance);
        }
    }
    return allowance_new();
}

static bool generation_fill_tenant(struct generation_tenant *tenant,
                                   const struct generation *previous, struct gh_error *err)
{
    const struct config_upstreams *list = &tenant->config->upstreams;
    GH_OWN(generation_hosts_done) struct config_strings named = {0};

    tenant->upstreams = calloc(list->count + 1, sizeof(*tenant->upstreams));
    tenant->allowance = generation_allowance(previous, tenant->config);
    if (tenant->upstreams == NULL || tenant->allowance == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for upstreams");
    }
    GH_TRY(generation_named_hosts(tenant->config, &named, err));
    for (size_t i = 0; i < list->count; i++) {
        const struct config_credentials *own = list->items[i].credentials;

        tenant->upstreams[i] = generation_keep(previous, tenant->config, &list->items[i]);
        if (tenant->upstreams[i] == NULL &&
            !generation_make_upstream(
                tenant->config, &list->items[i], &named, own != NULL ? own->username : NULL,
                own != NULL ? own->password : NULL, &tenant->upstreams[i], err)) {
            gh_error_at(err, "upstream %s", list->items[i].at.name);
            return false;
        }
    }
    if (tenant->config->clients.token != NULL && tenant->config->clients.token->secret != NULL) {
        tenant->has_token_key = true;
        if (!token_key(bytes_of(tenant->config->clients.token->secret), tenant->token_key)) {
            return gh_fail(err, GH_INTERNAL_ERROR, "no key for tokens");
        }
    }
    if (tenant->config->clients.htpasswd != NULL) {
        GH_OWN(bytes_buf_done) struct bytes_buf text = {0};
        unsigned mode;

        GH_TRY(config_files_read(tenant->config->clients.htpasswd, GENERATION_MAX_USERS_BYTES,
                                 &text, &mode, err));
        if (!htpasswd_parse(bytes_view(&text), &tenant->htpasswd, err)) {
            gh_error_at(err, "%s", tenant->config->clients.htpasswd);
            return false;
        }
    }
    return true;
}

/* What lies beyond the registries; only what `fetch.rewrite` names may be private there. */
static bool generation_make_outside(struct generation *generation, struct gh_error *err)
{
    const struct config_pairs *rewrite = &generation->config->fetch.rewrite;
    GH_OWN(generation_hosts_done) struct config_strings named = {0};
    struct upstream_config outside = {
        .name = "outside", .url = "https://outside.invalid", .is_any_host = true};

    for (size_t i = 0; i < rewrite->count; i++) {
        GH_TRY(generation_add_host(&named, rewrite->items[i].value, err));
    }
    outside.named_hosts = named.items;
    outside.named_host_count = named.count;
    return upstream_new(&outside, &generation->outside, err);
}

bool generation_new(struct config *config, uint64_t number, const struct generation *previous,
                    struct generation **out, struct gh_error *err)
{
    GH_OWN(generation_unrefp) struct generation *generation = calloc(1, sizeof(*generation));

    if (generation == NULL) {
        config_unref(config);
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for a configuration");
    }
    generation->references = 1;
    generation->number = number;
    generation->config = config;
    generation->tenants = calloc(config->tenant_count, sizeof(*generation->tenants));
    if (generation->tenants == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for tenants");
    }
    for (size_t t = 0; t < config->tenant_count; t++) {
        generation->tenants[t].config = &config->tenants[t];
        generation->tenant_count = t + 1;
        GH_TRY(generation_fill_tenant(&generation->tenants[t], previous, err));
    }
    GH_TRY(generation_make_outside(generation, err));
    *out = GH_TAKE(generation);
    return true;
}

struct upstream *generation_upstream(const struct generation *generation, size_t tenant,
                                     const char *name)
{
    const struct generation_tenant *owner = &generation->tenants[tenant];

    for (size_t i = 0; i < owner->config->upstreams.count; i++) {
        if (strcmp(owner->config->upstreams.items[i].at.name, name) == 0) {
            return owner->upstreams[i];
        }
    }
    return NULL;
}

bool generation_upstream_as(const struct generation *generation, size_t tenant, const char *name,
                            const char *user, const char *password, struct upstream **out,
                            struct gh_error *err)
{
    const struct config_tenant *config = &generation->config->tenants[tenant];
    const struct config_upstream *upstream = config_tenant_upstream(config, name);
    GH_OWN(generation_hosts_done) struct config_strings named = {0};

    if (upstream == NULL) {
        return gh_fail(err, GH_NAME_UNKNOWN, "'%s' is not one of the configured upstreams", name);
    }
    GH_TRY(generation_named_hosts(config, &named, err));
    return generation_make_upstream(config, upstream, &named, user, password, out, err);
}
