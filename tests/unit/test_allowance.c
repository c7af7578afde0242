#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "policy/config.h"
#include "proxy/allowance.h"

#define SECOND INT64_C(1000000)
#define NOON (INT64_C(86400) * 20000 + 43200)

static unsigned entered(struct allowance *allowance, const struct config_quota *quota,
                        unsigned count, int64_t now_us, unsigned *retry_after_s)
{
    unsigned in = 0;

    for (unsigned i = 0; i < count; i++) {
        if (allowance_enter(allowance, quota, now_us, NOON, retry_after_s) == ALLOWANCE_ENTERED) {
            allowance_leave(allowance, 0, NOON);
            in++;
        }
    }
    return in;
}

static void allowance_rate_is_kept_with_a_burst_of_a_second(void **state)
{
    const struct config_quota quota = {.requests_per_second = 10};
    struct allowance *allowance = allowance_new();
    unsigned retry;

    (void)state;
    assert_non_null(allowance);
    assert_int_equal(entered(allowance, &quota, 50, 5 * SECOND, &retry), 10);
    assert_int_equal(retry, 1);
    assert_int_equal(entered(allowance, &quota, 50, 5 * SECOND + SECOND / 2, &retry), 5);
    assert_int_equal(entered(allowance, &quota, 50, 60 * SECOND, &retry), 10);
    allowance_unref(allowance);
}

static void allowance_rate_below_the_clock_lets_one_a_share(void **state)
{
    const struct config_quota quota = {.requests_per_second = 1};
    struct allowance *allowance = allowance_new();
    unsigned retry;

    (void)state;
    assert_int_equal(entered(allowance, &quota, 3, SECOND, &retry), 1);
    assert_int_equal(retry, 1);
    assert_int_equal(entered(allowance, &quota, 3, 2 * SECOND, &retry), 1);
    allowance_unref(allowance);
}

static void allowance_concurrent_counts_who_is_in(void **state)
{
    const struct config_quota quota = {.concurrent_requests = 2};
    struct allowance *allowance = allowance_new();
    unsigned retry;

    (void)state;
    assert_int_equal(allowance_enter(allowance, &quota, 0, NOON, &retry), ALLOWANCE_ENTERED);
    assert_int_equal(allowance_enter(allowance, &quota, 0, NOON, &retry), ALLOWANCE_ENTERED);
    assert_int_equal(allowance_enter(allowance, &quota, 0, NOON, &retry),
                     ALLOWANCE_SPENT_CONCURRENT);
    assert_int_equal(retry, 1);
    allowance_leave(allowance, 0, NOON);
    assert_int_equal(allowance_enter(allowance, &quota, 0, NOON, &retry), ALLOWANCE_ENTERED);
    /* who came in without limits counts, too: a reload may bring some */
    assert_int_equal(allowance_enter(allowance, NULL, 0, NOON, &retry), ALLOWANCE_ENTERED);
    allowance_leave(allowance, 0, NOON);
    assert_int_equal(allowance_enter(allowance, &quota, 0, NOON, &retry),
                     ALLOWANCE_SPENT_CONCURRENT);
    allowance_unref(allowance);
}

static void allowance_bytes_are_of_a_day(void **state)
{
    const struct config_quota quota = {.bytes_per_day = 1000};
    struct allowance *allowance = allowance_new();
    unsigned retry;

    (void)state;
    assert_int_equal(allowance_enter(allowance, &quota, 0, NOON, &retry), ALLOWANCE_ENTERED);
    allowance_leave(allowance, 999, NOON);
    assert_int_equal(allowance_enter(allowance, &quota, 0, NOON, &retry), ALLOWANCE_ENTERED);
    allowance_leave(allowance, 1, NOON);
    assert_int_equal(allowance_enter(allowance, &quota, 0, NOON, &retry), ALLOWANCE_SPENT_BYTES);
    assert_int_equal(retry, 43200);
    assert_int_equal(allowance_enter(allowance, &quota, 0, NOON + 43200, &retry),
                     ALLOWANCE_ENTERED);
    allowance_unref(allowance);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(allowance_rate_is_kept_with_a_burst_of_a_second),
        cmocka_unit_test(allowance_rate_below_the_clock_lets_one_a_share),
        cmocka_unit_test(allowance_concurrent_counts_who_is_in),
        cmocka_unit_test(allowance_bytes_are_of_a_day),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
