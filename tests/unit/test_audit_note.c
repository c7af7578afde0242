#include "metrics/audit_note.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "metrics/error.h"
#include "metrics/text.h"

static const char key_pem[] = "-----BEGIN PRIVATE KEY-----\n"
                              "MC4CAQAwBQYDK2VwBCIEIPEwPoC8vuniwvpuazT5gpmLC7R93AOWmRLQ1xldoXwh\n"
                              "-----END PRIVATE KEY-----\n";
/* The verifier key of the note format's own example. */
static const char peter[] = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";

static void audit_note_key_read_published_verifier_passes(void **state)
{
    struct audit_note_key *key = NULL;
    struct gh_error err = {0};
    struct text shown;

    assert_true(audit_note_key_read(peter, sizeof(peter) - 1, NULL, &key, &err));
    assert_false(audit_note_key_can_sign(key));
    text_init(&shown, 1024);
    audit_note_key_show(key, &shown);
    assert_string_equal(text_cstr(&shown), peter);
    text_done(&shown);
    audit_note_key_free(key);
}

static void audit_note_key_read_damaged_verifier_refused(void **state)
{
    for (size_t i = 0; i < sizeof(peter) - 1; i++) {
        struct audit_note_key *key = NULL;
        struct gh_error err = {0};
        char copy[sizeof(peter)];

        memcpy(copy, peter, sizeof(copy));
        copy[i] ^= 2;
        assert_false(audit_note_key_read(copy, sizeof(copy) - 1, NULL, &key, &err));
        assert_int_equal(err.cause, GH_INTERNAL_ERROR);
    }
}

static void audit_note_key_read_bad_name_refused(void **state)
{
    struct audit_note_key *key = NULL;
    struct gh_error err = {0};

    assert_false(audit_note_key_read(key_pem, sizeof(key_pem) - 1, "a b", &key, &err));
    gh_error_clear(&err);
    assert_false(audit_note_key_read(key_pem, sizeof(key_pem) - 1, "a+b", &key, &err));
    gh_error_clear(&err);
    assert_false(audit_note_key_read(peter, sizeof(peter) - 1, "other", &key, &err));
    assert_int_equal(err.cause, GH_INTERNAL_ERROR);
}

static void audit_note_sign_read_back_any_byte_changed_refused(void **state)
{
    struct audit_note_key *key = NULL;
    struct audit_note note = {.origin = "gateway", .size = 42, .root = {1, 2, 3}};
    struct audit_note back;
    struct text text;

    assert_true(audit_note_key_read(key_pem, sizeof(key_pem) - 1, "gateway", &key, NULL));
    text_init(&text, AUDIT_NOTE_MAX_BYTES);
    assert_true(audit_note_sign(key, &note, &text, NULL));
    assert_true(audit_note_read(text.data, text.len, (const struct audit_note_key *const *)&key, 1,
                                &back, NULL));
    assert_string_equal(back.origin, "gateway");
    assert_int_equal(back.size, 42);
    assert_memory_equal(back.root, note.root, sizeof(back.root));
    for (size_t i = 0; i < text.len; i++) {
        struct gh_error err = {0};

        text.data[i] ^= 1;
        assert_false(audit_note_read(text.data, text.len,
                                     (const struct audit_note_key *const *)&key, 1, &back, &err));
        assert_true(err.cause == GH_SIG_MALFORMED || err.cause == GH_SIG_INVALID ||
                    err.cause == GH_KEY_UNKNOWN);
        text.data[i] ^= 1;
    }
    text_done(&text);
    audit_note_key_free(key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(audit_note_key_read_published_verifier_passes),
        cmocka_unit_test(audit_note_key_read_damaged_verifier_refused),
        cmocka_unit_test(audit_note_key_read_bad_name_refused),
        cmocka_unit_test(audit_note_sign_read_back_any_byte_changed_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
