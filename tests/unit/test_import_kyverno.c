#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/import_case.h"

static const struct import_pair settings[] = {
    {"root:custom", "trusted_root.json"},
    {"root:public", "trusted_root.json"},
    {"secret:test-verify-images/testsecret", "secret.pub"},
    {"observe", "observed.pub"}};
static const struct import_case given = {settings, GH_COUNT(settings), IMPORT_UNVERIFIED_AUDIT};

static void import_kyverno_sample_written(void **state)
{
    struct import_result result;
    char path[2048];
    char *document;

    (void)state;
    (void)snprintf(path, sizeof(path), "%s/data/import/kyverno.yaml", getenv("GH_TEST_DATA"));
    document = import_case_file(path);
    assert_non_null(document);
    import_case_run(IMPORT_KYVERNO, &given, "kyverno.yaml", bytes_of(document), &result);
    import_case_print(&result);
    assert_int_equal(result.refused_count, 0);
    assert_int_equal(result.file_count, 1);
    assert_non_null(
        strstr(text_cstr(&result.config),
               "  - name: \"check-images-release\"\n"
               "    images: [\"ghcr.io/acme/**\"]\n"
               "    except: [\"ghcr.io/acme/sandbox*\", \"ghcr.io/acme/sandbox*/**\"]\n"
               "    mode: deny\n"
               "    require_digest: true\n"
               "    require: [{any: [{signature: \"check-images-release\"}, {signature: "
               "\"check-images-release-2\"}]}, {attestation: \"https://slsa.dev/provenance/v1\", "
               "signer: \"check-images-release-3\", every: true, where: [{path: "
               "\"/buildDefinition/buildType\", equals: \"https://acme.example/build\"}, {path: "
               "\"/runDetails/level\", min: 2}]}]\n"));
    assert_non_null(strstr(text_cstr(&result.config),
                           "subject_regex: "
                           "\"https://github\\\\.com/acme/.*/release\\\\.yml@refs/tags/.*\", "
                           "claims: {github_workflow_ref: \"refs/tags/**\"}, tlog: required"));
    assert_true(import_case_checks(&result));
    import_result_done(&result);
    free(document);
}

struct refusal {
    const char *item;
    const char *expected; /* part of the reason; "" when it is imported */
};

#define KEYLESS "keyless: {issuer: a, subject: b}"

static void import_kyverno_each_fault_refused(void **state)
{
    static const struct refusal rows[] = {
        {"imageReferences: [\"r.test/*\"], attestors: [{entries: [{" KEYLESS "}]}]", ""},
        {"imageReferences: [\"r.test/*\"], attestors: [{entries: [{attestor: {entries: [{" KEYLESS
         "}]}}]}]",
         ""},
        {"imageReferences: [\"r.test/*\"], attestor: []", "unknown field \"attestor\""},
        {"imageReferences: [\"r.test/a?\"], attestors: [{entries: [{" KEYLESS "}]}]",
         "with * alone"},
        {"imageReferences: [\"{{ a }}\"], attestors: [{entries: [{" KEYLESS "}]}]", "variable"},
        {"imageReferences: [\"r.test/*\"], attestors: [{count: 2, entries: [{" KEYLESS "}]}]",
         "found 2, expected 1 to 1"},
        {"imageReferences: [\"r.test/*\"], attestors: [{count: 0, entries: [{" KEYLESS "}]}]",
         "found 0, expected 1 to 1"},
        {"imageReferences: [\"r.test/*\"], attestors: [{entries: [{" KEYLESS ", keys: {}}]}]",
         "exactly one of keys"},
        {"imageReferences: [\"r.test/*\"], attestors: [{entries: [{keyless: {subject: b}}]}]",
         "exactly one of issuer"},
        {"imageReferences: [\"r.test/*\"], attestors: [{entries: [{certificates: {cert: a}}]}]",
         "a certificate's key"},
        {"imageReferences: [\"r.test/*\"], attestors: [{entries: [{keys: {secret: {name: a, "
         "namespace: b}}}]}]",
         "--set secret:b/a=FILE"},
        {"imageReferences: [\"r.test/*\"], attestations: [{type: \"a:b\"}]", "of anybody"},
        {"imageReferences: [\"r.test/*\"], attestations: [{type: \"a:b\", attestors: [{entries: "
         "[{" KEYLESS "}]}], conditions: [{all: [{key: \"{{ length(a) }}\", operator: Equals, "
         "value: 1}]}]}]",
         "a plain path"},
        {"imageReferences: [\"r.test/*\"], issuer: a, subject: b", ""},
        {"imageReferences: [\"r.test/*\"], issuer: a, subject: b, attestations: []",
         "old fields key"},
        {"imageReferences: [\"r.test/*\"]", "name who signs"},
        {"imageReferences: [\"r.test/*\"], imageRegistryCredentials: {allowInsecureRegistry: "
         "true}, "
         "attestors: [{entries: [{" KEYLESS "}]}]",
         "http:// url"},
    };

    (void)state;
    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        struct import_result result;
        char document[1200];

        (void)snprintf(document, sizeof(document),
                       "apiVersion: kyverno.io/v1\nkind: ClusterPolicy\nmetadata: {name: a}\n"
                       "spec:\n  rules: [{name: b, verifyImages: [{%s}]}]\n",
                       rows[i].item);
        import_case_run(IMPORT_KYVERNO, &given, "kyverno.yaml", bytes_of(document), &result);
        if (strstr(import_case_first_refusal(&result), rows[i].expected) == NULL ||
            (result.refused_count > 0) != (rows[i].expected[0] != '\0')) {
            print_message("# %s\n", rows[i].item);
            import_case_print(&result);
        }
        assert_int_equal(result.refused_count > 0, rows[i].expected[0] != '\0');
        assert_non_null(strstr(import_case_first_refusal(&result), rows[i].expected));
        import_result_done(&result);
    }
}

struct difference {
    const char *file;   /* end of its path */
    const char *reason; /* part of the refusal */
};

/* What Kyverno takes and the import refuses by name. */
static const struct difference differences[] = {
    {"/configmap-context-lookup/policy.yaml", "variable of the cluster"},
    {"/failure-policy-test-noconfigmap-diffimage-success-deprecated/policy.yaml",
     "variable of the cluster"},
    {"/failure-policy-test-noconfigmap-diffimage-success/policy.yaml", "variable of the cluster"},
    {"/imageExtractors-complex-keyless/policy.yaml", "no admission request"},
    {"/imageExtractors-complex/policy.yaml", "no admission request"},
    {"/imageExtractors-none/policy.yaml", "no admission request"},
    {"/imageExtractors-simple/policy.yaml", "no admission request"},
    {"/keyless-attestations-multiple-subjects-1/policy.yaml", "a plain path"},
    {"/keyless-attestations-multiple-subjects-2/policy.yaml", "is no predicate type"},
    {"/keyless-attestations-multiple-subjects-3/policy.yaml", "is no predicate type"},
    {"/keyless-attestations-multiple-subjects-4/policy.yaml", "of anybody"},
    {"/keyless-attestations-multiple-subjects-counts-1/policy.yaml", "a plain path"},
    {"/keyless-attestations-multiple-subjects-counts-2/policy.yaml", "a plain path"},
    {"/keyless-attestations-multiple-subjects-counts-3/policy.yaml", "a plain path"},
    {"/multiple-image-verification-attestations-fail/policy.yaml", "across attestations"},
    {"/multiple-image-verification-attestations-pass/policy.yaml", "across attestations"},
    {"/multiple-image-verification-attestations-trivy-vex-fail/policy.yaml", "across attestations"},
    {"/multiple-image-verification-attestations-trivy-vex-pass/policy.yaml", "across attestations"},
    {"/mutateDigest-noverifyDigest-norequired/policy.yaml", "name who signs"},
    {"/noconfigmap-diffimage-success/policy.yaml", "variable of the cluster"},
    {"/noconfigmap-diffimage-success/update-policy.yaml", "variable of the cluster"},
    {"/nomutateDigest-verifyDigest-norequired/policy.yaml", "name who signs"},
    {"/notary-attestation-verification/policy.yaml", "as artifacts"},
    {"/notary-image-verification-secret-from-policy/policy.yaml", "credentials belong"},
    {"/notary-image-verification/policy.yaml", "variable of the cluster"},
    {"/skip-image-reference/policy.yaml", "variable of the cluster"},
};

static bool is_known(const char *file, const char *reason)
{
    for (size_t i = 0; i < GH_COUNT(differences); i++) {
        size_t len = strlen(file);
        size_t tail = strlen(differences[i].file);

        if (len >= tail && strcmp(file + len - tail, differences[i].file) == 0) {
            return strstr(reason, differences[i].reason) != NULL;
        }
    }
    return false;
}

static void import_kyverno_suite_agrees_with_index(void **state)
{
    char path[2048];
    char *line = NULL;
    size_t size = 0;
    size_t agreed[2] = {0};
    size_t known = 0;
    size_t wrong = 0;
    FILE *index;

    (void)state;
    import_case_suite(path, sizeof(path), "foreign-policies/kyverno-index.tsv");
    index = fopen(path, "r");
    if (index == NULL) {
        print_message("# the suite foreign-policies is not here\n");
        skip();
    }
    assert_true(getline(&line, &size, index) > 0);
    while (getline(&line, &size, index) > 0) {
        char *rest = line;
        const char *file = strsep(&rest, "\t");
        const char *op = strsep(&rest, "\t");
        const char *kinds = strsep(&rest, "\t");
        const char *expect = strsep(&rest, "\t\n");
        bool is_wanted = strcmp(expect, "accept") == 0;
        char name[600];
        char *document;
        struct import_result result;
        bool is_good;

        (void)op;
        if (strstr(kinds, "Policy") == NULL) {
            continue; /* what is applied to a policy, not a policy */
        }
        (void)snprintf(name, sizeof(name), "foreign-policies/%s", file);
        import_case_suite(path, sizeof(path), name);
        document = import_case_file(path);
        assert_non_null(document);
        import_case_run(IMPORT_KYVERNO, &given, file, bytes_of(document), &result);
        is_good = result.refused_count == 0;
        if (is_good == is_wanted && (!is_good || import_case_checks(&result))) {
            agreed[is_wanted ? 1 : 0]++;
        } else if (!is_good && is_known(file, import_case_first_refusal(&result))) {
            known++;
        } else {
            wrong++;
            print_message("# %s (%s, %s): %s\n", file, kinds, expect,
                          is_good ? "imported" : "refused");
            import_case_print(&result);
        }
        import_result_done(&result);
        free(document);
    }
    free(line);
    fclose(index);
    print_message("# %zu valid imported, %zu invalid refused, %zu known differences\n", agreed[1],
                  agreed[0], known);
    assert_int_equal(wrong, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(import_kyverno_sample_written),
        cmocka_unit_test(import_kyverno_each_fault_refused),
        cmocka_unit_test(import_kyverno_suite_agrees_with_index),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
