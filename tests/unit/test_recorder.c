/* Decisions are recorded before they are answered, once, or not answered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "tests/support/gateway_scene.h"

struct bench {
    struct scratch scratch;
    struct gateway gateway; /* without stores: a limit on files must hit the log alone */
    struct audit *audit;
    char path[512];
};

static int bench_setup(void **state)
{
    struct bench *bench = calloc(1, sizeof(*bench));
    struct audit_config config = {0};
    struct gh_error err = {0};

    (void)signal(SIGXFSZ, SIG_IGN);
    assert_true(scratch_make(&bench->scratch));
    config.path = scratch_path(&bench->scratch, "audit.jsonl", bench->path);
    assert_true(prom_new(&bench->gateway.prom, &err));
    assert_true(audit_open(&config, gateway_now() * 1000, &bench->audit, &err));
    assert_true(recorder_new(&bench->gateway, bench->audit, &bench->gateway.recorder, &err));
    *state = bench;
    return 0;
}

static int bench_teardown(void **state)
{
    struct bench *bench = *state;

    recorder_free(bench->gateway.recorder);
    audit_close(bench->audit, gateway_now() * 1000);
    prom_free(bench->gateway.prom);
    scratch_remove(&bench->scratch);
    free(bench);
    return 0;
}

#define BENCH_CASE(name) cmocka_unit_test_setup_teardown(name, bench_setup, bench_teardown)

/* Whether files may grow. */
static void set_writable(const struct bench *bench, bool is_writable)
{
    struct rlimit limit;
    struct stat facts;

    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_int_equal(stat(bench->path, &facts), 0);
    limit.rlim_cur = is_writable ? limit.rlim_max : (rlim_t)facts.st_size;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static bool record(struct bench *bench, enum decide_outcome outcome, const char *id,
                   const char *principal, enum gh_cause *cause)
{
    struct decision decision = {.outcome = outcome, .fingerprint = "f", .message = (char *)"m"};
    const struct recorder_note note = {.tenant = "default",
                                       .image = "registry.test/app:v1",
                                       .digest = "sha256:00",
                                       .media_type = "x/y",
                                       .principal = principal,
                                       .client = "192.0.2.1"};
    struct gh_error err = {0};
    bool is_recorded;

    (void)snprintf(decision.id, sizeof(decision.id), "%s", id);
    if (outcome != DECIDE_ALLOW) {
        decision.error.cause = GH_NO_SIGNATURE_FOUND;
    }
    is_recorded = recorder_decision(bench->gateway.recorder, &note, &decision, NULL, &err);
    *cause = err.cause;
    return is_recorded;
}

static void recorder_decision_allow_is_written_once_per_principal(void **state)
{
    struct bench *bench = *state;
    enum gh_cause cause;

    assert_true(record(bench, DECIDE_ALLOW, "a", "", &cause));
    assert_int_equal(audit_count(bench->audit), 1);
    assert_true(record(bench, DECIDE_ALLOW, "a", "", &cause));
    assert_int_equal(audit_count(bench->audit), 1);
    assert_true(record(bench, DECIDE_ALLOW, "a", "jane", &cause));
    assert_true(record(bench, DECIDE_ALLOW, "b", "", &cause));
    assert_int_equal(audit_count(bench->audit), 3);
}

static void recorder_decision_counts_every_answer(void **state)
{
    struct bench *bench = *state;
    static const char *const allowed[] = {"default", "", "pull", "allow", ""};
    static const char *const denied[] = {"default", "", "pull", "deny", "unsigned"};
    enum gh_cause cause;

    for (int i = 0; i < 3; i++) {
        assert_true(record(bench, DECIDE_ALLOW, "a", "", &cause));
        assert_true(record(bench, DECIDE_DENY, "b", "", &cause));
    }
    assert_true(prom_value(bench->gateway.prom, PROM_DECISIONS, allowed) == 3.0);
    assert_true(prom_value(bench->gateway.prom, PROM_DECISIONS, denied) == 3.0);
}

static void recorder_decision_unwritable_allows_nothing_new(void **state)
{
    struct bench *bench = *state;
    enum gh_cause cause;

    assert_true(record(bench, DECIDE_ALLOW, "old", "", &cause));
    assert_true(recorder_is_available(bench->gateway.recorder));
    set_writable(bench, false);
    assert_false(record(bench, DECIDE_ALLOW, "new", "", &cause));
    assert_int_equal(cause, GH_AUDIT_UNAVAILABLE);
    assert_false(recorder_is_available(bench->gateway.recorder));
    /* What was allowed before goes on, and refusals never fail. */
    assert_true(record(bench, DECIDE_ALLOW, "old", "", &cause));
    assert_true(record(bench, DECIDE_DENY, "bad", "", &cause));
    set_writable(bench, true);
    assert_true(record(bench, DECIDE_ALLOW, "new", "", &cause));
    assert_true(recorder_is_available(bench->gateway.recorder));
}

static void recorder_decision_repeated_refusals_are_folded(void **state)
{
    struct bench *bench = *state;
    enum gh_cause cause;

    for (int i = 0; i < 50; i++) {
        assert_true(record(bench, DECIDE_DENY, "bad", "", &cause));
    }
    assert_int_equal(audit_count(bench->audit), 1);
}

static void recorder_failure_many_names_of_one_client_are_bounded(void **state)
{
    struct bench *bench = *state;
    const struct gh_error error = {.cause = GH_BLOB_NOT_REACHABLE, .text = "nothing leads here"};

    for (int i = 0; i < 5000; i++) {
        char image[128];
        struct recorder_note note = {.tenant = "default",
                                     .image = image,
                                     .digest = "",
                                     .media_type = "",
                                     .principal = "",
                                     .client = "192.0.2.1"};

        (void)snprintf(image, sizeof(image), "registry.test/app@sha256:%064x", (unsigned)i);
        recorder_failure(bench->gateway.recorder, &note, true, &error);
    }
    assert_true(audit_count(bench->audit) >= 1);
    assert_true(audit_count(bench->audit) <= 64);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BENCH_CASE(recorder_decision_allow_is_written_once_per_principal),
        BENCH_CASE(recorder_decision_counts_every_answer),
        BENCH_CASE(recorder_decision_unwritable_allows_nothing_new),
        BENCH_CASE(recorder_decision_repeated_refusals_are_folded),
        BENCH_CASE(recorder_failure_many_names_of_one_client_are_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
