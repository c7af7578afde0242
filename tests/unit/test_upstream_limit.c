/* Slots, rate, holds and the breaker over a given clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "metrics/error.h"
#include "proxy/upstream_limit.h"

static enum upstream_limit_answer enter(struct upstream_limit *limit, int64_t now, int64_t *wait)
{
    struct gh_error err = {0};
    enum upstream_limit_answer answer = upstream_limit_enter(limit, now, wait, &err);

    assert_int_equal(err.cause,
                     answer == UPSTREAM_LIMIT_REFUSED ? GH_UPSTREAM_UNAVAILABLE : GH_CAUSE_NONE);
    return answer;
}

static void enter_concurrency_waits_for_leave(void **state)
{
    struct upstream_limit limit;
    int64_t wait = 0;

    upstream_limit_init(&limit, 2, 0, 5, 1000);
    assert_int_equal(enter(&limit, 0, &wait), UPSTREAM_LIMIT_GO);
    assert_int_equal(enter(&limit, 0, &wait), UPSTREAM_LIMIT_GO);
    assert_int_equal(enter(&limit, 0, &wait), UPSTREAM_LIMIT_WAIT);
    assert_int_equal(wait, -1);
    upstream_limit_leave(&limit, UPSTREAM_LIMIT_GOOD, 0, 0);
    assert_int_equal(enter(&limit, 0, &wait), UPSTREAM_LIMIT_GO);
}

static void enter_rate_burst_then_paced(void **state)
{
    struct upstream_limit limit;
    int64_t wait = 0;

    upstream_limit_init(&limit, 1000, 10, 5, 1000);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(enter(&limit, 5000, &wait), UPSTREAM_LIMIT_GO);
    }
    assert_int_equal(enter(&limit, 5000, &wait), UPSTREAM_LIMIT_WAIT);
    assert_int_equal(wait, 100);
    assert_int_equal(enter(&limit, 5099, &wait), UPSTREAM_LIMIT_WAIT);
    assert_int_equal(enter(&limit, 5100, &wait), UPSTREAM_LIMIT_GO);
    assert_int_equal(enter(&limit, 5100, &wait), UPSTREAM_LIMIT_WAIT);
}

static void enter_held_waits_until_then(void **state)
{
    struct upstream_limit limit;
    int64_t wait = 0;

    upstream_limit_init(&limit, 8, 0, 5, 1000);
    upstream_limit_hold(&limit, 3000);
    upstream_limit_hold(&limit, 2000);
    assert_int_equal(enter(&limit, 1000, &wait), UPSTREAM_LIMIT_WAIT);
    assert_int_equal(wait, 2000);
    assert_int_equal(enter(&limit, 3000, &wait), UPSTREAM_LIMIT_GO);
}

static void breaker_opens_probes_and_closes(void **state)
{
    struct upstream_limit limit;
    int64_t wait = 0;

    upstream_limit_init(&limit, 8, 0, 3, 1000);
    for (int i = 0; i < 3; i++) {
        assert_false(upstream_limit_is_open(&limit, 0));
        assert_int_equal(enter(&limit, 0, &wait), UPSTREAM_LIMIT_GO);
        upstream_limit_leave(&limit, UPSTREAM_LIMIT_BAD, 0, 0);
    }
    assert_true(upstream_limit_is_open(&limit, 0));
    assert_int_equal(enter(&limit, 999, &wait), UPSTREAM_LIMIT_REFUSED);
    assert_int_equal(enter(&limit, 1000, &wait), UPSTREAM_LIMIT_GO);
    assert_int_equal(enter(&limit, 1000, &wait), UPSTREAM_LIMIT_REFUSED); /* one probe at a time */
    upstream_limit_leave(&limit, UPSTREAM_LIMIT_BAD, 1000, 0);
    assert_int_equal(enter(&limit, 2999, &wait), UPSTREAM_LIMIT_REFUSED); /* twice as long */
    assert_int_equal(enter(&limit, 3000, &wait), UPSTREAM_LIMIT_GO);
    upstream_limit_leave(&limit, UPSTREAM_LIMIT_NEUTRAL, 3000, 0);
    assert_int_equal(enter(&limit, 3000, &wait), UPSTREAM_LIMIT_GO); /* a probe that was given up */
    upstream_limit_leave(&limit, UPSTREAM_LIMIT_GOOD, 3000, 0);
    assert_false(upstream_limit_is_open(&limit, 3000));
    assert_int_equal(enter(&limit, 3000, &wait), UPSTREAM_LIMIT_GO);
}

static void breaker_good_answer_forgets_failures(void **state)
{
    struct upstream_limit limit;
    int64_t wait = 0;

    upstream_limit_init(&limit, 8, 0, 2, 1000);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(enter(&limit, 0, &wait), UPSTREAM_LIMIT_GO);
        upstream_limit_leave(&limit, i % 2 == 0 ? UPSTREAM_LIMIT_BAD : UPSTREAM_LIMIT_GOOD, 0, 0);
    }
    assert_false(upstream_limit_is_open(&limit, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(enter_concurrency_waits_for_leave),
        cmocka_unit_test(enter_rate_burst_then_paced),
        cmocka_unit_test(enter_held_waits_until_then),
        cmocka_unit_test(breaker_opens_probes_and_closes),
        cmocka_unit_test(breaker_good_answer_forgets_failures),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
