#include "cache/blob_store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "cache/store.h"
#include "metrics/error.h"
#include "tests/support/scratch.h"

#define NOW 1700000000

struct fixture {
    struct scratch scratch;
    struct store *store;
    struct blob_store *blobs;
    uint64_t max_bytes;
};

static void fixture_open(struct fixture *f)
{
    struct store_config config = {.path = f->scratch.path, .map_bytes = 64u * 1024 * 1024};
    struct blob_store_config blob_config = {.max_bytes = f->max_bytes};
    struct gh_error err = {0};

    assert_true(store_open(&config, &f->store, &err));
    assert_true(blob_store_new(f->store, &blob_config, &f->blobs, &err));
}

static void fixture_close(struct fixture *f)
{
    blob_store_free(GH_TAKE(f->blobs));
    store_close(GH_TAKE(f->store));
}

static int fixture_setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    f->max_bytes = 1u << 20;
    assert_true(scratch_make(&f->scratch));
    fixture_open(f);
    *state = f;
    return 0;
}

static int fixture_teardown(void **state)
{
    struct fixture *f = *state;

    fixture_close(f);
    scratch_remove(&f->scratch);
    free(f);
    return 0;
}

/* As after kill -9: the mark of the clean stop is not there. */
static void fixture_crash(struct fixture *f)
{
    char path[512];

    fixture_close(f);
    assert_int_equal(unlink(scratch_path(&f->scratch, "clean", path)), 0);
    fixture_open(f);
}

static struct digest digest_of(struct bytes content)
{
    struct digest digest;

    assert_true(digest_compute(DIGEST_SHA256, content, &digest, NULL));
    return digest;
}

static void blob_path(struct fixture *f, const struct digest *digest, char out[512])
{
    char hex[2 * DIGEST_MAX_BYTES + 1];

    bytes_hex_encode(digest_bytes(digest), hex);
    (void)snprintf(out, 512, "%s/blobs/sha256/%.2s/%.2s/%s", f->scratch.path, hex, hex + 2, hex);
}

static void put_bytes(struct fixture *f, struct bytes content, int64_t now, struct digest *out)
{
    struct gh_error err = {0};

    *out = digest_of(content);
    assert_true(blob_store_put(f->blobs, out, content, now, &err));
}

static void blob_stage_publish_whole_file_readable(void **state)
{
    struct fixture *f = *state;
    struct bytes content = BYTES_LITERAL("some content");
    struct digest digest = digest_of(content);
    struct blob_stage *stage = NULL;
    struct blob_file *file = NULL;
    struct gh_error err = {0};
    char path[512];
    char back[32];

    assert_true(blob_stage_new(f->blobs, content.len, &stage, &err));
    assert_int_equal(write(stage->fd, content.data, content.len), content.len);
    assert_int_equal(blob_open(f->blobs, &digest, NOW, &file), BLOB_ABSENT);
    assert_true(blob_stage_publish(f->blobs, stage, &digest, content.len, NOW, &file, &err));
    assert_int_equal(pread(file->fd, back, sizeof(back), 0), content.len);
    assert_memory_equal(back, content.data, content.len);
    blob_file_unref(f->blobs, file);
    blob_path(f, &digest, path);
    assert_int_equal(access(path, R_OK), 0);
    assert_int_equal(blob_open(f->blobs, &digest, NOW, &file), BLOB_READY);
    assert_int_equal(file->size_bytes, content.len);
    blob_file_unref(f->blobs, file);
}

static void blob_stage_publish_short_file_refused(void **state)
{
    struct fixture *f = *state;
    struct digest digest = digest_of(BYTES_LITERAL("abc"));
    struct blob_stage *stage = NULL;
    struct blob_file *file = NULL;
    struct gh_error err = {0};

    assert_true(blob_stage_new(f->blobs, 0, &stage, &err));
    assert_int_equal(write(stage->fd, "ab", 2), 2);
    assert_false(blob_stage_publish(f->blobs, stage, &digest, 3, NOW, &file, &err));
    assert_int_equal(err.cause, GH_INTERNAL_ERROR);
    assert_int_equal(blob_open(f->blobs, &digest, NOW, &file), BLOB_ABSENT);
}

static void blob_store_put_wrong_digest_refused(void **state)
{
    struct fixture *f = *state;
    struct digest digest = digest_of(BYTES_LITERAL("abc"));
    struct gh_error err = {0};

    assert_false(blob_store_put(f->blobs, &digest, BYTES_LITERAL("abd"), NOW, &err));
    assert_int_equal(err.cause, GH_DIGEST_MISMATCH);
}

static void blob_stage_new_larger_than_limit_refused(void **state)
{
    struct fixture *f = *state;
    struct blob_stage *stage = NULL;
    struct gh_error err = {0};

    assert_true(blob_stage_new(f->blobs, f->max_bytes, &stage, &err));
    blob_stage_abort(f->blobs, stage);
    assert_false(blob_stage_new(f->blobs, f->max_bytes + 1, &stage, &err));
    assert_int_equal(err.cause, GH_SIZE_LIMIT_EXCEEDED);
}

static void blob_open_after_clean_restart_ready(void **state)
{
    struct fixture *f = *state;
    struct blob_file *file = NULL;
    struct digest digest;

    put_bytes(f, BYTES_LITERAL("kept"), NOW, &digest);
    fixture_close(f);
    fixture_open(f);
    assert_true(store_was_clean(f->store));
    assert_int_equal(blob_open(f->blobs, &digest, NOW, &file), BLOB_READY);
    blob_file_unref(f->blobs, file);
}

static void blob_open_after_crash_checked_first(void **state)
{
    struct fixture *f = *state;
    struct blob_file *file = NULL;
    struct gh_error err = {0};
    struct digest digest;

    put_bytes(f, BYTES_LITERAL("kept"), NOW, &digest);
    fixture_crash(f);
    assert_int_equal(blob_open(f->blobs, &digest, NOW, &file), BLOB_UNCHECKED);
    assert_true(blob_check(f->blobs, file, NOW, &err));
    blob_file_unref(f->blobs, file);
    assert_int_equal(blob_open(f->blobs, &digest, NOW, &file), BLOB_READY);
    blob_file_unref(f->blobs, file);
}

static void blob_check_damaged_file_removed(void **state)
{
    struct fixture *f = *state;
    struct blob_file *file = NULL;
    struct gh_error err = {0};
    struct digest digest;
    char path[512];
    FILE *out;

    put_bytes(f, BYTES_LITERAL("kept"), NOW, &digest);
    fixture_crash(f);
    blob_path(f, &digest, path);
    out = fopen(path, "r+");
    assert_non_null(out);
    assert_int_equal(fputc('K', out), 'K');
    (void)fclose(out);
    assert_int_equal(blob_open(f->blobs, &digest, NOW, &file), BLOB_UNCHECKED);
    assert_false(blob_check(f->blobs, file, NOW, &err));
    assert_int_equal(err.cause, GH_DIGEST_MISMATCH);
    blob_file_unref(f->blobs, file);
    assert_int_equal(blob_open(f->blobs, &digest, NOW, &file), BLOB_ABSENT);
    assert_int_not_equal(access(path, F_OK), 0);
}

static void blob_open_truncated_file_never_ready(void **state)
{
    struct fixture *f = *state;
    struct blob_file *file = NULL;
    struct gh_error err = {0};
    struct digest digest;
    char path[512];

    put_bytes(f, BYTES_LITERAL("kept"), NOW, &digest);
    fixture_close(f);
    fixture_open(f);
    blob_path(f, &digest, path);
    assert_int_equal(truncate(path, 2), 0);
    assert_int_equal(blob_open(f->blobs, &digest, NOW, &file), BLOB_UNCHECKED);
    assert_false(blob_check(f->blobs, file, NOW, &err));
    assert_int_equal(err.cause, GH_DIGEST_MISMATCH);
    blob_file_unref(f->blobs, file);
}

static void blob_store_new_leftovers_cleared(void **state)
{
    struct fixture *f = *state;
    struct blob_stage *stage = NULL;
    struct gh_error err = {0};
    char path[512];
    char name[64];

    assert_true(blob_stage_new(f->blobs, 0, &stage, &err));
    (void)snprintf(name, sizeof(name), "staging/%s", stage->name);
    assert_int_equal(access(scratch_path(&f->scratch, name, path), F_OK), 0);
    (void)close(stage->fd);
    free(stage);
    fixture_crash(f);
    assert_int_not_equal(access(path, F_OK), 0);
}

static void blob_store_reconcile_lost_record_adopted(void **state)
{
    struct fixture *f = *state;
    struct blob_store_stats stats;
    struct blob_file *file = NULL;
    struct gh_error err = {0};
    struct digest digest;
    char path[512];
    char kept[512];

    put_bytes(f, BYTES_LITERAL("orphan"), NOW, &digest);
    blob_path(f, &digest, path);
    assert_int_equal(link(path, scratch_path(&f->scratch, "kept", kept)), 0);
    assert_true(blob_remove(f->blobs, &digest, &err));
    assert_int_equal(rename(kept, path), 0); /* the file without its record, as after a crash */
    fixture_crash(f);
    blob_store_stats(f->blobs, &stats);
    assert_int_equal(stats.bytes, 0);
    assert_true(blob_store_reconcile(f->blobs, &err));
    store_flush(f->store);
    blob_store_stats(f->blobs, &stats);
    assert_int_equal(stats.bytes, 6);
    assert_int_equal(blob_open(f->blobs, &digest, NOW, &file), BLOB_UNCHECKED);
    blob_file_unref(f->blobs, file);
}

static void blob_store_make_room_oldest_use_evicted(void **state)
{
    struct fixture *f = *state;
    uint8_t *content = calloc(1, 100 * 1024);
    struct blob_store_stats stats;
    struct blob_file *held = NULL;
    struct blob_file *file = NULL;
    struct digest digests[12];

    for (int i = 0; i < 12; i++) {
        content[0] = (uint8_t)i;
        put_bytes(f, bytes_make(content, 100 * 1024), NOW + i * 100, &digests[i]);
        if (i == 0) {
            assert_int_equal(blob_open(f->blobs, &digests[0], NOW, &held), BLOB_READY);
        }
        if (i == 5) { /* read again: younger than its neighbours */
            assert_int_equal(blob_open(f->blobs, &digests[1], NOW + 5000, &file), BLOB_READY);
            blob_file_unref(f->blobs, file);
        }
    }
    /* The sum is of what is committed: the last fill may not be in it when room was made for it. */
    store_flush(f->store);
    blob_store_make_room(f->blobs, 0);
    blob_store_stats(f->blobs, &stats);
    assert_true(stats.bytes <= f->max_bytes);
    assert_true(stats.evictions >= 2);
    assert_int_equal(blob_open(f->blobs, &digests[0], NOW, &file), BLOB_READY); /* held */
    blob_file_unref(f->blobs, file);
    assert_int_equal(blob_open(f->blobs, &digests[1], NOW, &file), BLOB_READY); /* used */
    blob_file_unref(f->blobs, file);
    assert_int_equal(blob_open(f->blobs, &digests[2], NOW, &file), BLOB_ABSENT);
    assert_int_equal(blob_open(f->blobs, &digests[11], NOW, &file), BLOB_READY);
    blob_file_unref(f->blobs, file);
    blob_file_unref(f->blobs, held);
    free(content);
}

static void blob_remove_while_read_reader_goes_on(void **state)
{
    struct fixture *f = *state;
    struct blob_file *file = NULL;
    struct blob_file *again = NULL;
    struct blob_store_stats stats;
    struct gh_error err = {0};
    struct digest digest;
    char back[8];

    put_bytes(f, BYTES_LITERAL("kept"), NOW, &digest);
    assert_int_equal(blob_open(f->blobs, &digest, NOW, &file), BLOB_READY);
    assert_true(blob_remove(f->blobs, &digest, &err));
    assert_int_equal(blob_open(f->blobs, &digest, NOW, &again), BLOB_ABSENT);
    assert_int_equal(pread(file->fd, back, sizeof(back), 0), 4);
    blob_file_unref(f->blobs, file);
    blob_store_stats(f->blobs, &stats);
    assert_int_equal(stats.open_files, 0);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        CASE(blob_stage_publish_whole_file_readable),
        CASE(blob_stage_publish_short_file_refused),
        CASE(blob_store_put_wrong_digest_refused),
        CASE(blob_stage_new_larger_than_limit_refused),
        CASE(blob_open_after_clean_restart_ready),
        CASE(blob_open_after_crash_checked_first),
        CASE(blob_check_damaged_file_removed),
        CASE(blob_open_truncated_file_never_ready),
        CASE(blob_store_new_leftovers_cleared),
        CASE(blob_store_reconcile_lost_record_adopted),
        CASE(blob_store_make_room_oldest_use_evicted),
        CASE(blob_remove_while_read_reader_goes_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
