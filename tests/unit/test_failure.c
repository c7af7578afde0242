#include "proxy/failure.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct failure_about failure_case(enum decide_outcome outcome)
{
    return (struct failure_about){.tenant = "default",
                                  .fingerprint = "sha256:00",
                                  .image = "registry.test/team/app:v1",
                                  .outcome = outcome};
}

static void failure_init_is_never_an_allow(void **state)
{
    struct failure_about about = failure_case(DECIDE_ALLOW);
    struct gh_error error = {0};
    struct failure failure;

    (void)gh_fail(&error, GH_UPSTREAM_UNAVAILABLE, "away");
    failure_init(&failure, &about, &error);
    assert_int_equal(failure.decision.outcome, DECIDE_DENY);
    assert_int_equal(failure.decision.error.cause, GH_UPSTREAM_UNAVAILABLE);
}

static void failure_init_undecided_says_that_it_is_no_denial(void **state)
{
    struct failure_about about = failure_case(DECIDE_UNDECIDED);
    struct gh_error error = {0};
    struct failure failure;

    (void)gh_fail(&error, GH_UPSTREAM_UNAVAILABLE, "registry.test answers 500");
    failure_init(&failure, &about, &error);
    assert_int_equal(strlen(failure.decision.id), DECIDE_ID_BYTES);
    assert_non_null(strstr(failure.message, "registry.test/team/app:v1 cannot be served now, "
                                            "which is not a denial"));
    assert_non_null(strstr(failure.message, failure.decision.id));
    failure_unname(&failure);
    assert_string_equal(failure.decision.id, "");
    assert_null(strstr(failure.message, "Decision"));
}

static void failure_init_same_cause_of_one_image_one_id(void **state)
{
    struct failure_about about = failure_case(DECIDE_UNDECIDED);
    struct gh_error error = {0};
    struct gh_error later = {0};
    struct failure failures[3];

    (void)gh_fail(&error, GH_UPSTREAM_UNAVAILABLE, "registry.test answers 500");
    (void)gh_fail(&later, GH_UPSTREAM_UNAVAILABLE, "registry.test is left alone for 3 s");
    failure_init(&failures[0], &about, &error);
    failure_init(&failures[1], &about, &later);
    about.tenant = "other";
    failure_init(&failures[2], &about, &error);
    assert_string_equal(failures[0].decision.id, failures[1].decision.id);
    assert_string_not_equal(failures[0].decision.id, failures[2].decision.id);
}

static void failure_init_absent_has_no_id(void **state)
{
    struct failure_about about = failure_case(DECIDE_UNDECIDED);
    struct gh_error error = {0};
    struct failure failure;

    (void)gh_fail(&error, GH_MANIFEST_UNKNOWN, "the registry does not have it");
    failure_init(&failure, &about, &error);
    assert_string_equal(failure.decision.id, "");
    assert_string_equal(failure.message, "the registry does not have it");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failure_init_is_never_an_allow),
        cmocka_unit_test(failure_init_undecided_says_that_it_is_no_denial),
        cmocka_unit_test(failure_init_same_cause_of_one_image_one_id),
        cmocka_unit_test(failure_init_absent_has_no_id),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
