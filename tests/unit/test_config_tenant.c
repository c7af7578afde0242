#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "policy/config.h"
#include "tests/support/memory_loader.h"

#define NOW INT64_C(1795219200) /* 2026-11-21 */
#define UP "upstreams: {ghcr.io: {url: https://ghcr.io}}\n"
#define OURS(key)                                                                                  \
    UP "signers: {ours: {keys: [{file: " key "}]}}\n"                                              \
       "policies: [{name: p, images: [\"ghcr.io/a/**\"], require: [{signature: ours}]}]\n"
#define TENANTS                                                                                    \
    "tenants:\n- {name: pay, hosts: [pay.example], config: t/pay.yaml}\n"                          \
    "- {name: labs, prefix: labs, config: t/labs.yaml}\n"

static struct config *load(const char *main, const char *pay, const char *labs,
                           struct config_problems *problems)
{
    const struct memory_file files[] = {
        {"/g/g.yaml", main, 0},          {"/g/t/pay.yaml", pay, 0},
        {"/g/t/labs.yaml", labs, 0},     {"/g/a.pub", MEMORY_KEY_A, 0},
        {"/g/t/a.pub", MEMORY_KEY_A, 0}, {"/g/t/b.pub", MEMORY_KEY_B, 0},
    };
    struct memory_loader loader = {.files = files, .count = GH_COUNT(files)};

    return memory_load(&loader, NOW, problems);
}

static void config_tenant_files_are_loaded_apart(void **state)
{
    struct config_problems problems;
    struct config *config = load(OURS("a.pub") TENANTS, OURS("a.pub"), OURS("b.pub"), &problems);
    const struct config_tenant *pay;
    const struct config_tenant *labs;

    (void)state;
    memory_print(&problems);
    assert_non_null(config);
    assert_int_equal(config->tenant_count, 3);
    assert_string_equal(config->tenants[0].name, "default");
    pay = config_tenant_find(config, "pay");
    labs = config_tenant_find(config, "labs");
    assert_non_null(pay);
    assert_non_null(labs);
    assert_null(config_tenant_find(config, "other"));
    assert_string_equal(pay->hosts.items[0], "pay.example");
    assert_string_equal(labs->prefix, "labs");
    assert_string_equal(labs->snapshot.tenant, "labs");
    assert_string_equal(labs->snapshot.policies[0].file, "/g/t/labs.yaml");
    /* The same words with the same key mean the same requirement, but never the same policy. */
    assert_true(digest_equal(&pay->snapshot.leaves[0]->fingerprint,
                             &config->tenants[0].snapshot.leaves[0]->fingerprint));
    assert_false(digest_equal(&pay->snapshot.leaves[0]->fingerprint,
                              &labs->snapshot.leaves[0]->fingerprint));
    assert_false(
        digest_equal(&pay->snapshot.fingerprint, &config->tenants[0].snapshot.fingerprint));
    config_unref(config);
    config_problems_done(&problems);
}

static void config_tenant_alone_needs_no_main_upstreams(void **state)
{
    struct config_problems problems;
    struct config *config = load(TENANTS, OURS("a.pub"), OURS("b.pub"), &problems);

    (void)state;
    assert_non_null(config);
    assert_int_equal(config->tenants[0].upstreams.count, 0);
    config_unref(config);
    config_problems_done(&problems);
}

static void config_fingerprint_covers_every_tenant(void **state)
{
    struct config_problems problems;
    struct config *one = load(TENANTS, OURS("a.pub"), OURS("b.pub"), &problems);
    struct config *two;
    struct config *moved;

    (void)state;
    config_problems_done(&problems);
    two = load(TENANTS, OURS("a.pub"), OURS("a.pub"), &problems);
    config_problems_done(&problems);
    moved = load("tenants:\n- {name: pay, hosts: [q.example], config: t/pay.yaml}\n"
                 "- {name: labs, prefix: labs, config: t/labs.yaml}\n",
                 OURS("a.pub"), OURS("b.pub"), &problems);
    config_problems_done(&problems);
    assert_non_null(one);
    assert_non_null(two);
    assert_non_null(moved);
    assert_string_not_equal(one->fingerprint_text, two->fingerprint_text);
    assert_string_not_equal(one->fingerprint_text, moved->fingerprint_text);
    config_unref(one);
    config_unref(two);
    config_unref(moved);
}

struct fault {
    const char *main, *pay, *labs;
    const char *file;
    unsigned line;
    const char *part; /* of the message */
};

static void config_tenant_fault_is_named_with_its_file(void **state)
{
#define GOOD OURS("a.pub")
#define LIST(items) UP "tenants: [" items "]\n"
#define PAY "config: t/pay.yaml}"
    static const struct fault faults[] = {
        {TENANTS, GOOD, GOOD "listen: 127.0.0.1:1\n", "/g/t/labs.yaml", 4, "the whole process"},
        {TENANTS, GOOD, GOOD "storage: {path: x}\n", "/g/t/labs.yaml", 4, "the whole process"},
        {TENANTS, GOOD, GOOD "audit: {}\n", "/g/t/labs.yaml", 4, "the whole process"},
        {TENANTS, GOOD, GOOD "offline: true\n", "/g/t/labs.yaml", 4, "the whole process"},
        {TENANTS, GOOD, GOOD "cache: {tag_ttl: 1s}\n", "/g/t/labs.yaml", 4, "the whole process"},
        {TENANTS, GOOD, GOOD "tenants: [{name: x, prefix: x, " PAY "]\n", "/g/t/labs.yaml", 4,
         "the whole process"},
        {TENANTS, GOOD, "signers: {}\n", "/g/t/labs.yaml", 1, "\"upstreams\" is missing"},
        {TENANTS, GOOD, UP "polices: []\n", "/g/t/labs.yaml", 2, "did you mean \"policies\""},
        {TENANTS, "", GOOD, "/g/t/pay.yaml", 0, "empty"},
        {TENANTS, GOOD, OURS("none.pub"), "/g/t/labs.yaml", 2, "no such file"},
        {TENANTS, GOOD, GOOD "tests: [{image: ghcr.io/a/b, covered_by: []}]\n", "/g/t/labs.yaml", 4,
         "covered"},
        {LIST("{name: default, prefix: x, " PAY), GOOD, GOOD, "/g/g.yaml", 2, "the main file's"},
        {LIST("{name: a, prefix: x, " PAY ", {name: a, prefix: y, " PAY), GOOD, GOOD, "/g/g.yaml",
         2, "called \"a\""},
        {LIST("{name: a, prefix: x, " PAY ", {name: b, prefix: x, " PAY), GOOD, GOOD, "/g/g.yaml",
         2, "already leads to tenant \"a\""},
        {LIST("{name: a, hosts: [x.example], " PAY ", {name: b, hosts: [X.example], " PAY), GOOD,
         GOOD, "/g/g.yaml", 2, "already leads to tenant \"a\""},
        {LIST("{name: a, hosts: [x.example, x.example], " PAY), GOOD, GOOD, "/g/g.yaml", 2,
         "already leads to tenant \"a\""},
        {LIST("{name: a, hosts: [\"x:5000\"], " PAY), GOOD, GOOD, "/g/g.yaml", 2, "without a port"},
        {LIST("{name: a, prefix: x.y, " PAY), GOOD, GOOD, "/g/g.yaml", 2, "no dot"},
        {LIST("{name: a, prefix: X, " PAY), GOOD, GOOD, "/g/g.yaml", 2, "lower-case"},
        {LIST("{name: a, " PAY), GOOD, GOOD, "/g/g.yaml", 2, "hosts"},
        {LIST("{name: a, prefix: x, hosts: [h], " PAY), GOOD, GOOD, "/g/g.yaml", 2, "hosts"},
        {LIST("{name: a, prefix: x}"), GOOD, GOOD, "/g/g.yaml", 2, "\"config\" is missing"},
        {"upstreams: {hub: {url: https://ghcr.io}}\ndefault_upstream: hub\n"
         "tenants: [{name: a, prefix: hub, " PAY "]\n",
         GOOD, GOOD, "/g/g.yaml", 3, "name of an upstream"},
        {"tenants: []\n", GOOD, GOOD, "/g/g.yaml", 1, "empty list"},
    };

    (void)state;
    for (size_t i = 0; i < GH_COUNT(faults); i++) {
        const struct fault *fault = &faults[i];
        struct config_problems problems;
        struct config *config = load(fault->main, fault->pay, fault->labs, &problems);
        bool is_found = false;

        for (size_t k = 0; k < problems.count; k++) {
            is_found = is_found || (problems.items[k].severity == CONFIG_ERROR &&
                                    problems.items[k].line == fault->line &&
                                    strcmp(problems.items[k].file, fault->file) == 0 &&
                                    strstr(problems.items[k].message, fault->part) != NULL);
        }
        if (config != NULL || !is_found) {
            memory_print(&problems);
            fail_msg("row %zu: expected %s:%u: %s", i, fault->file, fault->line, fault->part);
        }
        config_problems_done(&problems);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(config_tenant_files_are_loaded_apart),
        cmocka_unit_test(config_tenant_alone_needs_no_main_upstreams),
        cmocka_unit_test(config_fingerprint_covers_every_tenant),
        cmocka_unit_test(config_tenant_fault_is_named_with_its_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
