#include "cache/store.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/support/store_fixture.h"

static struct bytes text(const char *string)
{
    return bytes_of(string);
}

static void put_text(struct fixture *f, const char *key, const char *value, bool wait)
{
    struct store_batch *batch = NULL;

    assert_true(store_batch_new(&batch, NULL));
    assert_true(store_batch_put(batch, STORE_EVIDENCE, text(key), text(value), NULL));
    if (wait) {
        assert_true(store_commit(f->store, batch, NULL));
    } else {
        assert_true(store_submit(f->store, batch, NULL, NULL, NULL));
    }
}

static void assert_value(struct fixture *f, const char *key, const char *value)
{
    struct bytes_buf out = {0};

    assert_true(store_get(f->store, STORE_EVIDENCE, text(key), &out));
    assert_true(bytes_equal_cstr(bytes_view(&out), value));
    bytes_buf_done(&out);
}

static void store_open_second_process_refused(void **state)
{
    struct fixture *f = *state;
    struct store_config config = {.path = f->scratch.path};
    struct store *second = NULL;
    struct gh_error err = {0};

    assert_false(store_open(&config, &second, &err));
    assert_int_equal(err.cause, GH_INTERNAL_ERROR);
    assert_non_null(strstr(err.text, "in use by another process"));
}

static void store_open_key_open_to_others_refused(void **state)
{
    struct fixture *f = *state;
    struct store_config config = {.path = f->scratch.path};
    struct gh_error err = {0};
    char path[512];

    store_close(GH_TAKE(f->store));
    assert_int_equal(chmod(scratch_path(&f->scratch, "mac.key", path), 0644), 0);
    assert_false(store_open(&config, &f->store, &err));
    assert_int_equal(err.cause, GH_INTERNAL_ERROR);
    assert_non_null(strstr(err.text, "chmod 600"));
}

static void store_open_after_clean_stop_same_epoch(void **state)
{
    struct fixture *f = *state;
    uint32_t epoch = store_epoch(f->store);
    uint8_t before[STORE_MAC_BYTES];
    uint8_t after[STORE_MAC_BYTES];

    store_mac(f->store, "test", text("data"), before);
    put_text(f, "key", "value", false);
    store_close(GH_TAKE(f->store));
    fixture_open(f);
    assert_true(store_was_clean(f->store));
    assert_int_equal(store_epoch(f->store), epoch);
    assert_value(f, "key", "value");
    store_mac(f->store, "test", text("data"), after);
    assert_memory_equal(before, after, sizeof(before));
    store_mac(f->store, "other", text("data"), after);
    assert_memory_not_equal(before, after, sizeof(before));
}

static void store_open_after_crash_next_epoch(void **state)
{
    struct fixture *f = *state;
    uint32_t epoch = store_epoch(f->store);
    char path[512];

    store_close(GH_TAKE(f->store));
    assert_int_equal(unlink(scratch_path(&f->scratch, "clean", path)), 0);
    fixture_open(f);
    assert_false(store_was_clean(f->store));
    assert_int_equal(store_epoch(f->store), epoch + 1);
}

static void store_submit_newest_seen_at_once(void **state)
{
    struct fixture *f = *state;
    struct store_batch *batch = NULL;

    for (int i = 0; i < 200; i++) {
        char value[16];

        (void)snprintf(value, sizeof(value), "%d", i);
        put_text(f, "key", value, false);
        assert_value(f, "key", value);
    }
    assert_true(store_batch_new(&batch, NULL));
    assert_true(store_batch_del(batch, STORE_EVIDENCE, text("key"), NULL));
    assert_true(store_submit(f->store, batch, NULL, NULL, NULL));
    assert_false(store_has(f->store, STORE_EVIDENCE, text("key")));
    store_flush(f->store);
    assert_false(store_has(f->store, STORE_EVIDENCE, text("key")));
}

static bool run_that_fails(struct store_write *write, void *arg, struct gh_error *err)
{
    return store_write_put(write, STORE_EVIDENCE, text("half"), text("1"), err) &&
           gh_fail(err, GH_INTERNAL_ERROR, "on purpose");
}

static void store_commit_failing_batch_harms_no_other(void **state)
{
    struct fixture *f = *state;
    struct store_batch *bad = NULL;
    struct store_stats stats;
    struct gh_error err = {0};

    put_text(f, "before", "1", false);
    assert_true(store_batch_new(&bad, NULL));
    store_batch_run(bad, run_that_fails, NULL);
    assert_true(store_batch_put(bad, STORE_EVIDENCE, text("bad"), text("1"), NULL));
    assert_true(store_submit(f->store, bad, NULL, NULL, NULL));
    put_text(f, "after", "1", true);
    assert_value(f, "before", "1");
    assert_value(f, "after", "1");
    assert_false(store_has(f->store, STORE_EVIDENCE, text("bad")));
    assert_false(store_has(f->store, STORE_EVIDENCE, text("half")));
    assert_true(store_batch_new(&bad, NULL));
    store_batch_run(bad, run_that_fails, NULL);
    assert_false(store_commit(f->store, bad, &err));
    assert_int_equal(err.cause, GH_INTERNAL_ERROR);
    store_stats(f->store, &stats);
    assert_int_equal(stats.failed, 2);
}

static void store_batch_put_long_key_refused(void **state)
{
    struct store_batch *batch = NULL;
    uint8_t key[STORE_MAX_KEY + 1] = {0};
    struct gh_error err = {0};

    assert_true(store_batch_new(&batch, NULL));
    assert_true(
        store_batch_put(batch, STORE_TAGS, bytes_make(key, STORE_MAX_KEY), text("v"), &err));
    assert_false(store_batch_put(batch, STORE_TAGS, bytes_make(key, sizeof(key)), text("v"), &err));
    assert_int_equal(err.cause, GH_INTERNAL_ERROR);
    store_batch_free(batch);
}

static void store_key_make_parts_shifted_differ(void **state)
{
    struct bytes first[2] = {text("ab"), text("c")};
    struct bytes second[2] = {text("a"), text("bc")};
    struct store_key a;
    struct store_key b;

    store_key_make(&a, first, 2);
    store_key_make(&b, second, 2);
    assert_memory_not_equal(a.bytes, b.bytes, sizeof(a.bytes));
}

static void store_tick_touched_remembered(void **state)
{
    struct fixture *f = *state;

    put_text(f, "key", "12345678", true);
    assert_int_equal(store_last_use(f->store, STORE_EVIDENCE, text("key")), 0);
    store_touch(f->store, STORE_EVIDENCE, text("key"), NOW);
    assert_int_equal(store_last_use(f->store, STORE_EVIDENCE, text("key")), NOW);
    store_close(GH_TAKE(f->store));
    fixture_open(f);
    assert_int_equal(store_last_use(f->store, STORE_EVIDENCE, text("key")), NOW);
}

static void store_submit_index_full_oldest_evicted(void **state)
{
    struct fixture *f = *state;
    struct store_config config = {.path = f->scratch.path, .map_bytes = 8u * 1024 * 1024};
    uint8_t *value = calloc(1, 3000);
    struct store_stats stats;
    struct gh_error err = {0};
    unsigned recent = 0;

    store_close(GH_TAKE(f->store));
    assert_true(store_open(&config, &f->store, &err));
    for (uint64_t i = 0; i < 8000; i++) { /* three times what fits */
        struct store_batch *batch = NULL;
        struct store_key key;
        struct bytes part = bytes_make(&i, sizeof(i));

        store_key_make(&key, &part, 1);
        store_put_u64(value, NOW + i);
        assert_true(store_batch_new(&batch, NULL));
        assert_true(store_batch_put(batch, STORE_EVIDENCE, bytes_make(key.bytes, 32),
                                    bytes_make(value, 3000), NULL));
        assert_true(store_submit(f->store, batch, NULL, NULL, NULL));
        if (i % 200 == 0) {
            store_flush(f->store);
        }
    }
    store_flush(f->store);
    store_stats(f->store, &stats);
    assert_int_equal(stats.failed, 0);
    assert_true(stats.evicted > 4000);
    assert_true(stats.used_bytes < stats.map_bytes / 100 * 95);
    for (uint64_t i = 7800; i < 8000; i++) {
        struct bytes part = bytes_make(&i, sizeof(i));
        struct store_key key;

        store_key_make(&key, &part, 1);
        recent += store_has(f->store, STORE_EVIDENCE, bytes_make(key.bytes, 32)) ? 1 : 0;
    }
    assert_true(recent >= 190);
    free(value);
}

#define TEST_THREADS 4
#define TEST_ROUNDS 500

static void *write_and_read(void *arg)
{
    struct fixture *f = arg;
    uint64_t wrong = 0;

    for (int i = 0; i < TEST_ROUNDS; i++) {
        struct store_batch *batch = NULL;
        uint64_t id = (uint64_t)(uintptr_t)pthread_self() ^ (uint64_t)i << 48;
        struct bytes key = bytes_make(&id, sizeof(id));

        if (!store_batch_new(&batch, NULL) ||
            !store_batch_put(batch, STORE_EVIDENCE, key, text("value"), NULL) ||
            !store_submit(f->store, batch, NULL, NULL, NULL)) {
            return (void *)(uintptr_t)1;
        }
        wrong += store_has(f->store, STORE_EVIDENCE, key) ? 0 : 1;
        store_touch(f->store, STORE_EVIDENCE, key, NOW);
        if (i % 100 == 0) {
            store_tick(f->store);
        }
    }
    return (void *)(uintptr_t)wrong;
}

static void store_submit_many_threads_own_writes_seen(void **state)
{
    struct fixture *f = *state;
    pthread_t threads[TEST_THREADS];
    struct store_stats stats;

    for (int i = 0; i < TEST_THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, write_and_read, f), 0);
    }
    for (int i = 0; i < TEST_THREADS; i++) {
        void *wrong = NULL;

        assert_int_equal(pthread_join(threads[i], &wrong), 0);
        assert_null(wrong);
    }
    store_flush(f->store);
    store_stats(f->store, &stats);
    assert_int_equal(stats.entries[STORE_EVIDENCE], TEST_THREADS * TEST_ROUNDS);
    assert_int_equal(stats.failed, 0);
}

static void store_open_read_only_sees_what_was_committed_and_changes_nothing(void **state)
{
    struct fixture *f = *state;
    struct store_config config = {.is_read_only = true};
    struct store_batch *batch = NULL;
    struct bytes_buf value = {0};
    struct store *store = NULL;
    struct gh_error err = {0};
    char path[512];

    (void)snprintf(path, sizeof(path), "%s", store_path(f->store));
    assert_true(store_batch_new(&batch, &err));
    assert_true(store_batch_put(batch, STORE_EVIDENCE, text("key"), text("value"), &err));
    assert_true(store_commit(f->store, batch, &err));
    store_close(GH_TAKE(f->store));

    config.path = path;
    assert_true(store_open(&config, &store, &err));
    assert_true(store_get(store, STORE_EVIDENCE, text("key"), &value));
    assert_true(bytes_equal_cstr(bytes_view(&value), "value"));
    bytes_buf_done(&value);
    assert_true(store_batch_new(&batch, &err));
    assert_true(store_batch_put(batch, STORE_EVIDENCE, text("more"), text("value"), &err));
    assert_false(store_submit(store, batch, NULL, NULL, &err));
    assert_int_equal(err.cause, GH_INTERNAL_ERROR);
    assert_false(store_has(store, STORE_EVIDENCE, text("more")));
    store_close(store);
}

static void store_open_read_only_without_a_store_refused(void **state)
{
    struct store_config config = {.path = "/nonexistent/store", .is_read_only = true};
    struct store *store = NULL;
    struct gh_error err = {0};

    (void)state;
    assert_false(store_open(&config, &store, &err));
    assert_int_equal(err.cause, GH_INTERNAL_ERROR);
    assert_non_null(strstr(err.text, "no store to read"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(store_open_second_process_refused),
        CASE(store_open_key_open_to_others_refused),
        CASE(store_open_after_clean_stop_same_epoch),
        CASE(store_open_after_crash_next_epoch),
        CASE(store_submit_newest_seen_at_once),
        CASE(store_commit_failing_batch_harms_no_other),
        cmocka_unit_test(store_batch_put_long_key_refused),
        cmocka_unit_test(store_key_make_parts_shifted_differ),
        CASE(store_tick_touched_remembered),
        CASE(store_submit_index_full_oldest_evicted),
        CASE(store_submit_many_threads_own_writes_seen),
        CASE(store_open_read_only_sees_what_was_committed_and_changes_nothing),
        cmocka_unit_test(store_open_read_only_without_a_store_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
