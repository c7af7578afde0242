#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "metrics/text.h"
#include "policy/compare.h"
#include "tests/support/memory_loader.h"

#define NOW INT64_C(1795219200)
#define FILE_OF(key, mode, images)                                                                 \
    "upstreams: {ghcr.io: {url: https://ghcr.io}}\nsigners: {s: {keys: [{file: " key               \
    "}]}}\npolicies: [{name: p, mode: " mode ", images: [" images                                  \
    "], require: [{signature: s}]}]\n"

static struct config *load(const char *text)
{
    struct memory_file files[] = {
        {"/g/g.yaml", text, 0}, {"/g/a.pub", MEMORY_KEY_A, 0}, {"/g/b.pub", MEMORY_KEY_B, 0}};
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

static size_t differences(const char *a, const char *b, struct text *out)
{
    struct config *left = load(a);
    struct config *right = load(b);
    struct compare_output output = {.out = out};

    text_init(out, 65536);
    compare_put(&output, &left->tenants[0].snapshot, &right->tenants[0].snapshot, NOW);
    config_unref(left);
    config_unref(right);
    return output.count;
}

static void compare_equal_meaning_gives_nothing(void **state)
{
    struct text out;

    (void)state;
    assert_int_equal(differences(FILE_OF("a.pub", "deny", "\"ghcr.io/a\", \"ghcr.io/b\""),
                                 FILE_OF("a.pub", "deny", "\"ghcr.io/b\", \"ghcr.io/a\""), &out),
                     0);
    text_done(&out);
}

static void compare_mode_and_images_are_named(void **state)
{
    struct text out;

    (void)state;
    assert_int_equal(differences(FILE_OF("a.pub", "deny", "\"ghcr.io/a\""),
                                 FILE_OF("a.pub", "warn", "\"ghcr.io/b\""), &out),
                     2);
    assert_non_null(strstr(text_cstr(&out), "policy p: mode\n  a: deny\n  b: warn\n"));
    assert_non_null(strstr(text_cstr(&out), "policy p: images\n  a: ghcr.io/a\n  b: ghcr.io/b\n"));
    text_done(&out);
}

static void compare_another_key_under_one_name_is_found(void **state)
{
    struct text out;

    (void)state;
    assert_int_equal(differences(FILE_OF("a.pub", "deny", "\"ghcr.io/a\""),
                                 FILE_OF("b.pub", "deny", "\"ghcr.io/a\""), &out),
                     4);
    assert_non_null(strstr(text_cstr(&out), "signer s: keys"));
    assert_non_null(strstr(text_cstr(&out), "signer s: key only in a\n  a: a.pub (sha256:"));
    assert_non_null(strstr(text_cstr(&out), "signer s: key only in b\n  b: b.pub (sha256:"));
    text_done(&out);
}

#define MAIN_OF(hosts)                                                                             \
    FILE_OF("a.pub", "deny", "\"ghcr.io/a\"")                                                      \
    "tenants: [{name: labs, hosts: [" hosts "], config: labs.yaml}]\n"

/* Both load as the main file with the labs file given. */
static struct config *load_tenants(const char *main, const char *labs)
{
    struct memory_file files[] = {{"/g/g.yaml", main, 0},
                                  {"/g/labs.yaml", labs, 0},
                                  {"/g/a.pub", MEMORY_KEY_A, 0},
                                  {"/g/b.pub", MEMORY_KEY_B, 0}};
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

static size_t config_differences(struct config *left, struct config *right, bool is_json,
                                 struct text *out)
{
    struct compare_output output = {.out = out, .is_json = is_json};

    text_init(out, 65536);
    compare_configs(&output, left, right, NOW);
    config_unref(left);
    config_unref(right);
    return output.count;
}

static void compare_configs_other_key_of_a_tenant_is_found(void **state)
{
    struct text out;

    (void)state;
    assert_int_equal(config_differences(
                         load_tenants(MAIN_OF("l.test"), FILE_OF("a.pub", "deny", "\"ghcr.io/a\"")),
                         load_tenants(MAIN_OF("l.test"), FILE_OF("b.pub", "deny", "\"ghcr.io/a\"")),
                         false, &out),
                     4);
    assert_non_null(strstr(text_cstr(&out), "tenant labs, signer s: key only in a\n"));
    text_done(&out);
}

static void compare_configs_way_to_a_tenant_and_its_upstream_are_found(void **state)
{
    static const char labs[] =
        "upstreams: {ghcr.io: {url: https://mirror.test}}\nsigners: {s: {keys: [{file: "
        "a.pub}]}}\npolicies: [{name: p, mode: deny, images: [\"ghcr.io/a\"], require: "
        "[{signature: s}]}]\n";
    struct text out;

    (void)state;
    assert_int_equal(config_differences(
                         load_tenants(MAIN_OF("l.test"), FILE_OF("a.pub", "deny", "\"ghcr.io/a\"")),
                         load_tenants(MAIN_OF("k.test"), labs), true, &out),
                     2);
    assert_non_null(strstr(text_cstr(&out), "{\"tenant\":\"labs\",\"kind\":\"tenant\",\"name\":"
                                            "\"labs\",\"what\":\"hosts\",\"a\":\"l.test\","
                                            "\"b\":\"k.test\"}"));
    assert_non_null(strstr(text_cstr(&out), "\"kind\":\"upstream\",\"name\":\"ghcr.io\","
                                            "\"what\":\"url\",\"a\":\"https://ghcr.io\""));
    text_done(&out);
}

static void compare_configs_tenant_in_one_alone_is_told_with_its_policies(void **state)
{
    struct text out;

    (void)state;
    assert_int_equal(config_differences(
                         load(FILE_OF("a.pub", "deny", "\"ghcr.io/a\"")),
                         load_tenants(MAIN_OF("l.test"), FILE_OF("a.pub", "deny", "\"ghcr.io/a\"")),
                         false, &out),
                     4);
    assert_non_null(strstr(text_cstr(&out), "tenant labs, tenant labs: only in b\n"));
    assert_non_null(strstr(text_cstr(&out), "tenant labs, policy p: only in b\n"));
    text_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(compare_equal_meaning_gives_nothing),
        cmocka_unit_test(compare_mode_and_images_are_named),
        cmocka_unit_test(compare_another_key_under_one_name_is_found),
        cmocka_unit_test(compare_configs_other_key_of_a_tenant_is_found),
        cmocka_unit_test(compare_configs_way_to_a_tenant_and_its_upstream_are_found),
        cmocka_unit_test(compare_configs_tenant_in_one_alone_is_told_with_its_policies),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
