#include "metrics/audit.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "metrics/audit_verify.h"
#include "metrics/text.h"
#include "tests/support/scratch.h"

#define NOW_MS 1700000000000

/* Made for these tests with openssl genpkey -algorithm ed25519. */
static const char key_pem[] = "-----BEGIN PRIVATE KEY-----\n"
                              "MC4CAQAwBQYDK2VwBCIEIPEwPoC8vuniwvpuazT5gpmLC7R93AOWmRLQ1xldoXwh\n"
                              "-----END PRIVATE KEY-----\n";

struct fixture {
    struct scratch scratch;
    char path[512];
    struct audit_config config;
    struct audit *audit;
};

static void fixture_open(struct fixture *f)
{
    struct gh_error err = {0};

    if (!audit_open(&f->config, NOW_MS, &f->audit, &err)) {
        fail_msg("%s", err.text);
    }
}

static int fixture_setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_true(scratch_make(&f->scratch));
    f->config.path = scratch_path(&f->scratch, "audit.jsonl", f->path);
    f->config.key_pem = key_pem;
    f->config.key_pem_len = sizeof(key_pem) - 1;
    fixture_open(f);
    *state = f;
    return 0;
}

static int fixture_teardown(void **state)
{
    struct fixture *f = *state;

    audit_close(f->audit, NOW_MS);
    scratch_remove(&f->scratch);
    free(f);
    return 0;
}

static bool append(struct fixture *f, const char *type, const char *body, struct gh_error *err)
{
    struct audit_entry entry = {type, body, strlen(body)};

    return audit_append(f->audit, &entry, 1, NOW_MS, NULL, err);
}

static void verify(const char *const *paths, size_t count, struct audit_verify_result *result)
{
    struct audit_verify_options options = {0};
    struct audit_note_key *key = NULL;
    struct gh_error err = {0};

    assert_true(audit_note_key_read(key_pem, sizeof(key_pem) - 1, AUDIT_ORIGIN, &key, NULL));
    options.keys = (const struct audit_note_key *const *)&key;
    options.key_count = 1;
    if (!audit_verify(paths, count, &options, result, &err)) {
        fail_msg("%s: %s", err.place, err.text);
    }
    audit_note_key_free(key);
}

static void audit_append_several_records_chain_verifies(void **state)
{
    struct fixture *f = *state;
    struct audit_entry entries[2] = {{"decision", "{\"id\":\"a\"}", 10}, {"stop", "{}", 2}};
    struct audit_verify_result result;
    const char *path = f->path;
    struct audit_head head;

    assert_true(append(f, "start", "{\"version\":\"1\"}", NULL));
    assert_true(audit_append(f->audit, entries, 2, NOW_MS, &head, NULL));
    assert_int_equal(head.seq, 3);
    assert_int_equal(audit_count(f->audit), 3);
    audit_close(GH_TAKE(f->audit), NOW_MS);
    verify(&path, 1, &result);
    assert_int_equal(result.records, 4); /* with the checkpoint */
    assert_int_equal(result.signed_seq, 3);
    assert_int_equal(result.checkpoints, 1);
}

static void audit_append_body_with_line_feed_refused(void **state)
{
    struct fixture *f = *state;
    struct gh_error err = {0};

    assert_false(append(f, "decision", "{\"a\":\n1}", &err));
    assert_int_equal(err.cause, GH_AUDIT_UNAVAILABLE);
    gh_error_clear(&err);
    assert_false(append(f, "decision", "[]", &err));
    assert_int_equal(err.cause, GH_AUDIT_UNAVAILABLE);
    gh_error_clear(&err);
    assert_false(append(f, "Decision\"", "{}", &err));
    assert_int_equal(err.cause, GH_AUDIT_UNAVAILABLE);
    assert_int_equal(audit_count(f->audit), 0);
}

static void audit_open_again_chain_goes_on(void **state)
{
    struct fixture *f = *state;
    struct audit_verify_result result;
    const char *path = f->path;

    for (int i = 0; i < 3; i++) {
        assert_true(append(f, "start", "{}", NULL));
        audit_close(GH_TAKE(f->audit), NOW_MS);
        fixture_open(f);
    }
    verify(&path, 1, &result);
    assert_int_equal(result.records, 6);
    assert_int_equal(result.repairs + result.gaps, 0);
}

static void audit_open_torn_line_repaired_and_recorded(void **state)
{
    struct fixture *f = *state;
    struct audit_verify_result result;
    const char *path = f->path;
    struct stat st;

    assert_true(append(f, "start", "{}", NULL));
    assert_true(append(f, "decision", "{\"id\":\"a\"}", NULL));
    audit_close(GH_TAKE(f->audit), NOW_MS);
    /* the checkpoint's line loses its end, as when the machine stops */
    assert_int_equal(stat(f->path, &st), 0);
    assert_int_equal(truncate(f->path, st.st_size - 20), 0);
    assert_int_equal(unlink(scratch_path(&f->scratch, "audit.jsonl.head", (char[512]){0})), 0);
    fixture_open(f);
    audit_close(GH_TAKE(f->audit), NOW_MS);
    verify(&path, 1, &result);
    assert_int_equal(result.repairs, 1);
    assert_int_equal(result.gaps, 0);
    assert_int_equal(result.torn_bytes, 0);
}

static void audit_open_tail_cut_recorded_as_gap(void **state)
{
    struct fixture *f = *state;
    struct audit_verify_result result;
    const char *path = f->path;
    struct stat st;

    assert_true(append(f, "start", "{}", NULL));
    assert_true(audit_checkpoint(f->audit, NOW_MS, NULL));
    assert_int_equal(stat(f->path, &st), 0);
    assert_true(append(f, "decision", "{\"id\":\"a\"}", NULL));
    audit_close(GH_TAKE(f->audit), NOW_MS);
    assert_int_equal(truncate(f->path, st.st_size), 0); /* whole records are gone */
    fixture_open(f);
    audit_close(GH_TAKE(f->audit), NOW_MS);
    verify(&path, 1, &result);
    assert_int_equal(result.gaps, 1);
}

static void audit_open_last_record_changed_refused(void **state)
{
    struct fixture *f = *state;
    struct gh_error err = {0};
    struct stat st;
    int fd;

    assert_true(append(f, "start", "{}", NULL));
    audit_close(GH_TAKE(f->audit), NOW_MS);
    assert_int_equal(stat(f->path, &st), 0);
    fd = open(f->path, O_WRONLY);
    assert_int_equal(pwrite(fd, "X", 1, st.st_size - 100), 1);
    (void)close(fd);
    assert_false(audit_open(&f->config, NOW_MS, &f->audit, &err));
    assert_int_equal(err.cause, GH_AUDIT_UNAVAILABLE);
    assert_non_null(strstr(err.text, "damaged"));
}

static void audit_open_no_key_in_bytes_refused(void **state)
{
    struct fixture *f = *state;
    struct audit_config config = f->config;
    struct audit *audit = NULL;
    struct gh_error err = {0};

    config.key_pem = "not a key";
    config.key_pem_len = 9;
    assert_false(audit_open(&config, NOW_MS, &audit, &err));
    assert_int_equal(err.cause, GH_AUDIT_UNAVAILABLE);
}

static void audit_append_disk_full_refused_then_goes_on(void **state)
{
    struct fixture *f = *state;
    struct audit_verify_result result;
    const char *path = f->path;
    struct rlimit before;
    struct rlimit small;
    struct gh_error err = {0};
    struct stat st;

    assert_true(append(f, "start", "{}", NULL));
    assert_int_equal(stat(f->path, &st), 0);
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = (rlim_t)st.st_size + 50; /* room for a part of the next line */
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    assert_false(append(f, "decision", "{\"id\":\"lost\"}", &err));
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(err.cause, GH_AUDIT_UNAVAILABLE);
    assert_true(append(f, "decision", "{\"id\":\"kept\"}", NULL));
    audit_close(GH_TAKE(f->audit), NOW_MS);
    verify(&path, 1, &result);
    assert_int_equal(result.records, 3);
}

static void audit_rotate_chain_carried_over(void **state)
{
    struct fixture *f = *state;
    struct audit_verify_result result;
    char first[512];
    const char *paths[2] = {first, f->path};

    assert_true(append(f, "start", "{}", NULL));
    assert_true(audit_rotate(f->audit, NOW_MS, NULL));
    assert_true(append(f, "decision", "{}", NULL));
    audit_close(GH_TAKE(f->audit), NOW_MS);
    (void)scratch_path(&f->scratch, "audit.jsonl.00000000000000000002", first);
    verify(paths, 2, &result);
    assert_int_equal(result.records, 5); /* start, checkpoint, rotated, decision, checkpoint */
    assert_int_equal(result.first_seq, 1);
}

static void audit_open_after_crash_while_rotating_chain_carried_over(void **state)
{
    struct fixture *f = *state;
    struct audit_verify_result result;
    char first[512];
    const char *paths[2] = {first, f->path};

    assert_true(append(f, "start", "{}", NULL));
    audit_close(GH_TAKE(f->audit), NOW_MS);
    (void)scratch_path(&f->scratch, "audit.jsonl.00000000000000000002", first);
    assert_int_equal(rename(f->path, first), 0);
    fixture_open(f);
    assert_true(append(f, "decision", "{}", NULL));
    audit_close(GH_TAKE(f->audit), NOW_MS);
    verify(paths, 2, &result);
    assert_int_equal(result.gaps, 0);
}

static void audit_tick_large_log_rotated(void **state)
{
    struct fixture *f = *state;
    char first[512];

    audit_close(GH_TAKE(f->audit), NOW_MS);
    f->config.rotate_bytes = 500;
    fixture_open(f);
    for (int i = 0; i < 5; i++) {
        assert_true(append(f, "decision", "{}", NULL));
    }
    assert_true(audit_tick(f->audit, NOW_MS + 1000, NULL));
    assert_int_equal(
        access(scratch_path(&f->scratch, "audit.jsonl.00000000000000000006", first), F_OK), 0);
}

static void audit_reopen_moved_away_new_file_goes_on(void **state)
{
    struct fixture *f = *state;
    struct audit_verify_result result;
    char moved[512];
    const char *paths[2] = {scratch_path(&f->scratch, "old", moved), f->path};

    assert_true(append(f, "start", "{}", NULL));
    assert_true(audit_reopen(f->audit, NOW_MS, NULL)); /* nothing was moved: nothing happens */
    assert_int_equal(rename(f->path, moved), 0);
    assert_true(append(f, "decision", "{}", NULL));
    assert_true(audit_reopen(f->audit, NOW_MS, NULL));
    assert_true(append(f, "stop", "{}", NULL));
    audit_close(GH_TAKE(f->audit), NOW_MS);
    verify(paths, 2, &result);
    assert_int_equal(result.records, 5);
}

#define TEST_THREADS 4
#define TEST_ROUNDS 300

static void *append_away(void *arg)
{
    struct fixture *f = arg;

    for (int i = 0; i < TEST_ROUNDS; i++) {
        if (!append(f, "decision", "{\"id\":\"x\"}", NULL)) {
            return f;
        }
    }
    return NULL;
}

static void audit_append_many_threads_with_checkpoints_chain_verifies(void **state)
{
    struct fixture *f = *state;
    struct audit_verify_result result;
    pthread_t threads[TEST_THREADS];
    const char *path = f->path;

    for (int i = 0; i < TEST_THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, append_away, f), 0);
    }
    for (int i = 0; i < 20; i++) {
        assert_true(audit_tick(f->audit, NOW_MS + i * 60000, NULL));
    }
    for (int i = 0; i < TEST_THREADS; i++) {
        void *failed = NULL;

        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
    audit_close(GH_TAKE(f->audit), NOW_MS);
    verify(&path, 1, &result);
    assert_true(result.records > TEST_THREADS * TEST_ROUNDS);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        CASE(audit_append_several_records_chain_verifies),
        CASE(audit_append_body_with_line_feed_refused),
        CASE(audit_open_again_chain_goes_on),
        CASE(audit_open_torn_line_repaired_and_recorded),
        CASE(audit_open_tail_cut_recorded_as_gap),
        CASE(audit_open_last_record_changed_refused),
        CASE(audit_open_no_key_in_bytes_refused),
        CASE(audit_append_disk_full_refused_then_goes_on),
        CASE(audit_rotate_chain_carried_over),
        CASE(audit_open_after_crash_while_rotating_chain_carried_over),
        CASE(audit_tick_large_log_rotated),
        CASE(audit_reopen_moved_away_new_file_goes_on),
        CASE(audit_append_many_threads_with_checkpoints_chain_verifies),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
