/* Listeners: limits on connections. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/support/conn_scene.h"

static void listener_address_limit_closes_the_excess(void **state)
{
    struct fixture f;
    struct listener_counts counts;
    char text[64];
    int first;
    int second;

    fixture_start(&f, NULL, 1);
    first = client_connect(&f);
    WAIT_UNTIL(quota_count(f.quota) == 1);
    second = client_connect(&f);
    assert_int_equal(client_read(second, text, sizeof(text), NULL), 0);
    listener_counts(f.listener, &counts);
    assert_int_equal(counts.refused_address, 1);
    (void)close(first);
    (void)close(second);
    WAIT_UNTIL(quota_count(f.quota) == 0);
    second = client_connect(&f);
    client_send(second, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    assert_true(client_read(second, text, sizeof(text), NULL) > 0);
    (void)close(second);
    fixture_stop(&f);
}

static void listener_total_limit_pauses_and_resumes(void **state)
{
    struct fixture f;
    struct listener_counts counts;
    char text[256];
    int first;
    int second;

    fixture_start(&f, NULL, 100);
    quota_set(f.quota, 1, 100);
    first = client_connect(&f);
    WAIT_UNTIL(quota_count(f.quota) == 1);
    second = client_connect(&f);
    client_send(second, "GET /waited HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    WAIT_UNTIL((listener_counts(f.listener, &counts), counts.paused > 0));
    assert_int_equal(atomic_load(&f.requests), 0);
    (void)close(first);
    (void)client_read(second, text, sizeof(text), NULL);
    assert_non_null(strstr(text, " 200 OK"));
    (void)close(second);
    fixture_stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(listener_address_limit_closes_the_excess),
        cmocka_unit_test(listener_total_limit_pauses_and_resumes),
    };

    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
