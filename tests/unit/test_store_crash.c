/*
 * kill -9 at random moments: a child publishes content, manifests and verdicts and says through a
 * pipe what it was told is durable; the parent kills it, opens the store again and checks that
 * nothing durable is lost, nothing half is served and nothing is left in the staging folder.
 */
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "cache/blob_store.h"
#include "cache/manifest_store.h"
#include "cache/verdict_cache.h"
#include "tests/support/store_fixture.h"

#define CRASH_ROUNDS 12
#define CRASH_FIRST_US 3000
#define CRASH_STEP_US 9000
#define CRASH_MAX_BYTES 150000
#define CRASH_KINDS 3

enum crash_kind { CRASH_BLOB, CRASH_MANIFEST, CRASH_VERDICT };

static void object_ref(void *object)
{
    __atomic_add_fetch((int *)object, 1, __ATOMIC_RELAXED);
}

static void object_unref(void *object)
{
    if (__atomic_sub_fetch((int *)object, 1, __ATOMIC_RELAXED) == 0) {
        free(object);
    }
}

static bool object_decode(struct bytes value, void **out)
{
    int *object = calloc(1, sizeof(*object));

    *object = 1;
    *out = object;
    return true;
}

static const struct verdict_cache_hooks hooks = {object_ref, object_unref, object_decode};

/* Everything follows from the number, so that the parent can tell what the child wrote. */
static struct bytes_buf content_of(uint32_t number)
{
    struct bytes_buf buf = {0};
    uint32_t x = number * 2654435761u + 1;

    assert_true(bytes_buf_alloc(1 + x % CRASH_MAX_BYTES, &buf, NULL));
    for (size_t i = 0; i < buf.len; i++) {
        x = x * 1664525u + 1013904223u;
        buf.data[i] = (uint8_t)(x >> 24);
    }
    return buf;
}

struct crash_store {
    struct store *store;
    struct blob_store *blobs;
    struct verdict_cache *verdicts;
};

static bool crash_open(const char *path, struct crash_store *out)
{
    struct store_config config = {.path = path, .map_bytes = 256u * 1024 * 1024};
    struct blob_store_config blob_config = {.max_bytes = 1u << 30};
    struct verdict_cache_config verdict_config = {.hooks = hooks};

    return store_open(&config, &out->store, NULL) &&
           blob_store_new(out->store, &blob_config, &out->blobs, NULL) &&
           verdict_cache_new(out->store, &verdict_config, &out->verdicts, NULL);
}

static bool crash_put_verdict(struct crash_store *s, uint32_t number)
{
    struct verdict_cache_rest rest = {.kind = 1, .id = {(uint8_t)number}};
    struct verdict_cache_entry entry = {.key = bytes_make(&number, sizeof(number)),
                                        .value = bytes_of("verdict"),
                                        .until_unix_s = NOW + 1000,
                                        .rests = &rest,
                                        .rest_count = 1,
                                        .is_stored = true};
    int *object = calloc(1, sizeof(*object));
    bool ok;

    *object = 1;
    ok = verdict_cache_put(s->verdicts, &entry, object, NOW, NULL);
    object_unref(object);
    store_flush(s->store);
    return ok;
}

static bool crash_put(struct crash_store *s, uint32_t number)
{
    struct bytes_buf buf = content_of(number);
    struct digest digest = digest_of(bytes_view(&buf));
    bool ok = false;

    switch ((enum crash_kind)(number % CRASH_KINDS)) {
    case CRASH_BLOB:
        ok = blob_store_put(s->blobs, &digest, bytes_view(&buf), NOW, NULL);
        break;
    case CRASH_MANIFEST:
        ok = manifest_store_put(s->store, &digest, bytes_of("t"), bytes_view(&buf), NOW, NULL);
        store_flush(s->store);
        break;
    case CRASH_VERDICT:
        ok = crash_put_verdict(s, number);
        break;
    }
    bytes_buf_done(&buf);
    return ok;
}

/* The child: writes until it is killed. */
static void crash_child(const char *path, uint32_t first, int out)
{
    struct crash_store s = {0};

    if (!crash_open(path, &s)) {
        _exit(3);
    }
    for (uint32_t number = first;; number++) {
        if (!crash_put(&s, number) || write(out, &number, sizeof(number)) != sizeof(number)) {
            _exit(4);
        }
    }
}

/* Run a child for DELAY_US; gives the last number it said is durable. */
static uint32_t crash_run(const char *path, uint32_t first, long delay_us)
{
    struct timespec delay = {delay_us / 1000000, delay_us % 1000000 * 1000};
    uint32_t last = first - 1;
    uint32_t number;
    int status = 0;
    int ends[2];
    pid_t pid;

    assert_int_equal(pipe(ends), 0);
    (void)fcntl(ends[1], F_SETPIPE_SZ, 1 << 20);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)close(ends[0]);
        crash_child(path, first, ends[1]);
    }
    (void)close(ends[1]);
    (void)nanosleep(&delay, NULL);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    while (read(ends[0], &number, sizeof(number)) == sizeof(number)) {
        last = number;
    }
    (void)close(ends[0]);
    return last;
}

static void crash_check_blob(struct crash_store *s, const struct digest *digest,
                             struct bytes content, bool must_be_there)
{
    struct blob_file *file = NULL;
    enum blob_found found = blob_open(s->blobs, digest, NOW, &file);
    uint8_t *back;

    if (found == BLOB_ABSENT) {
        assert_false(must_be_there);
        return;
    }
    assert_int_equal(file->size_bytes, content.len); /* whole, though it was never checked */
    assert_true(blob_check(s->blobs, file, NOW, NULL));
    back = malloc(content.len);
    assert_int_equal(pread(file->fd, back, content.len, 0), content.len);
    assert_memory_equal(back, content.data, content.len);
    free(back);
    blob_file_unref(s->blobs, file);
}

static void crash_check_one(struct crash_store *s, uint32_t number, bool must_be_there)
{
    struct bytes_buf buf = content_of(number);
    struct digest digest = digest_of(bytes_view(&buf));
    struct manifest_record record;
    void *object = NULL;

    switch ((enum crash_kind)(number % CRASH_KINDS)) {
    case CRASH_BLOB:
        crash_check_blob(s, &digest, bytes_view(&buf), must_be_there);
        break;
    case CRASH_MANIFEST:
        if (manifest_store_get(s->store, &digest, NOW, &record)) {
            assert_true(bytes_equal(bytes_view(&record.content), bytes_view(&buf)));
            manifest_record_done(&record);
        } else {
            assert_false(must_be_there);
        }
        break;
    case CRASH_VERDICT:
        if (verdict_cache_get(s->verdicts, bytes_make(&number, sizeof(number)), NOW, NULL,
                              &object) != VERDICT_CACHE_MISS) {
            object_unref(object);
        } else {
            assert_false(must_be_there);
        }
        break;
    }
    bytes_buf_done(&buf);
}

static void crash_check_staging(const char *path)
{
    struct dirent *entry;
    char name[512];
    DIR *dir;

    (void)snprintf(name, sizeof(name), "%s/staging", path);
    dir = opendir(name);
    assert_non_null(dir);
    while ((entry = readdir(dir)) != NULL) {
        assert_int_equal(entry->d_name[0], '.');
    }
    (void)closedir(dir);
}

static void store_killed_any_moment_nothing_lost_nothing_half(void **state)
{
    struct scratch scratch;
    uint32_t next = 1;

    assert_true(scratch_make(&scratch));
    for (int round = 0; round < CRASH_ROUNDS; round++) {
        uint32_t last = crash_run(scratch.path, next, CRASH_FIRST_US + (long)round * CRASH_STEP_US);
        struct crash_store s = {0};

        assert_true(crash_open(scratch.path, &s));
        assert_false(store_was_clean(s.store));
        crash_check_staging(scratch.path);
        assert_true(blob_store_reconcile(s.blobs, NULL));
        for (uint32_t number = 1; number <= last + 1; number++) {
            crash_check_one(&s, number, number <= last);
        }
        verdict_cache_free(s.verdicts);
        blob_store_free(s.blobs);
        store_close(s.store);
        (void)unlink(scratch_path(&scratch, "clean", (char[512]){0}));
        next = last + 1; /* the one under way is written again */
    }
    assert_true(next > 10);
    scratch_remove(&scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(store_killed_any_moment_nothing_lost_nothing_half),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
