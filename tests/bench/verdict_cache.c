/*
 * Verdict look-ups: nanoseconds of CPU of a hit in memory, of a hit in the store, and milliseconds
 * to open a store of COUNT verdicts. Usage: verdict_cache [COUNT]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cache/verdict_cache.h"
#include "metrics/error.h"
#include "tests/support/scratch.h"

#define BENCH_COUNT 1000000
#define BENCH_HITS 2000000
#define BENCH_HOT 1000
#define BENCH_KEY 300
#define BENCH_VALUE 600
#define BENCH_NOW 1700000000

static int object;

static void object_ref(void *arg)
{
    __atomic_add_fetch((int *)arg, 1, __ATOMIC_RELAXED);
}

static void object_unref(void *arg)
{
    __atomic_sub_fetch((int *)arg, 1, __ATOMIC_RELAXED);
}

static bool object_decode(struct bytes value, void **out)
{
    object_ref(&object);
    *out = &object;
    return true;
}

static double now_s(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Of this thread alone, so that a busy machine does not count. */
static double cpu_s(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static struct bytes make_key(uint64_t number, uint8_t out[BENCH_KEY])
{
    memset(out, 'k', BENCH_KEY);
    store_put_u64(out + BENCH_KEY - 8, number);
    return bytes_make(out, BENCH_KEY);
}

static bool open_all(const char *path, struct store **store, struct verdict_cache **cache)
{
    struct store_config config = {.path = path};
    struct verdict_cache_config cache_config = {.hooks = {object_ref, object_unref, object_decode}};

    return store_open(&config, store, NULL) &&
           verdict_cache_new(*store, &cache_config, cache, NULL);
}

static bool fill(struct store *store, struct verdict_cache *cache, uint64_t count)
{
    struct verdict_cache_rest rest = {.kind = 1};
    uint8_t value[BENCH_VALUE] = {0};
    uint8_t key[BENCH_KEY];

    for (uint64_t i = 0; i < count; i++) {
        struct verdict_cache_entry entry = {.key = make_key(i, key),
                                            .value = bytes_make(value, sizeof(value)),
                                            .until_unix_s = BENCH_NOW + 1000,
                                            .rests = &rest,
                                            .rest_count = 1,
                                            .is_stored = true};

        rest.id[0] = (uint8_t)i;
        if (!verdict_cache_put(cache, &entry, &object, BENCH_NOW, NULL)) {
            return false;
        }
        if (i % 30000 == 29999) {
            store_flush(store);
        }
    }
    store_flush(store);
    return true;
}

static double hits(struct verdict_cache *cache, uint64_t first, uint64_t range, uint64_t count)
{
    uint8_t key[BENCH_KEY];
    double start = cpu_s();

    for (uint64_t i = 0; i < count; i++) {
        void *out = NULL;

        if (verdict_cache_get(cache, make_key(first + i % range, key), BENCH_NOW, "ci", &out) ==
            VERDICT_CACHE_MISS) {
            exit(1);
        }
        object_unref(out);
    }
    return (cpu_s() - start) * 1e9 / (double)count;
}

int main(int argc, char **argv)
{
    uint64_t count = argc > 1 ? strtoull(argv[1], NULL, 10) : BENCH_COUNT;
    struct verdict_cache *cache = NULL;
    struct store *store = NULL;
    struct scratch scratch;
    double start;

    if (!scratch_make(&scratch) || !open_all(scratch.path, &store, &cache)) {
        return 1;
    }
    start = now_s();
    if (!fill(store, cache, count)) {
        return 1;
    }
    (void)printf("stored %llu verdicts: %.0f a second\n", (unsigned long long)count,
                 (double)count / (now_s() - start));
    verdict_cache_free(cache);
    store_close(store);
    start = now_s();
    if (!open_all(scratch.path, &store, &cache)) {
        return 1;
    }
    (void)printf("open: %.1f ms\n", (now_s() - start) * 1000);
    (void)printf("first hit, from the store: %.0f ns\n",
                 hits(cache, 0, GH_MIN(count, 100000), GH_MIN(count, 100000)));
    (void)hits(cache, 0, BENCH_HOT, BENCH_HOT);
    (void)printf("hit in memory: %.0f ns\n", hits(cache, 0, BENCH_HOT, BENCH_HITS));
    verdict_cache_free(cache);
    store_close(store);
    scratch_remove(&scratch);
    return 0;
}
