#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/import_case.h"

static const struct import_pair settings[] = {{"root:public", "trusted_root.json"},
                                              {"root:custom", "trusted_root.json"}};
static const struct import_case given = {settings, GH_COUNT(settings), IMPORT_UNVERIFIED_WARN};

static void import_connaisseur_sample_written(void **state)
{
    struct import_result result;
    const char *config;
    char path[2048];
    char *document;

    (void)state;
    (void)snprintf(path, sizeof(path), "%s/data/import/connaisseur.yaml", getenv("GH_TEST_DATA"));
    document = import_case_file(path);
    assert_non_null(document);
    import_case_run(IMPORT_CONNAISSEUR, &given, "values.yaml", bytes_of(document), &result);
    import_case_print(&result);
    assert_int_equal(result.refused_count, 0);
    config = text_cstr(&result.config);
    assert_non_null(strstr(config, "images: [\"registry.acme.example/**\"]\n    except: "
                                   "[\"registry.acme.example/prod/**\", "
                                   "\"registry.acme.example/prod/broken*\""));
    assert_non_null(strstr(config, "require: [{signature: \"acme-default\"}]"));
    assert_non_null(strstr(config, "require: [{signature: \"acme-ci\"}, {at_least: 1, of: "
                                   "[{signature: \"acme-default-2\"}, {signature: "
                                   "\"acme-ci\"}]}]"));
    assert_non_null(strstr(config, "images: [\"docker.io/library/**\"]\n    except: "));
    assert_null(strstr(config, "-deny\""));
    assert_true(import_case_checks(&result));
    import_result_done(&result);
    free(document);
}

struct refusal {
    const char *validator;
    const char *rule;
    const char *expected; /* part of the reason; "" when it is imported */
};

static void import_connaisseur_each_fault_refused(void **state)
{
    static const struct refusal rows[] = {
        {"name: a, type: cosign, trustRoots: [{name: default, keyless: {issuer: a, subject: b}}]",
         "{pattern: r.test/a, validator: a}", ""},
        {"name: a, type: cosign, trustRoots: [{name: default, keyless: {issuer: a, subject: b}}]",
         "{pattern: \"r.test/a:v1\", validator: a}", "about some tags"},
        {"name: a, type: cosign, trustRoots: [{name: default, keyless: {issuer: a, subject: b}}]",
         "{pattern: r.test/a, validator: b}", "no validator"},
        {"name: a, type: cosign, trustRoots: [{name: b, keyless: {issuer: a, subject: b}}]",
         "{pattern: r.test/a, validator: a}", "no trust root"},
        {"name: a, type: cosign, trustRoots: [{name: default, keyless: {issuer: a, subject: b}}]",
         "{pattern: r.test/a, validator: a}, {pattern: r.test/a, validator: a}",
         "equally specific"},
        {"name: a, type: notaryv1, host: b", "{pattern: r.test/a, validator: a}",
         "found \"notaryv1\""},
        {"name: a, type: static, approve: true, auth: {useKeychain: true}",
         "{pattern: r.test/a, validator: a}", "credentials belong"},
        {"name: a, type: static", "{pattern: r.test/a, validator: a}", "approve is missing"},
        {"name: a, type: cosign, trustRoots: [{name: default, key: x}]",
         "{pattern: r.test/a, validator: a}", "public key"},
        {"name: a, type: cosign, trustRoots: [{name: default, cert: x}]",
         "{pattern: r.test/a, validator: a}", "for type notation"},
        {"name: a, type: cosign, trustRoots: [{name: default, keyless: {issuer: a, subject: b}}]",
         "{pattern: r.test/a, validator: a, with: {delegations: [b]}}", "Docker Content Trust"},
        {"name: a, type: cosign, trustRoots: [{name: default, keyless: {issuer: a, subject: b}}]",
         "{pattern: r.test/a, validator: a, with: {trustRoot: \"*\", threshold: 2}}",
         "expected 1 to 1"},
    };

    (void)state;
    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        struct import_result result;
        char document[1000];

        (void)snprintf(document, sizeof(document), "validators: [{%s}]\npolicy: [%s]\n",
                       rows[i].validator, rows[i].rule);
        import_case_run(IMPORT_CONNAISSEUR, &given, "values.yaml", bytes_of(document), &result);
        if (strstr(import_case_first_refusal(&result), rows[i].expected) == NULL ||
            (result.refused_count > 0) != (rows[i].expected[0] != '\0')) {
            print_message("# %s %s\n", rows[i].validator, rows[i].rule);
            import_case_print(&result);
        }
        assert_int_equal(result.refused_count > 0, rows[i].expected[0] != '\0');
        assert_non_null(strstr(import_case_first_refusal(&result), rows[i].expected));
        import_result_done(&result);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(import_connaisseur_sample_written),
        cmocka_unit_test(import_connaisseur_each_fault_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
