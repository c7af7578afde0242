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
    {"root:my-sigstore-keys", "trusted_root.json"},
    {"root:public", "trusted_root.json"},
    {"root:my-remote", "trusted_root.json"},
    {"root:my-repository-serialized", "trusted_root.json"},
    {"secret:secret-name", "secret.pub"},
    {"secret:cosign-system/secret-name", "secret.pub"},
    {"secret:cip-secret", "secret.pub"},
    {"observe", "observed.pub"}};
static const struct import_case given = {settings, GH_COUNT(settings), IMPORT_UNVERIFIED_AUDIT};

static void import_cip_sample_written(void **state)
{
    struct import_result result;
    char path[2048];
    char *document;

    (void)state;
    (void)snprintf(path, sizeof(path), "%s/data/import/cluster-image-policy.yaml",
                   getenv("GH_TEST_DATA"));
    document = import_case_file(path);
    assert_non_null(document);
    import_case_run(IMPORT_CLUSTER_IMAGE_POLICY, &given, "cip.yaml", bytes_of(document), &result);
    import_case_print(&result);
    assert_int_equal(result.refused_count, 0);
    assert_int_equal(result.file_count, 1);
    assert_non_null(strstr(text_cstr(&result.config),
                           "images: [\"registry.acme.example/prod/**\", \"ghcr.io/acme*\", "
                           "\"ghcr.io/acme*/**\"]\n"
                           "    except: [\"registry.acme.example/prod/closed*\"]\n"));
    assert_non_null(strstr(text_cstr(&result.config),
                           "    require: [{any: [{signature: \"prod-release\"}, {any: "
                           "[{attestation: \"https://spdx.dev/Document\", signer: \"prod-ci\"}, "
                           "{attestation: \"https://spdx.dev/Document\", signer: "
                           "\"prod-ci-2\"}]}]}]\n"));
    assert_non_null(
        strstr(text_cstr(&result.config), "subject_regex: \"(?s:.*)(?:release@acme)(?s:.*)\""));
    assert_non_null(
        strstr(text_cstr(&result.config), "subject_regex: \"^https://github.com/acme/.*$\""));
    assert_null(strstr(text_cstr(&result.config), "name: \"closed\""));
    assert_true(import_case_checks(&result));
    import_result_done(&result);
    free(document);
}

struct refusal {
    const char *images;
    const char *authority;
    const char *expected; /* part of the reason; "" when it is imported */
};

static void import_cip_each_fault_refused(void **state)
{
    static const struct refusal rows[] = {
        {"glob: r.test/a**", "static: {action: pass}", ""},
        {"glob: r.test/a, regex: b", "static: {action: pass}", "unknown field \"regex\""},
        {"glob: \"r.test/a:v1\"", "static: {action: pass}", "tags"},
        {"glob: \"r.test/[a]\"", "static: {action: pass}", "is no glob"},
        {"glob: r.test/a**", "static: {action: maybe}", "found \"maybe\""},
        {"glob: r.test/a**", "static: {action: pass}, ctlog: {url: a}", "static excludes ctlog"},
        {"glob: r.test/a**", "key: {data: x}, keyless: {}", "exactly one of key"},
        {"glob: r.test/a**", "key: {data: x}", "public key"},
        {"glob: r.test/a**", "key: {secretRef: {name: other}}", "--set secret:other=FILE"},
        {"glob: r.test/a**", "key: {kms: \"awskms:///alias/a\"}", "awskms://[HOST]/ARN"},
        {"glob: r.test/a**", "key: {kms: \"gcpkms://a\"}", ""},
        {"glob: r.test/a**", "attestors: []", "unknown field \"attestors\""},
        {"glob: r.test/a**", "keyless: {identities: [{issuer: a, issuerRegExp: b, subject: c}]}",
         "exactly one of issuer"},
        {"glob: r.test/a**", "keyless: {identities: [{issuer: a, subject: \"b*\"}]}",
         "a * would be a pattern"},
        {"glob: r.test/a**", "keyless: {identities: [{issuer: a, subjectRegExp: \"(?U)b\"}]}",
         "something else here"},
        {"glob: r.test/a**", "keyless: {identities: [{issuer: a, subjectRegExp: \"b)|(c\"}]}",
         "not a regular expression"},
        {"glob: r.test/a**",
         "keyless: {identities: [{issuer: a, subject: b}], trustRootRef: unknown}",
         "--set root:unknown=FILE"},
        {"glob: r.test/a**",
         "keyless: {identities: [{issuer: a, subject: b}]}, "
         "attestations: [{name: a, predicateType: vuln, policy: {type: cue, "
         "data: \"\"}}]",
         "no CUE or Rego"},
        {"glob: r.test/a**",
         "keyless: {identities: [{issuer: a, subject: b}]}, "
         "source: [{oci: r.test/s, tagPrefix: p}]",
         "usual tags"},
    };

    (void)state;
    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        struct import_result result;
        char document[1000];

        (void)snprintf(document, sizeof(document),
                       "apiVersion: policy.sigstore.dev/v1beta1\nkind: ClusterImagePolicy\n"
                       "metadata: {name: a}\nspec:\n  images: [{%s}]\n  authorities: [{%s}]\n",
                       rows[i].images, rows[i].authority);
        import_case_run(IMPORT_CLUSTER_IMAGE_POLICY, &given, "cip.yaml", bytes_of(document),
                        &result);
        if (strstr(import_case_first_refusal(&result), rows[i].expected) == NULL) {
            print_message("# %s\n", rows[i].authority);
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

/* What policy-controller takes and the import refuses by name. */
static const struct difference differences[] = {
    {"examples/policies/allow-only-pods.yaml", "no CUE or Rego"},
    {"examples/policies/custom-key-attestation-sbom-spdxjson.yaml", "no CUE or Rego"},
    {"examples/policies/keyless-attestation-sbom-spdxjson.yaml", "no CUE or Rego"},
    {"pkg/apis/config/testdata/config-image-policies.yaml", "written by the controller"},
    {"pkg/apis/config/testdata/config-sigstore-keys.yaml", "written by the controller"},
    {"e2e/cip-config-file-policy-fails.yaml", "no CUE or Rego"},
    {"e2e/cip-config-file-policy-from-configmap.yaml", "no CUE or Rego"},
    {"e2e/cip-config-file-policy.yaml", "no CUE or Rego"},
    {"e2e/cip-include-objectmeta-fails.yaml", "no CUE or Rego"},
    {"e2e/cip-include-objectmeta.yaml", "no CUE or Rego"},
    {"e2e/cip-include-spec-fails.yaml", "no CUE or Rego"},
    {"e2e/cip-include-spec.yaml", "no CUE or Rego"},
    {"e2e/cip-include-typemeta.yaml", "no CUE or Rego"},
    {"e2e/cip-key-with-attestations-no-rekor.yaml", "no CUE or Rego"},
    {"e2e/cip-key-with-attestations-rego.yaml", "no CUE or Rego"},
    {"e2e/cip-key-with-attestations.yaml", "no CUE or Rego"},
    {"e2e/cip-keyless-with-attestations-rego.yaml", "no CUE or Rego"},
    {"e2e/cip-keyless-with-attestations.yaml", "no CUE or Rego"},
    {"e2e/cip-keyless-with-source-prefix-tag.yaml", "usual tags"},
    {"e2e/cip-keyless-with-trustroot-remote-with-attestations.yaml", "no CUE or Rego"},
    {"e2e/cip-keyless-with-trustroot-repository-with-attestations.yaml", "no CUE or Rego"},
    {"e2e/cip-keyless-with-trustroot-with-attestations.yaml", "no CUE or Rego"},
    {"e2e/cip-match-resource-label.yaml", "no labels"},
    {"e2e/cip-policy-from-url.yaml", "no CUE or Rego"},
    {"e2e/cip-requires-two-signatures-and-two-attestations-rego.yaml", "no CUE or Rego"},
    {"e2e/cip-requires-two-signatures-and-two-attestations.yaml", "no CUE or Rego"},
    {"e2e/test-deployment.yaml", "no ClusterImagePolicy"},
    {"empty-authorities/authorities-present.yaml", "a list of 1 or more"},
    {"tester/cip-public-keyless.yaml", "about some tags"},
    {"valid/v1beta1-valid-keylessref-awskms.yaml", "with ca-cert"},
    {"valid/v1beta1-valid-policy-glob.yaml", "with ca-cert"},
    {"valid/v1beta1-valid-policy.yaml", "with ca-cert"},
    {"valid/valid-keyless-with-source.yaml", "credentials belong"},
    {"valid/valid-keylessref-awskms.yaml", "with ca-cert"},
    {"valid/valid-policy-glob.yaml", "with ca-cert"},
    {"valid/valid-policy-hash-algo-sha512.yaml", "about some tags"},
    {"valid/valid-policy-hash-algo.yaml", "with ca-cert"},
    {"valid/valid-policy-keyless-ignore-sct.yaml", "with ca-cert"},
    {"valid/valid-policy-match-resource-label.yaml", "no labels"},
    {"valid/valid-policy-match-resource.yaml", "with ca-cert"},
    {"valid/valid-policy.yaml", "with ca-cert"},
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

static void import_cip_suite_agrees_with_index(void **state)
{
    char path[2048];
    char *line = NULL;
    size_t size = 0;
    size_t agreed[2] = {0};
    size_t known = 0;
    size_t wrong = 0;
    FILE *index;

    (void)state;
    import_case_suite(path, sizeof(path), "foreign-policies/policy-controller-index.tsv");
    index = fopen(path, "r");
    if (index == NULL) {
        print_message("# the suite foreign-policies is not here\n");
        skip();
    }
    assert_true(getline(&line, &size, index) > 0);
    while (getline(&line, &size, index) > 0) {
        char *rest = line;
        const char *file = strsep(&rest, "\t");
        const char *kinds = strsep(&rest, "\t");
        const char *expect = strsep(&rest, "\t\n");
        /* A map of settings that only shows an example refuses nothing. */
        bool is_wanted =
            strncmp(expect, "schema-valid", 12) == 0 || strcmp(expect, "example/config") == 0 ||
            (strncmp(expect, "no authorities", 14) == 0 && strcmp(kinds, "ConfigMap/v1") == 0);
        char name[600];
        char *document;
        struct import_result result;
        bool is_good;

        (void)snprintf(name, sizeof(name), "foreign-policies/%s", file);
        import_case_suite(path, sizeof(path), name);
        document = import_case_file(path);
        assert_non_null(document);
        import_case_run(IMPORT_CLUSTER_IMAGE_POLICY, &given, file, bytes_of(document), &result);
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
        cmocka_unit_test(import_cip_sample_written),
        cmocka_unit_test(import_cip_each_fault_refused),
        cmocka_unit_test(import_cip_suite_agrees_with_index),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
