#include "crypto/pattern.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "metrics/error.h"

static bool matches(enum pattern_kind kind, const char *text, const char *subject)
{
    struct gh_error err = {0};
    struct pattern *pattern = NULL;
    bool answer;

    assert_true(pattern_new(kind, bytes_of(text), &pattern, &err));
    answer = pattern_match(pattern, bytes_of(subject));
    pattern_free(pattern);
    return answer;
}

static void pattern_match_table_agrees(void **state)
{
    static const struct {
        enum pattern_kind kind;
        const char *text;
        const char *subject;
        bool is_match;
    } rows[] = {
        {PATTERN_EXACT, "a*b", "a*b", true},
        {PATTERN_EXACT, "a*b", "axb", false},
        {PATTERN_EXACT, "a", "", false},
        {PATTERN_GLOB, "", "", true},
        {PATTERN_GLOB, "", "a", false},
        {PATTERN_GLOB, "*", "", true},
        {PATTERN_GLOB, "*", "abc", true},
        {PATTERN_GLOB, "*", "a/b", false},
        {PATTERN_GLOB, "**", "a/b/c", true},
        {PATTERN_GLOB, "***", "a/b/c", true},
        {PATTERN_GLOB, "a/*/c", "a/b/c", true},
        {PATTERN_GLOB, "a/*/c", "a/b/b/c", false},
        {PATTERN_GLOB, "a/**/c", "a/b/b/c", true},
        {PATTERN_GLOB, "a.c", "abc", false},
        {PATTERN_GLOB, "**a*b**c", "xx/a1b/zzc/c", true},
        {PATTERN_GLOB, "**/x*y", "a/x/y/xzy", true},
        {PATTERN_GLOB, "https://github.com/acme/*/.github/workflows/r.yml@refs/tags/*",
         "https://github.com/acme/app/.github/workflows/r.yml@refs/tags/v1", true},
        {PATTERN_GLOB, "https://github.com/acme/*/.github/workflows/r.yml@refs/tags/*",
         "https://github.com/acme/app/x/.github/workflows/r.yml@refs/tags/v1", false},
        {PATTERN_GLOB, "https://github.com/org/*", "https://evil.example/https://github.com/org/x",
         false},
        {PATTERN_REGEX, "https://github.com/org/.*",
         "https://evil.example/https://github.com/org/x", false},
        {PATTERN_REGEX, "a|ab", "ab", true},
        {PATTERN_REGEX, "a|b", "ab", false},
        {PATTERN_REGEX, "ab$", "ab\n", false},
        {PATTERN_REGEX, "ab", "ab\n", false},
        {PATTERN_REGEX, "(?m)^b$", "a\nb", false},
        {PATTERN_REGEX, "a(*ACCEPT)b", "axx", false},
        {PATTERN_REGEX, "", "", true},
        {PATTERN_REGEX, "(a+)+$", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab", false},
        {PATTERN_REGEX, "[^@]+@acme\\.example", "jane@acme.example", true},
        {PATTERN_REGEX, "[^@]+@acme\\.example", "jane@acme-example", false},
        {PATTERN_REGEX, ".*", "\xff\xfe", false},
    };

    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        if (matches(rows[i].kind, rows[i].text, rows[i].subject) != rows[i].is_match) {
            fail_msg("`%s` and `%s`", rows[i].text, rows[i].subject);
        }
    }
}

static void pattern_match_nul_or_long_subject_refused(void **state)
{
    static char subject[PATTERN_MAX_SUBJECT_BYTES + 1];
    struct gh_error err = {0};
    struct pattern *pattern = NULL;

    memset(subject, 'a', sizeof(subject));
    assert_true(pattern_new(PATTERN_GLOB, bytes_of("**"), &pattern, &err));
    assert_true(pattern_match(pattern, bytes_make(subject, sizeof(subject) - 1)));
    assert_false(pattern_match(pattern, bytes_make(subject, sizeof(subject))));
    assert_false(pattern_match(pattern, bytes_make("a\0b", 3)));
    pattern_free(pattern);
}

static void pattern_new_unacceptable_refused(void **state)
{
    static char text[PATTERN_MAX_BYTES + 1];
    struct gh_error err = {0};
    struct pattern *pattern = NULL;

    memset(text, 'a', sizeof(text));
    assert_false(pattern_new(PATTERN_EXACT, bytes_make(text, sizeof(text)), &pattern, &err));
    assert_int_equal(err.cause, GH_SIZE_LIMIT_EXCEEDED);
    gh_error_clear(&err);
    assert_false(pattern_new(PATTERN_REGEX, bytes_of("(a"), &pattern, &err));
    assert_int_equal(err.cause, GH_POLICY_DENIED);
    gh_error_clear(&err);
    assert_false(pattern_new(PATTERN_REGEX, bytes_of("a\\Cb"), &pattern, &err));
    assert_int_equal(err.cause, GH_POLICY_DENIED);
    gh_error_clear(&err);
    assert_false(pattern_new(PATTERN_GLOB, bytes_make("a\0b", 3), &pattern, &err));
    assert_int_equal(err.cause, GH_POLICY_DENIED);
    assert_null(pattern);
}

/* Says the same by trying everything. */
static bool naive(const char *glob, const char *text)
{
    if (*glob == '\0') {
        return *text == '\0';
    }
    if (glob[0] == '*' && glob[1] == '*') {
        return naive(glob + 2, text) || (*text != '\0' && naive(glob, text + 1));
    }
    if (*glob == '*') {
        return naive(glob + 1, text) || (*text != '\0' && *text != '/' && naive(glob, text + 1));
    }
    return *glob == *text && naive(glob + 1, text + 1);
}

static void pattern_match_random_globs_agree_with_search(void **state)
{
    uint32_t seed = 20261121;
    unsigned matched = 0;

    for (int round = 0; round < 200000; round++) {
        char glob[10] = {0};
        char text[12] = {0};

        for (size_t i = 0; i < sizeof(glob) - 1; i++) {
            seed = seed * 1664525 + 1013904223;
            glob[i] = "a*b/*\0"[(seed >> 24) % 6];
        }
        for (size_t i = 0; i < sizeof(text) - 1; i++) {
            seed = seed * 1664525 + 1013904223;
            text[i] = "aab/b\0"[(seed >> 24) % 6];
        }
        matched += naive(glob, text) ? 1 : 0;
        if (matches(PATTERN_GLOB, glob, text) != naive(glob, text)) {
            fail_msg("`%s` and `%s`", glob, text);
        }
    }
    assert_true(matched > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pattern_match_table_agrees),
        cmocka_unit_test(pattern_match_nul_or_long_subject_refused),
        cmocka_unit_test(pattern_new_unacceptable_refused),
        cmocka_unit_test(pattern_match_random_globs_agree_with_search),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
