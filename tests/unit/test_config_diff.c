#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "metrics/text.h"
#include "policy/config_diff.h"
#include "tests/support/memory_loader.h"

#define NOW INT64_C(1795219200)
#define FILE_OF(more, url, key, mode)                                                              \
    more "upstreams: {ghcr.io: {url: '" url "'}}\nsigners: {s: {keys: [{file: " key                \
         "}]}}\npolicies: [{name: p, mode: " mode                                                  \
         ", images: [\"ghcr.io/a\"], require: [{signature: s}]}]\n"
#define PLAIN FILE_OF("", "https://ghcr.io", "a.pub", "deny")

static struct config *load(const char *text)
{
    struct memory_file files[] = {{"/g/g.yaml", text, 0},
                                  {"/g/a.pub", MEMORY_KEY_A, 0},
                                  {"/g/b.pub", MEMORY_KEY_B, 0},
                                  {"/g/root.json", "{}", 0}};
    struct memory_loader loader = {.files = files, .count = GH_COUNT(files)};
    struct config_problems problems;
    struct config *config = memory_load(&loader, NOW, &problems);

    if (config == NULL) {
        memory_print(&problems);
    }
    config_problems_done(&problems);
    assert_non_null(config);
    return config;
}

static void on_change(const struct config_change *change, void *arg)
{
    text_printf(arg, "%s|%s|%s|%s|%s|%s\n", change->tenant, change->kind, change->name,
                change->what, change->before != NULL ? change->before : "-",
                change->after != NULL ? change->after : "-");
}

static size_t diff(const char *before, const char *after, struct text *out)
{
    struct config *left = load(before);
    struct config *right = load(after);
    size_t count;

    text_init(out, 65536);
    count = config_diff(left, right, NOW, on_change, out);
    config_unref(left);
    config_unref(right);
    return count;
}

static void config_diff_same_file_gives_nothing(void **state)
{
    struct text out;

    (void)state;
    assert_int_equal(diff(PLAIN, PLAIN, &out), 0);
    assert_string_equal(text_cstr(&out), "");
    text_done(&out);
}

static void config_diff_settings_are_named_with_both_values(void **state)
{
    struct text out;

    (void)state;
    assert_int_equal(diff(PLAIN,
                          FILE_OF("cache: {verdict_ttl: 1h}\nlimits: {candidates: 7}\n",
                                  "https://ghcr.io", "a.pub", "deny"),
                          &out),
                     2);
    assert_non_null(strstr(text_cstr(&out), "|setting|cache.verdict_ttl|value|86400|3600\n"));
    assert_non_null(strstr(text_cstr(&out), "|setting|limits.candidates|value|50|7\n"));
    text_done(&out);
}

static void config_diff_upstream_url_and_password_show_no_secret(void **state)
{
    static const char with_password[] =
        "upstreams: {ghcr.io: {url: 'https://other.io', credentials: {username: u, password: "
        "'${GHCR_PASSWORD}'}}}\n";
    static const char without[] = "upstreams: {ghcr.io: {url: 'https://ghcr.io'}}\n";
    struct text out;

    (void)state;
    assert_int_equal(diff(without, with_password, &out), 2);
    assert_non_null(
        strstr(text_cstr(&out), "default|upstream|ghcr.io|url|https://ghcr.io|https://other.io\n"));
    assert_non_null(strstr(text_cstr(&out), "default|upstream|ghcr.io|credentials|-|-\n"));
    assert_null(strstr(text_cstr(&out), "hunter2"));
    text_done(&out);
}

static void config_diff_roots_are_named_with_both_values(void **state)
{
#define ROOT_OF(url, more)                                                                         \
    FILE_OF("roots: {r: {tuf: '" url "', initial_root: root.json" more "}}\n", "https://ghcr.io",  \
            "a.pub", "deny")
    struct text out;

    assert_int_equal(diff(ROOT_OF("https://a.test", ""), ROOT_OF("https://a.test", ""), &out), 0);
    text_done(&out);
    assert_int_equal(diff(ROOT_OF("https://a.test", ", probe: 10m"),
                          ROOT_OF("https://b.test", ", max_age: 70d"), &out),
                     3);
    assert_non_null(
        strstr(text_cstr(&out), "default|root|r|source|https://a.test|https://b.test\n"));
    assert_non_null(strstr(text_cstr(&out), "default|root|r|max_age|604800|6048000\n"));
    assert_non_null(strstr(text_cstr(&out), "default|root|r|probe|600|0\n"));
    text_done(&out);
    assert_int_equal(diff(ROOT_OF("https://a.test", ""), PLAIN, &out), 1);
    assert_string_equal(text_cstr(&out), "default|root|r|removed|https://a.test|-\n");
    text_done(&out);
}

static void config_diff_policy_and_key_are_named(void **state)
{
    struct text out;

    (void)state;
    assert_true(diff(PLAIN, FILE_OF("", "https://ghcr.io", "b.pub", "warn"), &out) >= 4);
    assert_non_null(strstr(text_cstr(&out), "default|policy|p|mode|deny|warn\n"));
    assert_non_null(strstr(text_cstr(&out), "default|signer|s|key removed|a.pub (sha256:"));
    assert_non_null(strstr(text_cstr(&out), "default|signer|s|key added|-|b.pub (sha256:"));
    text_done(&out);
}

static void config_diff_added_and_removed_policies_are_opposites(void **state)
{
    static const char none[] = "upstreams: {ghcr.io: {url: 'https://ghcr.io'}}\n";
    struct text out;

    (void)state;
    assert_int_equal(diff(none, PLAIN, &out), 2);
    assert_non_null(strstr(text_cstr(&out), "default|policy|p|added|-|ghcr.io/a\n"));
    assert_non_null(strstr(text_cstr(&out), "default|signer|s|added|-|-\n"));
    text_done(&out);
    assert_int_equal(diff(PLAIN, none, &out), 2);
    assert_non_null(strstr(text_cstr(&out), "default|policy|p|removed|ghcr.io/a|-\n"));
    text_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(config_diff_same_file_gives_nothing),
        cmocka_unit_test(config_diff_settings_are_named_with_both_values),
        cmocka_unit_test(config_diff_upstream_url_and_password_show_no_secret),
        cmocka_unit_test(config_diff_roots_are_named_with_both_values),
        cmocka_unit_test(config_diff_policy_and_key_are_named),
        cmocka_unit_test(config_diff_added_and_removed_policies_are_opposites),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
