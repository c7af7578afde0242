#include "metrics/prom.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "metrics/error.h"
#include "metrics/text.h"

#define TEST_THREADS 4
#define TEST_ROUNDS 20000

static struct prom *prom_made(void)
{
    struct prom *prom = NULL;
    struct gh_error err = {0};

    assert_true(prom_new(&prom, &err));
    return prom;
}

static char *prom_text(struct prom *prom)
{
    struct gh_error err = {0};
    struct text out;

    text_init(&out, 4u * 1024 * 1024);
    assert_true(prom_expose(prom, &out, &err));
    return text_take(&out);
}

static void prom_add_several_series_exposed(void **state)
{
    GH_OWN(prom_freep) struct prom *prom = prom_made();
    char *text;

    prom_add(prom, PROM_REQUESTS, PROM_LABELS("manifest", "GET", "200"), 2);
    prom_add(prom, PROM_REQUESTS, PROM_LABELS("manifest", "GET", "403"), 1);
    prom_add(prom, PROM_EVICTIONS, NULL, 5);
    prom_set(prom, PROM_CONTENT_BYTES, NULL, 1.5);
    text = prom_text(prom);
    assert_non_null(strstr(text, "# TYPE gatehouse_requests_total counter\n"));
    assert_non_null(strstr(
        text, "\ngatehouse_requests_total{route=\"manifest\",method=\"GET\",code=\"200\"} 2\n"));
    assert_non_null(strstr(text, "\ngatehouse_evictions_total 5\n"));
    assert_non_null(strstr(text, "\ngatehouse_content_bytes 1.5\n"));
    free(text);
}

static void prom_observe_buckets_cumulative(void **state)
{
    GH_OWN(prom_freep) struct prom *prom = prom_made();
    char *text;

    prom_observe(prom, PROM_REQUEST_DURATION, PROM_LABELS("blob"), 0.0001);
    prom_observe(prom, PROM_REQUEST_DURATION, PROM_LABELS("blob"), 0.3);
    prom_observe(prom, PROM_REQUEST_DURATION, PROM_LABELS("blob"), 100);
    text = prom_text(prom);
    assert_non_null(strstr(
        text, "gatehouse_request_duration_seconds_bucket{route=\"blob\",le=\"0.0005\"} 1\n"));
    assert_non_null(
        strstr(text, "gatehouse_request_duration_seconds_bucket{route=\"blob\",le=\"0.5\"} 2\n"));
    assert_non_null(
        strstr(text, "gatehouse_request_duration_seconds_bucket{route=\"blob\",le=\"+Inf\"} 3\n"));
    assert_non_null(strstr(text, "gatehouse_request_duration_seconds_count{route=\"blob\"} 3\n"));
    assert_non_null(strstr(text, "_sum{route=\"blob\"} 100.3001\n"));
    free(text);
}

static void prom_add_hostile_label_escaped(void **state)
{
    GH_OWN(prom_freep) struct prom *prom = prom_made();
    char *text;

    prom_add(prom, PROM_SENT_BYTES, PROM_LABELS("a\"b\\c\nd"), 1);
    text = prom_text(prom);
    assert_non_null(strstr(text, "{source=\"a\\\"b\\\\c\\nd\"} 1\n"));
    free(text);
}

static void prom_add_past_cap_counts_as_overflow(void **state)
{
    GH_OWN(prom_freep) struct prom *prom = prom_made();

    for (int i = 0; i < PROM_MAX_SERIES + 10; i++) {
        char value[16];

        (void)snprintf(value, sizeof(value), "%d", i);
        prom_add(prom, PROM_SENT_BYTES, PROM_LABELS(value), 1);
    }
    assert_true(prom_value(prom, PROM_SENT_BYTES, PROM_LABELS("1999")) == 1);
    assert_true(prom_value(prom, PROM_SENT_BYTES, PROM_LABELS("2000")) == 0);
    assert_true(prom_value(prom, PROM_SENT_BYTES, PROM_LABELS("overflow")) == 10);
}

static void prom_clear_gauges_gone_and_reused(void **state)
{
    GH_OWN(prom_freep) struct prom *prom = prom_made();
    char *text;

    for (int i = 0; i < 3 * PROM_MAX_SERIES; i++) {
        char value[16];

        (void)snprintf(value, sizeof(value), "%08d", i);
        prom_clear(prom, PROM_CONFIG_INFO);
        prom_set(prom, PROM_CONFIG_INFO, PROM_LABELS(value), 1);
    }
    text = prom_text(prom);
    assert_non_null(strstr(text, "gatehouse_config_info{fingerprint=\"00005999\"} 1\n"));
    assert_null(strstr(text, "overflow"));
    assert_null(strstr(text, "00005998"));
    free(text);
}

static void prom_shift_up_and_down_sums(void **state)
{
    GH_OWN(prom_freep) struct prom *prom = prom_made();

    prom_shift(prom, PROM_CONNECTIONS, NULL, 5);
    prom_shift(prom, PROM_CONNECTIONS, NULL, -7);
    assert_true(prom_value(prom, PROM_CONNECTIONS, NULL) == -2);
}

static void *count_away(void *arg)
{
    struct prom *prom = arg;
    struct prom_series *series = prom_series_get(prom, PROM_EVICTIONS, NULL);

    for (int i = 0; i < TEST_ROUNDS; i++) {
        prom_series_add(prom, series, 1);
        prom_add(prom, PROM_REQUESTS, PROM_LABELS("blob", "GET", i % 2 == 0 ? "200" : "206"), 1);
        prom_observe(prom, PROM_REQUEST_DURATION, PROM_LABELS("blob"), 0.001);
    }
    return NULL;
}

static void prom_add_many_threads_nothing_lost(void **state)
{
    GH_OWN(prom_freep) struct prom *prom = prom_made();
    pthread_t threads[TEST_THREADS];

    for (int round = 0; round < 2;
         round++) { /* the second round takes over the first one's cells */
        for (int i = 0; i < TEST_THREADS; i++) {
            assert_int_equal(pthread_create(&threads[i], NULL, count_away, prom), 0);
        }
        for (int i = 0; i < 20; i++) {
            free(prom_text(prom));
        }
        for (int i = 0; i < TEST_THREADS; i++) {
            assert_int_equal(pthread_join(threads[i], NULL), 0);
        }
    }
    assert_true(prom_value(prom, PROM_EVICTIONS, NULL) == 2.0 * TEST_THREADS * TEST_ROUNDS);
    assert_true(prom_value(prom, PROM_REQUESTS, PROM_LABELS("blob", "GET", "206")) ==
                1.0 * TEST_THREADS * TEST_ROUNDS);
}

/* Every family of the table, as promtool sees it. */
static void prom_expose_every_family_promtool_content(void **state)
{
    GH_OWN(prom_freep) struct prom *prom = prom_made();
    char *text;
    FILE *tool;

    if (access("/usr/bin/promtool", X_OK) != 0) {
        skip();
    }
#define PROM_COUNTER_USE(family) prom_add(prom, family, NULL, 1)
#define PROM_GAUGE_USE(family) prom_set(prom, family, NULL, 1)
#define PROM_HISTOGRAM_USE(family) prom_observe(prom, family, NULL, 0.1)
#define PROM_FAMILY(id, name, kind, buckets, help, ...) PROM_##kind##_USE(PROM_##id);
#include "metrics/prom.def"
#undef PROM_FAMILY
    text = prom_text(prom);
    tool = popen("/usr/bin/promtool check metrics", "w");
    assert_non_null(tool);
    assert_int_equal(fputs(text, tool) >= 0, 1);
    assert_int_equal(pclose(tool), 0);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prom_add_several_series_exposed),
        cmocka_unit_test(prom_observe_buckets_cumulative),
        cmocka_unit_test(prom_add_hostile_label_escaped),
        cmocka_unit_test(prom_add_past_cap_counts_as_overflow),
        cmocka_unit_test(prom_clear_gauges_gone_and_reused),
        cmocka_unit_test(prom_shift_up_and_down_sums),
        cmocka_unit_test(prom_add_many_threads_nothing_lost),
        cmocka_unit_test(prom_expose_every_family_promtool_content),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
