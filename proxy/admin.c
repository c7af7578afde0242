#include "proxy/admin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "cache/decision_store.h"
#include "crypto/sjson.h"
#include "metrics/log.h"
#include "metrics/text.h"
#include "proxy/ask.h"
#include "proxy/exception_watch.h"
#include "proxy/exchange.h"
#include "proxy/gateway.h"
#include "proxy/generation.h"
#include "proxy/helper.h"
#include "proxy/listing.h"
#include "proxy/recorder.h"
#include "proxy/reevaluation.h"
#include "proxy/respond.h"
#include "proxy/serving.h"
#include "proxy/worker.h"

#define ADMIN_MAX_BODY 65536
#define ADMIN_MAX_ANSWER (64u * 1024 * 1024)
#define ADMIN_MAX_IMAGES 64
#define ADMIN_MAX_TENANT 128

struct admin {
    struct serving *serving;
    struct gateway *gateway;
    char *token;        /* of the first generation; a reload may bring another */
    bool has_client_ca; /* client certificates are an authorisation */
};

/* One request. */
struct admin_call {
    struct helper_job job; /* first: blocking calls */
    struct admin *admin;
    struct exchange *x; /* NULL once the client left */
    void (*run)(struct admin_call *call);
    struct listing_filter filter;
    struct text body;   /* of the request */
    struct text answer; /* of the blocking call */
    unsigned status;
    bool is_posted; /* a helper has it */
    bool is_verify; /* POST /v1/verify */
    json_t *images; /* what is left of /v1/verify */
    size_t next_image;
    bool is_list;
    char tenant[ADMIN_MAX_TENANT + 1]; /* empty: the main file's */
    struct ask *ask;
    const char *who;  /* how the caller was known */
    bool is_recorded; /* in the audit log: what changes or decides something, and refusals */
};

bool admin_new(struct serving *serving, const char *token, bool has_client_ca, struct admin **out,
               struct gh_error *err)
{
    struct admin *admin = calloc(1, sizeof(*admin));

    if (admin == NULL || (token != NULL && (admin->token = strdup(token)) == NULL)) {
        free(admin);
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for the admin listener");
    }
    admin->serving = serving;
    admin->gateway = serving_gateway(serving);
    admin->has_client_ca = has_client_ca;
    *out = admin;
    return true;
}

void admin_free(struct admin *admin)
{
    if (admin == NULL) {
        return;
    }
    if (admin->token != NULL) {
        OPENSSL_cleanse(admin->token, strlen(admin->token));
    }
    free(admin->token);
    free(admin);
}

static void admin_error(struct exchange *x, unsigned status, const char *code, const char *message)
{
    const struct respond_error error = {.status = status, .code = code, .message = message};

    respond_error(x, &error);
}

static void admin_send(struct exchange *x, unsigned status, const struct text *text)
{
    if (!text_ok(text)) {
        admin_error(x, 500, "UNKNOWN", "the answer is too long");
        return;
    }
    exchange_answer(x, status, "application/json", text_cstr(text), text->len);
}

/* How the caller is known, for the audit log; NULL: it is not. */
static const char *admin_who(const struct admin *admin, struct exchange *x)
{
    GH_OWN(generation_unrefp)
    struct generation *generation = gateway_generation(admin->gateway);
    /* The token in force; the listener stays where it was opened, so what guarded it stays, too. */
    const char *token = generation->config->admin.token;
    struct bytes value;
    size_t len;

    if (token == NULL) {
        token = admin->token;
    }
    if (exchange_peer_certificate(x) != NULL) {
        return "certificate";
    }
    if (token == NULL) {
        /* configuration allows that on loopback alone */
        return admin->has_client_ca ? NULL : "anybody";
    }
    len = strlen(token);
    return http1_head_find(exchange_head(x), "authorization", &value) &&
                   value.len == strlen("Bearer ") + len && memcmp(value.data, "Bearer ", 7) == 0 &&
                   CRYPTO_memcmp(value.data + 7, token, len) == 0
               ? "token"
               : NULL;
}

/* ---- answers that are at hand ---- */

static void admin_metrics(struct admin *admin, struct exchange *x)
{
    struct gh_error error = {0};
    struct text text;

    text_init(&text, ADMIN_MAX_ANSWER);
    if (prom_expose(admin->gateway->prom, &text, &error)) {
        exchange_answer(x, 200, PROM_CONTENT_TYPE, text.data, text.len);
    } else {
        admin_error(x, 500, "UNKNOWN", error.text);
    }
    text_done(&text);
}

static void admin_ready(struct admin *admin, struct exchange *x)
{
    struct text text;
    bool is_ready;

    text_init(&text, 65536);
    text_put(&text, "{");
    is_ready = serving_is_ready(admin->serving, &text);
    text_put(&text, "}");
    admin_send(x, is_ready ? 200 : 503, &text);
    text_done(&text);
}

static void admin_decision(struct admin *admin, struct exchange *x, struct bytes id)
{
    char text[DECISION_STORE_MAX_ID + 1];
    struct bytes_buf record = {0};

    if (id.len == 0 || id.len > DECISION_STORE_MAX_ID) {
        admin_error(x, 404, "UNKNOWN", "there is no such decision");
        return;
    }
    memcpy(text, id.data, id.len);
    text[id.len] = '\0';
    if (!decision_store_get(admin->gateway->decisions, text, &record)) {
        admin_error(x, 404, "UNKNOWN", "there is no decision with that id");
        return;
    }
    exchange_answer(x, 200, "application/json", record.data, record.len);
    bytes_buf_done(&record);
}

static void admin_put_exception(struct text *out, const struct snapshot *snapshot,
                                const struct exception *exception,
                                const struct exception_seen *seen, int64_t now)
{
    static const char *const verifies[] = {[EXCEPTION_VERIFIES_UNKNOWN] = "null",
                                           [EXCEPTION_VERIFIES_NOT] = "false",
                                           [EXCEPTION_VERIFIES] = "true"};

    text_put(out, "{");
    text_put_key(out, "tenant");
    text_put_json(out, snapshot->tenant);
    text_put_key(out, "id");
    text_put_json(out, exception->id);
    text_put_key(out, "owner");
    text_put_json(out, exception->owner);
    text_put_key(out, "approved_by");
    text_put_json(out, exception->approved_by);
    text_put_key(out, "justification");
    text_put_json(out, exception->justification);
    text_put_key(out, "expires");
    text_put(out, "\"");
    text_put_time(out, exception->expires_unix_s);
    text_put(out, "\"");
    text_printf(out, ",\"days_left\":%lld,\"in_force\":%s",
                (long long)exception_days_left(exception, now),
                exception_in_force(exception, now) ? "true" : "false");
    text_printf(out, ",\"uses\":%llu", (unsigned long long)seen->uses);
    text_put_key(out, "last_used");
    if (seen->last_unix_s > 0) {
        text_put(out, "\"");
        text_put_time(out, seen->last_unix_s);
        text_put(out, "\"");
    } else {
        text_put(out, "null");
    }
    text_put_key(out, "verifies");
    text_put(out, verifies[seen->verifies]);
    text_put_key(out, "images");
    text_put(out, "[");
    for (size_t i = 0; i < exception->image_count; i++) {
        text_put(out, i > 0 ? "," : "");
        image_pattern_put_json(out, &exception->images[i]);
    }
    text_put(out, "]}");
}

static void admin_exceptions(struct admin *admin, struct exchange *x)
{
    GH_OWN(generation_unrefp) struct generation *generation = gateway_generation(admin->gateway);
    struct exception_seen seen;
    bool is_first = true;
    struct text text;

    text_init(&text, ADMIN_MAX_ANSWER);
    text_put(&text, "{\"exceptions\":[");
    for (size_t t = 0; t < generation->config->tenant_count; t++) {
        const struct snapshot *snapshot = &generation->config->tenants[t].snapshot;

        for (size_t i = 0; i < snapshot->exception_count; i++) {
            text_put(&text, is_first ? "" : ",");
            exception_watch_seen(admin->gateway->exceptions, snapshot->tenant,
                                 snapshot->exceptions[i].id, &seen);
            admin_put_exception(&text, snapshot, &snapshot->exceptions[i], &seen, gateway_now());
            is_first = false;
        }
    }
    text_put(&text, "]}");
    admin_send(x, 200, &text);
    text_done(&text);
}

/* ---- answers that block ---- */

static void admin_call_free(struct admin_call *call)
{
    text_done(&call->body);
    text_done(&call->answer);
    json_decref(call->images);
    ask_leave(call->ask);
    free(call);
}

static void admin_job_run(struct helper_job *job)
{
    struct admin_call *call = (struct admin_call *)job;

    call->run(call);
}

static void admin_job_done(struct helper_job *job, struct worker *worker)
{
    struct admin_call *call = (struct admin_call *)job;

    call->is_posted = false;
    if (call->x == NULL) {
        admin_call_free(call);
        return;
    }
    admin_send(call->x, call->status, &call->answer);
}

static void admin_job_drop(struct helper_job *job)
{
    struct admin_call *call = (struct admin_call *)job;

    call->is_posted = false;
    if (call->x == NULL) {
        admin_call_free(call);
    }
}

static void admin_block(struct admin_call *call, void (*run)(struct admin_call *call))
{
    call->run = run;
    call->job.worker = exchange_worker(call->x);
    call->job.run = admin_job_run;
    call->job.done = admin_job_done;
    call->job.drop = admin_job_drop;
    call->is_posted = true;
    if (!helper_submit(call->admin->gateway->helpers, &call->job)) {
        call->is_posted = false;
        admin_error(call->x, 503, "UNAVAILABLE", "too much is waiting");
    }
}

static void admin_run_reload(struct admin_call *call)
{
    text_put(&call->answer, "{");
    call->status = serving_reload(call->admin->serving, &call->answer) ? 200 : 422;
    text_put(&call->answer, "}");
}

static void admin_run_verdicts(struct admin_call *call)
{
    call->status = 200;
    listing_verdicts(call->admin->gateway, &call->filter, &call->answer);
}

static void admin_run_decisions(struct admin_call *call)
{
    call->status = 200;
    listing_decisions(call->admin->gateway, &call->filter, &call->answer);
}

static void admin_list(struct admin_call *call, void (*run)(struct admin_call *call))
{
    struct gh_error error = {0};

    if (listing_read(http1_head_query(exchange_head(call->x)), gateway_now(), &call->filter,
                     &error)) {
        admin_block(call, run);
    } else {
        admin_error(call->x, 400, "UNSUPPORTED", error.text);
    }
}

static void admin_reevaluation(struct admin *admin, struct exchange *x)
{
    struct text text;

    text_init(&text, ADMIN_MAX_ANSWER);
    reevaluation_put(serving_reevaluation(admin->serving), &text);
    admin_send(x, 200, &text);
    text_done(&text);
}

/* ---- POST /v1/verify ---- */

static void admin_verify_next(struct admin_call *call);

static void admin_on_answer(void *ctx, const struct ask_answer *answer)
{
    struct admin_call *call = ctx;

    call->ask = NULL;
    text_put(&call->answer, call->is_list && call->next_image > 1 ? "," : "");
    text_put(&call->answer, answer->json);
    admin_verify_next(call);
}

static void admin_verify_next(struct admin_call *call)
{
    struct ask_question question = {.surface = GATE_API, .is_recorded = true, .principal = ""};

    if (call->next_image == json_array_size(call->images)) {
        text_put(&call->answer, call->is_list ? "]}" : "");
        admin_send(call->x, 200, &call->answer);
        return;
    }
    question.tenant = call->tenant[0] != '\0' ? call->tenant : NULL;
    question.image = json_string_value(json_array_get(call->images, call->next_image++));
    call->ask =
        ask_start(call->admin->gateway, exchange_worker(call->x), &question, admin_on_answer, call);
    if (call->ask == NULL) {
        admin_error(call->x, 503, "UNAVAILABLE", "no memory");
    }
}

/* "tenant": names are kept short by the configuration. */
static bool admin_read_tenant(struct admin_call *call, const json_t *doc, struct gh_error *err)
{
    struct bytes tenant = {0};

    GH_TRY(sjson_opt_string(doc, "tenant", &tenant, err));
    if (tenant.len > ADMIN_MAX_TENANT) {
        return gh_fail(err, GH_SIZE_LIMIT_EXCEEDED, "there is no tenant with so long a name");
    }
    if (tenant.len > 0) {
        memcpy(call->tenant, tenant.data, tenant.len);
        call->tenant[tenant.len] = '\0';
    }
    return true;
}

/* {"image": "…"} or {"images": ["…"]}, and "tenant" */
static bool admin_read_images(struct admin_call *call, struct gh_error *err)
{
    GH_OWN(sjson_freep) json_t *doc = NULL;
    struct bytes image;
    json_t *list;
    size_t index;
    json_t *item;

    GH_TRY(
        sjson_parse_object(bytes_make(call->body.data, call->body.len), ADMIN_MAX_BODY, &doc, err));
    GH_TRY(admin_read_tenant(call, doc, err));
    GH_TRY(sjson_opt_array(doc, "images", &list, err));
    if (list == NULL) {
        GH_TRY(sjson_get_string(doc, "image", &image, err));
        call->images = json_pack("[s%]", (const char *)image.data, image.len);
        return call->images != NULL || gh_fail(err, GH_MALFORMED_JSON, "no image is named");
    }
    if (json_array_size(list) > ADMIN_MAX_IMAGES) {
        return gh_fail(err, GH_COUNT_LIMIT_EXCEEDED, "at most %d images at a time",
                       ADMIN_MAX_IMAGES);
    }
    json_array_foreach (list, index, item) {
        if (!json_is_string(item)) {
            return gh_fail(err, GH_MALFORMED_JSON, "an image is a string");
        }
    }
    call->is_list = true;
    call->images = json_incref(list);
    return true;
}

static void admin_on_body(struct exchange *x, struct bytes piece)
{
    struct admin_call *call = exchange_context(x);

    if (call != NULL && call->is_verify) {
        text_put_bytes(&call->body, piece.data, piece.len);
    }
}

static void admin_on_body_end(struct exchange *x)
{
    struct admin_call *call = exchange_context(x);
    struct gh_error error = {0};

    if (call == NULL || !call->is_verify || exchange_has_begun(x)) {
        return;
    }
    if (!text_ok(&call->body) || !admin_read_images(call, &error)) {
        admin_error(x, 400, "UNSUPPORTED", error.text);
        return;
    }
    text_put(&call->answer, call->is_list ? "{\"results\":[" : "");
    admin_verify_next(call);
}

/* ---- routing ---- */

static bool admin_get(struct admin_call *call, struct exchange *x, struct bytes path)
{
    static const struct bytes decisions = BYTES_LITERAL("/v1/decisions/");

    if (bytes_equal_cstr(path, "/metrics")) {
        admin_metrics(call->admin, x);
    } else if (bytes_starts_with(path, decisions)) {
        admin_decision(call->admin, x, bytes_slice(path, decisions.len, SIZE_MAX));
    } else if (bytes_equal_cstr(path, "/v1/exceptions")) {
        admin_exceptions(call->admin, x);
    } else if (bytes_equal_cstr(path, "/v1/verdicts")) {
        admin_list(call, admin_run_verdicts);
    } else if (bytes_equal_cstr(path, "/v1/decisions")) {
        admin_list(call, admin_run_decisions);
    } else if (bytes_equal_cstr(path, "/v1/reevaluation")) {
        admin_reevaluation(call->admin, x);
    } else if (bytes_equal_cstr(path, "/v1/pending")) {
        admin_error(x, 404, "UNSUPPORTED", "pending pushes are not supported yet");
    } else {
        return false;
    }
    return true;
}

static bool admin_post(struct admin_call *call, struct exchange *x, struct bytes path)
{
    if (bytes_equal_cstr(path, "/v1/reload")) {
        admin_block(call, admin_run_reload);
    } else if (bytes_equal_cstr(path, "/v1/verify")) {
        call->is_verify = true;
        exchange_limit_body(x, ADMIN_MAX_BODY);
        if (!http1_head_has_body(exchange_head(x))) {
            admin_error(x, 400, "UNSUPPORTED", "say which image: {\"image\": \"...\"}");
        }
    } else {
        return false;
    }
    return true;
}

static void admin_record(struct admin *admin, struct exchange *x, const char *who, unsigned status)
{
    struct bytes path = http1_head_path(exchange_head(x));
    char peer[EXCHANGE_PEER_TEXT_BYTES];
    const struct recorder_call call = {
        .client = exchange_peer(x, peer),
        .who = who,
        .method = exchange_head(x)->method == HTTP1_METHOD_POST  ? "POST"
                  : exchange_head(x)->method == HTTP1_METHOD_GET ? "GET"
                                                                 : "other",
        .path = (const char *)path.data,
        .path_len = path.len,
        .status = status,
    };

    if (admin->gateway->recorder != NULL) {
        recorder_admin(admin->gateway->recorder, &call);
    }
}

static void admin_on_request(struct exchange *x)
{
    const struct http1_head *head = exchange_head(x);
    struct admin *admin = exchange_role(x);
    struct bytes path = http1_head_path(head);
    bool is_get = head->method == HTTP1_METHOD_GET || head->method == HTTP1_METHOD_HEAD;
    const char *who;
    struct admin_call *call;

    if (is_get && (bytes_equal_cstr(path, "/livez") || bytes_equal_cstr(path, "/healthz"))) {
        exchange_answer(x, 200, "application/json", "{\"alive\":true}", 14);
        return;
    }
    if (is_get && bytes_equal_cstr(path, "/readyz")) {
        admin_ready(admin, x);
        return;
    }
    who = admin_who(admin, x);
    if (who == NULL) {
        admin_record(admin, x, "", 401);
        exchange_header(x, "WWW-Authenticate", "Bearer realm=\"gatehouse admin\"");
        admin_error(x, 401, "UNAUTHORIZED", "the admin API asks for its token");
        return;
    }
    call = calloc(1, sizeof(*call));
    if (call == NULL) {
        exchange_fail(x);
        return;
    }
    call->admin = admin;
    call->x = x;
    call->is_recorded = !is_get;
    call->who = who;
    text_init(&call->body, ADMIN_MAX_BODY);
    text_init(&call->answer, ADMIN_MAX_ANSWER);
    exchange_set_context(x, call);
    if (is_get ? admin_get(call, x, path)
               : head->method == HTTP1_METHOD_POST && admin_post(call, x, path)) {
        return;
    }
    admin_error(x, 404, "UNSUPPORTED", "there is no such endpoint");
}

static void admin_on_done(struct exchange *x, const struct exchange_record *record)
{
    struct admin_call *call = exchange_context(x);

    if (call == NULL) {
        return;
    }
    if (call->is_recorded) {
        admin_record(call->admin, x, call->who, record->status);
    }
    call->x = NULL;
    if (!call->is_posted) {
        admin_call_free(call);
    }
}

const struct exchange_handler *admin_handler(void)
{
    static const struct exchange_handler handler = {
        .on_request = admin_on_request,
        .on_body = admin_on_body,
        .on_body_end = admin_on_body_end,
        .on_done = admin_on_done,
    };

    return &handler;
}
