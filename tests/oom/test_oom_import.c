/*
 * Imports of other tools' policies while memory runs out: an import gives the whole configuration
 * it gives with memory, or none. A rule that got lost on the way would be a hole.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>
#include <openssl/crypto.h>

#include "tests/support/fail_alloc.h"
#include "tests/support/import_case.h"

#define WARM_UP_RUNS 3

/* The configuration, or NULL where there is none; *err says why the import failed, *refused is set
 * where it was refused. */
static char *run(const struct import_request *request, bool *refused, struct gh_error *err)
{
    struct import_result result = {0};
    char *config = NULL;

    *refused = false;
    if (!import_run(request, &result, err)) {
        return NULL;
    }
    *refused = result.refused_count > 0;
    if (!*refused) {
        config = fail_alloc_never(result.config.len + 1);
        (void)snprintf(config, result.config.len + 1, "%s", text_cstr(&result.config));
    }
    import_result_done(&result);
    return config;
}

static void assert_starved_once(const struct import_request *request, const char *usual, size_t nth)
{
    struct fail_alloc_result memory;
    struct gh_error err = {0};
    bool is_refused;
    char *config;

    fail_alloc_arm(nth);
    config = run(request, &is_refused, &err);
    OPENSSL_thread_stop(); /* the error queue keeps texts for the next error */
    memory = fail_alloc_disarm();
    if (config == NULL && !is_refused && err.cause == GH_CAUSE_NONE) {
        fail_msg("failed without a cause when allocation %zu fails", nth);
    }
    if (config != NULL && strcmp(config, usual) != 0) {
        fail_msg("another configuration when allocation %zu fails:\n%s", nth, config);
    }
    if (memory.balance != (config != NULL ? 1 : 0)) {
        fail_msg("%ld allocations are left when allocation %zu fails", memory.balance, nth);
    }
    free(config);
}

static void assert_starved(enum import_format format, const char *file,
                           const struct import_case *given)
{
    char path[512];
    char *content;
    struct import_document document = {.path = file};
    const struct import_request request = {.format = format,
                                           .documents = &document,
                                           .document_count = 1,
                                           .settings = given->settings,
                                           .setting_count = given->setting_count,
                                           .unverified = given->unverified,
                                           .owner = "jane@acme.example",
                                           .approved_by = "sec@acme.example",
                                           .created = "2026-11-21",
                                           .expires = "2026-12-21",
                                           .can_write_files = true};
    struct fail_alloc_result memory = {0};
    struct gh_error err = {0};
    char *usual = NULL;
    bool is_refused = true;

    (void)snprintf(path, sizeof(path), "%s/data/import/%s", getenv("GH_TEST_DATA"), file);
    content = import_case_file(path);
    assert_non_null(content);
    document.content = bytes_of(content);
    for (int i = 0; i < WARM_UP_RUNS; i++) {
        free(usual);
        fail_alloc_arm(0);
        usual = run(&request, &is_refused, &err);
        OPENSSL_thread_stop();
        memory = fail_alloc_disarm();
    }
    assert_false(is_refused);
    assert_non_null(usual);
    assert_int_equal(memory.balance, 1); /* the text itself */
    print_message("%s: %zu allocations\n", file, memory.allocations);
    for (size_t nth = 1; nth <= memory.allocations; nth++) {
        assert_starved_once(&request, usual, nth);
    }
    free(usual);
    free(content);
}

static const struct import_pair settings[] = {
    {"root:custom", "trusted_root.json"},
    {"root:public", "trusted_root.json"},
    {"root:my-sigstore-keys", "trusted_root.json"},
    {"root:my-remote", "trusted_root.json"},
    {"root:my-repository-serialized", "trusted_root.json"},
    {"secret:secret-name", "secret.pub"},
    {"secret:cosign-system/secret-name", "secret.pub"},
    {"secret:cip-secret", "secret.pub"},
    {"secret:test-verify-images/testsecret", "secret.pub"},
    {"lookaside", "https://sigs.acme.example"},
    {"attestor:projects/acme/attestors/build", "build.pub"},
    {"attestor:projects/acme/attestors/scan", "scan-1.pub"},
    {"attestor:projects/acme/attestors/scan", "scan-2.pub"},
    {"occurrences", "file:///srv/occurrences/"},
    {"observe", "observed.pub"},
    {"cluster", "default"},
};

static const struct import_case given = {.settings = settings,
                                         .setting_count = GH_COUNT(settings),
                                         .unverified = IMPORT_UNVERIFIED_WARN};

static void import_cluster_image_policies_whole_or_none(void **state)
{
    assert_starved(IMPORT_CLUSTER_IMAGE_POLICY, "cluster-image-policy.yaml", &given);
}

static void import_kyverno_policies_whole_or_none(void **state)
{
    assert_starved(IMPORT_KYVERNO, "kyverno.yaml", &given);
}

static void import_connaisseur_policies_whole_or_none(void **state)
{
    assert_starved(IMPORT_CONNAISSEUR, "connaisseur.yaml", &given);
}

static void import_containers_policy_whole_or_none(void **state)
{
    assert_starved(IMPORT_CONTAINERS_POLICY, "containers-policy.json", &given);
}

static void import_binary_authorization_whole_or_none(void **state)
{
    assert_starved(IMPORT_BINAUTHZ, "binauthz.yaml", &given);
}

/* jansson would read past its buffer: sjson_end_without_memory() tells why. */
static int set_up(void **state)
{
    json_set_alloc_funcs(fail_alloc_never, free);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(import_cluster_image_policies_whole_or_none),
        cmocka_unit_test(import_kyverno_policies_whole_or_none),
        cmocka_unit_test(import_connaisseur_policies_whole_or_none),
        cmocka_unit_test(import_containers_policy_whole_or_none),
        cmocka_unit_test(import_binary_authorization_whole_or_none),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
