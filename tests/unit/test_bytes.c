/* Base64 as it is read: every form, every length, and nothing that two texts could share. */
#include "crypto/bytes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "metrics/error.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static bool decodes(const char *text, enum bytes_base64 form, struct bytes wanted)
{
    struct bytes_buf out = {0};
    bool is_equal = bytes_base64_decode(bytes_of(text), form, &out, NULL) &&
                    bytes_equal(bytes_view(&out), wanted);

    bytes_buf_done(&out);
    return is_equal;
}

/* Lengths from none to several groups, values that need every digit of the alphabet. */
static void bytes_base64_decode_gives_what_was_encoded(void **state)
{
    uint8_t raw[200];

    for (size_t i = 0; i < sizeof(raw); i++) {
        raw[i] = (uint8_t)(i * 151 + (i >> 3));
    }
    for (size_t len = 0; len <= sizeof(raw); len++) {
        char *standard = bytes_base64_encode(bytes_make(raw, len), BYTES_BASE64_STANDARD);
        char *url = bytes_base64_encode(bytes_make(raw, len), BYTES_BASE64_URL_NOPAD);

        assert_true(decodes(standard, BYTES_BASE64_STANDARD, bytes_make(raw, len)));
        assert_true(decodes(url, BYTES_BASE64_URL_NOPAD, bytes_make(raw, len)));
        free(url);
        free(standard);
    }
}

/* Digit by digit, at each place of a group, against the alphabet written out. */
static void bytes_base64_decode_each_character_judged(void **state)
{
    for (size_t at = 0; at < 8; at++) {
        for (unsigned c = 1; c < 256; c++) {
            char text[] = "AAAAAAAA";
            const char *found = strchr(alphabet, (int)c);
            uint8_t wanted[6] = {0};
            uint32_t bits = 0;

            text[at] = (char)c;
            if (found == NULL) {
                bool is_padding = c == '=' && at == 7;

                assert_false(decodes(text, BYTES_BASE64_STANDARD, bytes_make(wanted, 6)));
                if (!is_padding) {
                    struct bytes_buf out = {0};
                    struct gh_error err = {0};

                    assert_false(
                        bytes_base64_decode(bytes_of(text), BYTES_BASE64_STANDARD, &out, &err));
                    assert_int_equal(err.cause, GH_SIG_MALFORMED);
                }
                continue;
            }
            bits = (uint32_t)(found - alphabet) << (18 - 6 * (at % 4));
            wanted[at / 4 * 3] = (uint8_t)(bits >> 16);
            wanted[at / 4 * 3 + 1] = (uint8_t)(bits >> 8);
            wanted[at / 4 * 3 + 2] = (uint8_t)bits;
            assert_true(decodes(text, BYTES_BASE64_STANDARD, bytes_make(wanted, 6)));
        }
    }
}

static void bytes_base64_decode_not_canonical_refused(void **state)
{
    static const struct {
        const char *text;
        enum bytes_base64 form;
    } rows[] = {
        {"A", BYTES_BASE64_STANDARD},         {"AA", BYTES_BASE64_STANDARD},
        {"AAA", BYTES_BASE64_STANDARD},       {"AAAAA", BYTES_BASE64_STANDARD},
        {"AB==", BYTES_BASE64_STANDARD},      {"AAB=", BYTES_BASE64_STANDARD},
        {"AAAAAB==", BYTES_BASE64_STANDARD},  {"A===", BYTES_BASE64_STANDARD},
        {"AA=A", BYTES_BASE64_STANDARD},      {"AAAA\n", BYTES_BASE64_STANDARD},
        {"AA AA", BYTES_BASE64_STANDARD},     {"-AAA", BYTES_BASE64_STANDARD},
        {"AAAAAAA_", BYTES_BASE64_STANDARD},  {"+AAA-AAA", BYTES_BASE64_STANDARD},
        {"A", BYTES_BASE64_URL_NOPAD},        {"AA==", BYTES_BASE64_URL_NOPAD},
        {"AB", BYTES_BASE64_URL_NOPAD},       {"AAB", BYTES_BASE64_URL_NOPAD},
        {"+AAA", BYTES_BASE64_URL_NOPAD},     {"AAAAAAA/", BYTES_BASE64_URL_NOPAD},
        {"/AAA_AAA", BYTES_BASE64_URL_NOPAD},
    };

    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        struct bytes_buf out = {0};
        struct gh_error err = {0};

        if (bytes_base64_decode(bytes_of(rows[i].text), rows[i].form, &out, &err)) {
            fail_msg("%s was read", rows[i].text);
        }
        assert_int_equal(err.cause, GH_SIG_MALFORMED);
    }
}

static void bytes_find_last_is_the_last(void **state)
{
    static const struct {
        const char *in;
        const char *needle;
        size_t wanted;
    } rows[] = {
        {"", "a", SIZE_MAX},     {"a", "", SIZE_MAX},  {"a", "a", 0},
        {"abab", "ab", 2},       {"aba", "ab", 0},     {"aaa", "aa", 1},
        {"a/b/c", "/", 3},       {"/x/y/", "/x/", 0},  {"xxab", "abc", SIZE_MAX},
        {"ab", "abc", SIZE_MAX}, {"abcabd", "abc", 0},
    };

    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        assert_int_equal(bytes_find_last(bytes_of(rows[i].in), bytes_of(rows[i].needle)),
                         rows[i].wanted);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_find_last_is_the_last),
        cmocka_unit_test(bytes_base64_decode_gives_what_was_encoded),
        cmocka_unit_test(bytes_base64_decode_each_character_judged),
        cmocka_unit_test(bytes_base64_decode_not_canonical_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
