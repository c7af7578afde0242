#include "proxy/request_access.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/x509.h>

#include "crypto/manifest.h"
#include "metrics/text.h"
#include "proxy/request_state.h"
#include "proxy/session.h"
#include "proxy/token.h"
#include "proxy/upstream.h"
#include "proxy/worker.h"

#define ACCESS_PROBE_MS 20000
#define ACCESS_MAX_LIST (1024u * 1024)
#define ACCESS_ALL_MANIFESTS                                                                       \
    MANIFEST_OCI_INDEX ", " MANIFEST_OCI_IMAGE ", " MANIFEST_DOCKER_LIST ","                       \
                       " " MANIFEST_DOCKER_IMAGE

static const struct config_clients *access_clients(const struct request *r)
{
    return &r->generation->config->tenants[r->tenant].clients;
}

const uint8_t *request_token_key(const struct request *r)
{
    const struct generation_tenant *tenant = &r->generation->tenants[r->tenant];

    return tenant->has_token_key ? tenant->token_key : r->gateway->token_key;
}

/* ---- challenges ---- */

/* The address of the token endpoint: as configured, else by the Host that the client asked for. */
static void access_put_realm(const struct request *r, struct text *out)
{
    struct bytes host = http1_head_host(exchange_head(r->x));
    const char *realm = access_clients(r)->realm;

    if (realm != NULL) {
        text_put(out, realm);
        return;
    }
    text_put(out, exchange_is_tls(r->x) ? "https://" : "http://");
    for (size_t i = 0; i < host.len; i++) {
        char c = (char)host.data[i];

        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
            strchr(".-:[]_", c) != NULL) {
            text_put_char(out, c); /* what could end the quoted string is left out */
        }
    }
    text_put(out, REQUEST_TOKEN_PATH);
}

static void access_bearer(struct request *r, const char *error)
{
    struct text out;

    text_init(&out, 2048);
    text_put(&out, "Bearer realm=\"");
    access_put_realm(r, &out);
    /* The service brings tenant and upstream back to the token endpoint, whose names say neither
     * where ?ns= does. */
    text_printf(&out, "\",service=\"%s%s%s\"", r->generation->config->tenants[r->tenant].name,
                r->route.ns[0] != '\0' ? "/" : "", r->route.ns);
    if (r->asked[0] != '\0') {
        text_printf(&out, ",scope=\"repository:%s:pull\"", r->asked);
    }
    if (error != NULL) {
        text_printf(&out, ",error=\"%s\"", error);
    }
    if (text_ok(&out)) {
        exchange_header(r->x, "WWW-Authenticate", text_cstr(&out));
    }
    text_done(&out);
}

void request_challenge(struct request *r, const char *error)
{
    const struct config_clients *clients = access_clients(r);

    if (!r->is_token && (clients->token != NULL || clients->is_passthrough)) {
        access_bearer(r, error);
    } else {
        exchange_header(r->x, "WWW-Authenticate", "Basic realm=\"gatehouse\", charset=\"UTF-8\"");
    }
    request_refuse(r, 401, "UNAUTHORIZED", GH_CLIENT_UNAUTHENTICATED,
                   clients->is_passthrough ? "authenticate with a user of the upstream registry"
                                           : "authenticate with a user of this gateway");
}

/* ---- users ---- */

struct request_check {
    struct gateway *gateway;
    struct htpasswd *htpasswd;
    struct generation *generation; /* keeps the users */
    char user[HTPASSWD_MAX_USER + 1];
    char password[HTPASSWD_MAX_PASSWORD + 1];
    int64_t now_ms;
    bool is_right;
};

static void access_check(void *arg)
{
    struct request_check *check = arg;

    check->is_right = htpasswd_check(check->htpasswd, check->user, check->password, check->now_ms);
}

static void access_checked(struct request *r, void *arg)
{
    const struct request_check *check = arg;

    if (!check->is_right) {
        request_challenge(r, NULL);
        return;
    }
    (void)snprintf(r->principal, sizeof(r->principal), "%s", check->user);
    if (r->is_token) {
        request_token_issue(r);
    } else {
        request_dispatch(r);
    }
}

static void access_check_release(void *arg)
{
    struct request_check *check = arg;

    (void)__atomic_sub_fetch(&check->gateway->password_checks, 1, __ATOMIC_RELAXED);
    generation_unref(check->generation);
    explicit_bzero(check, sizeof(*check));
    free(check);
}

bool request_password(struct request *r, const char *user, const char *password)
{
    struct htpasswd *htpasswd = r->generation->tenants[r->tenant].htpasswd;
    struct request_check *check;
    struct gh_error busy = {0};
    unsigned checks;
    int64_t now_ms = (int64_t)worker_clock_ms();

    if (htpasswd_is_remembered(htpasswd, user, password, now_ms)) {
        (void)snprintf(r->principal, sizeof(r->principal), "%s", user);
        return true;
    }
    check = calloc(1, sizeof(*check));
    if (check == NULL) {
        request_out_of_memory(r);
        return false;
    }
    check->gateway = r->gateway;
    check->htpasswd = htpasswd;
    check->generation = generation_ref(r->generation);
    check->now_ms = now_ms;
    (void)snprintf(check->user, sizeof(check->user), "%s", user);
    (void)snprintf(check->password, sizeof(check->password), "%s", password);
    /* A hash takes a tenth of a second: what waits is bounded, so that guessing cannot pile up. */
    checks = __atomic_add_fetch(&r->gateway->password_checks, 1, __ATOMIC_RELAXED);
    if (checks > REQUEST_MAX_PASSWORD_CHECKS ||
        request_run(r, r->gateway->passwords, access_check, access_checked, access_check_release,
                    check) == NULL) {
        access_check_release(check);
        (void)gh_fail(&busy, GH_TIME_BUDGET_EXCEEDED, "too many passwords are being checked");
        request_fail(r, 503, "UNAVAILABLE", &busy, 5);
    }
    return false;
}

static bool access_basic(struct request *r, struct bytes value)
{
    char user[HTPASSWD_MAX_USER + 1];
    char password[HTPASSWD_MAX_PASSWORD + 1];
    bool is_known;

    if (!htpasswd_read_basic(value, user, password)) {
        request_challenge(r, NULL);
        return false;
    }
    is_known = request_password(r, user, password);
    explicit_bzero(password, sizeof(password));
    return is_known;
}

/* The subject's common name of a client certificate that the listener has verified. */
bool request_certificate(struct request *r)
{
    X509 *certificate = exchange_peer_certificate(r->x);
    int len = certificate != NULL
                  ? X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName,
                                              r->principal, sizeof(r->principal))
                  : -1;

    if (len <= 0 || (size_t)len != strlen(r->principal)) {
        r->principal[0] = '\0';
        return false;
    }
    return true;
}

/* ---- credentials passed through ---- */

static bool access_enter(struct request *r);

static void access_waited(struct worker_mail *mail, struct worker *worker)
{
    struct session_waiter *waiter = (struct session_waiter *)mail;
    struct request *r = waiter->owner;

    free(waiter);
    if (r != NULL) {
        r->waiter = NULL;
        if (access_enter(r)) {
            request_dispatch(r);
        }
    }
}

static void access_waiter_dropped(struct worker_mail *mail)
{
    free((struct session_waiter *)mail);
}

static void access_probe_failed(struct request *r, const struct upstream_result *result)
{
    struct gh_error error = {0};

    switch (result->outcome) {
    case UPSTREAM_DENIED:
        (void)gh_fail(&error, GH_CLIENT_NOT_PERMITTED,
                      "the registry refuses these credentials for %s", r->target.ref.name);
        request_fail(r, 403, "DENIED", &error, 0);
        return;
    case UPSTREAM_ABSENT:
        (void)gh_fail(&error, GH_NAME_UNKNOWN, "the registry does not have %s", r->image);
        request_fail(r, 404,
                     r->route.kind == ROUTE_BLOB       ? "BLOB_UNKNOWN"
                     : r->route.kind == ROUTE_MANIFEST ? "MANIFEST_UNKNOWN"
                                                       : "NAME_UNKNOWN",
                     &error, 0);
        return;
    case UPSTREAM_THROTTLED:
        request_fail(r, 429, "TOOMANYREQUESTS", &result->error,
                     result->retry_after_s > 0 ? result->retry_after_s : 15);
        return;
    case UPSTREAM_OK:
    case UPSTREAM_UNAVAILABLE:
    case UPSTREAM_REJECTED:
    case UPSTREAM_REFUSED:
    case UPSTREAM_TOO_LARGE:
    case UPSTREAM_FAILED:
        request_fail(r, 503, "UNAVAILABLE", &result->error,
                     result->retry_after_s > 0 ? result->retry_after_s : 15);
        return;
    }
}

static void access_on_probed(void *ctx, struct upstream_result *result)
{
    struct request *r = ctx;
    bool has_passed = result->outcome == UPSTREAM_OK;

    r->probe = NULL;
    session_probed(r->session, r->target.ref.repository, has_passed, gateway_now());
    if (has_passed) {
        request_dispatch(r);
    } else {
        access_probe_failed(r, result);
    }
    upstream_result_done(result);
}

/* Ask the upstream, with the client's credential, for the very thing the client asks for. */
static bool access_probe(struct request *r)
{
    const char *repository = r->target.ref.repository;
    char path[ROUTE_MAX_NAME + DIGEST_MAX_TEXT + ROUTE_MAX_TAG + 64];
    char digest[DIGEST_MAX_TEXT] = "";
    struct upstream_ask ask = {.upstream = r->target.upstream,
                               .method = UPSTREAM_HEAD,
                               .path = path,
                               .repository = repository,
                               .accept = r->accept != NULL ? r->accept : ACCESS_ALL_MANIFESTS,
                               .body_limit = ACCESS_MAX_LIST,
                               .timeout_ms = ACCESS_PROBE_MS};

    if (r->route.is_digest) {
        digest_format(&r->route.digest, digest);
    }
    if (r->route.kind == ROUTE_MANIFEST) {
        (void)snprintf(path, sizeof(path), "/v2/%s/manifests/%s", repository,
                       r->route.is_digest ? digest : r->route.tag);
    } else if (r->route.kind == ROUTE_BLOB) {
        (void)snprintf(path, sizeof(path), "/v2/%s/blobs/%s", repository, digest);
        ask.accept = NULL;
    } else {
        (void)snprintf(path, sizeof(path), "/v2/%s/tags/list?n=1", repository);
        ask.method = UPSTREAM_GET;
        ask.accept = NULL;
    }
    r->probe =
        upstream_fetch(worker_member(r->worker, WORKER_SLOT_UPSTREAM), &ask, access_on_probed, r);
    return r->probe != NULL;
}

/* Nothing is answered, from the cache neither, before the upstream lets this credential read. */
static bool access_enter(struct request *r)
{
    struct session_waiter *waiter = calloc(1, sizeof(*waiter));
    enum session_answer answer;

    if (waiter == NULL) {
        request_out_of_memory(r);
        return false;
    }
    waiter->mail.run = access_waited;
    waiter->mail.drop = access_waiter_dropped;
    waiter->worker = r->worker;
    waiter->owner = r;
    answer = session_enter(r->session, r->target.ref.repository, gateway_now(), waiter);
    if (answer == SESSION_WAITING) {
        r->waiter = waiter;
        return false;
    }
    free(waiter);
    if (answer == SESSION_ALLOWED) {
        return true;
    }
    if (answer == SESSION_PROBE && !access_probe(r)) {
        session_probed(r->session, r->target.ref.repository, false, gateway_now());
        request_out_of_memory(r);
    } else if (answer == SESSION_REFUSED) {
        request_out_of_memory(r);
    }
    return false;
}

static bool access_pass_through(struct request *r, const struct token *token)
{
    session_unref(r->session); /* of a generation that was replaced */
    r->session = NULL;
    if (r->route.kind == ROUTE_VERSION) {
        return true;
    }
    if (r->route.kind == ROUTE_CATALOG) {
        request_refuse(r, 403, "DENIED", GH_CLIENT_NOT_PERMITTED,
                       "the catalog is not shown to credentials that are passed through");
        return false;
    }
    if (!request_resolve(r)) {
        return false;
    }
    r->session = strcmp(token->upstream, r->target.ref.upstream) == 0
                     ? session_find(r->gateway->sessions, token->session, r->target.tenant_name,
                                    token->upstream, gateway_now())
                     : NULL;
    if (r->session == NULL) {
        request_challenge(r, "invalid_token");
        return false;
    }
    (void)snprintf(r->principal, sizeof(r->principal), "%s", session_user(r->session));
    return request_resolve(r) && access_enter(r);
}

void request_access_leave(struct request *r)
{
    if (r->waiter != NULL) {
        r->waiter->owner = NULL; /* its mail frees it */
    }
    if (r->probe != NULL) {
        upstream_cancel(r->probe);
        session_probed(r->session, r->target.ref.repository, false, gateway_now());
    }
    session_unref(r->session);
    request_token_leave(r);
}

/* ---- tokens ---- */

static bool access_token(struct request *r, struct bytes text)
{
    struct token token;

    if (!token_read(request_token_key(r), text, gateway_now(), &token) ||
        strcmp(token.tenant, r->generation->config->tenants[r->tenant].name) != 0 ||
        (token.session[0] != '\0') != access_clients(r)->is_passthrough) {
        request_challenge(r, "invalid_token");
        return false;
    }
    if (r->asked[0] != '\0' && !token_has_name(&token, r->asked)) {
        request_challenge(r, "insufficient_scope");
        return false;
    }
    (void)snprintf(r->principal, sizeof(r->principal), "%s", token.principal);
    return access_clients(r)->is_passthrough ? access_pass_through(r, &token) : true;
}

bool request_authenticate(struct request *r)
{
    const struct config_clients *clients = access_clients(r);
    bool has_tokens = clients->token != NULL || clients->is_passthrough;
    bool has_users = r->generation->tenants[r->tenant].htpasswd != NULL;
    struct bytes value;

    if (!has_users && !clients->is_mtls && !clients->is_passthrough) {
        return true;
    }
    if (clients->is_mtls && request_certificate(r)) {
        return true;
    }
    if (!has_users && !clients->is_passthrough) {
        request_refuse(r, 403, "DENIED", GH_CLIENT_UNAUTHENTICATED,
                       "this gateway asks for a client certificate");
        return false;
    }
    if (!http1_head_find(exchange_head(r->x), "authorization", &value)) {
        request_challenge(r, NULL);
        return false;
    }
    if (has_tokens && value.len > 7 && strncasecmp((const char *)value.data, "Bearer ", 7) == 0) {
        return access_token(r, bytes_slice(value, 7, SIZE_MAX));
    }
    if (!has_users) {
        request_challenge(r, NULL);
        return false;
    }
    return access_basic(r, value);
}
