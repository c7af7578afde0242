#include "cache/verdict_cache.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cache/verdict_record.h"
#include "tests/support/store_fixture.h"

/* A verdict as the cache sees it: counted, made of bytes. */
struct object {
    atomic_int references;
    char text[32];
};

static atomic_int live_objects;

static void object_ref(void *arg)
{
    struct object *object = arg;

    atomic_fetch_add(&object->references, 1);
}

static void object_unref(void *arg)
{
    struct object *object = arg;

    if (atomic_fetch_sub(&object->references, 1) == 1) {
        atomic_fetch_sub(&live_objects, 1);
        free(object);
    }
}

static struct object *object_new(struct bytes text)
{
    struct object *object = calloc(1, sizeof(*object));

    atomic_init(&object->references, 1);
    atomic_fetch_add(&live_objects, 1);
    memcpy(object->text, text.data, GH_MIN(text.len, sizeof(object->text) - 1));
    return object;
}

static bool object_decode(struct bytes value, void **out)
{
    if (bytes_equal_cstr(value, "stale")) {
        return false;
    }
    *out = object_new(value);
    return true;
}

static struct verdict_cache *cache_made(struct fixture *f, uint64_t memory_bytes)
{
    struct verdict_cache_config config = {.memory_bytes = memory_bytes,
                                          .hooks = {object_ref, object_unref, object_decode}};
    struct verdict_cache *cache = NULL;

    assert_true(verdict_cache_new(f->store, &config, &cache, NULL));
    return cache;
}

static const struct verdict_cache_rest key_rest = {1, {1, 2, 3}};
static const struct verdict_cache_rest root_rest = {2, {1, 2, 3}};

static void put_verdict(struct verdict_cache *cache, const char *key, const char *value,
                        bool is_stored, const struct verdict_cache_rest *rests, size_t rest_count)
{
    struct verdict_cache_entry entry = {.key = bytes_of(key),
                                        .value = bytes_of(value),
                                        .until_unix_s = NOW + 100,
                                        .rests = rests,
                                        .rest_count = rest_count,
                                        .is_stored = is_stored};
    struct object *object = object_new(entry.value);

    assert_true(verdict_cache_put(cache, &entry, object, NOW, NULL));
    object_unref(object);
}

static enum verdict_cache_result get_verdict(struct verdict_cache *cache, const char *key,
                                             int64_t now, const char *value)
{
    void *object = NULL;
    enum verdict_cache_result result = verdict_cache_get(cache, bytes_of(key), now, NULL, &object);

    if (result != VERDICT_CACHE_MISS) {
        assert_string_equal(((struct object *)object)->text, value);
        object_unref(object);
    }
    return result;
}

static void verdict_cache_get_known_memory_then_stored(void **state)
{
    struct fixture *f = *state;
    struct verdict_cache *cache = cache_made(f, 0);

    put_verdict(cache, "k", "v", true, &key_rest, 1);
    assert_int_equal(get_verdict(cache, "k", NOW, "v"), VERDICT_CACHE_MEMORY);
    assert_int_equal(get_verdict(cache, "other", NOW, "v"), VERDICT_CACHE_MISS);
    verdict_cache_free(cache);
    cache = cache_made(f, 0);
    assert_int_equal(get_verdict(cache, "k", NOW, "v"), VERDICT_CACHE_STORED);
    assert_int_equal(get_verdict(cache, "k", NOW, "v"), VERDICT_CACHE_MEMORY);
    verdict_cache_free(cache);
    assert_int_equal(atomic_load(&live_objects), 0);
}

static void verdict_cache_get_ended_missed(void **state)
{
    struct fixture *f = *state;
    struct verdict_cache *cache = cache_made(f, 0);

    put_verdict(cache, "k", "v", true, NULL, 0);
    assert_int_equal(get_verdict(cache, "k", NOW + 99, "v"), VERDICT_CACHE_MEMORY);
    assert_int_equal(get_verdict(cache, "k", NOW + 100, "v"), VERDICT_CACHE_MISS);
    assert_int_equal(get_verdict(cache, "k", NOW + 100, "v"), VERDICT_CACHE_MISS);
    verdict_cache_free(cache);
}

static void verdict_cache_put_denial_replaces_and_is_not_stored(void **state)
{
    struct fixture *f = *state;
    struct verdict_cache *cache = cache_made(f, 0);

    put_verdict(cache, "k", "allowed", true, NULL, 0);
    put_verdict(cache, "k", "denied", false, NULL, 0);
    assert_int_equal(get_verdict(cache, "k", NOW, "denied"), VERDICT_CACHE_MEMORY);
    verdict_cache_free(cache);
    cache = cache_made(f, 0);
    assert_int_equal(get_verdict(cache, "k", NOW, ""), VERDICT_CACHE_MISS);
    verdict_cache_free(cache);
}

static void verdict_cache_drop_rest_all_that_rest_on_it_gone(void **state)
{
    struct fixture *f = *state;
    struct verdict_cache *cache = cache_made(f, 0);
    struct verdict_cache_rest both[2] = {key_rest, root_rest};
    struct store_stats stats;
    size_t count = 0;

    put_verdict(cache, "a", "a", true, both, 2);
    put_verdict(cache, "b", "b", true, &root_rest, 1);
    put_verdict(cache, "c", "c", false, &key_rest, 1);
    put_verdict(cache, "d", "d", true, &key_rest, 1);
    assert_true(verdict_cache_drop_rest(cache, &key_rest, &count, NULL));
    assert_int_equal(count, 3);
    assert_int_equal(get_verdict(cache, "a", NOW, ""), VERDICT_CACHE_MISS);
    assert_int_equal(get_verdict(cache, "b", NOW, "b"), VERDICT_CACHE_MEMORY);
    assert_int_equal(get_verdict(cache, "c", NOW, ""), VERDICT_CACHE_MISS);
    assert_int_equal(get_verdict(cache, "d", NOW, ""), VERDICT_CACHE_MISS);
    store_stats(f->store, &stats);
    assert_int_equal(stats.entries[STORE_VERDICTS], 1);
    assert_int_equal(stats.entries[STORE_RESTS], 1);
    verdict_cache_free(cache);
    assert_int_equal(atomic_load(&live_objects), 0);
}

static void verdict_cache_put_again_old_rests_forgotten(void **state)
{
    struct fixture *f = *state;
    struct verdict_cache *cache = cache_made(f, 0);
    size_t count = 9;

    put_verdict(cache, "a", "1", true, &key_rest, 1);
    put_verdict(cache, "a", "2", true, &root_rest, 1);
    assert_true(verdict_cache_drop_rest(cache, &key_rest, &count, NULL));
    assert_int_equal(count, 0);
    assert_int_equal(get_verdict(cache, "a", NOW, "2"), VERDICT_CACHE_MEMORY);
    verdict_cache_free(cache);
}

/* What the index evicts takes its pairs along: what is left under a rest is what is left stored. */
static void verdict_cache_put_index_full_evicted_with_rests(void **state)
{
    struct fixture *f = *state;
    struct store_config config = {.path = f->scratch.path, .map_bytes = 8u * 1024 * 1024};
    struct verdict_cache *cache;
    struct store_stats stats;
    char *value = calloc(1, 3001);
    size_t count = 0;

    memset(value, 'v', 3000);
    store_close(GH_TAKE(f->store));
    assert_true(store_open(&config, &f->store, NULL));
    cache = cache_made(f, 1);
    for (int i = 0; i < 4000; i++) {
        char key[32];

        (void)snprintf(key, sizeof(key), "key-%d", i);
        put_verdict(cache, key, value, true, &key_rest, 1);
        if (i % 200 == 0) {
            store_flush(f->store);
        }
    }
    store_flush(f->store);
    store_stats(f->store, &stats);
    assert_true(stats.evicted > 0);
    assert_int_equal(stats.failed, 0);
    assert_int_equal(stats.entries[STORE_RESTS], stats.entries[STORE_VERDICTS]);
    assert_true(verdict_cache_drop_rest(cache, &key_rest, &count, NULL));
    /* the drop's own commit may have had to evict first */
    assert_true(count > 0 && count <= stats.entries[STORE_VERDICTS]);
    store_stats(f->store, &stats);
    assert_int_equal(stats.entries[STORE_VERDICTS], 0);
    assert_int_equal(stats.entries[STORE_RESTS], 0);
    verdict_cache_free(cache);
    free(value);
}

static bool take_first(struct bytes key, struct bytes value, void *arg)
{
    return !bytes_dup(value, arg, NULL);
}

static void verdict_cache_get_edited_value_missed(void **state)
{
    struct fixture *f = *state;
    struct verdict_cache *cache = cache_made(f, 0);
    struct bytes_buf value = {0};
    struct bytes key = bytes_of("k");
    struct store_key store_key;

    put_verdict(cache, "k", "v", true, &key_rest, 1);
    verdict_cache_free(cache);
    store_flush(f->store);
    store_walk(f->store, STORE_VERDICTS, bytes_make(NULL, 0), take_first, &value);
    store_key_make(&store_key, &key, 1);
    for (size_t i = 0; i <= value.len; i++) {
        struct store_batch *batch = NULL;

        if (i < value.len) {
            value.data[i] ^= 0x10;
        }
        assert_true(store_batch_new(&batch, NULL));
        assert_true(store_batch_put(batch, STORE_VERDICTS, bytes_make(store_key.bytes, 32),
                                    bytes_view(&value), NULL));
        assert_true(store_submit(f->store, batch, NULL, NULL, NULL));
        cache = cache_made(f, 0);
        assert_int_equal(get_verdict(cache, "k", NOW, "v"),
                         i < value.len ? VERDICT_CACHE_MISS : VERDICT_CACHE_STORED);
        verdict_cache_free(cache);
        if (i < value.len) {
            value.data[i] ^= 0x10;
        }
    }
    bytes_buf_done(&value);
}

static void verdict_cache_get_other_version_missed(void **state)
{
    struct fixture *f = *state;
    struct verdict_cache *cache = cache_made(f, 0);

    put_verdict(cache, "k", "stale", true, NULL, 0);
    verdict_cache_free(cache);
    cache = cache_made(f, 0);
    assert_int_equal(get_verdict(cache, "k", NOW, ""), VERDICT_CACHE_MISS);
    verdict_cache_free(cache);
}

/* Keys fall into shards by a random hash, about 31 into each: with room for three or four in a
 * shard the first one is gone whatever the hash. */
static void verdict_cache_put_memory_full_oldest_use_evicted(void **state)
{
    enum { MEMORY_BYTES = 64 * 500 };
    struct fixture *f = *state;
    struct verdict_cache *cache = cache_made(f, MEMORY_BYTES);
    struct verdict_cache_stats stats;

    for (int i = 0; i < 2000; i++) {
        char key[32];

        (void)snprintf(key, sizeof(key), "key-%d", i);
        put_verdict(cache, key, "v", true, NULL, 0);
        assert_int_equal(get_verdict(cache, "key-0", NOW, "v"), VERDICT_CACHE_MEMORY);
    }
    verdict_cache_stats(cache, &stats);
    assert_true(stats.bytes <= MEMORY_BYTES);
    assert_true(stats.evicted > 0);
    assert_int_equal(stats.entries + stats.evicted, 2000);
    assert_int_equal(get_verdict(cache, "key-1", NOW, "v"), VERDICT_CACHE_STORED);
    verdict_cache_free(cache);
    assert_int_equal(atomic_load(&live_objects), 0);
}

static void verdict_cache_put_past_limits_refused(void **state)
{
    struct fixture *f = *state;
    struct verdict_cache *cache = cache_made(f, 0);
    uint8_t *key = calloc(1, VERDICT_CACHE_MAX_KEY + 1);
    struct verdict_cache_entry entry = {
        .key = {key, VERDICT_CACHE_MAX_KEY}, .until_unix_s = NOW + 1, .is_stored = true};
    struct object *object = object_new(bytes_of("v"));
    struct gh_error err = {0};
    void *out = NULL;

    assert_true(verdict_cache_put(cache, &entry, object, NOW, &err));
    assert_int_equal(verdict_cache_get(cache, entry.key, NOW, NULL, &out), VERDICT_CACHE_MEMORY);
    object_unref(out);
    entry.key.len++;
    assert_false(verdict_cache_put(cache, &entry, object, NOW, &err));
    assert_int_equal(err.cause, GH_SIZE_LIMIT_EXCEEDED);
    object_unref(object);
    verdict_cache_free(cache);
    free(key);
}

struct listed {
    unsigned count;
    struct verdict_cache_use use;
};

static bool list_one(struct bytes key, struct bytes value, int64_t until,
                     const struct verdict_cache_use *use, void *arg)
{
    struct listed *listed = arg;

    assert_int_equal(until, NOW + 100);
    listed->count++;
    if (bytes_equal_cstr(key, "a")) {
        listed->use = *use;
    }
    return true;
}

static void verdict_cache_each_rest_listed_with_who_pulled(void **state)
{
    struct fixture *f = *state;
    struct verdict_cache *cache = cache_made(f, 0);
    struct listed listed = {0};
    void *object = NULL;

    put_verdict(cache, "a", "a", true, &key_rest, 1);
    put_verdict(cache, "b", "b", true, &root_rest, 1);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < VERDICT_CACHE_MAX_WHO + 1; i++) {
            char who[32];

            (void)snprintf(who, sizeof(who), "user-%d", i);
            assert_int_not_equal(verdict_cache_get(cache, bytes_of("a"), NOW + i, who, &object),
                                 VERDICT_CACHE_MISS);
            object_unref(object);
        }
        verdict_cache_each(cache, &key_rest, list_one, &listed);
        assert_int_equal(listed.count, 1);
        assert_int_equal(listed.use.who_count, VERDICT_CACHE_MAX_WHO);
        assert_true(listed.use.last_unix_s >= NOW);
        for (size_t i = 0; i < listed.use.who_count; i++) {
            assert_string_not_equal(listed.use.who[i].name, "user-0"); /* the oldest made room */
        }
        listed.count = 0;
        verdict_cache_each(cache, NULL, list_one, &listed);
        assert_int_equal(listed.count, 2);
        listed.count = 0;
        verdict_cache_free(cache);
        cache = cache_made(f, 0);
    }
    verdict_cache_free(cache);
}

#define TEST_THREADS 4
#define TEST_ROUNDS 1500

static void *hammer(void *arg)
{
    struct verdict_cache *cache = arg;

    for (int i = 0; i < TEST_ROUNDS; i++) {
        char key[32];
        void *object = NULL;

        (void)snprintf(key, sizeof(key), "key-%d", i % 50);
        if (verdict_cache_get(cache, bytes_of(key), NOW, "someone", &object) ==
            VERDICT_CACHE_MISS) {
            put_verdict(cache, key, key, i % 3 != 0, &key_rest, 1);
        } else {
            object_unref(object);
        }
        if (i % 300 == 0) {
            size_t count;

            (void)!verdict_cache_drop_rest(cache, &key_rest, &count, NULL);
            verdict_cache_tick(cache);
        }
    }
    return NULL;
}

static void verdict_cache_get_many_threads_nothing_leaks(void **state)
{
    struct fixture *f = *state;
    struct verdict_cache *cache = cache_made(f, 64 * 4000);
    pthread_t threads[TEST_THREADS];
    size_t count = 0;

    for (int i = 0; i < TEST_THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, cache), 0);
    }
    for (int i = 0; i < TEST_THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_true(verdict_cache_drop_rest(cache, &key_rest, &count, NULL));
    assert_int_equal(get_verdict(cache, "key-1", NOW, ""), VERDICT_CACHE_MISS);
    verdict_cache_free(cache);
    assert_int_equal(atomic_load(&live_objects), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(verdict_cache_get_known_memory_then_stored),
        CASE(verdict_cache_get_ended_missed),
        CASE(verdict_cache_put_denial_replaces_and_is_not_stored),
        CASE(verdict_cache_drop_rest_all_that_rest_on_it_gone),
        CASE(verdict_cache_put_again_old_rests_forgotten),
        CASE(verdict_cache_get_edited_value_missed),
        CASE(verdict_cache_get_other_version_missed),
        CASE(verdict_cache_put_memory_full_oldest_use_evicted),
        CASE(verdict_cache_put_index_full_evicted_with_rests),
        CASE(verdict_cache_put_past_limits_refused),
        CASE(verdict_cache_each_rest_listed_with_who_pulled),
        CASE(verdict_cache_get_many_threads_nothing_leaks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
