/* The registry client against a fake registry on loopback: answers, trouble, streams. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/upstream_scene.h"

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
        cmocka_unit_test(fetch_whole_url_of_other_host_refused),
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
