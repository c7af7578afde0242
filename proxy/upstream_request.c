/*
 * One request to a registry, from waiting for a slot over redirects, credentials and retries to its
 * one answer.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/upstream_client.h"

static void request_arm(struct upstream_request *request, int64_t now)
{
    int64_t due = request->deadline_ms;
    const struct upstream_config *config = &request->upstream->config;
    struct timeval wait;

    switch (request->state) {
    case UPSTREAM_REQUEST_WAITING:
        due = GH_MIN(due, GH_MIN(request->next_ms, request->wait_deadline_ms));
        break;
    case UPSTREAM_REQUEST_BACKOFF:
        due = GH_MIN(due, request->next_ms);
        break;
    case UPSTREAM_REQUEST_RUNNING:
        if (!request->is_head_complete) {
            due = GH_MIN(due, request->started_ms + config->connect_timeout_ms +
                                  config->first_byte_timeout_ms);
        } else if (!request->is_sink_paused) {
            due = GH_MIN(due, request->progress_ms + config->stall_timeout_ms);
        }
        break;
    case UPSTREAM_REQUEST_ENDED:
        return;
    }
    if (request->is_cancelled) {
        due = now;
    }
    if (due == INT64_MAX) {
        (void)event_del(request->timer);
        return;
    }
    due = GH_MAX(due - now, 1);
    wait.tv_sec = due / 1000;
    wait.tv_usec = due % 1000 * 1000;
    (void)event_add(request->timer, &wait);
}

void upstream_request_defer(struct upstream_request *request)
{
    struct timeval now = {0};

    /* A timer of nothing fires after the loop has looked at its sockets: everybody gets a turn. */
    (void)event_add(request->timer, &now);
}

static void request_on_timer(evutil_socket_t fd, short what, void *arg)
{
    upstream_request_step(arg);
}

/* --- making and freeing --- */

static char *request_copy(const char *text)
{
    return text != NULL ? strdup(text) : NULL;
}

static char *request_make_url(const struct upstream *upstream, const char *path)
{
    size_t size = strlen(upstream->base) + strlen(path) + 1;
    char *url;

    if (path[0] != '/') {
        return strdup(path);
    }
    url = malloc(size);
    if (url != NULL) {
        (void)snprintf(url, size, "%s%s", upstream->base, path);
    }
    return url;
}

static char *request_make_scope(const struct upstream_ask *ask)
{
    char scope[512];

    if (ask->scope != NULL || ask->repository == NULL) {
        return request_copy(ask->scope);
    }
    if (snprintf(scope, sizeof(scope), "repository:%s:pull", ask->repository) >=
        (int)sizeof(scope)) {
        return NULL;
    }
    return strdup(scope);
}

static bool request_copy_ask(struct upstream_request *request, const struct upstream_ask *ask)
{
    request->method = ask->method;
    request->url = request_make_url(ask->upstream, ask->path);
    request->accept = request_copy(ask->accept);
    request->scope = request_make_scope(ask);
    request->post_type = request_copy(ask->body_type);
    request->range_first = ask->range_first;
    request->body_limit = GH_MIN(ask->body_limit, (size_t)UPSTREAM_MAX_BODY_BYTES);
    return request->url != NULL && (ask->accept == NULL || request->accept != NULL) &&
           ((ask->scope == NULL && ask->repository == NULL) || request->scope != NULL) &&
           (ask->body_type == NULL || request->post_type != NULL) &&
           (ask->body.len == 0 || bytes_dup(ask->body, &request->post, NULL));
}

struct upstream_request *upstream_request_new(struct upstream_client *client,
                                              const struct upstream_ask *ask)
{
    struct upstream_request *request = client->is_stopping ? NULL : calloc(1, sizeof(*request));
    int64_t now = upstream_now_ms();

    if (request == NULL) {
        return NULL;
    }
    request->client = client;
    request->upstream = upstream_ref(ask->upstream);
    TAILQ_INSERT_TAIL(&client->requests, request, all_link);
    request->head.content_length = -1;
    request->deadline_ms =
        now + (ask->timeout_ms != 0 ? (int64_t)ask->timeout_ms : UPSTREAM_FETCH_TIMEOUT_MS);
    request->wait_deadline_ms = now + UPSTREAM_QUEUE_MS;
    request->next_ms = now;
    request->timer = evtimer_new(client->base, request_on_timer, request);
    if (request->timer == NULL || !request_copy_ask(request, ask) ||
        !upstream_watch(request->upstream, client)) {
        upstream_unref(request->upstream);
        request->upstream = NULL;
        upstream_request_free(request);
        return NULL;
    }
    return request;
}

static void request_list_waiting(struct upstream_request *request, bool is_waiting)
{
    if (request->is_listed_waiting == is_waiting) {
        return;
    }
    request->is_listed_waiting = is_waiting;
    lock_acquire(&request->upstream->lock);
    if (is_waiting) {
        request->upstream->waiting++;
    } else {
        request->upstream->waiting--;
    }
    lock_release(&request->upstream->lock);
    if (is_waiting) {
        TAILQ_INSERT_TAIL(&request->client->waiting, request, waiting_link);
    } else {
        TAILQ_REMOVE(&request->client->waiting, request, waiting_link);
    }
}

static void request_leave(struct upstream_request *request, enum upstream_limit_result result)
{
    struct upstream *upstream = request->upstream;

    if (!request->has_slot) {
        return;
    }
    request->has_slot = false;
    lock_acquire(&upstream->lock);
    upstream_limit_leave(&upstream->limit, result, upstream_now_ms(),
                         upstream_client_random(request->client) & 255);
    upstream_wake_waiting(upstream);
    lock_release(&upstream->lock);
}

void upstream_request_free(struct upstream_request *request)
{
    upstream_hop_end(request);
    upstream_hop_reset_head(request);
    if (request->upstream != NULL) {
        request_list_waiting(request, false);
        upstream_token_abandon(request);
        request_leave(request, UPSTREAM_LIMIT_NEUTRAL);
        upstream_unwatch(request->upstream, request->client);
        upstream_unref(request->upstream);
    }
    TAILQ_REMOVE(&request->client->requests, request, all_link);
    if (request->timer != NULL) {
        event_free(request->timer);
    }
    upstream_auth_wipe(request->authorization);
    free(request->url);
    free(request->hop_url);
    free(request->accept);
    free(request->scope);
    free(request->post_type);
    bytes_buf_done(&request->post);
    bytes_buf_done(&request->body);
    free(request);
}

/* --- the answer --- */

static unsigned request_retry_after(const struct upstream_request *request)
{
    const char *text = upstream_head_get(&request->head, UPSTREAM_RETRY_AFTER);
    unsigned seconds = 0;

    /* The date form is rare among registries; a second is a fair guess at what it meant. */
    for (; text != NULL && *text >= '0' && *text <= '9' && seconds < 100000; text++) {
        seconds = seconds * 10 + (unsigned)(*text - '0');
    }
    return seconds == 0 && text != NULL && *text != '\0' ? 1 : seconds;
}

/* Tell the caller, once, and go. */
static void request_finish(struct upstream_request *request, enum upstream_outcome outcome,
                           bool is_retryable, const struct gh_error *error)
{
    struct upstream_result result = {.outcome = outcome, .is_retryable = is_retryable};

    upstream_hop_end(request);
    request->state = UPSTREAM_REQUEST_ENDED;
    request_list_waiting(request, false);
    request_leave(request, UPSTREAM_LIMIT_NEUTRAL);
    if (error != NULL) {
        result.error = *error;
    }
    result.retry_after_s = request_retry_after(request);
    result.head = request->head;
    memset(&request->head, 0, sizeof(request->head));
    if (outcome == UPSTREAM_OK) {
        result.body = request->body;
        request->body = (struct bytes_buf){0};
    }
    if (request->is_streamed) {
        request->sink.on_done(request->sink.ctx, &result);
    } else {
        request->done(request->ctx, &result);
    }
    upstream_result_done(&result);
    upstream_request_free(request);
}

static void request_fail(struct upstream_request *request, enum upstream_outcome outcome,
                         bool is_retryable, enum gh_cause cause, const char *text)
{
    struct gh_error error = {0};

    (void)gh_fail(&error, cause, "%s: %s", request->upstream->config.name, text);
    request_finish(request, outcome, is_retryable, &error);
}

/* --- trying --- */

static void request_wait(struct upstream_request *request, int64_t until_ms)
{
    int64_t now = upstream_now_ms();

    request->state = UPSTREAM_REQUEST_WAITING;
    request->next_ms = until_ms;
    request_arm(request, now);
}

static void request_start_hop(struct upstream_request *request)
{
    struct gh_error error = {0};

    if (!upstream_hop_start(request, &error)) {
        request_finish(request,
                       error.cause == GH_UPSTREAM_ADDRESS_REFUSED ? UPSTREAM_REFUSED
                                                                  : UPSTREAM_FAILED,
                       false, &error);
        return;
    }
    request->state = UPSTREAM_REQUEST_RUNNING;
    request_arm(request, request->started_ms);
}

bool upstream_request_origin(struct upstream_request *request, struct gh_error *err)
{
    const char *url = request->hop_url != NULL ? request->hop_url : request->url;

    if (!request->has_origin) {
        GH_TRY(upstream_redirect_origin(url, &request->origin, err));
        request->has_origin = true;
    }
    return true;
}

static void request_set_hop(struct upstream_request *request, char *url)
{
    free(request->hop_url);
    request->hop_url = url;
    request->has_origin = false;
}

/* Whether the URL may be asked at all: pagination links and the like are the registry's words. */
static bool request_check_origin(struct upstream_request *request, struct gh_error *err)
{
    GH_TRY(upstream_request_origin(request, err));
    if (!request->is_token && !request->upstream->config.is_any_host &&
        !upstream_redirect_same_origin(&request->origin, &request->upstream->origin)) {
        return gh_fail(err, GH_UPSTREAM_ADDRESS_REFUSED, "%s is not the registry %s",
                       request->origin.host, request->upstream->config.name);
    }
    return true;
}

/* Hand over what is there. False: the taker wants none of it. */
static bool request_stream_here(struct upstream_request *request, struct upstream_result *result)
{
    const struct upstream_sink *sink = &request->sink;
    struct bytes body = bytes_view(&result->body);

    return sink->on_head(sink->ctx, &result->head) &&
           (body.len == 0 || sink->on_data(sink->ctx, body) != UPSTREAM_TAKE_STOP);
}

/* Without a registry: no slot, token, redirect or retry, only an answer. */
static void request_answer_here(struct upstream_request *request)
{
    const struct upstream *upstream = request->upstream;
    struct upstream_result result = {0};

    if (request->method == UPSTREAM_POST || request->range_first != 0) {
        request_fail(request, UPSTREAM_REJECTED, false, GH_UPSTREAM_UNAVAILABLE,
                     "a folder answers whole GETs and HEADs alone");
        return;
    }
    upstream->answer(upstream->answer_ctx, request->url + strlen(upstream->base),
                     request->is_streamed ? UPSTREAM_MAX_BODY_BYTES : request->body_limit, &result);
    request->head = result.head;
    memset(&result.head, 0, sizeof(result.head));
    if (result.outcome == UPSTREAM_OK && request->is_streamed) {
        result.head = request->head; /* lent, for the call */
        if (!request_stream_here(request, &result)) {
            result.outcome = UPSTREAM_UNAVAILABLE;
        }
        memset(&result.head, 0, sizeof(result.head));
    } else if (result.outcome == UPSTREAM_OK && request->method == UPSTREAM_GET) {
        request->body = result.body;
        result.body = (struct bytes_buf){0};
    }
    bytes_buf_done(&result.body);
    request_finish(request, result.outcome, result.outcome == UPSTREAM_UNAVAILABLE, &result.error);
}

static bool request_enter(struct upstream_request *request, int64_t now)
{
    struct upstream *upstream = request->upstream;
    struct gh_error error = {0};
    enum upstream_limit_answer answer;
    int64_t wait_ms = 0;

    if (request->is_token) {
        return true; /* a slot may be held by one that waits for this very token */
    }
    lock_acquire(&upstream->lock);
    answer = upstream_limit_enter(&upstream->limit, now, &wait_ms, &error);
    lock_release(&upstream->lock);
    switch (answer) {
    case UPSTREAM_LIMIT_GO:
        request->has_slot = true;
        return true;
    case UPSTREAM_LIMIT_WAIT:
        if (wait_ms > 0 &&
            now + wait_ms > GH_MIN(request->wait_deadline_ms, request->deadline_ms)) {
            request_fail(request, UPSTREAM_UNAVAILABLE, true, GH_UPSTREAM_UNAVAILABLE,
                         "the registry asked to be left alone for a while (Retry-After)");
            return false;
        }
        request_wait(request, wait_ms < 0 ? INT64_MAX : now + wait_ms);
        return false;
    case UPSTREAM_LIMIT_REFUSED:
        break;
    }
    gh_error_at(&error, "%s", upstream->config.name);
    request_finish(request, UPSTREAM_UNAVAILABLE, true, &error);
    return false;
}

static void request_try(struct upstream_request *request, int64_t now)
{
    struct gh_error error = {0};

    /* Before asking, so that what is freed between the answer and the wait is not missed. */
    request_list_waiting(request, true);
    if (now >= GH_MIN(request->deadline_ms, request->wait_deadline_ms)) {
        request_fail(request, UPSTREAM_UNAVAILABLE, true, GH_UPSTREAM_UNAVAILABLE,
                     "too many requests wait for the registry");
        return;
    }
    if (!request_check_origin(request, &error)) {
        request_finish(request, UPSTREAM_REFUSED, false, &error);
        return;
    }
    if (request->upstream->answer != NULL) {
        request_answer_here(request);
        return;
    }
    switch (upstream_token_prepare(request, &error)) {
    case UPSTREAM_TOKEN_WAIT:
        request_wait(request, INT64_MAX);
        return;
    case UPSTREAM_TOKEN_REFUSED:
        request_finish(request,
                       error.cause == GH_UPSTREAM_UNAVAILABLE       ? UPSTREAM_UNAVAILABLE
                       : error.cause == GH_UPSTREAM_ADDRESS_REFUSED ? UPSTREAM_REFUSED
                                                                    : UPSTREAM_DENIED,
                       error.cause == GH_UPSTREAM_UNAVAILABLE, &error);
        return;
    case UPSTREAM_TOKEN_GO:
        break;
    }
    if (request_enter(request, now)) {
        request_list_waiting(request, false);
        request->attempts++;
        request_start_hop(request);
    }
}

void upstream_request_stop(struct upstream_request *request)
{
    if (request->is_cancelled) {
        upstream_request_free(request);
    } else {
        request_fail(request, UPSTREAM_UNAVAILABLE, false, GH_UPSTREAM_UNAVAILABLE,
                     "the gateway is stopping");
    }
}

static void request_backoff(struct upstream_request *request, unsigned retry_after_s,
                            const struct gh_error *error, enum upstream_outcome outcome)
{
    int64_t now = upstream_now_ms();
    int64_t base = (int64_t)request->upstream->config.retry_base_ms
                   << (request->attempts > 0 ? request->attempts - 1 : 0);
    int64_t wait =
        base / 2 + (int64_t)(upstream_client_random(request->client) % (uint32_t)(base + 1));

    wait = GH_MAX(wait, (int64_t)retry_after_s * 1000);
    if (request->attempts >= UPSTREAM_MAX_ATTEMPTS || wait > UPSTREAM_MAX_RETRY_WAIT_MS ||
        now + wait >= request->deadline_ms) {
        request_finish(request, outcome, true, error);
        return;
    }
    upstream_hop_reset_head(request);
    request_set_hop(request, NULL);
    request->hops = 0;
    request->state = UPSTREAM_REQUEST_BACKOFF;
    request->next_ms = now + wait;
    request->wait_deadline_ms = request->next_ms + UPSTREAM_QUEUE_MS;
    request_arm(request, now);
}

/* --- what an answer means --- */

static bool request_is_redirect(const struct upstream_request *request)
{
    int status = request->head.status;

    return (status == 301 || status == 302 || status == 303 || status == 307 || status == 308) &&
           upstream_head_get(&request->head, UPSTREAM_LOCATION) != NULL;
}

static void request_redirect(struct upstream_request *request)
{
    const char *location = upstream_head_get(&request->head, UPSTREAM_LOCATION);
    const char *from = request->hop_url != NULL ? request->hop_url : request->url;
    struct gh_error error = {0};
    char *next = NULL;

    if (request->is_token || request->method == UPSTREAM_POST) {
        request_fail(request, UPSTREAM_REFUSED, false, GH_UPSTREAM_ADDRESS_REFUSED,
                     "a redirect where none is followed");
        return;
    }
    if (++request->hops > UPSTREAM_MAX_REDIRECTS) {
        request_fail(request, UPSTREAM_REFUSED, false, GH_UPSTREAM_ADDRESS_REFUSED,
                     "more than 5 redirects");
        return;
    }
    if (!upstream_redirect_resolve(from, location, &next, &error)) {
        gh_error_at(&error, "redirect %u of %s", request->hops, request->upstream->config.name);
        request_finish(request, UPSTREAM_REFUSED, false, &error);
        return;
    }
    request_set_hop(request, next);
    request_start_hop(request);
}

static void request_unauthorized(struct upstream_request *request)
{
    struct gh_error error = {0};
    int64_t now = upstream_now_ms();

    request_leave(request, UPSTREAM_LIMIT_GOOD);
    if (request->hops > 0 || request->is_token || request->upstream->config.is_any_host) {
        request_fail(request, UPSTREAM_DENIED, false, GH_UPSTREAM_DENIED,
                     request->is_token ? "the token service refuses the credentials (401)"
                                       : "the place it redirects to answers 401");
        return;
    }
    if (!upstream_token_on_refused(request, &error)) {
        request_finish(request,
                       error.cause == GH_UPSTREAM_ADDRESS_REFUSED ? UPSTREAM_REFUSED
                                                                  : UPSTREAM_DENIED,
                       false, &error);
        return;
    }
    request->attempts--; /* finding out about credentials is not a failed attempt */
    request->wait_deadline_ms = now + UPSTREAM_QUEUE_MS;
    request->state = UPSTREAM_REQUEST_WAITING;
    upstream_request_defer(request);
}

static void request_hold(struct upstream_request *request, unsigned retry_after_s)
{
    struct upstream *upstream = request->upstream;

    if (retry_after_s == 0 || request->hops > 0 || request->is_token) {
        return;
    }
    lock_acquire(&upstream->lock);
    upstream_limit_hold(&upstream->limit, upstream_now_ms() + GH_MIN(retry_after_s, 60u) * 1000);
    lock_release(&upstream->lock);
}

static void request_status(struct upstream_request *request)
{
    int status = request->head.status;
    unsigned retry_after_s = request_retry_after(request);
    struct gh_error error = {0};
    const char *name = request->upstream->config.name;
    bool is_bad = status == 500 || status == 502 || status == 503 || status == 504;

    request_leave(request, is_bad && request->hops == 0 ? UPSTREAM_LIMIT_BAD : UPSTREAM_LIMIT_GOOD);
    if (status == 404) {
        (void)gh_fail(&error, GH_MANIFEST_UNKNOWN, "%s does not have it (404)", name);
        request_finish(request, UPSTREAM_ABSENT, false, &error);
        return;
    }
    if (status == 401 || status == 403) {
        (void)gh_fail(&error, GH_UPSTREAM_DENIED, "%s refuses access (%d)", name, status);
        request_finish(request, UPSTREAM_DENIED, false, &error);
        return;
    }
    (void)gh_fail(&error, GH_UPSTREAM_UNAVAILABLE, "%s answers %d", name, status);
    if (status == 429 || is_bad) {
        request_hold(request, retry_after_s);
        request_backoff(request, retry_after_s, &error,
                        status == 429 ? UPSTREAM_THROTTLED : UPSTREAM_UNAVAILABLE);
        return;
    }
    request_finish(request, UPSTREAM_REJECTED, false, &error);
}

/* No whole answer: not reached, broken off, too slow. */
static void request_broken(struct upstream_request *request, CURLcode code)
{
    struct gh_error error = {0};
    bool is_certificate = code == CURLE_PEER_FAILED_VERIFICATION ||
                          code == CURLE_SSL_CACERT_BADFILE || code == CURLE_SSL_ISSUER_ERROR;

    request_leave(request, request->hops == 0 ? UPSTREAM_LIMIT_BAD : UPSTREAM_LIMIT_NEUTRAL);
    (void)gh_fail(&error, GH_UPSTREAM_UNAVAILABLE, "%s: %s after %llu bytes",
                  request->upstream->config.name,
                  code == CURLE_OK ? "the answer makes no sense" : curl_easy_strerror(code),
                  (unsigned long long)request->received_bytes);
    if (is_certificate || request->is_head_given || code == CURLE_OPERATION_TIMEDOUT) {
        request_finish(request, UPSTREAM_UNAVAILABLE, true, &error);
        return;
    }
    request_backoff(request, 0, &error, UPSTREAM_UNAVAILABLE);
}

static void request_good(struct upstream_request *request)
{
    request_leave(request, UPSTREAM_LIMIT_GOOD);
    if (request->is_streamed && !request->is_head_given) {
        request->is_head_given = true;
        if (!request->sink.on_head(request->sink.ctx, &request->head)) {
            request_fail(request, UPSTREAM_UNAVAILABLE, false, GH_UPSTREAM_UNAVAILABLE,
                         "the answer was not wanted");
            return;
        }
    }
    request_finish(request, UPSTREAM_OK, false, NULL);
}

void upstream_request_complete(struct upstream_request *request, CURLcode code)
{
    int status = request->is_head_complete ? request->head.status : 0;

    upstream_hop_end(request);
    if (request->is_cancelled) {
        upstream_request_free(request);
        return;
    }
    if (request->refusal.cause != GH_CAUSE_NONE) {
        bool is_retryable = request->refusal_outcome == UPSTREAM_UNAVAILABLE;

        request_leave(request, UPSTREAM_LIMIT_NEUTRAL);
        request_finish(request, request->refusal_outcome, is_retryable, &request->refusal);
    } else if (request->is_stopped_by_sink) {
        request_leave(request, UPSTREAM_LIMIT_GOOD);
        request_fail(request, UPSTREAM_UNAVAILABLE, false, GH_UPSTREAM_UNAVAILABLE,
                     "the answer was not wanted");
    } else if (status == 200 || status == 206) {
        if (code == CURLE_OK) {
            request_good(request);
        } else {
            request_broken(request, code);
        }
    } else if (status == 0) {
        request_broken(request, code);
    } else if (request_is_redirect(request)) {
        request_redirect(request);
    } else if (status == 401) {
        request_unauthorized(request);
    } else {
        request_status(request);
    }
}

/* --- the clock --- */

static void request_check_running(struct upstream_request *request, int64_t now)
{
    const struct upstream_config *config = &request->upstream->config;
    bool is_late = now >= request->deadline_ms;

    if (request->is_curl_paused && !request->is_sink_paused && !is_late) {
        struct upstream_client *client = request->client;

        request->is_curl_paused = false;
        request->progress_ms = now;
        client->turn++;
        request_arm(request, now); /* what curl kept may be delivered, and paused again, at once */
        (void)curl_easy_pause(request->easy, CURLPAUSE_CONT);
        upstream_client_drain(client);
        return;
    }
    if (!request->is_head_complete) {
        is_late = is_late || now >= request->started_ms + config->connect_timeout_ms +
                                        config->first_byte_timeout_ms;
    } else if (!request->is_sink_paused) {
        is_late = is_late || now >= request->progress_ms + config->stall_timeout_ms;
    }
    if (is_late) {
        upstream_request_complete(request, CURLE_OPERATION_TIMEDOUT);
        return;
    }
    request_arm(request, now);
}

void upstream_request_step(struct upstream_request *request)
{
    int64_t now = upstream_now_ms();

    if (request->is_cancelled) {
        upstream_request_free(request);
        return;
    }
    switch (request->state) {
    case UPSTREAM_REQUEST_WAITING:
        request_try(request, now);
        break;
    case UPSTREAM_REQUEST_BACKOFF:
        if (now >= request->next_ms || now >= request->deadline_ms) {
            request->state = UPSTREAM_REQUEST_WAITING;
            request_try(request, now);
        } else {
            request_arm(request, now);
        }
        break;
    case UPSTREAM_REQUEST_RUNNING:
        request_check_running(request, now);
        break;
    case UPSTREAM_REQUEST_ENDED:
        break;
    }
}

/* --- what callers call --- */

struct upstream_request *upstream_fetch(struct upstream_client *client,
                                        const struct upstream_ask *ask, upstream_done_fn done,
                                        void *ctx)
{
    struct upstream_request *request = upstream_request_new(client, ask);

    if (request == NULL) {
        return NULL;
    }
    request->done = done;
    request->ctx = ctx;
    upstream_request_defer(request);
    return request;
}

struct upstream_request *upstream_stream(struct upstream_client *client,
                                         const struct upstream_ask *ask,
                                         const struct upstream_sink *sink)
{
    struct upstream_request *request = upstream_request_new(client, ask);

    if (request == NULL) {
        return NULL;
    }
    request->is_streamed = true;
    request->sink = *sink;
    if (ask->timeout_ms == 0) {
        request->deadline_ms = INT64_MAX;
    }
    upstream_request_defer(request);
    return request;
}

void upstream_resume(struct upstream_request *request)
{
    if (request->is_sink_paused) {
        request->is_sink_paused = false;
        request->progress_ms = upstream_now_ms();
        upstream_request_defer(request);
    }
}

void upstream_cancel(struct upstream_request *request)
{
    if (request != NULL && request->state != UPSTREAM_REQUEST_ENDED) {
        request->is_cancelled = true;
        upstream_request_defer(request);
    }
}
