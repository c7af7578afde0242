#include "cache/tag_cache.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/store_fixture.h"

static const struct cache_scope scope = {"default", "ghcr.io", "acme/app"};

static void tag_state_at_ages_fresh_stale_absent(void **state)
{
    assert_int_equal(tag_state_at(NOW, NOW, 60, 3600), TAG_FRESH);
    assert_int_equal(tag_state_at(NOW, NOW + 59, 60, 3600), TAG_FRESH);
    assert_int_equal(tag_state_at(NOW, NOW + 60, 60, 3600), TAG_STALE);
    assert_int_equal(tag_state_at(NOW, NOW + 3659, 60, 3600), TAG_STALE);
    assert_int_equal(tag_state_at(NOW, NOW + 3660, 60, 3600), TAG_ABSENT);
    assert_int_equal(tag_state_at(NOW, NOW, 0, 0), TAG_ABSENT);
    assert_int_equal(tag_state_at(NOW, NOW - 1, 60, 3600), TAG_STALE); /* the clock was set back */
}

static void tag_cache_put_found_in_its_class_alone(void **state)
{
    struct fixture *f = *state;
    struct tag_record record = {
        .digest = digest_of(bytes_of("m")), .media_type = "application/m", .fetched_unix_s = NOW};
    struct tag_record out = {0};

    assert_true(tag_cache_put(f->store, &scope, "v1", "all", &record, NULL));
    assert_int_equal(tag_cache_get(f->store, &scope, "v1", "all", NOW, 60, 60, &out), TAG_FRESH);
    assert_true(digest_equal(&out.digest, &record.digest));
    assert_string_equal(out.media_type, "application/m");
    assert_int_equal(out.fetched_unix_s, NOW);
    assert_int_equal(tag_cache_get(f->store, &scope, "v1", "old", NOW, 60, 60, &out), TAG_ABSENT);
    assert_int_equal(tag_cache_get(f->store, &scope, "v1", "all", NOW + 100, 60, 60, &out),
                     TAG_STALE);
}

static void tag_cache_remove_known_gone(void **state)
{
    struct fixture *f = *state;
    struct tag_record record = {.digest = digest_of(bytes_of("m")), .fetched_unix_s = NOW};
    struct tag_record out = {0};

    assert_true(tag_cache_put(f->store, &scope, "v1", "", &record, NULL));
    assert_true(tag_cache_remove(f->store, &scope, "v1", "", NULL));
    assert_int_equal(tag_cache_get(f->store, &scope, "v1", "", NOW, 60, 60, &out), TAG_ABSENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tag_state_at_ages_fresh_stale_absent),
        CASE(tag_cache_put_found_in_its_class_alone),
        CASE(tag_cache_remove_known_gone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
