/* The registry client against a fake registry on loopback. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <event2/event.h>
#include <unistd.h>

#include "metrics/prom.h"
#include "proxy/upstream.h"
#include "tests/support/fake_upstream.h"

struct scene {
    struct event_base *base;
    struct upstream_client *client;
    struct prom *prom;
    struct upstream *upstream;
    struct fake_upstream *server;
    struct fake_upstream *other;
    int step;
    size_t pending;
};

struct outcome {
    struct scene *scene;
    enum upstream_outcome outcome;
    bool is_retryable;
    int status;
    enum gh_cause cause;
    char text[GH_ERROR_MAX_TEXT];
    char body[4096];
    size_t body_len;
    size_t calls;
};

static void scene_start_with(struct scene *scene, fake_answer_fn answer, fake_answer_fn other,
                             struct upstream_config *config)
{
    struct gh_error err = {0};

    scene->base = event_base_new();
    assert_true(prom_new(&scene->prom, &err));
    assert_true(upstream_client_new(scene->base, scene->prom, &scene->client, &err));
    scene->server = fake_upstream_start(answer, scene);
    if (other != NULL) {
        scene->other = fake_upstream_start(other, scene);
    }
    config->name = "registry.test";
    config->tenant = "payments";
    config->url = fake_upstream_url(scene->server, "");
    config->retry_base_ms = 5;
    assert_true(upstream_new(config, &scene->upstream, &err));
}

static void scene_start(struct scene *scene, fake_answer_fn answer, fake_answer_fn other)
{
    struct upstream_config config = {0};

    scene_start_with(scene, answer, other, &config);
}

static void scene_stop(struct scene *scene)
{
    upstream_client_free(scene->client);
    upstream_unref(scene->upstream);
    event_base_free(scene->base);
    prom_free(scene->prom);
    fake_upstream_stop(scene->server);
    if (scene->other != NULL) {
        fake_upstream_stop(scene->other);
    }
}

static void outcome_on_done(void *ctx, struct upstream_result *result)
{
    struct outcome *out = ctx;

    out->calls++;
    out->outcome = result->outcome;
    out->is_retryable = result->is_retryable;
    out->status = result->head.status;
    out->cause = result->error.cause;
    (void)snprintf(out->text, sizeof(out->text), "%s", result->error.text);
    out->body_len = result->body.len;
    if (result->body.len > 0) {
        memcpy(out->body, result->body.data, GH_MIN(result->body.len, sizeof(out->body) - 1));
    }
    if (--out->scene->pending == 0) {
        event_base_loopbreak(out->scene->base);
    }
}

static void scene_ask(struct scene *scene, const char *path, struct outcome *out)
{
    struct upstream_ask ask = {.upstream = scene->upstream,
                               .path = path,
                               .repository = "acme/app",
                               .body_limit = 1024,
                               .timeout_ms = 10000};

    memset(out, 0, sizeof(*out));
    out->scene = scene;
    scene->pending++;
    assert_non_null(upstream_fetch(scene->client, &ask, outcome_on_done, out));
}

static struct outcome scene_fetch(struct scene *scene, const char *path)
{
    struct outcome out;

    scene_ask(scene, path, &out);
    (void)event_base_dispatch(scene->base);
    assert_int_equal(out.calls, 1);
    return out;
}

/* Hops that ended so. */
static double scene_count(const struct scene *scene, const char *code)
{
    return prom_value(scene->prom, PROM_UPSTREAM_REQUESTS,
                      PROM_LABELS("payments", "registry.test", code));
}

/* --- answers --- */

static bool answer_hello(void *ctx, struct fake_call *call)
{
    return fake_reply(call, 200, "Content-Type: text/plain\r\nDocker-Content-Digest: sha256:x\r\n",
                      "hello");
}

static void fetch_plain_ok(void **state)
{
    struct scene scene = {0};
    struct outcome out;

    scene_start(&scene, answer_hello, NULL);
    out = scene_fetch(&scene, "/v2/");
    assert_int_equal(out.outcome, UPSTREAM_OK);
    assert_int_equal(out.status, 200);
    assert_int_equal(out.body_len, 5);
    assert_memory_equal(out.body, "hello", 5);
    assert_int_equal(fake_upstream_calls_with(scene.server, "Authorization"), 0);
    scene_stop(&scene);
}

static void outcome_on_head(void *ctx, struct upstream_result *result)
{
    assert_int_equal(result->head.content_length, 5);
    assert_string_equal(upstream_head_get(&result->head, UPSTREAM_DOCKER_CONTENT_DIGEST),
                        "sha256:x");
    assert_string_equal(upstream_head_get(&result->head, UPSTREAM_CONTENT_TYPE), "text/plain");
    assert_null(upstream_head_get(&result->head, UPSTREAM_LINK));
    outcome_on_done(ctx, result);
}

static void fetch_head_gives_headers_alone(void **state)
{
    struct scene scene = {.pending = 1};
    struct outcome out = {.scene = &scene};
    struct upstream_ask ask = {.method = UPSTREAM_HEAD, .path = "/v2/a", .accept = "text/plain"};

    scene_start(&scene, answer_hello, NULL);
    ask.upstream = scene.upstream;
    assert_non_null(upstream_fetch(scene.client, &ask, outcome_on_head, &out));
    (void)event_base_dispatch(scene.base);
    assert_int_equal(out.outcome, UPSTREAM_OK);
    assert_int_equal(out.body_len, 0);
    assert_int_equal(fake_upstream_calls_with(scene.server, "HEAD /v2/a"), 1);
    assert_int_equal(fake_upstream_calls_with(scene.server, "Accept: text/plain"), 1);
    scene_stop(&scene);
}

static bool answer_large(void *ctx, struct fake_call *call)
{
    char body[2048];

    memset(body, 'x', sizeof(body));
    if (strstr(call->target, "exact") != NULL) {
        return fake_reply_bytes(call, 200, "", body, 1024);
    }
    return fake_reply_bytes(call, 200, "", body, 1025);
}

static void fetch_body_over_limit_refused(void **state)
{
    struct scene scene = {0};
    struct outcome out;

    scene_start(&scene, answer_large, NULL);
    out = scene_fetch(&scene, "/v2/exact");
    assert_int_equal(out.outcome, UPSTREAM_OK);
    assert_int_equal(out.body_len, 1024);
    out = scene_fetch(&scene, "/v2/more");
    assert_int_equal(out.outcome, UPSTREAM_TOO_LARGE);
    assert_int_equal(out.cause, GH_SIZE_LIMIT_EXCEEDED);
    assert_false(out.is_retryable);
    scene_stop(&scene);
}

static bool answer_status(void *ctx, struct fake_call *call)
{
    return fake_reply(call, atoi(strrchr(call->target, '/') + 1), "", "{}");
}

static void fetch_statuses_told_apart(void **state)
{
    static const struct {
        const char *path;
        enum upstream_outcome outcome;
        enum gh_cause cause;
        bool is_retryable;
    } rows[] = {
        {"/404", UPSTREAM_ABSENT, GH_MANIFEST_UNKNOWN, false},
        {"/403", UPSTREAM_DENIED, GH_UPSTREAM_DENIED, false},
        {"/401", UPSTREAM_DENIED, GH_UPSTREAM_DENIED, false},
        {"/429", UPSTREAM_THROTTLED, GH_UPSTREAM_UNAVAILABLE, true},
        {"/503", UPSTREAM_UNAVAILABLE, GH_UPSTREAM_UNAVAILABLE, true},
        {"/418", UPSTREAM_REJECTED, GH_UPSTREAM_UNAVAILABLE, false},
        {"/302", UPSTREAM_REJECTED, GH_UPSTREAM_UNAVAILABLE, false},
    };
    struct scene scene = {0};

    scene_start(&scene, answer_status, NULL);
    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        struct outcome out = scene_fetch(&scene, rows[i].path);

        assert_int_equal(out.outcome, rows[i].outcome);
        assert_int_equal(out.cause, rows[i].cause);
        assert_int_equal(out.is_retryable, rows[i].is_retryable);
    }
    assert_int_equal(fake_upstream_calls_with(scene.server, "/503"), 3);
    assert_int_equal(fake_upstream_calls_with(scene.server, "/404"), 1);
    scene_stop(&scene);
}

/* --- redirects --- */

static bool answer_redirect(void *ctx, struct fake_call *call)
{
    struct scene *scene = ctx;
    char headers[512];

    if (strncmp(call->target, "/loop", 5) == 0) {
        return fake_reply(call, 307, "Location: /loop\r\n", "");
    }
    if (strcmp(call->target, "/v2/here") == 0) {
        return fake_reply(call, 307, "Location: /v2/there\r\n", "");
    }
    if (strcmp(call->target, "/v2/file") == 0) {
        return fake_reply(call, 307, "Location: file:///etc/passwd\r\n", "");
    }
    if (strcmp(call->target, "/v2/inside") == 0) {
        (void)snprintf(headers, sizeof(headers), "Location: http://127.0.0.2:%u/secret\r\n",
                       fake_upstream_port(scene->other));
        return fake_reply(call, 307, headers, "");
    }
    if (strcmp(call->target, "/v2/there") == 0) {
        return fake_reply(call, 200, "", "there");
    }
    (void)snprintf(headers, sizeof(headers), "Location: %s\r\n",
                   fake_upstream_url(scene->other, "/blob?sig=1"));
    return fake_reply(call, 307, headers, "");
}

static bool answer_basic_redirect(void *ctx, struct fake_call *call)
{
    if (fake_header(call, "Authorization") == NULL) {
        return fake_reply(call, 401, "WWW-Authenticate: Basic realm=\"r\"\r\n", "");
    }
    return answer_redirect(ctx, call);
}

static void redirect_other_host_gets_no_credentials(void **state)
{
    struct scene scene = {0};
    struct upstream_config config = {.username = "bot", .password = BYTES_LITERAL("hunter2")};
    struct outcome out;

    scene_start_with(&scene, answer_basic_redirect, answer_hello, &config);
    out = scene_fetch(&scene, "/v2/away");
    assert_int_equal(out.outcome, UPSTREAM_OK);
    assert_memory_equal(out.body, "hello", 5);
    assert_int_equal(
        fake_upstream_calls_with(scene.server, "Authorization: Basic Ym90Omh1bnRlcjI="), 1);
    assert_int_equal(fake_upstream_calls(scene.other), 1);
    assert_int_equal(fake_upstream_calls_with(scene.other, "Authorization"), 0);
    out = scene_fetch(&scene, "/v2/here");
    assert_int_equal(out.outcome, UPSTREAM_OK);
    assert_int_equal(fake_upstream_calls_with(scene.server, "GET /v2/there"), 1);
    assert_int_equal(fake_upstream_calls_with(scene.server, "Authorization: Basic"), 3);
    scene_stop(&scene);
}

static void redirect_not_acceptable_refused(void **state)
{
    static const char *const paths[] = {"/loop", "/v2/file", "/v2/inside"};
    struct scene scene = {0};

    scene_start(&scene, answer_redirect, answer_hello);
    for (size_t i = 0; i < GH_COUNT(paths); i++) {
        struct outcome out = scene_fetch(&scene, paths[i]);

        assert_int_equal(out.outcome, UPSTREAM_REFUSED);
        assert_int_equal(out.cause, GH_UPSTREAM_ADDRESS_REFUSED);
        assert_false(out.is_retryable);
    }
    assert_int_equal(fake_upstream_calls_with(scene.server, "GET /loop"),
                     UPSTREAM_MAX_REDIRECTS + 1);
    assert_int_equal(fake_upstream_calls(scene.other), 0);
    scene_stop(&scene);
}

static void redirect_named_private_host_followed(void **state)
{
    static const char *const hosts[] = {"127.0.0.2"};
    struct scene scene = {0};
    struct upstream_config config = {.redirect_hosts = hosts, .redirect_host_count = 1};
    struct outcome out;

    scene_start_with(&scene, answer_redirect, answer_hello, &config);
    out = scene_fetch(&scene, "/v2/inside");
    /* The fake listens on 127.0.0.1 alone: the address was allowed, and nobody answers. */
    assert_int_equal(out.outcome, UPSTREAM_UNAVAILABLE);
    assert_int_equal(out.cause, GH_UPSTREAM_UNAVAILABLE);
    scene_stop(&scene);
}

static void fetch_whole_url_of_other_host_refused(void **state)
{
    struct scene scene = {0};
    struct outcome out;

    scene_start(&scene, answer_hello, answer_hello);
    out = scene_fetch(&scene, fake_upstream_url(scene.other, "/v2/x"));
    assert_int_equal(out.outcome, UPSTREAM_REFUSED);
    assert_int_equal(fake_upstream_calls(scene.other), 0);
    scene_stop(&scene);
}

/* --- tokens --- */

static bool answer_token(void *ctx, struct fake_call *call)
{
    struct scene *scene = ctx;
    char text[512];

    if (strncmp(call->target, "/token", 6) == 0) {
        (void)snprintf(text, sizeof(text), "{\"token\":\"tok%d\",\"expires_in\":300}", scene->step);
        return fake_reply(call, 200, "", text);
    }
    (void)snprintf(text, sizeof(text), "Bearer tok%d", scene->step);
    if (fake_header(call, "Authorization") == NULL ||
        strcmp(fake_header(call, "Authorization"), text) != 0) {
        (void)snprintf(text, sizeof(text),
                       "WWW-Authenticate: Bearer realm=\"%s\",service=\"s\",scope=\"dummy\"\r\n",
                       fake_upstream_url(scene->server, "/token"));
        return fake_reply(call, 401, text, "");
    }
    return fake_reply(call, 200, "", "granted");
}

static void token_flow_cached_and_renewed(void **state)
{
    struct scene scene = {0};
    struct upstream_config config = {.username = "bot", .password = BYTES_LITERAL("hunter2")};
    struct outcome outs[10];
    struct outcome out;

    scene_start_with(&scene, answer_token, NULL, &config);
    out = scene_fetch(&scene, "/v2/a");
    assert_int_equal(out.outcome, UPSTREAM_OK);
    assert_int_equal(fake_upstream_calls_with(
                         scene.server, "GET /token?service=s&scope=repository%3aacme%2fapp%3apull"),
                     1);
    assert_int_equal(fake_upstream_calls_with(scene.server, "Authorization: Basic"), 1);
    for (size_t i = 0; i < GH_COUNT(outs); i++) {
        scene_ask(&scene, "/v2/b", &outs[i]);
    }
    (void)event_base_dispatch(scene.base);
    assert_int_equal(fake_upstream_calls_with(scene.server, "GET /token"), 1);
    assert_int_equal(fake_upstream_calls_with(scene.server, "GET /v2/b"), 10);
    scene.step = 1; /* the registry forgets its tokens */
    out = scene_fetch(&scene, "/v2/c");
    assert_int_equal(out.outcome, UPSTREAM_OK);
    assert_int_equal(fake_upstream_calls_with(scene.server, "GET /token"), 2);
    scene_stop(&scene);
}

static void token_single_flight(void **state)
{
    struct scene scene = {0};
    struct outcome outs[20];

    scene_start(&scene, answer_token, NULL);
    (void)scene_fetch(&scene, "/v2/a");
    scene.step = 1;
    for (size_t i = 0; i < GH_COUNT(outs); i++) {
        scene_ask(&scene, "/v2/b", &outs[i]);
    }
    (void)event_base_dispatch(scene.base);
    for (size_t i = 0; i < GH_COUNT(outs); i++) {
        assert_int_equal(outs[i].outcome, UPSTREAM_OK);
    }
    assert_true(fake_upstream_calls_with(scene.server, "GET /token") <= 3);
    scene_stop(&scene);
}

static bool answer_hostile_realm(void *ctx, struct fake_call *call)
{
    struct scene *scene = ctx;
    char text[512];

    (void)snprintf(text, sizeof(text), "WWW-Authenticate: Bearer realm=\"%s\",service=\"s\"\r\n",
                   fake_upstream_url(scene->other, "/token"));
    return fake_reply(call, 401, text, "");
}

static void token_hostile_realm_gets_nothing(void **state)
{
    struct scene scene = {0};
    struct upstream_config config = {.username = "bot", .password = BYTES_LITERAL("hunter2")};
    struct outcome out;

    scene_start_with(&scene, answer_hostile_realm, answer_token, &config);
    out = scene_fetch(&scene, "/v2/a");
    assert_int_equal(out.outcome, UPSTREAM_REFUSED);
    assert_int_equal(out.cause, GH_UPSTREAM_ADDRESS_REFUSED);
    assert_non_null(strstr(out.text, "auth_hosts"));
    assert_int_equal(fake_upstream_calls(scene.other), 0);
    assert_int_equal(fake_upstream_calls_with(scene.server, "Authorization"), 0);
    scene_stop(&scene);
}

static bool answer_no_token(void *ctx, struct fake_call *call)
{
    struct scene *scene = ctx;

    if (strncmp(call->target, "/token", 6) == 0) {
        return fake_reply(call, scene->step, "Location: /token2\r\n", "{}");
    }
    return answer_token(ctx, call);
}

static void token_service_refusal_told_apart(void **state)
{
    static const struct {
        int status;
        enum upstream_outcome outcome;
    } rows[] = {{401, UPSTREAM_DENIED},
                {403, UPSTREAM_DENIED},
                {200, UPSTREAM_DENIED},
                {302, UPSTREAM_REFUSED},
                {503, UPSTREAM_UNAVAILABLE}};

    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        struct scene scene = {.step = rows[i].status};
        struct outcome out;

        scene_start(&scene, answer_no_token, NULL);
        out = scene_fetch(&scene, "/v2/a");
        assert_int_equal(out.outcome, rows[i].outcome);
        assert_int_equal(out.is_retryable, rows[i].status == 503);
        assert_int_equal(fake_upstream_calls_with(scene.server, "/token2"), 0);
        scene_stop(&scene);
    }
}

/* --- trouble --- */

static const char answer_cut_text[] = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhal";

static bool answer_flaky(void *ctx, struct fake_call *call)
{
    struct scene *scene = ctx;

    switch (scene->step++) {
    case 0:
        fake_reset(call);
        return false;
    case 1:
        (void)fake_send(call, answer_cut_text, strlen(answer_cut_text));
        return false;
    default:
        return fake_reply(call, 200, "", "whole");
    }
}

static void fetch_flaky_registry_tried_again(void **state)
{
    struct scene scene = {0};
    struct outcome out;

    scene_start(&scene, answer_flaky, NULL);
    out = scene_fetch(&scene, "/v2/a");
    assert_int_equal(out.outcome, UPSTREAM_OK);
    assert_int_equal(out.body_len, 5);
    assert_memory_equal(out.body, "whole", 5);
    assert_int_equal(fake_upstream_calls(scene.server), 3);
    scene_stop(&scene);
}

static bool answer_down(void *ctx, struct fake_call *call)
{
    struct scene *scene = ctx;

    return scene->step > 0 ? answer_hello(ctx, call) : fake_reply(call, 502, "", "");
}

static void fetch_dead_registry_left_alone_then_probed(void **state)
{
    struct scene scene = {0};
    struct upstream_config config = {.breaker_failures = 3, .breaker_hold_ms = 60};
    struct outcome out;

    scene_start_with(&scene, answer_down, NULL, &config);
    out = scene_fetch(&scene, "/v2/a");
    assert_int_equal(out.outcome, UPSTREAM_UNAVAILABLE);
    assert_int_equal(fake_upstream_calls(scene.server), 3);
    assert_false(upstream_is_available(scene.upstream));
    out = scene_fetch(&scene, "/v2/a");
    assert_int_equal(out.outcome, UPSTREAM_UNAVAILABLE);
    assert_true(out.is_retryable);
    assert_int_equal(fake_upstream_calls(scene.server), 3); /* not even asked */
    scene.step = 1;
    (void)usleep(90000);
    out = scene_fetch(&scene, "/v2/a");
    assert_int_equal(out.outcome, UPSTREAM_OK);
    assert_true(upstream_is_available(scene.upstream));
    scene_stop(&scene);
}

static bool answer_throttled(void *ctx, struct fake_call *call)
{
    struct scene *scene = ctx;

    return scene->step++ == 0 ? fake_reply(call, 429, "Retry-After: 1\r\n", "")
                              : answer_hello(ctx, call);
}

static void fetch_retry_after_honoured(void **state)
{
    struct scene scene = {0};
    int64_t began = upstream_now_ms();
    struct outcome out;

    scene_start(&scene, answer_throttled, NULL);
    out = scene_fetch(&scene, "/v2/a");
    assert_int_equal(out.outcome, UPSTREAM_OK);
    assert_true(upstream_now_ms() - began >= 1000);
    scene_stop(&scene);
}

static bool answer_never(void *ctx, struct fake_call *call)
{
    if (strstr(call->target, "stall") != NULL) {
        (void)fake_send(call, answer_cut_text, strlen(answer_cut_text));
    }
    char byte;

    (void)!read(call->fd, &byte, 1); /* until the client gives up */
    return false;
}

static void fetch_silent_registry_times_out(void **state)
{
    struct scene scene = {0};
    struct upstream_config config = {
        .connect_timeout_ms = 50, .first_byte_timeout_ms = 50, .stall_timeout_ms = 50};
    int64_t began = upstream_now_ms();
    struct outcome out;

    scene_start_with(&scene, answer_never, NULL, &config);
    out = scene_fetch(&scene, "/v2/a");
    assert_int_equal(out.outcome, UPSTREAM_UNAVAILABLE);
    assert_true(out.is_retryable);
    out = scene_fetch(&scene, "/v2/stall");
    assert_int_equal(out.outcome, UPSTREAM_UNAVAILABLE);
    assert_true(upstream_now_ms() - began < 2000);
    scene_stop(&scene);
}

static void metrics_hops_and_attempts_counted_by_status(void **state)
{
    struct scene scene = {0};

    scene_start(&scene, answer_redirect, answer_hello);
    assert_int_equal(scene_fetch(&scene, "/v2/here").outcome, UPSTREAM_OK);
    assert_int_equal(scene_fetch(&scene, "/v2/away").outcome, UPSTREAM_OK);
    assert_true(scene_count(&scene, "307") == 2);
    assert_true(scene_count(&scene, "200") == 2);
    scene_stop(&scene);

    scene = (struct scene){0};
    scene_start(&scene, answer_status, NULL);
    assert_int_equal(scene_fetch(&scene, "/503").outcome, UPSTREAM_UNAVAILABLE);
    assert_int_equal(scene_fetch(&scene, "/999").outcome, UPSTREAM_REJECTED);
    assert_true(scene_count(&scene, "503") == 3); /* attempts */
    assert_true(scene_count(&scene, "other") == 1);
    assert_true(scene_count(&scene, "999") == 0);
    scene_stop(&scene);
}

static void metrics_no_answer_counted_as_error(void **state)
{
    struct upstream_config config = {
        .connect_timeout_ms = 50, .first_byte_timeout_ms = 50, .stall_timeout_ms = 50};
    struct upstream_ask ask = {.path = "/v2/a", .body_limit = 10};
    struct outcome ignored = {0};
    struct scene scene = {0};
    struct upstream_request *request;

    scene_start_with(&scene, answer_never, NULL, &config);
    assert_int_equal(scene_fetch(&scene, "/v2/a").outcome, UPSTREAM_UNAVAILABLE);
    assert_true(scene_count(&scene, "error") == 1);
    ask.upstream = scene.upstream;
    request = upstream_fetch(scene.client, &ask, outcome_on_done, &ignored);
    (void)event_base_loop(scene.base, EVLOOP_ONCE);
    upstream_cancel(request);
    (void)event_base_loop(scene.base, EVLOOP_ONCE);
    assert_true(scene_count(&scene, "cancelled") == 1);
    assert_int_equal(ignored.calls, 0);
    scene_stop(&scene);
}

static bool answer_counts(void *ctx, struct fake_call *call)
{
    struct scene *scene = ctx;
    int now = __atomic_add_fetch(&scene->step, 1, __ATOMIC_SEQ_CST);
    bool is_kept;

    (void)usleep(5000);
    is_kept = now <= 2 ? answer_hello(ctx, call) : fake_reply(call, 418, "", "");
    __atomic_sub_fetch(&scene->step, 1, __ATOMIC_SEQ_CST);
    return is_kept;
}

static void fetch_many_at_once_bounded(void **state)
{
    struct scene scene = {0};
    struct upstream_config config = {.concurrency = 2};
    struct outcome outs[12];

    scene_start_with(&scene, answer_counts, NULL, &config);
    for (size_t i = 0; i < GH_COUNT(outs); i++) {
        scene_ask(&scene, "/v2/a", &outs[i]);
    }
    (void)event_base_dispatch(scene.base);
    for (size_t i = 0; i < GH_COUNT(outs); i++) {
        assert_int_equal(outs[i].outcome, UPSTREAM_OK);
    }
    scene_stop(&scene);
}

static void cancel_under_way_never_called(void **state)
{
    struct scene scene = {0};
    struct upstream_ask ask = {.path = "/v2/a", .body_limit = 10};
    struct outcome ignored = {0};
    struct outcome out;

    scene_start(&scene, answer_hello, NULL);
    ask.upstream = scene.upstream;
    for (int i = 0; i < 3; i++) {
        struct upstream_request *request =
            upstream_fetch(scene.client, &ask, outcome_on_done, &ignored);

        for (int turn = 0; turn < i; turn++) {
            (void)event_base_loop(scene.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
        }
        upstream_cancel(request);
    }
    out = scene_fetch(&scene, "/v2/b");
    assert_int_equal(out.outcome, UPSTREAM_OK);
    assert_int_equal(ignored.calls, 0);
    scene_stop(&scene);
}

static void outcome_ask_again(void *ctx, struct upstream_result *result)
{
    struct outcome *out = ctx;
    struct upstream_ask ask = {
        .upstream = out->scene->upstream, .path = "/v2/again", .body_limit = 10};

    outcome_on_done(ctx, result);
    assert_null(upstream_fetch(out->scene->client, &ask, outcome_on_done, ctx));
}

static void client_free_tells_whoever_waits(void **state)
{
    struct scene scene = {0};
    struct upstream_ask ask = {.path = "/v2/a", .body_limit = 10};
    struct outcome outcomes[4] = {0};

    scene_start(&scene, answer_hello, NULL);
    ask.upstream = scene.upstream;
    scene.pending = INT_MAX;
    for (size_t i = 0; i < GH_COUNT(outcomes); i++) {
        outcomes[i].scene = &scene;
        assert_non_null(upstream_fetch(scene.client, &ask, outcome_ask_again, &outcomes[i]));
        if (i == 1) { /* two are on their way, two have not begun */
            (void)event_base_loop(scene.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
        }
    }
    scene_stop(&scene);
    for (size_t i = 0; i < GH_COUNT(outcomes); i++) {
        assert_int_equal(outcomes[i].calls, 1);
        assert_int_equal(outcomes[i].outcome, UPSTREAM_UNAVAILABLE);
        assert_int_equal(outcomes[i].cause, GH_UPSTREAM_UNAVAILABLE);
    }
}

static bool answer_bad_head(void *ctx, struct fake_call *call)
{
    static const char two[] =
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello";
    static const char big[] = "HTTP/1.1 200 OK\r\n";

    if (strstr(call->target, "two") != NULL) {
        (void)fake_send(call, two, sizeof(two) - 1);
        return false;
    }
    (void)fake_send(call, big, sizeof(big) - 1);
    for (int i = 0; i < 2000; i++) {
        char line[64];
        int len = snprintf(line, sizeof(line), "X-%04d: 0123456789012345678901234567890\r\n", i);

        if (!fake_send(call, line, (size_t)len)) {
            break;
        }
    }
    return false;
}

static void fetch_hostile_head_refused(void **state)
{
    struct scene scene = {0};
    struct outcome out;

    scene_start(&scene, answer_bad_head, NULL);
    out = scene_fetch(&scene, "/v2/two");
    assert_int_equal(out.outcome, UPSTREAM_UNAVAILABLE);
    out = scene_fetch(&scene, "/v2/big");
    assert_int_equal(out.outcome, UPSTREAM_UNAVAILABLE);
    assert_non_null(strstr(out.text, "head"));
    scene_stop(&scene);
}

/* --- streams --- */

#define STREAM_BYTES (8u * 1024 * 1024)

struct flow {
    struct scene *scene;
    struct upstream_request *request;
    size_t received;
    size_t largest_turn;
    size_t turn;
    unsigned pauses;
    bool is_paused;
    bool is_head_seen;
    enum upstream_outcome outcome;
};

static bool answer_stream(void *ctx, struct fake_call *call)
{
    char *data = calloc(1, STREAM_BYTES);
    bool is_kept = fake_reply_bytes(call, 200, "", data, STREAM_BYTES);

    free(data);
    return is_kept;
}

static void flow_on_resume(evutil_socket_t fd, short what, void *arg)
{
    struct flow *flow = arg;

    flow->is_paused = false;
    upstream_resume(flow->request);
}

static bool flow_on_head(void *ctx, const struct upstream_head *head)
{
    struct flow *flow = ctx;

    flow->is_head_seen = head->status == 200 && head->content_length == STREAM_BYTES;
    return true;
}

static enum upstream_take flow_on_data(void *ctx, struct bytes data)
{
    struct flow *flow = ctx;
    struct timeval soon = {.tv_usec = 1000};

    assert_false(flow->is_paused);
    flow->received += data.len;
    flow->turn += data.len;
    flow->largest_turn = GH_MAX(flow->largest_turn, flow->turn);
    if (flow->received / (1024 * 1024) > flow->pauses) {
        flow->pauses++;
        flow->is_paused = true;
        (void)event_base_once(flow->scene->base, -1, EV_TIMEOUT, flow_on_resume, flow, &soon);
        return UPSTREAM_TAKE_PAUSE;
    }
    return UPSTREAM_TAKE_MORE;
}

static void flow_on_done(void *ctx, struct upstream_result *result)
{
    struct flow *flow = ctx;

    flow->outcome = result->outcome;
    flow->request = NULL;
    event_base_loopbreak(flow->scene->base);
}

static void stream_paused_and_resumed_whole(void **state)
{
    struct scene scene = {0};
    struct flow flow = {.scene = &scene};
    struct upstream_sink sink = {
        .ctx = &flow, .on_head = flow_on_head, .on_data = flow_on_data, .on_done = flow_on_done};
    struct upstream_ask ask = {.path = "/v2/blob"};

    scene_start(&scene, answer_stream, NULL);
    ask.upstream = scene.upstream;
    flow.request = upstream_stream(scene.client, &ask, &sink);
    while (flow.request != NULL) {
        flow.turn = 0;
        (void)event_base_loop(scene.base, EVLOOP_ONCE);
    }
    assert_true(flow.is_head_seen);
    assert_int_equal(flow.outcome, UPSTREAM_OK);
    assert_int_equal(flow.received, STREAM_BYTES);
    assert_true(flow.pauses >= 7);
    assert_true(flow.largest_turn <= 2 * UPSTREAM_TURN_BYTES);
    scene_stop(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fetch_plain_ok),
        cmocka_unit_test(fetch_head_gives_headers_alone),
        cmocka_unit_test(fetch_body_over_limit_refused),
        cmocka_unit_test(fetch_statuses_told_apart),
        cmocka_unit_test(redirect_other_host_gets_no_credentials),
        cmocka_unit_test(redirect_not_acceptable_refused),
        cmocka_unit_test(redirect_named_private_host_followed),
        cmocka_unit_test(fetch_whole_url_of_other_host_refused),
        cmocka_unit_test(token_flow_cached_and_renewed),
        cmocka_unit_test(token_single_flight),
        cmocka_unit_test(token_hostile_realm_gets_nothing),
        cmocka_unit_test(token_service_refusal_told_apart),
        cmocka_unit_test(fetch_flaky_registry_tried_again),
        cmocka_unit_test(fetch_dead_registry_left_alone_then_probed),
        cmocka_unit_test(fetch_retry_after_honoured),
        cmocka_unit_test(fetch_silent_registry_times_out),
        cmocka_unit_test(metrics_hops_and_attempts_counted_by_status),
        cmocka_unit_test(metrics_no_answer_counted_as_error),
        cmocka_unit_test(fetch_many_at_once_bounded),
        cmocka_unit_test(cancel_under_way_never_called),
        cmocka_unit_test(client_free_tells_whoever_waits),
        cmocka_unit_test(fetch_hostile_head_refused),
        cmocka_unit_test(stream_paused_and_resumed_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
