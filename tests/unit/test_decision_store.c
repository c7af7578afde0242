#include "cache/decision_store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/store_fixture.h"

static void put_id(struct decision_store *decisions, int number, int64_t unix_ms)
{
    struct gh_error err = {0};
    char id[32];

    (void)snprintf(id, sizeof(id), "id-%d", number);
    assert_true(decision_store_put(decisions, id, bytes_of("{}"), unix_ms, &err));
}

static void decision_store_put_known_id_first_record_stays(void **state)
{
    struct fixture *f = *state;
    GH_OWN(decision_store_freep) struct decision_store *decisions = NULL;
    struct bytes_buf out = {0};

    assert_true(decision_store_new(f->store, 0, &decisions, NULL));
    assert_true(decision_store_put(decisions, "id", bytes_of("one"), 1000, NULL));
    assert_true(decision_store_put(decisions, "id", bytes_of("two"), 2000, NULL));
    assert_true(decision_store_get(decisions, "id", &out));
    assert_true(bytes_equal_cstr(bytes_view(&out), "one"));
    bytes_buf_done(&out);
    assert_false(decision_store_get(decisions, "other", &out));
}

static void decision_store_put_past_count_oldest_gone(void **state)
{
    struct fixture *f = *state;
    GH_OWN(decision_store_freep) struct decision_store *decisions = NULL;
    struct bytes_buf out = {0};
    struct store_stats stats;

    assert_true(decision_store_new(f->store, 10, &decisions, NULL));
    for (int i = 0; i < 25; i++) {
        put_id(decisions, i, 1000 + i);
    }
    store_flush(f->store);
    store_stats(f->store, &stats);
    assert_int_equal(stats.entries[STORE_DECISIONS], 10);
    assert_int_equal(stats.entries[STORE_DECISION_ORDER], 10);
    assert_false(decision_store_get(decisions, "id-14", &out));
    assert_true(decision_store_get(decisions, "id-15", &out));
    bytes_buf_done(&out);
}

static bool count_one(const char *id, struct bytes record, int64_t made_unix_ms, void *arg)
{
    int *count = arg;

    assert_true(made_unix_ms >= 1010);
    ++*count;
    return true;
}

static void decision_store_each_since_in_order(void **state)
{
    struct fixture *f = *state;
    GH_OWN(decision_store_freep) struct decision_store *decisions = NULL;
    int count = 0;

    assert_true(decision_store_new(f->store, 0, &decisions, NULL));
    for (int i = 0; i < 25; i++) {
        put_id(decisions, i, 1000 + i);
    }
    decision_store_each(decisions, 1010, count_one, &count);
    assert_int_equal(count, 15);
}

static void decision_store_put_past_limits_refused(void **state)
{
    struct fixture *f = *state;
    GH_OWN(decision_store_freep) struct decision_store *decisions = NULL;
    char id[DECISION_STORE_MAX_ID + 2];
    struct gh_error err = {0};

    assert_true(decision_store_new(f->store, 0, &decisions, NULL));
    memset(id, 'x', sizeof(id));
    id[DECISION_STORE_MAX_ID + 1] = '\0';
    assert_false(decision_store_put(decisions, id, bytes_of("{}"), 1, &err));
    assert_int_equal(err.cause, GH_SIZE_LIMIT_EXCEEDED);
    id[DECISION_STORE_MAX_ID] = '\0';
    assert_true(decision_store_put(decisions, id, bytes_of("{}"), 1, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(decision_store_put_known_id_first_record_stays),
        CASE(decision_store_put_past_count_oldest_gone),
        CASE(decision_store_each_since_in_order),
        CASE(decision_store_put_past_limits_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
