/*
 * Records a second through the store's writer: many in flight (groups), and one at a time.
 * Usage: store_commit [FOLDER]; the figure is of the disk under FOLDER (default /tmp).
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "cache/store.h"
#include "metrics/error.h"
#include "tests/support/scratch.h"

#define BENCH_MANY 200000
#define BENCH_ONE 500
#define BENCH_VALUE 300

static double now_s(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static struct store_batch *make_batch(uint64_t number)
{
    struct store_batch *batch = NULL;
    struct bytes part = bytes_make(&number, sizeof(number));
    uint8_t value[BENCH_VALUE] = {0};
    struct store_key key;

    store_key_make(&key, &part, 1);
    if (!store_batch_new(&batch, NULL) ||
        !store_batch_put(batch, STORE_EVIDENCE, bytes_make(key.bytes, sizeof(key.bytes)),
                         bytes_make(value, sizeof(value)), NULL)) {
        exit(1);
    }
    return batch;
}

int main(int argc, char **argv)
{
    struct store_config config = {0};
    struct store *store = NULL;
    struct store_stats stats;
    struct scratch scratch;
    double start;

    if (argc > 1) {
        (void)setenv("TMPDIR", argv[1], 1);
    }
    if (!scratch_make(&scratch)) {
        return 1;
    }
    config.path = scratch.path;
    if (!store_open(&config, &store, NULL)) {
        return 1;
    }
    start = now_s();
    for (uint64_t i = 0; i < BENCH_MANY; i++) {
        if (i % 30000 == 29999) {
            store_flush(store); /* the queue is bounded */
        }
        if (!store_submit(store, make_batch(i), NULL, NULL, NULL)) {
            return 1;
        }
    }
    store_flush(store);
    store_stats(store, &stats);
    (void)printf("grouped: %.0f records/s (%llu commits)\n", BENCH_MANY / (now_s() - start),
                 (unsigned long long)stats.commits);
    start = now_s();
    for (uint64_t i = 0; i < BENCH_ONE; i++) {
        if (!store_commit(store, make_batch(BENCH_MANY + i), NULL)) {
            return 1;
        }
    }
    (void)printf("one by one: %.3f ms each\n", (now_s() - start) * 1000 / BENCH_ONE);
    store_close(store);
    scratch_remove(&scratch);
    return 0;
}
