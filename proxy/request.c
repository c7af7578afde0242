#include "proxy/request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "metrics/log.h"
#include "metrics/text.h"
#include "proxy/allowance.h"
#include "proxy/failure.h"
#include "proxy/helper.h"
#include "proxy/pull.h"
#include "proxy/reach.h"
#include "proxy/recorder.h"
#include "proxy/referrers.h"
#include "proxy/request_state.h"
#include "proxy/respond.h"
#include "proxy/session.h"
#include "proxy/upstream.h"
#include "proxy/worker.h"

#define REQUEST_MAX_IDLE_BODY (64u * 1024) /* of a GET, where nobody asked for one */

/* ---- helper jobs ---- */

struct request_job {
    struct helper_job job; /* first */
    struct request *owner; /* NULL once the client left */
    void (*run)(void *arg);
    void (*done)(struct request *r, void *arg);
    void (*release)(void *arg);
    void *arg;
};

static void request_job_run(struct helper_job *job)
{
    struct request_job *self = (struct request_job *)job;

    self->run(self->arg);
}

static void request_job_free(struct request_job *self)
{
    if (self->release != NULL) {
        self->release(self->arg);
    }
    free(self);
}

static void request_job_done(struct helper_job *job, struct worker *worker)
{
    struct request_job *self = (struct request_job *)job;

    if (self->owner != NULL) {
        self->owner->job = NULL;
        self->done(self->owner, self->arg);
    }
    request_job_free(self);
}

static void request_job_drop(struct helper_job *job)
{
    struct request_job *self = (struct request_job *)job;

    if (self->owner != NULL) {
        self->owner->job = NULL;
    }
    request_job_free(self);
}

struct request_job *request_run(struct request *r, struct helper_pool *pool, void (*run)(void *arg),
                                void (*done)(struct request *r, void *arg),
                                void (*release)(void *arg), void *arg)
{
    struct request_job *self = calloc(1, sizeof(*self));

    if (self == NULL) {
        return NULL;
    }
    self->owner = r;
    self->run = run;
    self->done = done;
    self->release = release;
    self->arg = arg;
    self->job.worker = r->worker;
    self->job.run = request_job_run;
    self->job.done = request_job_done;
    self->job.drop = request_job_drop;
    if (!helper_submit(pool, &self->job)) {
        free(self);
        return NULL;
    }
    r->job = self;
    return self;
}

/* ---- errors ---- */

void request_namespace(struct request *r)
{
    if (r->route.ns[0] != '\0') {
        exchange_header(r->x, "OCI-Namespace", r->route.ns);
    }
}

void request_common(struct request *r)
{
    respond_common_headers(r->x);
    request_namespace(r);
}

/* What an error answer with that status says of R's image. */
static void request_failure(const struct request *r, unsigned status, const struct gh_error *error,
                            struct failure *out)
{
    const struct failure_about about = {
        .tenant = r->target.tenant_name != NULL ? r->target.tenant_name : "",
        .fingerprint = r->generation->config->fingerprint_text,
        .image = r->image,
        .outcome = status == 503 || status == 429 ? DECIDE_UNDECIDED : DECIDE_DENY,
        .is_subject_broken = status == 502,
    };

    failure_init(out, &about, error);
}

void request_fail(struct request *r, unsigned status, const char *code,
                  const struct gh_error *error, unsigned retry_after_s)
{
    struct failure failure;
    struct respond_error answer = {
        .status = status,
        .code = code,
        .message = error->text[0] != '\0' ? error->text : NULL,
        .cause = error->cause,
        .digest = r->content != NULL ? r->content->digest_text : NULL,
        .retry_after_s = retry_after_s,
    };

    if (status == 429 || status == 502 || status == 503 || (status == 403 && r->image[0] != '\0')) {
        request_failure(r, status, error, &failure);
        if (strcmp(failure.decision.id, r->decision) != 0) {
            failure_unname(&failure);
        }
        answer.message = failure.message;
        answer.id = failure.decision.id;
    }
    r->reason = gh_reason_label(gh_cause_reason(error->cause));
    request_namespace(r);
    respond_error(r->x, &answer);
}

void request_note(const struct request *r, struct recorder_note *note, const char *digest,
                  const char *media_type, char peer[EXCHANGE_PEER_TEXT_BYTES])
{
    *note = (struct recorder_note){
        .tenant = r->target.tenant_name,
        .image = r->image,
        .digest = digest,
        .media_type = media_type,
        .principal = r->principal,
        .client = exchange_peer(r->x, peer),
        .surface = GATE_PULL,
    };
}

/* As request_fail() for what is recorded like a decision, and has an id that `why` finds. */
static void request_fail_recorded(struct request *r, unsigned status, const char *code,
                                  const struct gh_error *error, unsigned retry_after_s)
{
    char peer[EXCHANGE_PEER_TEXT_BYTES];
    struct recorder_note note;
    struct failure failure;

    request_failure(r, status, error, &failure);
    request_note(r, &note, r->content != NULL ? r->content->digest_text : "",
                 r->content != NULL ? r->content->media_type : "", peer);
    r->decision[0] = '\0';
    if (r->gateway->recorder != NULL &&
        recorder_image_failure(r->gateway->recorder, &note, &failure)) {
        memcpy(r->decision, failure.decision.id, sizeof(r->decision));
        exchange_header(r->x, "X-Gatehouse-Decision", r->decision);
    }
    request_fail(r, status, code, error, retry_after_s);
}

void request_refuse(struct request *r, unsigned status, const char *code, enum gh_cause cause,
                    const char *text)
{
    struct gh_error error = {0};

    (void)gh_fail(&error, cause, "%s", text);
    request_fail(r, status, code, &error, 0);
}

void request_out_of_memory(struct request *r)
{
    struct gh_error error = {0};

    (void)gh_fail(&error, GH_MEMORY_BUDGET_EXCEEDED, "the gateway is out of memory; try again");
    request_fail(r, 503, "UNAVAILABLE", &error, 5);
}

void request_pull_failed(struct request *r, const struct pull_result *result)
{
    unsigned retry_after_s = result->retry_after_s > 0 ? result->retry_after_s : 15;

    switch (result->outcome) {
    case PULL_ABSENT:
        request_fail(r, 404, r->route.kind == ROUTE_BLOB ? "BLOB_UNKNOWN" : "MANIFEST_UNKNOWN",
                     &result->error, 0);
        return;
    case PULL_DENIED:
        request_fail_recorded(r, 403, "DENIED", &result->error, 0);
        return;
    case PULL_BROKEN:
        if (gh_cause_reason(result->error.cause) == GH_REASON_UNSUPPORTED) {
            request_fail_recorded(r, 403, "DENIED", &result->error, 0);
        } else {
            request_fail_recorded(r, 502, "MANIFEST_INVALID", &result->error, 0);
        }
        return;
    case PULL_THROTTLED:
        request_fail_recorded(r, 429, "TOOMANYREQUESTS", &result->error, retry_after_s);
        return;
    case PULL_UNDECIDED:
    case PULL_OK:
        request_fail_recorded(r, 503, "UNAVAILABLE", &result->error, retry_after_s);
        return;
    }
}

/* The same tenant in another generation; false when it is gone. */
static bool request_move_tenant(struct request *r, const struct generation *to)
{
    const char *name = r->generation->tenants[r->tenant].config->name;

    for (size_t t = 0; t < to->tenant_count; t++) {
        if (strcmp(to->tenants[t].config->name, name) == 0) {
            r->tenant = t;
            return true;
        }
    }
    return false;
}

void request_undecided(struct request *r, const struct gh_error *error)
{
    request_fail_recorded(r, 503, "UNAVAILABLE", error, 15);
}

void request_reach(struct request *r, const struct reach_ask *ask,
                   void (*fn)(void *ctx, const struct reach_answer *answer))
{
    bool is_over;
    struct reach *reach = reach_start(r->gateway, r->worker, ask, fn, r, &is_over);

    /* What was answered at once may have begun the request anew: r->reach is another one's then. */
    if (reach != NULL) {
        r->reach = reach;
    } else if (!is_over) {
        request_out_of_memory(r);
    }
}

bool request_begun_anew(struct request *r)
{
    struct generation *current;
    bool is_known;

    if (gateway_is_current(r->gateway, r->generation)) {
        return false;
    }
    request_fill_leave(GH_TAKE(r->fill));
    if (r->redecided >= REQUEST_MAX_REDECIDED) {
        struct gh_error error = {0};

        (void)gh_fail(&error, GH_VERDICT_STALE,
                      "the configuration is being replaced faster than this can be decided");
        request_fail(r, 503, "UNAVAILABLE", &error, 5);
        return true;
    }
    r->redecided++;
    current = gateway_generation(r->gateway);
    is_known = request_move_tenant(r, current);
    generation_unref(r->generation);
    r->generation = current;
    content_unref(r->content);
    r->content = NULL;
    memset(&r->target, 0, sizeof(r->target)); /* its texts belonged to the old one */
    r->is_stale = false;
    r->has_size = false;
    r->is_evidence_blob = false;
    request_release(r);
    /* Who may pull may have changed as well as what may be pulled. */
    r->principal[0] = '\0';
    if (!is_known) {
        request_refuse(r, 404, "NAME_UNKNOWN", GH_NAME_UNKNOWN,
                       "the configuration was replaced, and this name is no longer known");
    } else if (request_authenticate(r)) {
        request_dispatch(r);
    }
    return true;
}

/* ---- routing ---- */

static void request_fault(struct request *r, enum route_fault fault)
{
    static const struct {
        unsigned status;
        const char *code;
        const char *text;
    } answers[] = {
        [ROUTE_OK] = {500, "UNKNOWN", ""},
        [ROUTE_NOT_FOUND] = {404, "UNSUPPORTED", "there is no such endpoint"},
        [ROUTE_NAME_INVALID] = {400, "NAME_INVALID", "the repository name is not valid"},
        [ROUTE_DIGEST_INVALID] = {400, "DIGEST_INVALID", "the digest is not valid"},
        [ROUTE_TAG_INVALID] = {400, "MANIFEST_INVALID", "the tag is not valid"},
        [ROUTE_QUERY_INVALID] = {400, "UNSUPPORTED", "a query parameter is not valid"},
    };
    const struct respond_error error = {.status = answers[fault].status,
                                        .code = answers[fault].code,
                                        .message = answers[fault].text};

    respond_error(r->x, &error);
}

static void request_version(struct request *r)
{
    request_common(r);
    exchange_answer(r->x, 200, "application/json", "{}", 2);
}

/* A gateway whose main file has no upstreams knows nothing but its tenants. */
static bool request_is_known(const struct request *r)
{
    const struct config *config = r->generation->config;
    bool has_prefix = false;

    for (size_t t = 1; t < config->tenant_count; t++) {
        has_prefix = has_prefix || config->tenants[t].prefix != NULL;
    }
    return r->tenant > 0 || config->tenants[0].upstreams.count > 0 ||
           (r->route.kind == ROUTE_VERSION && has_prefix);
}

bool request_find_host(struct request *r)
{
    const struct config *config = r->generation->config;
    struct bytes host = http1_head_host(exchange_head(r->x));
    const char *sni = exchange_server_name(r->x);
    size_t end = bytes_find_last(host, BYTES_LITERAL(":"));

    if (end != SIZE_MAX &&
        bytes_find(bytes_slice(host, end, SIZE_MAX), BYTES_LITERAL("]")) == SIZE_MAX) {
        host = bytes_slice(host, 0, end);
    }
    r->tenant = 0;
    for (size_t t = 1; t < config->tenant_count; t++) {
        for (size_t i = 0; i < config->tenants[t].hosts.count; i++) {
            const char *wanted = config->tenants[t].hosts.items[i];
            bool is_host = strlen(wanted) == host.len &&
                           strncasecmp(wanted, (const char *)host.data, host.len) == 0;

            if (sni != NULL && is_host != (strcasecmp(sni, wanted) == 0)) {
                request_refuse(r, 421, "UNSUPPORTED", GH_NAME_UNKNOWN,
                               "the TLS server name and the Host field name different tenants");
                return false;
            }
            r->tenant = is_host ? t : r->tenant;
        }
    }
    return true;
}

/* Which tenant: by host first, then by prefix, else the main file's. False: answered. */
static bool request_find_tenant(struct request *r)
{
    const struct config *config = r->generation->config;

    if (!request_find_host(r)) {
        return false;
    }
    for (size_t t = 1; r->tenant == 0 && t < config->tenant_count; t++) {
        const char *prefix = config->tenants[t].prefix;
        size_t len = prefix != NULL ? strlen(prefix) : 0;

        if (len > 0 && strncmp(r->route.name, prefix, len) == 0 && r->route.name[len] == '/') {
            r->tenant = t;
            memmove(r->route.name, r->route.name + len + 1, strlen(r->route.name + len + 1) + 1);
        }
    }
    if (!request_is_known(r)) {
        request_refuse(r, 404, "NAME_UNKNOWN", GH_NAME_UNKNOWN,
                       "no tenant of this gateway has this name");
        return false;
    }
    return true;
}

bool request_admit(struct request *r)
{
    const struct generation_tenant *tenant = &r->generation->tenants[r->tenant];
    struct timespec now;
    unsigned retry_after_s;
    enum allowance_answer answer;
    char text[256];

    if (tenant->config->quota == NULL && r->generation->tenant_count == 1) {
        return true; /* nobody to tell it from, and nothing to hold it to */
    }
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    answer = allowance_enter(tenant->allowance, tenant->config->quota,
                             (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000, gateway_now(),
                             &retry_after_s);
    if (answer == ALLOWANCE_ENTERED) {
        r->allowance = allowance_ref(tenant->allowance);
        return true;
    }
    (void)snprintf(text, sizeof(text),
                   "tenant %.100s has used up its quota (%s): try again in %u seconds",
                   tenant->config->name, allowance_label(answer), retry_after_s);
    r->reason = gh_reason_label(gh_cause_reason(GH_QUOTA_EXCEEDED));
    prom_add(r->gateway->prom, PROM_QUOTA_REFUSALS,
             PROM_LABELS(tenant->config->name, allowance_label(answer)), 1);
    respond_error(r->x, &(struct respond_error){.status = 429,
                                                .code = "TOOMANYREQUESTS",
                                                .message = text,
                                                .cause = GH_QUOTA_EXCEEDED,
                                                .retry_after_s = retry_after_s});
    return false;
}

static void request_name_image(struct request *r)
{
    char digest[DIGEST_MAX_TEXT];

    if (r->route.is_digest) {
        digest_format(&r->route.digest, digest);
        (void)TEXT_JOIN(r->image, r->target.ref.name, "@", digest);
    } else {
        (void)TEXT_JOIN(r->image, r->target.ref.name, r->route.tag[0] != '\0' ? ":" : "",
                        r->route.tag);
    }
}

bool request_resolve(struct request *r)
{
    struct gh_error error = {0};

    if (!target_of_route(r->generation, r->tenant, &r->route, &r->target, &error)) {
        request_fail(r, 404, "NAME_UNKNOWN", &error, 0);
        return false;
    }
    if (r->session != NULL) {
        r->target.upstream = session_upstream(r->session, r->generation, r->tenant);
        if (r->target.upstream == NULL) {
            request_out_of_memory(r);
            return false;
        }
    }
    request_name_image(r);
    return true;
}

void request_dispatch(struct request *r)
{
    if (r->route.kind == ROUTE_VERSION) {
        request_version(r);
        return;
    }
    if (r->route.kind == ROUTE_CATALOG) {
        request_catalog(r);
        return;
    }
    if (!request_resolve(r)) {
        return;
    }
    switch (r->route.kind) {
    case ROUTE_MANIFEST:
        request_manifest(r);
        return;
    case ROUTE_BLOB:
        request_blob(r);
        return;
    case ROUTE_TAGS:
        request_tags(r);
        return;
    case ROUTE_REFERRERS:
        request_referrers(r);
        return;
    case ROUTE_UNKNOWN:
    case ROUTE_VERSION:
    case ROUTE_CATALOG:
    case ROUTE_UPLOAD:
        request_fault(r, ROUTE_NOT_FOUND);
        return;
    }
}

/* Several Accept fields read as one list (RFC 9110 section 5.3). */
static char *request_read_accept(const struct http1_head *head)
{
    char joined[REQUEST_MAX_ACCEPT];
    size_t used = 0;
    unsigned from = 0;
    struct bytes value;

    while (http1_head_find_next(head, "accept", &from, &value)) {
        if (value.len + used + 3 >= sizeof(joined)) {
            return NULL; /* whoever lists that much takes anything */
        }
        if (used > 0) {
            memcpy(joined + used, ", ", 2);
            used += 2;
        }
        if (value.len > 0) {
            memcpy(joined + used, value.data, value.len);
        }
        used += value.len;
    }
    joined[used] = '\0';
    return used > 0 ? strdup(joined) : NULL;
}

/* A request is some KiB, more than malloc() hands out fast: each worker keeps the last one. */
static struct request *request_new(struct gateway *gateway, struct worker *worker)
{
    struct request **spare = &gateway->spare_requests[worker_index(worker)];
    struct request *r = *spare != NULL ? *spare : malloc(sizeof(*r));

    *spare = NULL;
    if (r != NULL) {
        memset(r, 0, sizeof(*r));
        r->gateway = gateway;
        r->worker = worker;
    }
    return r;
}

static void request_free(struct request *r)
{
    struct request **spare = &r->gateway->spare_requests[worker_index(r->worker)];

    if (*spare == NULL) {
        *spare = r;
    } else {
        free(r);
    }
}

void request_spares_free(struct gateway *gateway)
{
    for (size_t i = 0; i < GATEWAY_MAX_WORKERS; i++) {
        free(gateway->spare_requests[i]);
        gateway->spare_requests[i] = NULL;
    }
}

/* The head is understood, and what belongs to it has been read. */
static void request_begin(struct request *r)
{
    if (r->route.kind == ROUTE_MANIFEST) {
        r->accept = request_read_accept(exchange_head(r->x));
        r->is_evidence_tag = r->route.tag[0] != '\0' &&
                             route_evidence_tag(bytes_of(r->route.tag), &r->evidence_subject);
    }
    if (request_authenticate(r)) {
        request_dispatch(r);
    }
}

static void request_on_body_end(struct exchange *x)
{
    struct request *r = exchange_context(x);

    if (r != NULL && r->awaits_body) {
        r->awaits_body = false;
        request_begin(r);
        return;
    }
    request_token_on_body_end(x);
}

static void request_on_request(struct exchange *x)
{
    const struct http1_head *head = exchange_head(x);
    struct request *r = request_new(exchange_role(x), exchange_worker(x));
    enum route_fault fault;

    if (r == NULL) {
        exchange_fail(x);
        return;
    }
    r->x = x;
    r->generation = gateway_generation(r->gateway);
    r->is_head = head->method == HTTP1_METHOD_HEAD;
    exchange_set_context(x, r);
    if (bytes_equal_cstr(http1_head_path(head), REQUEST_TOKEN_PATH)) {
        request_token(r);
        return;
    }
    fault = route_parse(http1_head_path(head), http1_head_query(head), &r->route);
    if (fault != ROUTE_OK) {
        request_fault(r, fault);
        return;
    }
    memcpy(r->asked, r->route.name, sizeof(r->asked));
    if (!request_find_tenant(r) || !request_admit(r)) {
        return;
    }
    if ((head->method != HTTP1_METHOD_GET && !r->is_head) || r->route.kind == ROUTE_UPLOAD) {
        respond_method_not_allowed(x, r->route.kind == ROUTE_UPLOAD ? "" : "GET, HEAD");
        return;
    }
    if (head->is_chunked && !head->expects_continue) {
        /* Nobody wants the body, but a request whose chunks are malformed gets no 200. */
        r->awaits_body = true;
        exchange_limit_body(x, REQUEST_MAX_IDLE_BODY);
        return;
    }
    request_begin(r);
}

/* ---- the end ---- */

static void request_count(const struct request *r, const struct exchange_record *record)
{
    const char code[] = {(char)('0' + record->status / 100 % 10),
                         (char)('0' + record->status / 10 % 10), (char)('0' + record->status % 10),
                         '\0'};
    static const char *const methods[] = {
        [HTTP1_METHOD_OTHER] = "OTHER",   [HTTP1_METHOD_GET] = "GET",
        [HTTP1_METHOD_HEAD] = "HEAD",     [HTTP1_METHOD_POST] = "POST",
        [HTTP1_METHOD_PUT] = "PUT",       [HTTP1_METHOD_PATCH] = "PATCH",
        [HTTP1_METHOD_DELETE] = "DELETE", [HTTP1_METHOD_OPTIONS] = "OPTIONS",
    };
    const char *route = r->is_token ? "token" : route_label(r->route.kind);
    const char *method = methods[exchange_head(r->x)->method];
    struct prom *prom = r->gateway->prom;

    prom_add(prom, PROM_REQUESTS, PROM_LABELS(route, method, code), 1);
    prom_observe(prom, PROM_REQUEST_DURATION, PROM_LABELS(route),
                 (double)record->duration_us / 1e6);
    if (r->source != NULL && record->body_sent > 0) {
        prom_add(prom, PROM_SENT_BYTES, PROM_LABELS(r->source), record->body_sent);
    }
}

/* What a tenant uses, beside its quota. */
static void request_count_tenant(const struct request *r, const struct exchange_record *record)
{
    const char *tenant = r->generation->tenants[r->tenant].config->name;
    struct prom *prom = r->gateway->prom;

    prom_add(prom, PROM_TENANT_REQUESTS, PROM_LABELS(tenant), 1);
    prom_add(prom, PROM_TENANT_BYTES, PROM_LABELS(tenant), record->body_sent);
}

static void request_log(const struct request *r, const struct exchange_record *record)
{
    const struct http1_head *head = exchange_head(r->x);
    struct bytes method = http1_head_method(head);
    struct bytes target = http1_head_path(head); /* a query may hold what nobody should keep */
    struct bytes agent;
    char peer[EXCHANGE_PEER_TEXT_BYTES];
    char method_text[HTTP1_MAX_METHOD_BYTES + 1];
    char target_text[LOG_MAX_TARGET];
    char agent_text[LOG_MAX_FIELD] = "";

    if (!log_has_access(r->gateway->log)) {
        return;
    }
    (void)snprintf(method_text, sizeof(method_text), "%.*s", (int)method.len,
                   (const char *)method.data);
    (void)snprintf(target_text, sizeof(target_text), "%.*s", (int)target.len,
                   (const char *)target.data);
    if (http1_head_find(head, "user-agent", &agent)) {
        (void)snprintf(agent_text, sizeof(agent_text), "%.*s", (int)agent.len,
                       (const char *)agent.data);
    }
    log_access(r->gateway->log, &(struct log_access){
                                    .worker = (int)worker_index(r->worker) + 1,
                                    .connection = exchange_connection_id(r->x),
                                    .request = exchange_id(r->x),
                                    .client = exchange_peer(r->x, peer),
                                    .principal = r->principal[0] != '\0' ? r->principal : NULL,
                                    .tenant = r->target.tenant_name,
                                    .route = r->is_token ? "token" : route_label(r->route.kind),
                                    .method = method_text,
                                    .target = target_text,
                                    .status = (int)record->status,
                                    .sent_bytes = record->body_sent,
                                    .duration_us = record->duration_us,
                                    .source = r->source,
                                    .decision = r->decision[0] != '\0' ? r->decision : NULL,
                                    .reason = r->reason,
                                    .user_agent = agent_text[0] != '\0' ? agent_text : NULL,
                                });
}

static void request_on_done(struct exchange *x, const struct exchange_record *record)
{
    struct request *r = exchange_context(x);

    if (r == NULL) {
        return;
    }
    request_count(r, record);
    request_log(r, record);
    if (r->allowance != NULL) {
        request_count_tenant(r, record);
        allowance_leave(r->allowance, record->body_sent, gateway_now());
        allowance_unref(r->allowance);
    }
    pull_leave(r->pull);
    gate_leave(r->gate);
    request_access_leave(r);
    reach_leave(r->reach);
    referrers_cancel(r->search);
    upstream_cancel(r->fetch);
    request_fill_leave(r->fill);
    request_release(r);
    if (r->job != NULL) {
        r->job->owner = NULL;
    }
    content_unref(r->content);
    generation_unref(r->generation);
    free(r->accept);
    request_free(r);
}

static void request_on_refusal(void *role, const struct exchange_refusal *refusal)
{
    struct gateway *gateway = role;
    char code[8];

    (void)snprintf(code, sizeof(code), "%u", refusal->status);
    prom_add(gateway->prom, PROM_REQUESTS, PROM_LABELS("malformed", "OTHER", code), 1);
    log_write(gateway->log, &(struct log_event){.level = LOG_INFO}, "refused a request of %s: %s",
              refusal->peer, refusal->why);
}

const struct exchange_handler *request_handler(void)
{
    static const struct exchange_handler handler = {
        .on_request = request_on_request,
        .on_body = request_token_on_body,
        .on_body_end = request_on_body_end,
        .on_done = request_on_done,
        .on_refusal = request_on_refusal,
    };

    return &handler;
}
