/*
 * The registry client and fake registries on loopback, for cmocka cases. Include cmocka.h first.
 */
#ifndef TESTS_SUPPORT_UPSTREAM_SCENE_H
#define TESTS_SUPPORT_UPSTREAM_SCENE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

GH_UNUSED static void scene_start_with(struct scene *scene, fake_answer_fn answer,
                                       fake_answer_fn other, struct upstream_config *config)
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

GH_UNUSED static void scene_start(struct scene *scene, fake_answer_fn answer, fake_answer_fn other)
{
    struct upstream_config config = {0};

    scene_start_with(scene, answer, other, &config);
}

GH_UNUSED static void scene_stop(struct scene *scene)
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

GH_UNUSED static void outcome_on_done(void *ctx, struct upstream_result *result)
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

GH_UNUSED static void scene_ask(struct scene *scene, const char *path, struct outcome *out)
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

GH_UNUSED static struct outcome scene_fetch(struct scene *scene, const char *path)
{
    struct outcome out;

    scene_ask(scene, path, &out);
    (void)event_base_dispatch(scene->base);
    assert_int_equal(out.calls, 1);
    return out;
}

/* Hops that ended so. */
GH_UNUSED static double scene_count(const struct scene *scene, const char *code)
{
    return prom_value(scene->prom, PROM_UPSTREAM_REQUESTS,
                      PROM_LABELS("payments", "registry.test", code));
}

/* --- answers --- */

GH_UNUSED static bool answer_hello(void *ctx, struct fake_call *call)
{
    return fake_reply(call, 200, "Content-Type: text/plain\r\nDocker-Content-Digest: sha256:x\r\n",
                      "hello");
}

GH_UNUSED static bool answer_redirect(void *ctx, struct fake_call *call)
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

#endif
