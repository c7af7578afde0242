#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/import_case.h"

static struct import_pair settings[] = {{"attestor:projects/acme/attestors/build", "build.pub"},
                                        {"attestor:projects/acme/attestors/scan", "scan-1.pub"},
                                        {"attestor:projects/acme/attestors/scan", "scan-2.pub"},
                                        {"occurrences", "file:///srv/occurrences/"},
                                        {"observe", "observed.pub"},
                                        {"cluster", "default"}};
static const struct import_case given = {settings, GH_COUNT(settings), IMPORT_UNVERIFIED_AUDIT};

static void import_binauthz_sample_written(void **state)
{
    struct import_result result;
    const char *config;
    char path[2048];
    char *document;

    (void)state;
    (void)snprintf(path, sizeof(path), "%s/data/import/binauthz.yaml", getenv("GH_TEST_DATA"));
    document = import_case_file(path);
    assert_non_null(document);
    import_case_run(IMPORT_BINAUTHZ, &given, "policy.yaml", bytes_of(document), &result);
    import_case_print(&result);
    assert_int_equal(result.refused_count, 0);
    config = text_cstr(&result.config);
    assert_non_null(strstr(config, "    images: [\"gcr.io/google_containers/*\", "
                                   "\"us-docker.pkg.dev/acme/base/**\"]\n    mode: audit\n"));
    assert_non_null(strstr(config, "    images: [\"**\"]\n    except: "
                                   "[\"gcr.io/google_containers/*\", "
                                   "\"us-docker.pkg.dev/acme/base/**\"]\n    mode: deny\n    "
                                   "require: [{signature: \"build\"}, {signature: \"scan\"}]\n"));
    assert_non_null(strstr(config, "keys: [{file: \"scan-1.pub\"}, {file: \"scan-2.pub\"}]"));
    assert_true(import_case_checks(&result));
    import_result_done(&result);
    free(document);
}

struct refusal {
    const char *document;
    const char *expected; /* part of the reason; "" when it is imported */
};

#define ENFORCED "enforcementMode: ENFORCED_BLOCK_AND_AUDIT_LOG"

static void import_binauthz_each_fault_refused(void **state)
{
    static const struct refusal rows[] = {
        {"defaultAdmissionRule: {evaluationMode: ALWAYS_DENY, " ENFORCED "}", ""},
        {"defaultAdmissionRule: {evaluationMode: ALWAYS_ALLOW, " ENFORCED "}", ""},
        {"defaultAdmissionRule: {evaluationMode: ALWAYS_DENY, enforcementMode: "
         "DRYRUN_AUDIT_LOG_ONLY}",
         ""},
        {"defaultAdmissionRule: {evaluationMode: SOMETIMES, " ENFORCED "}", "found \"SOMETIMES\""},
        {"defaultAdmissionRule: {evaluationMode: ALWAYS_DENY}", "missing or empty"},
        {"defaultAdmissionRule: {evaluationMode: REQUIRE_ATTESTATION, " ENFORCED "}",
         "belongs to REQUIRE_ATTESTATION"},
        {"defaultAdmissionRule: {evaluationMode: REQUIRE_ATTESTATION, " ENFORCED
         ", requireAttestationsBy: [projects/acme/attestors/other]}",
         "--set attestor:projects/acme/attestors/other=KEY"},
        {"defaultAdmissionRule: {evaluationMode: REQUIRE_ATTESTATION, " ENFORCED
         ", requireAttestationsBy: [build]}",
         "expected projects/P/attestors/A"},
        {"name: a", "defaultAdmissionRule is missing"},
        {"globalPolicyEvaluationMode: ENABLE\ndefaultAdmissionRule: {evaluationMode: "
         "ALWAYS_DENY, " ENFORCED "}",
         "not public"},
        {"admissionWhitelistPatterns: [{namePattern: \"gcr.io/*/a\"}]\ndefaultAdmissionRule: "
         "{evaluationMode: ALWAYS_DENY, " ENFORCED "}",
         "at the end"},
        {"admissionWhitelistPatterns: [{namePattern: \"gcr.io/a:v1\"}]\ndefaultAdmissionRule: "
         "{evaluationMode: ALWAYS_DENY, " ENFORCED "}",
         "about some tags"},
        {"kubernetesNamespaceAdmissionRules: {}\ndefaultAdmissionRule: {evaluationMode: "
         "ALWAYS_DENY, " ENFORCED "}",
         "no namespace"},
        {"defaultAdmissionRules: {}", "unknown field"},
    };

    (void)state;
    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        struct import_result result;

        import_case_run(IMPORT_BINAUTHZ, &given, "policy.yaml", bytes_of(rows[i].document),
                        &result);
        if (strstr(import_case_first_refusal(&result), rows[i].expected) == NULL ||
            (result.refused_count > 0) != (rows[i].expected[0] != '\0')) {
            print_message("# %s\n", rows[i].document);
            import_case_print(&result);
        }
        assert_int_equal(result.refused_count > 0, rows[i].expected[0] != '\0');
        assert_non_null(strstr(import_case_first_refusal(&result), rows[i].expected));
        import_result_done(&result);
    }
}

static void import_binauthz_rule_of_chosen_cluster_used(void **state)
{
    static const char document[] =
        "defaultAdmissionRule: {evaluationMode: ALWAYS_DENY, " ENFORCED "}\n"
        "clusterAdmissionRules: {a.b: {evaluationMode: ALWAYS_ALLOW, " ENFORCED "}}\n";
    struct import_case choice = given;
    struct import_result result;

    (void)state;
    choice.setting_count = GH_COUNT(settings) - 1;
    import_case_run(IMPORT_BINAUTHZ, &choice, "policy.yaml", bytes_of(document), &result);
    assert_non_null(strstr(import_case_first_refusal(&result), "--set cluster=LOCATION.NAME"));
    import_result_done(&result);
    settings[GH_COUNT(settings) - 1].value = "a.b";
    import_case_run(IMPORT_BINAUTHZ, &given, "policy.yaml", bytes_of(document), &result);
    settings[GH_COUNT(settings) - 1].value = "default";
    assert_int_equal(result.refused_count, 0);
    assert_non_null(strstr(text_cstr(&result.config), "images: [\"**\"]\n    mode: audit"));
    import_result_done(&result);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(import_binauthz_sample_written),
        cmocka_unit_test(import_binauthz_each_fault_refused),
        cmocka_unit_test(import_binauthz_rule_of_chosen_cluster_used),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
