/* The registry client against a fake registry on loopback. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <event2/event.h>
#include <unistd.h>

#include "proxy/upstream.h"
#include "tests/support/fake_upstream.h"

struct scene {
    struct event_base *base;
    struct upstream_client *client;
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
    assert_true(upstream_client_new(scene->base, &scene->client, &err));
    scene->server = fake_upstream_start(answer, scene);
    if (other != NULL) {
        scene->other = fake_upstream_start(other, scene);
    }
    config->name = "registry.test";
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fetch_plain_ok),
        cmocka_unit_test(fetch_body_over_limit_refused),
        cmocka_unit_test(fetch_statuses_told_apart),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
