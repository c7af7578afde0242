/* What a reload keeps of its registries, and what it makes anew. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proxy/gateway.h"
#include "proxy/generation.h"
#include "proxy/target.h"
#include "tests/support/memory_loader.h"

#define NOW 1790000000

static struct generation *load(const char *upstreams, uint64_t number,
                               const struct generation *previous)
{
    char text[1024];
    struct memory_file files[2] = {{"gatehouse.yaml", text, 0}, {"a.pub", MEMORY_KEY_A, 0}};
    struct memory_loader loader = {.files = files, .count = 2};
    struct config_problems problems = {0};
    struct generation *generation = NULL;
    struct gh_error err = {0};
    struct config *config;

    (void)snprintf(text, sizeof(text),
                   "upstreams: %s\nsigners: {release: {keys: [{file: a.pub}]}}\n"
                   "policies: [{name: ours, images: [\"a.test/**\"], require: [{signature: "
                   "release}]}]\n",
                   upstreams);
    config = memory_load(&loader, NOW, &problems);
    if (config == NULL) {
        memory_print(&problems);
    }
    config_problems_done(&problems);
    assert_non_null(config);
    assert_true(generation_new(config, number, previous, &generation, &err));
    return generation;
}

#define BOTH "{a.test: {url: \"http://127.0.0.1:1\"}, b.test: {url: \"http://127.0.0.1:2\"}}"

static void generation_new_same_upstreams_are_kept(void **state)
{
    struct generation *first = load(BOTH, 1, NULL);
    struct generation *second = load(BOTH, 2, first);

    assert_ptr_equal(generation_upstream(first, 0, "a.test"),
                     generation_upstream(second, 0, "a.test"));
    assert_ptr_equal(generation_upstream(first, 0, "b.test"),
                     generation_upstream(second, 0, "b.test"));
    generation_unref(first);
    assert_non_null(generation_upstream(second, 0, "a.test"));
    generation_unref(second);
}

/* The URLs say which hosts may be private: one that went must not stay open through another. */
static void generation_new_other_url_makes_all_anew(void **state)
{
    struct generation *first = load(BOTH, 1, NULL);
    struct generation *second = load(
        "{a.test: {url: \"http://127.0.0.1:1\"}, b.test: {url: \"https://b.example\"}}", 2, first);

    assert_ptr_not_equal(generation_upstream(first, 0, "a.test"),
                         generation_upstream(second, 0, "a.test"));
    generation_unref(first);
    generation_unref(second);
}

static void generation_new_other_settings_make_one_anew(void **state)
{
    struct generation *first = load(BOTH, 1, NULL);
    struct generation *second = load("{a.test: {url: \"http://127.0.0.1:1\", concurrency: 3},"
                                     " b.test: {url: \"http://127.0.0.1:2\"}}",
                                     2, first);

    assert_ptr_not_equal(generation_upstream(first, 0, "a.test"),
                         generation_upstream(second, 0, "a.test"));
    assert_ptr_equal(generation_upstream(first, 0, "b.test"),
                     generation_upstream(second, 0, "b.test"));
    generation_unref(first);
    generation_unref(second);
}

static void gateway_adopt_replaces_what_requests_hold(void **state)
{
    struct gateway gateway = {0};
    struct generation *held;

    lock_init(&gateway.lock, GH_RANK_CONFIG);
    gateway_adopt(&gateway, load(BOTH, 1, NULL));
    held = gateway_generation(&gateway);
    assert_true(gateway_is_current(&gateway, held));
    gateway_adopt(&gateway, load(BOTH, 2, held));
    assert_false(gateway_is_current(&gateway, held));
    assert_string_equal(held->config->tenants[0].name, "default"); /* still there */
    generation_unref(held);
    generation_unref(gateway.generation);
    lock_done(&gateway.lock);
}

static void target_of_text_resolves_configured_names_alone(void **state)
{
    struct generation *generation = load(BOTH, 1, NULL);
    struct target target;
    struct gh_error err = {0};

    assert_true(target_of_text(generation, 0, "a.test/team/app:v1", &target, &err));
    assert_string_equal(target.ref.repository, "team/app");
    assert_string_equal(target.ref.tag, "v1");
    assert_ptr_equal(target.upstream, generation_upstream(generation, 0, "a.test"));
    assert_false(target_of_text(generation, 0, "c.test/team/app", &target, &err));
    assert_int_equal(err.cause, GH_NAME_UNKNOWN);
    generation_unref(generation);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(generation_new_same_upstreams_are_kept),
        cmocka_unit_test(generation_new_other_url_makes_all_anew),
        cmocka_unit_test(generation_new_other_settings_make_one_anew),
        cmocka_unit_test(gateway_adopt_replaces_what_requests_hold),
        cmocka_unit_test(target_of_text_resolves_configured_names_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
