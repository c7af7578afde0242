#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/manifest.h"
#include "crypto/sjson.h"
#include "metrics/text.h"
#include "proxy/referrers.h"
#include "proxy/request_state.h"
#include "proxy/respond.h"
#include "proxy/upstream.h"
#include "proxy/worker.h"

#define REQUEST_MAX_LIST_BYTES (4u * 1024 * 1024)
#define REQUEST_MAX_LIST_ITEMS 100000
#define REQUEST_MAX_PATH 2048

/* What an upstream's refusal means for a client that lists. */
static void request_list_failed(struct request *r, enum upstream_outcome outcome,
                                const struct gh_error *error, unsigned retry_after_s)
{
    struct gh_error own = {0};

    switch (outcome) {
    case UPSTREAM_ABSENT:
        (void)gh_fail(&own, GH_NAME_UNKNOWN, "the registry does not have %s", r->target.ref.name);
        request_fail(r, 404, "NAME_UNKNOWN", &own, 0);
        return;
    case UPSTREAM_DENIED:
        (void)gh_fail(&own, GH_CLIENT_NOT_PERMITTED,
                      "the registry refused the gateway's credentials for %s", r->target.ref.name);
        request_fail(r, 403, "DENIED", &own, 0);
        return;
    case UPSTREAM_THROTTLED:
        request_fail(r, 429, "TOOMANYREQUESTS", error, retry_after_s > 0 ? retry_after_s : 15);
        return;
    case UPSTREAM_OK:
    case UPSTREAM_UNAVAILABLE:
    case UPSTREAM_REJECTED:
    case UPSTREAM_REFUSED:
    case UPSTREAM_TOO_LARGE:
    case UPSTREAM_FAILED:
        request_fail(r, 503, "UNAVAILABLE", error, retry_after_s > 0 ? retry_after_s : 15);
        return;
    }
}

static void request_put_escaped(struct text *out, const char *value)
{
    for (; *value != '\0'; value++) {
        unsigned char c = (unsigned char)*value;
        bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                        (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.' || c == '~';

        if (is_plain) {
            text_put_char(out, (char)c);
        } else {
            text_printf(out, "%%%02X", c);
        }
    }
}

/* The upstream's next page, as a link below our own path: where it continues is all that is taken
 * from it, so that no client is sent elsewhere. */
static void request_put_link(struct request *r, const char *link, const char *path)
{
    const char *query = link != NULL ? strchr(link, '?') : NULL;
    const char *last = query != NULL ? strstr(query, "last=") : NULL;
    struct text out;

    if (last == NULL || (last != query + 1 && last[-1] != '&')) {
        return;
    }
    last += strlen("last=");
    text_init(&out, REQUEST_MAX_PATH);
    text_printf(&out, "<%s?", path);
    if (r->route.ns[0] != '\0') {
        text_put(&out, "ns=");
        request_put_escaped(&out, r->route.ns);
        text_put(&out, "&");
    }
    if (r->route.has_limit) {
        text_printf(&out, "n=%u&", r->route.limit);
    }
    text_printf(&out, "last=%.*s>; rel=\"next\"", (int)strcspn(last, "&>; \t\""), last);
    if (text_ok(&out)) {
        exchange_header(r->x, "Link", text_cstr(&out));
    }
    text_done(&out);
}

/* Only an array of strings under KEY is passed on, and the name the client used. */
static bool request_rewrite_list(const struct request *r, struct bytes body, const char *key,
                                 struct text *out, struct gh_error *err)
{
    GH_OWN(sjson_freep) json_t *doc = NULL;
    json_t *list = NULL;
    size_t index;
    json_t *item;

    GH_TRY(sjson_parse_object(body, REQUEST_MAX_LIST_BYTES, &doc, err));
    /* Go registries write an empty list as null. */
    GH_TRY(json_is_null(json_object_get(doc, key)) || sjson_opt_array(doc, key, &list, err));
    if (json_array_size(list) > REQUEST_MAX_LIST_ITEMS) {
        return gh_fail(err, GH_COUNT_LIMIT_EXCEEDED, "the registry lists too much");
    }
    text_put(out, "{");
    if (r->route.kind == ROUTE_TAGS) {
        text_put_key(out, "name");
        text_put_json(out, r->asked);
    }
    text_put_key(out, key);
    text_put(out, "[");
    json_array_foreach (list, index, item) {
        if (r->route.has_limit && r->route.limit == 0) {
            break; /* the specification wants none then, and registries differ */
        }
        if (!json_is_string(item)) {
            return gh_fail(err, GH_MALFORMED_JSON, "the registry lists something that is no text");
        }
        text_put(out, index > 0 ? "," : "");
        text_put_json(out, json_string_value(item));
    }
    text_put(out, "]}");
    return text_ok(out) || gh_fail(err, GH_SIZE_LIMIT_EXCEEDED, "the list is too long");
}

static void request_send_list(struct request *r, struct upstream_result *result)
{
    const char *key = r->route.kind == ROUTE_TAGS ? "tags" : "repositories";
    char path[ROUTE_MAX_NAME + 32] = "/v2/_catalog";
    struct gh_error error = {0};
    struct text out;

    if (r->route.kind == ROUTE_TAGS) {
        (void)snprintf(path, sizeof(path), "/v2/%s/tags/list", r->asked);
    }
    text_init(&out, 2 * REQUEST_MAX_LIST_BYTES);
    if (!request_rewrite_list(r, bytes_view(&result->body), key, &out, &error)) {
        request_fail(r, 502, "UNKNOWN", &error, 0);
    } else {
        request_common(r);
        if (!r->route.has_limit || r->route.limit > 0) {
            request_put_link(r, upstream_head_get(&result->head, UPSTREAM_LINK), path);
        }
        exchange_answer(r->x, 200, "application/json", out.data, out.len);
    }
    text_done(&out);
}

static void request_on_list(void *ctx, struct upstream_result *result)
{
    struct request *r = ctx;

    r->fetch = NULL;
    if (result->outcome == UPSTREAM_OK) {
        request_send_list(r, result);
    } else if (result->outcome == UPSTREAM_REJECTED && result->head.status == 400) {
        /* The registry does not like `n` or `last`: that is the client's to mend, not a failure. */
        request_refuse(r, 400, "PAGINATION_NUMBER_INVALID", GH_PAGINATION_INVALID,
                       "the registry refuses these paging parameters");
    } else {
        request_list_failed(r, result->outcome, &result->error, result->retry_after_s);
    }
    upstream_result_done(result);
}

static void request_fetch_list(struct request *r, const char *base, const char *repository,
                               const char *scope)
{
    struct upstream_ask ask = {
        .upstream = r->target.upstream,
        .repository = repository,
        .scope = scope,
        .body_limit = REQUEST_MAX_LIST_BYTES,
    };
    struct text path;

    text_init(&path, REQUEST_MAX_PATH);
    text_put(&path, base);
    if (r->route.has_limit) {
        text_printf(&path, "?n=%u", r->route.limit);
    }
    if (r->route.last[0] != '\0') {
        text_put(&path, r->route.has_limit ? "&last=" : "?last=");
        request_put_escaped(&path, r->route.last);
    }
    ask.path = text_cstr(&path);
    r->fetch = text_ok(&path) ? upstream_fetch(worker_member(r->worker, WORKER_SLOT_UPSTREAM), &ask,
                                               request_on_list, r)
                              : NULL;
    text_done(&path);
    if (r->fetch == NULL) {
        request_out_of_memory(r);
    }
}

void request_tags(struct request *r)
{
    char base[ROUTE_MAX_NAME + 64];

    (void)snprintf(base, sizeof(base), "/v2/%s/tags/list", r->target.ref.repository);
    request_fetch_list(r, base, r->target.ref.repository, NULL);
}

/* Of the upstream named by `ns=`, else of the default one. */
void request_catalog(struct request *r)
{
    const struct config_tenant *tenant = &r->generation->config->tenants[r->tenant];
    const char *name =
        r->route.ns[0] != '\0' ? image_upstream_alias(r->route.ns) : tenant->default_upstream;
    struct upstream *upstream =
        name != NULL ? generation_upstream(r->generation, r->tenant, name) : NULL;

    if (upstream == NULL) {
        request_refuse(r, 404, "NAME_UNKNOWN", GH_NAME_UNKNOWN,
                       "say which upstream's catalog is meant: ?ns=UPSTREAM");
        return;
    }
    r->target.upstream = upstream;
    r->target.tenant_name = tenant->name;
    (void)snprintf(r->target.ref.name, sizeof(r->target.ref.name), "%s", name);
    request_fetch_list(r, "/v2/_catalog", NULL, "registry:catalog:*");
}

static void request_on_referrers(void *ctx, struct referrers_list *list)
{
    struct request *r = ctx;
    uint8_t *data;
    size_t len;

    r->search = NULL;
    if (list->outcome != UPSTREAM_OK) {
        request_list_failed(r, list->outcome, &list->error, 0);
        return;
    }
    request_common(r);
    if (r->route.artifact_type[0] != '\0') {
        exchange_header(r->x, "OCI-Filters-Applied", "artifactType");
    }
    exchange_header(r->x, "Content-Type", MANIFEST_OCI_INDEX);
    len = list->body.len;
    data = GH_TAKE(list->body.data);
    list->body.len = 0;
    exchange_begin(r->x, 200, (int64_t)len);
    (void)exchange_put(r->x, data, len, free, data);
    exchange_end(r->x);
}

void request_referrers(struct request *r)
{
    const struct referrers_place place = {.upstream = r->target.upstream,
                                          .repository = r->target.ref.repository};

    r->search = referrers_list(
        worker_member(r->worker, WORKER_SLOT_UPSTREAM), &place, &r->route.digest,
        r->route.artifact_type[0] != '\0' ? r->route.artifact_type : NULL, request_on_referrers, r);
    if (r->search == NULL) {
        request_out_of_memory(r);
    }
}
