#include "metrics/audit_verify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "metrics/audit.h"
#include "metrics/text.h"
#include "tests/support/scratch.h"

#define NOW_MS 1700000000000

static const char key_pem[] = "-----BEGIN PRIVATE KEY-----\n"
                              "MC4CAQAwBQYDK2VwBCIEIPEwPoC8vuniwvpuazT5gpmLC7R93AOWmRLQ1xldoXwh\n"
                              "-----END PRIVATE KEY-----\n";
static const char other_pem[] = "-----BEGIN PRIVATE KEY-----\n"
                                "MC4CAQAwBQYDK2VwBCIEIF6bFNuj3PMKCq/3EVElO5166NeGCXga4hcN8LtLbH1T\n"
                                "-----END PRIVATE KEY-----\n";

/* A log of five records (three decisions, a checkpoint, a stop), as text. */
struct fixture {
    struct scratch scratch;
    char path[512];
    char copy[512];
    char *log;
    size_t len;
    struct audit_note_key *key;
    struct audit_head head;
};

static int fixture_setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct audit_config config = {.key_pem = key_pem, .key_pem_len = sizeof(key_pem) - 1};
    struct audit_entry entries[3] = {
        {"decision", "{\"id\":\"a\",\"subject\":{\"tenant\":\"x\"}}", 35},
        {"decision", "{\"id\":\"b\",\"count\":2}", 20},
        {"decision", "{\"id\":\"c\"}", 10}};
    struct audit_entry stop = {"stop", "{}", 2};
    struct audit *audit = NULL;

    entries[0].body_len = strlen(entries[0].body);
    entries[1].body_len = strlen(entries[1].body);
    assert_true(scratch_make(&f->scratch));
    config.path = scratch_path(&f->scratch, "audit.jsonl", f->path);
    (void)scratch_path(&f->scratch, "copy", f->copy);
    assert_true(audit_open(&config, NOW_MS, &audit, NULL));
    assert_true(audit_append(audit, entries, 3, NOW_MS, NULL, NULL));
    assert_true(audit_checkpoint(audit, NOW_MS, NULL));
    assert_true(audit_append(audit, &stop, 1, NOW_MS + 5000, &f->head, NULL));
    f->log = scratch_read(f->path);
    f->len = strlen(f->log);
    audit_close(audit, NOW_MS);
    assert_true(audit_note_key_read(key_pem, sizeof(key_pem) - 1, AUDIT_ORIGIN, &f->key, NULL));
    *state = f;
    return 0;
}

static int fixture_teardown(void **state)
{
    struct fixture *f = *state;

    audit_note_key_free(f->key);
    free(f->log);
    scratch_remove(&f->scratch);
    free(f);
    return 0;
}

static bool verify_text(struct fixture *f, const char *text, size_t len, const char *expect,
                        const struct audit_note_key *key, struct audit_verify_result *result,
                        struct gh_error *err)
{
    struct audit_verify_options options = {.expect = expect, .keys = &key};
    const char *path = f->copy;
    FILE *file = fopen(f->copy, "wb");

    options.key_count = key != NULL ? 1 : 0;
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
    gh_error_clear(err);
    return audit_verify(&path, 1, &options, result, err);
}

/* The offset of line NUMBER, counted from 0. */
static size_t line_at(const struct fixture *f, unsigned number)
{
    size_t at = 0;

    while (number-- > 0) {
        at = (size_t)(strchr(f->log + at, '\n') - f->log) + 1;
    }
    return at;
}

static void audit_verify_whole_log_passes(void **state)
{
    struct fixture *f = *state;
    struct audit_verify_result result;
    struct gh_error err = {0};

    assert_true(verify_text(f, f->log, f->len, NULL, f->key, &result, &err));
    assert_int_equal(result.records, 5);
    assert_int_equal(result.signed_seq, 3);
    assert_memory_equal(result.head, f->head.hash, sizeof(result.head));
}

static void audit_verify_any_byte_changed_found_in_its_line(void **state)
{
    struct fixture *f = *state;
    char *copy = malloc(f->len);
    struct audit_verify_state verify;
    struct audit_verify_options options = {0};
    uint64_t line = 1;

    for (size_t i = 0; i < f->len; i++) {
        const char *at = copy;
        const char *end;
        uint64_t number = 1;
        bool ok = true;

        memcpy(copy, f->log, f->len);
        copy[i] ^= 1;
        assert_true(audit_verify_begin(&verify, &options, NULL));
        while (ok && (end = memchr(at, '\n', f->len - (size_t)(at - copy))) != NULL) {
            ok = audit_verify_line(&verify, at, (size_t)(end - at), NULL);
            number += ok ? 1 : 0;
            at = end + 1;
        }
        if (i + 1 < f->len) {
            assert_false(ok);
            /* a changed line feed joins two lines: the fault shows where the joined line begins */
            assert_int_equal(number, line);
        }
        line += f->log[i] == '\n' ? 1 : 0;
    }
    free(copy);
}

static void audit_verify_record_dropped_found_in_place(void **state)
{
    struct fixture *f = *state;
    struct audit_verify_result result;
    struct gh_error err = {0};
    char *copy = malloc(f->len);
    size_t second = line_at(f, 1);
    size_t third = line_at(f, 2);

    memcpy(copy, f->log, second);
    memcpy(copy + second, f->log + third, f->len - third);
    assert_false(verify_text(f, copy, f->len - (third - second), NULL, f->key, &result, &err));
    assert_int_equal(err.cause, GH_DIGEST_MISMATCH);
    assert_int_equal(result.fault.line, 2);
    assert_int_equal(result.fault.offset, second);
    assert_int_equal(result.fault.seq, 2);
    assert_non_null(strstr(err.place, "copy:2"));
    free(copy);
}

static void audit_verify_records_exchanged_found_in_place(void **state)
{
    struct fixture *f = *state;
    struct audit_verify_result result;
    struct gh_error err = {0};
    char *copy = malloc(f->len);
    size_t second = line_at(f, 1);
    size_t third = line_at(f, 2);
    size_t fourth = line_at(f, 3);

    memcpy(copy, f->log, f->len);
    memcpy(copy + second, f->log + third, fourth - third);
    memcpy(copy + second + (fourth - third), f->log + second, third - second);
    assert_false(verify_text(f, copy, f->len, NULL, f->key, &result, &err));
    assert_int_equal(err.cause, GH_DIGEST_MISMATCH);
    assert_int_equal(result.fault.line, 2);
    free(copy);
}

static void audit_verify_record_written_anew_found_at_the_next(void **state)
{
    struct fixture *f = *state;
    struct audit_verify_result result;
    struct gh_error err = {0};
    uint8_t none[AUDIT_HASH_BYTES] = {0};
    uint8_t hash[AUDIT_HASH_BYTES];
    struct text forged;

    text_init(&forged, 65536);
    assert_true(
        audit_record_write(&forged, 1, NOW_MS, "decision", none, "{\"id\":\"z\"}", 10, hash, NULL));
    text_put(&forged, f->log + line_at(f, 1));
    assert_false(verify_text(f, forged.data, forged.len, NULL, f->key, &result, &err));
    assert_int_equal(err.cause, GH_DIGEST_MISMATCH);
    assert_int_equal(result.fault.line, 2);
    text_done(&forged);
}

static void audit_verify_tail_cut_found_against_expected_head(void **state)
{
    struct fixture *f = *state;
    struct audit_verify_result result;
    struct gh_error err = {0};
    char hex[2 * AUDIT_HASH_BYTES + 1];
    char expect[128];

    audit_hash_show(f->head.hash, hex);
    (void)snprintf(expect, sizeof(expect), "%llu-%s", (unsigned long long)f->head.seq, hex);
    assert_true(verify_text(f, f->log, f->len, expect, f->key, &result, &err));
    assert_true(verify_text(f, f->log, f->len, hex, f->key, &result, &err));
    assert_true(verify_text(f, f->log, line_at(f, 4), NULL, f->key, &result, &err));
    assert_false(verify_text(f, f->log, line_at(f, 4), expect, f->key, &result, &err));
    assert_int_equal(err.cause, GH_DIGEST_MISMATCH);
    assert_non_null(strstr(err.text, "cut"));
    assert_false(verify_text(f, f->log, f->len, "5-zz", f->key, &result, &err));
    assert_int_equal(err.cause, GH_INTERNAL_ERROR);
}

static void audit_verify_torn_end_is_no_fault(void **state)
{
    struct fixture *f = *state;
    struct audit_verify_result result;
    struct gh_error err = {0};

    assert_true(verify_text(f, f->log, f->len - 10, NULL, f->key, &result, &err));
    assert_true(result.torn_bytes > 0);
    assert_int_equal(result.records, 4);
}

static void audit_verify_other_key_refused(void **state)
{
    struct fixture *f = *state;
    struct audit_verify_result result;
    struct audit_note_key *other = NULL;
    struct gh_error err = {0};

    assert_true(audit_note_key_read(other_pem, sizeof(other_pem) - 1, AUDIT_ORIGIN, &other, NULL));
    assert_false(verify_text(f, f->log, f->len, NULL, other, &result, &err));
    assert_int_equal(err.cause, GH_KEY_UNKNOWN);
    assert_int_equal(result.fault.line, 4);
    audit_note_key_free(other);
}

/* The whole chain written anew by one who has no key: without checkpoints it does not pass. */
static void audit_verify_chain_without_checkpoints_refused(void **state)
{
    struct fixture *f = *state;
    struct audit_verify_result result;
    struct gh_error err = {0};
    uint8_t none[AUDIT_HASH_BYTES] = {0};
    uint8_t hash[AUDIT_HASH_BYTES];
    struct text forged;

    text_init(&forged, 65536);
    assert_true(audit_record_write(&forged, 1, NOW_MS, "stop", none, "{}", 2, hash, NULL));
    assert_true(verify_text(f, forged.data, forged.len, NULL, NULL, &result, &err));
    assert_false(verify_text(f, forged.data, forged.len, NULL, f->key, &result, &err));
    assert_int_equal(err.cause, GH_KEY_UNKNOWN);
    text_done(&forged);
}

/* A good note, moved behind another record. */
static void audit_verify_checkpoint_of_other_record_refused(void **state)
{
    struct fixture *f = *state;
    struct audit_verify_result result;
    struct gh_error err = {0};
    const char *line = f->log + line_at(f, 3);
    const char *note = strstr(line, ",\"note\":");
    const char *end = strstr(note, ",\"hash\":");
    uint8_t none[AUDIT_HASH_BYTES] = {0};
    uint8_t hash[AUDIT_HASH_BYTES];
    struct text forged;
    struct text body;

    text_init(&forged, 65536);
    text_init(&body, 65536);
    text_put_char(&body, '{');
    text_put_bytes(&body, note + 1, (size_t)(end - note - 1));
    text_put_char(&body, '}');
    assert_true(audit_record_write(&forged, 1, NOW_MS, "start", none, "{}", 2, hash, NULL));
    assert_true(audit_record_write(&forged, 2, NOW_MS, "checkpoint", hash, body.data, body.len,
                                   hash, NULL));
    assert_false(verify_text(f, forged.data, forged.len, NULL, f->key, &result, &err));
    assert_int_equal(err.cause, GH_DIGEST_MISMATCH);
    assert_int_equal(result.fault.line, 2);
    text_done(&forged);
    text_done(&body);
}

static void audit_filter_match_type_fields_and_time(void **state)
{
    struct fixture *f = *state;
    const char *first = f->log;
    size_t first_len = line_at(f, 1) - 1;
    const char *second = f->log + line_at(f, 1);
    size_t second_len = line_at(f, 2) - line_at(f, 1) - 1;
    struct audit_filter filter = {.type = "decision"};

    assert_true(audit_filter_match(&filter, first, first_len));
    filter.type = "stop";
    assert_false(audit_filter_match(&filter, first, first_len));
    filter.type = NULL;
    filter.field_count = 1;
    filter.fields[0].name = "subject.tenant";
    filter.fields[0].value = "x";
    assert_true(audit_filter_match(&filter, first, first_len));
    assert_false(audit_filter_match(&filter, second, second_len));
    filter.fields[0].name = "count";
    filter.fields[0].value = "2";
    assert_true(audit_filter_match(&filter, second, second_len));
    filter.field_count = 0;
    filter.since_unix_ms = NOW_MS;
    filter.until_unix_ms = NOW_MS + 1;
    assert_true(audit_filter_match(&filter, first, first_len));
    filter.since_unix_ms = NOW_MS + 1;
    filter.until_unix_ms = 0;
    assert_false(audit_filter_match(&filter, first, first_len));
    filter.since_unix_ms = 0;
    filter.until_unix_ms = NOW_MS;
    assert_false(audit_filter_match(&filter, first, first_len));
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        CASE(audit_verify_whole_log_passes),
        CASE(audit_verify_any_byte_changed_found_in_its_line),
        CASE(audit_verify_record_dropped_found_in_place),
        CASE(audit_verify_records_exchanged_found_in_place),
        CASE(audit_verify_record_written_anew_found_at_the_next),
        CASE(audit_verify_tail_cut_found_against_expected_head),
        CASE(audit_verify_torn_end_is_no_fault),
        CASE(audit_verify_other_key_refused),
        CASE(audit_verify_chain_without_checkpoints_refused),
        CASE(audit_verify_checkpoint_of_other_record_refused),
        CASE(audit_filter_match_type_fields_and_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
