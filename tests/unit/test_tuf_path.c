#include "crypto/tuf_path.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void tuf_path_match_table_agrees(void **state)
{
    static const struct {
        const char *pattern;
        const char *path;
        bool is_match;
    } rows[] = {
        {"*", "file", true},
        {"*", "a/b", false},
        {"*/*", "a/b", true},
        {"*/*", "a/b/c", false},
        {"*.md", "README.md", true},
        {"*.md", "README.MD", false},
        {"*.md", "docs/README.md", false},
        {"foo-?.tgz", "foo-1.tgz", true},
        {"foo-?.tgz", "foo-alpha.tgz", false},
        {"foo-?.tgz", "foo-.tgz", false},
        {"a?b", "a/b", false},
        {"releases/*/*", "releases/x/y", true},
        {"releases/y/*.zip", "releases/y/v1.zip", true},
        {"a*b*c", "axxbyyc", true},
        {"a*b*c", "axxbyy", false},
        {"*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false},
        {"[a-c]x", "bx", true},
        {"[a-c]x", "dx", false},
        {"[!a-c]x", "dx", true},
        {"[]x]y", "]y", true},
        {"[a", "[a", true},
        {"", "", true},
        {"", "a", false},
        {"a/", "a", false},
    };

    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        assert_int_equal(tuf_path_match(bytes_of(rows[i].pattern), bytes_of(rows[i].path)),
                         rows[i].is_match);
    }
}

static void tuf_path_check_length_limited(void **state)
{
    char path[TUF_PATH_MAX_BYTES + 2];
    struct gh_error err = {0};

    memset(path, 'a', sizeof(path));
    assert_true(tuf_path_check(bytes_make(path, TUF_PATH_MAX_BYTES), &err));
    assert_false(tuf_path_check(bytes_make(path, TUF_PATH_MAX_BYTES + 1), &err));
    assert_int_equal(err.cause, GH_TUF_TARGET_MISMATCH);
}

static void tuf_path_escape_reserved_encoded(void **state)
{
    static const struct {
        const char *name;
        bool keep_slashes;
        const char *escaped;
    } rows[] = {
        {"plain-1.0_x~", false, "plain-1.0_x~"},
        {"a/b", false, "a%2Fb"},
        {"a/b", true, "a/b"},
        {"../x", false, "..%2Fx"},
        {"?#%", false, "%3F%23%25"},
        {"\xc3\xa4", false, "%C3%A4"},
    };
    struct gh_error err = {0};
    char *out = NULL;

    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        assert_true(tuf_path_escape(bytes_of(rows[i].name), rows[i].keep_slashes, 64, &out, &err));
        assert_string_equal(out, rows[i].escaped);
        free(out);
    }
    assert_true(tuf_path_escape(bytes_of("abc"), false, 3, &out, &err));
    free(out);
    assert_false(tuf_path_escape(bytes_of("abcd"), false, 3, &out, &err));
    assert_int_equal(err.cause, GH_TUF_LIMIT_EXCEEDED);
}

static void tuf_path_bin_widths_agree(void **state)
{
    static const struct {
        unsigned bits;
        size_t digits;
    } rows[] = {{1, 1}, {4, 1}, {5, 2}, {8, 2}, {16, 4}, {32, 8}};

    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        char hash[TUF_PATH_HASH_DIGITS + 1];
        struct gh_error err = {0};
        char *out = NULL;

        assert_true(tuf_path_hash(bytes_of("file"), hash, &err));
        assert_true(tuf_path_bin(bytes_of("file"), "b", rows[i].bits, &out, &err));
        assert_int_equal(strlen(out), 2 + rows[i].digits);
        if (rows[i].bits % 4 == 0) {
            assert_memory_equal(out + 2, hash, rows[i].digits);
        }
        free(out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tuf_path_match_table_agrees),
        cmocka_unit_test(tuf_path_check_length_limited),
        cmocka_unit_test(tuf_path_escape_reserved_encoded),
        cmocka_unit_test(tuf_path_bin_widths_agree),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
