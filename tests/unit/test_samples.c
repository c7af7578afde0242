#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "metrics/text.h"
#include "policy/config_schema.h"
#include "proxy/config_files.h"
#include "tests/support/memory_loader.h"

#define NOW INT64_C(1795219200) /* 2026-11-21 */

/* Samples come from deploy/, what they name from the tests' data. */
static bool samples_read(void *context, const char *path, size_t limit, struct bytes_buf *out,
                         unsigned *mode, struct gh_error *err)
{
    static const char *const keys[] = {MEMORY_KEY_A, MEMORY_KEY_B, MEMORY_KEY_C};
    const char *name = strrchr(path, '/') == NULL ? path : strrchr(path, '/') + 1;
    const char *dot = strrchr(name, '.');
    const char *data = getenv("GH_TEST_DATA");
    char real[1024];

    (void)context;
    *mode = 0600;
    if (dot != NULL && strcmp(dot, ".pub") == 0) {
        unsigned sum = 0;

        for (const char *c = name; *c != '\0'; c++) {
            sum = sum * 31 + (unsigned char)*c;
        }
        return bytes_dup(bytes_of(keys[sum % 3]), out, err);
    }
    if (strcmp(name, "corp-root.pem") == 0) {
        (void)snprintf(real, sizeof(real), "%s/data/config/notation-root.pem", data);
    } else if (strcmp(name, "corp-tsa.pem") == 0) {
        (void)snprintf(real, sizeof(real), "%s/data/config/tsa-root.pem", data);
    } else if (strcmp(name, "trusted_root.json") == 0) {
        (void)snprintf(real, sizeof(real), "%s/fixtures/logs/trusted_root.json", data);
    } else if (dot != NULL && strcmp(dot, ".yaml") == 0) {
        (void)snprintf(real, sizeof(real), "%s/../deploy/config/%s", data, name);
    } else {
        return bytes_dup(bytes_of("one line\n"), out, err);
    }
    return config_files_read(real, limit, out, mode, err);
}

static void assert_sample_loads(const char *name)
{
    struct config_loader loader = {.read = samples_read};
    struct config_problems problems;
    struct config *config = NULL;
    struct gh_error err = {0};
    bool is_loaded = config_load(&loader, name, NOW, &config, &problems, &err);

    if (!is_loaded) {
        memory_print(&problems);
    }
    assert_true(is_loaded);
    assert_true(config->tenants[0].snapshot.policy_count > 0);
    config_unref(config);
    config_problems_done(&problems);
}

static void sample_small_loads(void **state)
{
    (void)state;
    assert_sample_loads("/etc/gatehouse/small.yaml");
}

static void sample_enterprise_loads(void **state)
{
    (void)state;
    assert_sample_loads("/etc/gatehouse/enterprise.yaml");
}

static void sample_air_gapped_loads(void **state)
{
    (void)state;
    assert_sample_loads("/etc/gatehouse/air-gapped.yaml");
}

static void assert_shipped_equals(const char *path, void (*print)(struct text *out))
{
    struct bytes_buf shipped = {0};
    struct gh_error err = {0};
    unsigned mode = 0;
    char real[1024];
    struct text text;

    (void)snprintf(real, sizeof(real), "%s/../%s", getenv("GH_TEST_DATA"), path);
    assert_true(config_files_read(real, 4u << 20, &shipped, &mode, &err));
    text_init(&text, 4u << 20);
    print(&text);
    assert_true(text_ok(&text));
    if (!bytes_equal(bytes_view(&shipped), bytes_of(text_cstr(&text)))) {
        fail_msg("%s is not what the description gives: write it again with `gatehouse check "
                 "--schema` or `--reference`",
                 path);
    }
    text_done(&text);
    bytes_buf_done(&shipped);
}

static void schema_shipped_is_the_generated_one(void **state)
{
    (void)state;
    assert_shipped_equals("deploy/gatehouse.schema.json", config_print_schema);
}

static void reference_shipped_is_the_generated_one(void **state)
{
    (void)state;
    assert_shipped_equals("docs/configuration.md", config_print_reference);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sample_small_loads),
        cmocka_unit_test(sample_enterprise_loads),
        cmocka_unit_test(sample_air_gapped_loads),
        cmocka_unit_test(schema_shipped_is_the_generated_one),
        cmocka_unit_test(reference_shipped_is_the_generated_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
