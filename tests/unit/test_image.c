#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "metrics/error.h"
#include "policy/arena.h"
#include "policy/image.h"

#define SHA "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static void image_ref_reads_names_as_people_write_them(void **state)
{
    static const char *const rows[][3] = {
        {"ghcr.io/acme/app:v1", "ghcr.io/acme/app", "v1"},
        {"ghcr.io/acme/app", "ghcr.io/acme/app", ""},
        {"alpine", "docker.io/library/alpine", ""},
        {"docker.io/alpine:3", "docker.io/library/alpine", "3"},
        {"index.docker.io/library/alpine", "docker.io/library/alpine", ""},
        {"registry-1.docker.io/acme/app", "docker.io/acme/app", ""},
        {"acme/app", "docker.io/acme/app", ""},
        {"localhost:5000/app:v1", "localhost:5000/app", "v1"},
        {"ghcr.io/a/b:v1@" SHA, "ghcr.io/a/b", "v1"},
        {"r.example/a__b/c--d/e.f", "r.example/a__b/c--d/e.f", ""},
    };

    (void)state;
    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        struct image_ref ref;
        struct gh_error err = {0};

        assert_true(image_ref_parse(bytes_of(rows[i][0]), "docker.io", &ref, &err));
        assert_string_equal(ref.name, rows[i][1]);
        assert_string_equal(ref.tag, rows[i][2]);
    }
}

static void image_ref_bad_name_refused(void **state)
{
    static const char *const rows[] = {
        "",
        "/",
        "ghcr.io/",
        "ghcr.io/A",
        "ghcr.io/a//b",
        "ghcr.io/a/",
        "ghcr.io/-a",
        "ghcr.io/a-",
        "ghcr.io/a___b",
        "ghcr.io/a..b",
        "ghcr.io/a:",
        "ghcr.io/a:.v",
        "ghcr.io:x/a",
        "gh cr.io/a",
        "ghcr.io/a@sha256:12",
        "ghcr.io/a b",
        "-ghcr.io/a",
        "ghcr.io/a/../b",
        "ghcr.io/a@md5:1",
        "http://ghcr.io/a",
    };

    (void)state;
    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        struct image_ref ref;
        struct gh_error err = {0};

        if (image_ref_parse(bytes_of(rows[i]), "docker.io", &ref, &err)) {
            fail_msg("accepted: %s", rows[i]);
        }
        assert_true(err.cause == GH_NAME_UNKNOWN || err.cause == GH_DIGEST_ALG_UNSUPPORTED);
    }
}

static void image_ref_long_names_stop_at_the_limit(void **state)
{
    char text[400] = "ghcr.io/";
    struct image_ref ref;
    struct gh_error err = {0};

    (void)state;
    memset(text + 8, 'a', IMAGE_MAX_REPOSITORY_BYTES);
    text[8 + IMAGE_MAX_REPOSITORY_BYTES] = '\0';
    assert_true(image_ref_parse(bytes_of(text), NULL, &ref, &err));
    text[8 + IMAGE_MAX_REPOSITORY_BYTES] = 'a';
    text[9 + IMAGE_MAX_REPOSITORY_BYTES] = '\0';
    assert_false(image_ref_parse(bytes_of(text), NULL, &ref, &err));
    assert_int_equal(err.cause, GH_NAME_UNKNOWN);
}

struct match_row {
    const char *pattern;
    const char *name;
    bool is_match;
};

static const struct match_row matches[] = {
    {"**", "ghcr.io/a", true},
    {"ghcr.io/**", "ghcr.io/a", true},
    {"ghcr.io/**", "ghcr.io/a/b/c", true},
    {"ghcr.io/**", "ghcr.io.evil/a", false},
    {"ghcr.io/acme/**", "ghcr.io/acme/a", true},
    {"ghcr.io/acme/**", "ghcr.io/acme", false},
    {"ghcr.io/acme/**", "ghcr.io/acmeevil/a", false},
    {"ghcr.io/acme/*", "ghcr.io/acme/a", true},
    {"ghcr.io/acme/*", "ghcr.io/acme/a/b", false},
    {"ghcr.io/*/app", "ghcr.io/x/app", true},
    {"ghcr.io/*/app", "ghcr.io/x/y/app", false},
    {"ghcr.io/app-*", "ghcr.io/app-1", true},
    {"ghcr.io/app-*", "ghcr.io/app", false},
    {"ghcr.io/**/app", "ghcr.io/x/y/app", true},
    {"ghcr.io/**/app", "ghcr.io/app", false},
    {"ghcr.io/**/x/**", "ghcr.io/a/x/b", true},
    {"ghcr.io/**/x/**", "ghcr.io/a/b/c", false},
    {"ghcr.io/**/x/**", "ghcr.io/x/x/x", true},
    {"**/app", "ghcr.io/a/app", true},
    {"*.example.com/**", "r.example.com/a", true},
    {"*.example.com/**", "example.com/a", false},
    {"docker.io/alpine", "docker.io/library/alpine", true},
    {"index.docker.io/acme/**", "docker.io/acme/a", true},
    {"ghcr.io/a", "ghcr.io/a", true},
    {"ghcr.io/a", "ghcr.io/a/b", false},
    {"ghcr.io/a@" SHA, "ghcr.io/a", true},
};

static void image_pattern_and_index_agree(void **state)
{
    (void)state;
    for (size_t i = 0; i < GH_COUNT(matches); i++) {
        struct arena *arena = arena_new(1u << 20);
        struct image_index *index = image_index_new(arena);
        struct image_pattern pattern;
        struct digest digest;
        struct gh_error err = {0};
        uint32_t ids[4] = {0};
        size_t found;

        assert_true(digest_parse(bytes_of(SHA), &digest, &err));
        assert_true(image_pattern_parse(bytes_of(matches[i].pattern), arena, &pattern, &err));
        assert_true(image_index_add(index, &pattern, 9, &err));
        found = image_index_match(index, matches[i].name, &digest, ids, 4);
        if (image_pattern_match(&pattern, matches[i].name, &digest) != matches[i].is_match ||
            (found > 0) != matches[i].is_match || (found > 0 && ids[0] != 9)) {
            fail_msg("%s against %s", matches[i].pattern, matches[i].name);
        }
        digest.value[0] ^= 1;
        if (pattern.digest.alg != DIGEST_NONE) {
            assert_false(image_pattern_match(&pattern, matches[i].name, &digest));
            assert_int_equal(image_index_match(index, matches[i].name, &digest, ids, 4), 0);
            assert_int_equal(image_index_match(index, matches[i].name, NULL, ids, 4), 0);
        }
        arena_free(arena);
    }
}

static void image_pattern_bad_refused(void **state)
{
    static const char *const rows[] = {"",
                                       "*",
                                       "ghcr.io",
                                       "ghcr.io/a:v1",
                                       "ghcr.io/A",
                                       "ghcr.io//a",
                                       "ghcr.io/***",
                                       "ghcr.io/a**",
                                       "/a",
                                       "ghcr.io/a/",
                                       "ghcr.io/[ab]",
                                       "a/**/**/**",
                                       "ghcr.io/a@sha256:1"};

    (void)state;
    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        struct arena *arena = arena_new(1u << 20);
        struct image_pattern pattern;
        struct gh_error err = {0};

        if (image_pattern_parse(bytes_of(rows[i]), arena, &pattern, &err)) {
            fail_msg("accepted: %s", rows[i]);
        }
        assert_true(err.cause == GH_NAME_UNKNOWN || err.cause == GH_DIGEST_ALG_UNSUPPORTED);
        arena_free(arena);
    }
}

static void image_index_holds_thousands(void **state)
{
    struct arena *arena = arena_new(64u << 20);
    struct image_index *index = image_index_new(arena);
    struct gh_error err = {0};
    uint32_t ids[4];

    (void)state;
    for (uint32_t i = 0; i < 5000; i++) {
        struct image_pattern pattern;
        char text[64];

        (void)snprintf(text, sizeof(text), "ghcr.io/team-%u/**", i);
        assert_true(image_pattern_parse(bytes_of(text), arena, &pattern, &err));
        assert_true(image_index_add(index, &pattern, i, &err));
    }
    assert_int_equal(image_index_match(index, "ghcr.io/team-4321/a", NULL, ids, 4), 1);
    assert_int_equal(ids[0], 4321);
    assert_int_equal(image_index_match(index, "ghcr.io/team-5000/a", NULL, ids, 4), 0);
    arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(image_ref_reads_names_as_people_write_them),
        cmocka_unit_test(image_ref_bad_name_refused),
        cmocka_unit_test(image_ref_long_names_stop_at_the_limit),
        cmocka_unit_test(image_pattern_and_index_agree),
        cmocka_unit_test(image_pattern_bad_refused),
        cmocka_unit_test(image_index_holds_thousands),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
