#include "metrics/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "metrics/error.h"
#include "tests/support/scratch.h"

struct fixture {
    struct scratch scratch;
    struct log *log;
    char path[512];
    char access[512];
};

static int fixture_setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct log_config config = {.level = LOG_INFO};
    struct gh_error err = {0};

    assert_true(scratch_make(&f->scratch));
    config.path = scratch_path(&f->scratch, "gatehouse.log", f->path);
    config.access_path = scratch_path(&f->scratch, "access.log", f->access);
    assert_true(log_new(&config, &f->log, &err));
    *state = f;
    return 0;
}

static int fixture_teardown(void **state)
{
    struct fixture *f = *state;

    log_free(f->log);
    scratch_remove(&f->scratch);
    free(f);
    return 0;
}

static void assert_holds(const char *path, const char *needle)
{
    char *text = scratch_read(path);

    assert_non_null(text);
    if (strstr(text, needle) == NULL) {
        print_error("%s not in: %s\n", needle, text);
        fail();
    }
    free(text);
}

static unsigned count_lines(const char *path)
{
    char *text = scratch_read(path);
    unsigned count = 0;

    assert_non_null(text);
    for (const char *c = text; *c != '\0'; c++) {
        count += *c == '\n';
    }
    free(text);
    return count;
}

static void log_write_full_event_fixed_order(void **state)
{
    struct fixture *f = *state;
    struct log_event event = {.level = LOG_WARN,
                              .worker = 2,
                              .connection = 7,
                              .request = 9,
                              .digest = "sha256:ab",
                              .reason = "unsigned"};

    log_write(f->log, &event, "refused %s", "x");
    assert_holds(f->path, "Z\",\"level\":\"warn\",\"worker\":2,\"connection\":7,\"request\":9,"
                          "\"digest\":\"sha256:ab\",\"reason\":\"unsigned\","
                          "\"message\":\"refused x\"}\n");
}

static void log_write_line_feed_in_outside_text_escaped(void **state)
{
    struct fixture *f = *state;
    struct log_event event = {.level = LOG_ERROR};

    log_write(f->log, &event, "name %s", "a\n{\"level\":\"info\"}");
    assert_int_equal(count_lines(f->path), 1);
    assert_holds(f->path, "a\\n{\\\"level\\\"");
}

static void log_write_long_message_cut(void **state)
{
    struct fixture *f = *state;
    struct log_event event = {.level = LOG_ERROR};
    char text[2 * LOG_MAX_MESSAGE];

    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    log_write(f->log, &event, "%s", text);
    assert_holds(f->path, "xxx...\"}\n");
}

static void log_write_below_level_dropped(void **state)
{
    struct fixture *f = *state;
    struct log_event event = {.level = LOG_DEBUG};

    log_write(f->log, &event, "quiet");
    assert_int_equal(count_lines(f->path), 0);
    log_set_level(f->log, LOG_DEBUG);
    log_write(f->log, &event, "loud");
    assert_int_equal(count_lines(f->path), 1);
}

static void log_write_repeats_counted(void **state)
{
    struct fixture *f = *state;
    struct log_event event = {.level = LOG_ERROR, .reason = "unsigned"};
    struct log_event other = {.level = LOG_ERROR, .reason = "malformed"};

    for (int i = 0; i < 100; i++) {
        log_write(f->log, &event, "refused %d", i);
    }
    assert_int_equal(count_lines(f->path), LOG_BURST);
    log_write(f->log, &other, "another %d", 1);
    assert_int_equal(count_lines(f->path), LOG_BURST + 1);
    log_free(GH_TAKE(f->log));
    assert_holds(f->path, "\"message\":\"refused %d\",\"repeated\":95}\n");
}

static void log_reopen_file_moved_away_writes_new_one(void **state)
{
    struct fixture *f = *state;
    struct log_event event = {.level = LOG_INFO};
    struct gh_error err = {0};
    char moved[512];

    log_write(f->log, &event, "one");
    assert_int_equal(rename(f->path, scratch_path(&f->scratch, "old.log", moved)), 0);
    assert_true(log_reopen(f->log, &err));
    log_write(f->log, &event, "two");
    assert_holds(moved, "one");
    assert_holds(f->path, "two");
}

static void log_new_missing_folder_fails(void **state)
{
    struct log_config config = {.path = "/nonexistent/folder/log"};
    struct gh_error err = {0};
    struct log *log = NULL;

    assert_false(log_new(&config, &log, &err));
    assert_int_equal(err.cause, GH_INTERNAL_ERROR);
    assert_non_null(strstr(err.text, "/nonexistent/folder/log"));
}

static void log_access_ticked_written_in_order(void **state)
{
    struct fixture *f = *state;
    struct log_access access = {.time_unix_ms = 1700000000123,
                                .worker = 1,
                                .connection = 3,
                                .request = 4,
                                .client = "127.0.0.1",
                                .route = "manifest",
                                .method = "GET",
                                .target = "/v2/\"a\"\n",
                                .status = 403,
                                .sent_bytes = 10,
                                .duration_us = 250};

    log_access(f->log, &access);
    assert_int_equal(count_lines(f->access), 0);
    log_tick(f->log);
    assert_holds(f->access, "{\"time\":\"2023-11-14T22:13:20.123Z\",\"worker\":1,\"connection\":3,"
                            "\"request\":4,\"client\":\"127.0.0.1\",\"route\":\"manifest\","
                            "\"method\":\"GET\",\"target\":\"/v2/\\\"a\\\"\\n\",\"status\":403,"
                            "\"bytes\":10,\"duration_us\":250}\n");
}

static void log_set_access_another_file_takes_over(void **state)
{
    struct fixture *f = *state;
    struct gh_error err = {0};
    char other[512];

    assert_true(log_has_access(f->log));
    log_access(f->log, &(struct log_access){.method = "GET", .status = 200});
    assert_true(log_set_access(f->log, scratch_path(&f->scratch, "other.log", other), &err));
    log_access(f->log, &(struct log_access){.method = "HEAD", .status = 200});
    log_tick(f->log);
    assert_int_equal(count_lines(f->access), 1); /* what was buffered went where it belonged */
    assert_holds(f->access, "\"GET\"");
    assert_int_equal(count_lines(other), 1);
    assert_holds(other, "\"HEAD\"");
    assert_true(log_set_access(f->log, NULL, &err));
    assert_false(log_has_access(f->log));
    log_access(f->log, &(struct log_access){.method = "PUT", .status = 200});
    log_tick(f->log);
    assert_int_equal(count_lines(other), 1);
}

static void log_set_access_file_that_cannot_be_opened_changes_nothing(void **state)
{
    struct fixture *f = *state;
    struct gh_error err = {0};
    char bad[512];

    assert_false(log_set_access(f->log, scratch_path(&f->scratch, "absent/access.log", bad), &err));
    assert_int_equal(err.cause, GH_INTERNAL_ERROR);
    assert_non_null(strstr(err.text, bad));
    log_access(f->log, &(struct log_access){.method = "GET", .status = 200});
    log_tick(f->log);
    assert_int_equal(count_lines(f->access), 1);
    assert_false(log_has_access(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(log_write_full_event_fixed_order, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(log_write_line_feed_in_outside_text_escaped, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(log_write_long_message_cut, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(log_write_below_level_dropped, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(log_write_repeats_counted, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(log_reopen_file_moved_away_writes_new_one, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test(log_new_missing_folder_fails),
        cmocka_unit_test_setup_teardown(log_access_ticked_written_in_order, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(log_set_access_another_file_takes_over, fixture_setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(log_set_access_file_that_cannot_be_opened_changes_nothing,
                                        fixture_setup, fixture_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
