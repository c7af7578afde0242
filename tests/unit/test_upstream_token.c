/* Tokens of registries: fetched once, renewed, never given to strangers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/upstream_scene.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(token_flow_cached_and_renewed),
        cmocka_unit_test(token_single_flight),
        cmocka_unit_test(token_hostile_realm_gets_nothing),
        cmocka_unit_test(token_service_refusal_told_apart),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
