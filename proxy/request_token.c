/*
 * The token endpoint, in the registry token format: GET with Basic authentication, and POST with a
 * form as OAuth 2 clients send it. Credentials are never logged.
 *
 * Spec: distribution "Token Authentication", "OAuth2 Token Authentication" (grant_type=password)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metrics/text.h"
#include "proxy/request_access.h"
#include "proxy/request_state.h"
#include "proxy/respond.h"
#include "proxy/session.h"
#include "proxy/target.h"
#include "proxy/token.h"

#define TOKEN_ASK_MAX_FORM 16384
#define TOKEN_ASK_MAX_VALUE 8192

struct token_ask {
    struct text form; /* POST */
    struct token token;
    char service[TOKEN_MAX_TENANT + 1 + ROUTE_MAX_NAME + 1];
    char grant[32];
    char user[HTPASSWD_MAX_USER + 1];
    char password[HTPASSWD_MAX_PASSWORD + 1];
    bool is_post;
    bool has_password;
    bool is_ended;
};

static void token_refuse(struct request *r, const char *text)
{
    request_refuse(r, 400, "UNSUPPORTED", GH_CLIENT_UNAUTHENTICATED, text);
}

/* Read the query or the form. */
static bool token_ask_read(struct token_ask *ask, struct bytes form)
{
    char name[64];
    char *value = malloc(TOKEN_ASK_MAX_VALUE);
    bool is_good = value != NULL;
    bool is_bad;

    while (is_good &&
           token_form_next(&form, name, sizeof(name), value, TOKEN_ASK_MAX_VALUE, &is_bad)) {
        const struct {
            const char *name;
            char *out;
            size_t size;
        } fields[] = {{"service", ask->service, sizeof(ask->service)},
                      {"grant_type", ask->grant, sizeof(ask->grant)},
                      {"username", ask->is_post ? ask->user : NULL, sizeof(ask->user)},
                      {"password", ask->is_post ? ask->password : NULL, sizeof(ask->password)}};

        is_good = !is_bad && (strcmp(name, "scope") != 0 || token_add_scope(&ask->token, value));
        for (size_t i = 0; is_good && i < GH_COUNT(fields); i++) {
            if (strcmp(fields[i].name, name) == 0 && fields[i].out != NULL) {
                is_good = strlen(value) < fields[i].size;
                (void)snprintf(fields[i].out, fields[i].size, "%s", is_good ? value : "");
            }
        }
    }
    if (value != NULL) {
        explicit_bzero(value, TOKEN_ASK_MAX_VALUE);
    }
    free(value);
    return is_good;
}

/* The tenant that the service names, where the host leaves it open: "tenant" or "tenant/ns". */
static bool token_find_tenant(struct request *r)
{
    struct token_ask *ask = r->token_ask;
    const struct config *config = r->generation->config;
    const struct config_tenant *tenant;
    char name[sizeof(ask->service)];

    if (ask->service[0] == '\0') {
        return true;
    }
    (void)snprintf(name, sizeof(name), "%.*s", (int)strcspn(ask->service, "/"), ask->service);
    tenant = config_tenant_find(config, name);
    if (tenant == NULL) {
        return true; /* another way of naming us: the host decides */
    }
    if (tenant != &config->tenants[r->tenant] && (r->tenant != 0 || tenant->prefix == NULL)) {
        token_refuse(r, "the service names another tenant than the host");
        return false;
    }
    r->tenant = (size_t)(tenant - config->tenants);
    return true;
}

/* The one upstream that the names mean, by the service's ns or as the names say. */
static bool token_find_upstream(struct request *r, struct gh_error *err)
{
    struct token_ask *ask = r->token_ask;
    const char *ns = strchr(ask->service, '/');
    const char *prefix = r->generation->config->tenants[r->tenant].prefix;
    size_t len = prefix != NULL ? strlen(prefix) : 0;

    for (size_t i = 0; i < ask->token.name_count; i++) {
        const char *name = ask->token.names[i];
        struct route route = {.kind = ROUTE_TAGS};
        struct target target;

        if (len > 0 && strncmp(name, prefix, len) == 0 && name[len] == '/') {
            name += len + 1;
        }
        (void)snprintf(route.name, sizeof(route.name), "%s", name);
        (void)snprintf(route.ns, sizeof(route.ns), "%s", ns != NULL ? ns + 1 : "");
        GH_TRY(target_of_route(r->generation, r->tenant, &route, &target, err));
        if (i > 0 && strcmp(ask->token.upstream, target.ref.upstream) != 0) {
            return gh_fail(err, GH_NAME_UNKNOWN, "one token is for one upstream");
        }
        (void)snprintf(ask->token.upstream, sizeof(ask->token.upstream), "%s", target.ref.upstream);
    }
    return true;
}

/* The client's own credentials: kept in memory, tried when something is asked for. */
static bool token_pass_through(struct request *r)
{
    struct token_ask *ask = r->token_ask;
    struct gh_error error = {0};
    struct session_credential credential = {.tenant = ask->token.tenant,
                                            .upstream = ask->token.upstream,
                                            .user = ask->user,
                                            .password = ask->password};

    if (!token_find_upstream(r, &error)) {
        request_fail(r, 404, "NAME_UNKNOWN", &error, 0);
        return false;
    }
    if (!session_open(r->gateway->sessions, &credential, gateway_now(), ask->token.session,
                      &error)) {
        request_fail(r, 503, "UNAVAILABLE", &error, 15);
        return false;
    }
    return true;
}

void request_token_issue(struct request *r)
{
    struct token_ask *ask = r->token_ask;
    const struct config_tenant *tenant = &r->generation->config->tenants[r->tenant];
    int64_t now = gateway_now();
    int64_t ttl_s =
        tenant->clients.token != NULL ? tenant->clients.token->ttl_s : SESSION_REMEMBER_S;
    struct text token;
    struct text body;

    (void)snprintf(ask->token.tenant, sizeof(ask->token.tenant), "%s", tenant->name);
    (void)snprintf(ask->token.principal, sizeof(ask->token.principal), "%s", r->principal);
    ask->token.expires_unix_s = now + ttl_s;
    if (tenant->clients.is_passthrough && !token_pass_through(r)) {
        return;
    }
    text_init(&token, TOKEN_MAX_BYTES);
    text_init(&body, 3 * TOKEN_MAX_BYTES);
    if (token_write(request_token_key(r), &ask->token, &token)) {
        text_put(&body, "{\"token\":");
        text_put_json(&body, text_cstr(&token));
        text_put_key(&body, "access_token");
        text_put_json(&body, text_cstr(&token));
        text_printf(&body, ",\"expires_in\":%lld,\"issued_at\":\"", (long long)ttl_s);
        text_put_time(&body, now);
        text_put(&body, "\"}");
        exchange_header(r->x, "Cache-Control", "no-store");
        exchange_answer(r->x, 200, "application/json", text_cstr(&body), body.len);
    } else {
        token_refuse(r, "the scope is too long");
    }
    text_done(&token);
    text_done(&body);
}

/* Whose token: by certificate, by the form, or by Basic authentication. */
static void token_answer(struct request *r)
{
    struct token_ask *ask = r->token_ask;
    const struct config_clients *clients = &r->generation->config->tenants[r->tenant].clients;
    struct bytes value;

    if (clients->token == NULL && !clients->is_passthrough) {
        request_refuse(r, 404, "UNSUPPORTED", GH_NAME_UNKNOWN, "there is no such endpoint");
        return;
    }
    if (clients->is_mtls && !clients->is_passthrough && request_certificate(r)) {
        request_token_issue(r);
        return;
    }
    if (!ask->is_post) {
        ask->has_password = http1_head_find(exchange_head(r->x), "authorization", &value) &&
                            htpasswd_read_basic(value, ask->user, ask->password);
    } else if (strcmp(ask->grant, "password") == 0) {
        ask->has_password = true;
    } else {
        token_refuse(r, "expected grant_type=password");
        return;
    }
    if (!ask->has_password || ask->user[0] == '\0' ||
        (!clients->is_passthrough && r->generation->tenants[r->tenant].htpasswd == NULL)) {
        request_challenge(r, NULL);
        return;
    }
    if (clients->is_passthrough) {
        (void)snprintf(r->principal, sizeof(r->principal), "%s", ask->user);
        request_token_issue(r);
    } else if (request_password(r, ask->user, ask->password)) {
        request_token_issue(r);
    }
}

static void token_go(struct request *r, struct bytes form)
{
    struct token_ask *ask = r->token_ask;

    if (!token_ask_read(ask, form)) {
        token_refuse(r, "a parameter of the token request is not valid");
        return;
    }
    if (token_find_tenant(r)) {
        token_answer(r);
    }
}

void request_token(struct request *r)
{
    const struct http1_head *head = exchange_head(r->x);

    r->is_token = true;
    r->token_ask = calloc(1, sizeof(*r->token_ask));
    if (r->token_ask == NULL) {
        request_out_of_memory(r);
        return;
    }
    text_init(&r->token_ask->form, TOKEN_ASK_MAX_FORM);
    if (!request_find_host(r) || !request_admit(r)) {
        return;
    }
    if (head->method == HTTP1_METHOD_POST) {
        r->token_ask->is_post = true;
        exchange_limit_body(r->x, TOKEN_ASK_MAX_FORM - 1);
    } else if (head->method == HTTP1_METHOD_GET) {
        token_go(r, http1_head_query(head));
    } else {
        respond_method_not_allowed(r->x, "GET, POST");
    }
}

void request_token_on_body(struct exchange *x, struct bytes piece)
{
    struct request *r = exchange_context(x);

    if (r != NULL && r->token_ask != NULL && r->token_ask->is_post) {
        text_put_bytes(&r->token_ask->form, piece.data, piece.len);
    }
}

void request_token_on_body_end(struct exchange *x)
{
    struct request *r = exchange_context(x);

    if (r == NULL || r->token_ask == NULL || !r->token_ask->is_post || r->token_ask->is_ended ||
        exchange_has_begun(x)) {
        return;
    }
    r->token_ask->is_ended = true;
    if (text_ok(&r->token_ask->form)) {
        token_go(r, bytes_make(r->token_ask->form.data, r->token_ask->form.len));
    } else {
        token_refuse(r, "the form is too long");
    }
}

void request_token_leave(struct request *r)
{
    struct token_ask *ask = r->token_ask;

    if (ask != NULL) {
        if (ask->form.data != NULL) {
            explicit_bzero(ask->form.data, ask->form.len);
        }
        text_done(&ask->form);
        explicit_bzero(ask, sizeof(*ask));
        free(ask);
        r->token_ask = NULL;
    }
}
