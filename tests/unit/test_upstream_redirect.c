/* Redirects: where they may lead, and what goes along. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/upstream_scene.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(redirect_other_host_gets_no_credentials),
        cmocka_unit_test(redirect_not_acceptable_refused),
        cmocka_unit_test(redirect_named_private_host_followed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
