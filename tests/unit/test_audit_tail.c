#include "metrics/audit_tail.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "metrics/audit.h"
#include "metrics/error.h"
#include "tests/support/scratch.h"

#define NOW_MS 1700000000000

struct fixture {
    struct scratch scratch;
    char path[512];
    struct audit *audit;
    struct audit_tail *tail;
};

static void follow(struct fixture *f, uint64_t after)
{
    struct gh_error err = {0};

    audit_tail_free(f->tail);
    assert_true(audit_tail_new(f->path, after, &f->tail, &err));
}

static int fixture_setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct audit_config config = {0};
    struct gh_error err = {0};

    assert_true(scratch_make(&f->scratch));
    config.path = scratch_path(&f->scratch, "audit.jsonl", f->path);
    assert_true(audit_open(&config, NOW_MS, &f->audit, &err));
    follow(f, 0);
    *state = f;
    return 0;
}

static int fixture_teardown(void **state)
{
    struct fixture *f = *state;

    audit_tail_free(f->tail);
    audit_close(f->audit, NOW_MS);
    scratch_remove(&f->scratch);
    free(f);
    return 0;
}

static void append(struct fixture *f, int count)
{
    const struct audit_entry entry = {"test", "{\"a\":1}", 7};
    struct gh_error err = {0};

    for (int i = 0; i < count; i++) {
        assert_true(audit_append(f->audit, &entry, 1, NOW_MS, NULL, &err));
    }
}

/* Read lines until there is none; each must be the next. */
static uint64_t read_all(struct fixture *f, uint64_t from)
{
    struct audit_tail_record record;

    while (audit_tail_next(f->tail, &record) == AUDIT_TAIL_LINE) {
        char start[64];
        int len = snprintf(start, sizeof(start), "{\"seq\":%llu,", (unsigned long long)from);

        assert_int_equal(record.seq, from);
        assert_memory_equal(record.line, start, (size_t)len);
        assert_int_equal(record.line[record.len - 1], '}');
        from++;
    }
    return from - 1;
}

static void audit_tail_growing_log_gives_each_once(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(read_all(f, 1), 0);
    append(f, 3);
    assert_true(audit_tail_behind(f->tail) > 0);
    assert_int_equal(read_all(f, 1), 3);
    assert_int_equal(audit_tail_behind(f->tail), 0);
    append(f, 2000); /* more than a window */
    assert_int_equal(read_all(f, 4), 2003);
}

static void audit_tail_new_goes_on_after_a_number(void **state)
{
    struct fixture *f = *state;

    append(f, 10);
    follow(f, 7);
    assert_int_equal(read_all(f, 8), 10);
}

static void audit_tail_rotations_lose_nothing(void **state)
{
    struct fixture *f = *state;
    struct gh_error err = {0};
    uint64_t last = 0;

    for (int i = 0; i < 4; i++) {
        append(f, 5);
        if (i == 2) {
            last = read_all(f, last + 1);
        }
        assert_true(audit_rotate(f->audit, NOW_MS, &err));
        append(f, 1);
    }
    last = read_all(f, last + 1);
    assert_int_equal(last, 5 * 4 + 4 + 4); /* one "rotated" by each */
    follow(f, 3);
    assert_int_equal(read_all(f, 4), last);
    follow(f, 12);
    assert_int_equal(read_all(f, 13), last);
}

static void audit_tail_moved_log_is_read_to_its_end(void **state)
{
    struct fixture *f = *state;
    struct gh_error err = {0};
    char moved[600];

    append(f, 4);
    assert_int_equal(read_all(f, 1), 4);
    (void)snprintf(moved, sizeof(moved), "%s.1", f->path);
    assert_int_equal(rename(f->path, moved), 0);
    append(f, 2); /* still into the file that was moved */
    assert_int_equal(read_all(f, 5), 6);
    append(f, 1);
    assert_true(audit_reopen(f->audit, NOW_MS, &err));
    append(f, 3);
    assert_int_equal(read_all(f, 7), 11);
}

static void audit_tail_missing_part_is_told(void **state)
{
    struct fixture *f = *state;
    struct audit_tail_record record;
    struct gh_error err = {0};
    char moved[600];

    append(f, 4);
    (void)snprintf(moved, sizeof(moved), "%s.elsewhere", f->path);
    assert_int_equal(rename(f->path, moved), 0);
    assert_true(audit_reopen(f->audit, NOW_MS, &err));
    append(f, 1);
    assert_int_equal(audit_tail_next(f->tail, &record), AUDIT_TAIL_LOST);
    assert_int_equal(record.from, 1);
    assert_int_equal(record.seq, 4);
    assert_int_equal(read_all(f, 5), 6);
}

static void audit_tail_half_a_line_is_waited_for(void **state)
{
    struct fixture *f = *state;
    FILE *file;

    append(f, 1);
    file = fopen(f->path, "a");
    assert_non_null(file);
    (void)fputs("{\"seq\":2,\"time\":", file);
    (void)fflush(file);
    assert_int_equal(read_all(f, 1), 1);
    (void)fputs("\"x\"}\n", file);
    (void)fclose(file);
    assert_int_equal(read_all(f, 2), 2);
}

static void audit_tail_too_long_a_path_refused(void **state)
{
    char path[8192];
    struct audit_tail *tail = NULL;
    struct gh_error err = {0};

    (void)state;
    memset(path, 'a', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    assert_false(audit_tail_new(path, 0, &tail, &err));
    assert_int_equal(err.cause, GH_INTERNAL_ERROR);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(audit_tail_growing_log_gives_each_once),
        CASE(audit_tail_new_goes_on_after_a_number),
        CASE(audit_tail_rotations_lose_nothing),
        CASE(audit_tail_moved_log_is_read_to_its_end),
        CASE(audit_tail_missing_part_is_told),
        CASE(audit_tail_half_a_line_is_waited_for),
        cmocka_unit_test(audit_tail_too_long_a_path_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
