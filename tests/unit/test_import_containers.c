#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "tests/support/import_case.h"

static const struct import_pair settings[] = {{"root:custom", "trusted_root.json"},
                                              {"lookaside", "https://sigs.acme.example"}};
static const struct import_case given = {settings, GH_COUNT(settings), IMPORT_UNVERIFIED_AUDIT};

static void import_containers_sample_written(void **state)
{
    struct import_result result;
    char path[2048];
    char *document;

    (void)state;
    (void)snprintf(path, sizeof(path), "%s/data/import/containers-policy.json",
                   getenv("GH_TEST_DATA"));
    document = import_case_file(path);
    assert_non_null(document);
    import_case_run(IMPORT_CONTAINERS_POLICY, &given, "policy.json", bytes_of(document), &result);
    import_case_print(&result);
    assert_int_equal(result.refused_count, 0);
    assert_non_null(strstr(text_cstr(&result.config),
                           "    images: [\"registry.acme.example/**\"]\n"
                           "    except: [\"registry.acme.example/prod\", "
                           "\"registry.acme.example/prod/**\", "
                           "\"registry.acme.example/prod/closed\", "
                           "\"registry.acme.example/prod/closed/**\"]\n"));
    assert_non_null(strstr(text_cstr(&result.config),
                           "    require: [{any: [{signature: \"openpgp\"}, {signature: "
                           "\"openpgp-2\"}]}]\n"));
    assert_non_null(strstr(text_cstr(&result.config),
                           "    except: [\"registry.acme.example/prod/closed\", "
                           "\"registry.acme.example/prod/closed/**\"]\n"));
    assert_non_null(strstr(text_cstr(&result.config),
                           "{keys: [{file: \"/keys/vendor.pub\"}], tlog: required, root: "
                           "\"custom\", match_reference: exact}"));
    assert_non_null(strstr(text_cstr(&result.config), "images: [\"docker.io/library/**\"]"));
    assert_null(strstr(text_cstr(&result.config), "images: [\"**\"]")); /* the default rejects */
    assert_true(import_case_checks(&result));
    import_result_done(&result);
    free(document);
}

struct refusal {
    const char *requirement;
    const char *expected; /* part of the reason */
};

static void import_containers_each_fault_refused(void **state)
{
    static const struct refusal rows[] = {
        {"{\"type\":\"signedBy\",\"keyType\":\"GPGKeys\"}", "no key material"},
        {"{\"type\":\"signedBy\",\"keyType\":\"GPGKeys\",\"keyPath\":\"a\",\"keyData\":\"YQ==\"}",
         "exclude each other"},
        {"{\"type\":\"signedBy\",\"keyType\":\"GPGKeys\",\"keyPaths\":[]}", "a list of 1 or more"},
        {"{\"type\":\"signedBy\",\"keyType\":\"X509Certificates\",\"keyPath\":\"a\"}",
         "found \"X509Certificates\""},
        {"{\"type\":\"signedBy\",\"keyType\":\"signedByGPGKeys\",\"keyPath\":\"a\"}",
         "found \"signedByGPGKeys\""},
        {"{\"type\":\"signedBy\",\"keyType\":\"signedByX509CAs\",\"keyPath\":\"a\"}",
         "found \"signedByX509CAs\""},
        {"{\"type\":\"signedBy\",\"keyPath\":\"a\"}", "missing or empty"},
        {"{\"type\":\"signedBaseLayer\"}", "found \"signedBaseLayer\""},
        {"{\"type\":\"reject\",\"unknown\":1}", "unknown field"},
        {"{\"type\":\"sigstoreSigned\"}", "no key material"},
        {"{\"type\":\"sigstoreSigned\",\"keyData\":\"bm9uc2Vuc2U=\"}", "public key"},
        {"{\"type\":\"sigstoreSigned\",\"keyData\":\"%%%\"}", "base64"},
        {"{\"type\":\"sigstoreSigned\",\"pki\":{\"caRootsPath\":\"a\"}}", "own authority"},
        {"{\"type\":\"sigstoreSigned\",\"fulcio\":{\"caPath\":\"a\",\"oidcIssuer\":\"i\","
         "\"subjectEmail\":\"s\"}}",
         "needs a Rekor public key"},
        {"{\"type\":\"sigstoreSigned\",\"keyPath\":\"a\",\"signedIdentity\":{\"type\":"
         "\"exactReference\",\"dockerReference\":\"b/c:d\"}}",
         "another name"},
        {"{\"type\":\"signedBy\",\"keyType\":\"GPGKeys\",\"keyPath\":\"a\",\"signedIdentity\":"
         "{\"type\":\"matchExact\",\"prefix\":\"b\"}}",
         "do not belong to this type"},
        {"{\"type\":\"signedBy\",\"keyType\":\"GPGKeys\",\"keyPath\":\"a\",\"signedIdentity\":"
         "{\"type\":\"remapIdentity\",\"prefix\":\"b\"}}",
         "missing or empty"},
    };

    (void)state;
    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        struct import_result result;
        char document[1000];

        (void)snprintf(document, sizeof(document),
                       "{\"default\":[{\"type\":\"reject\"}],\"transports\":{\"docker\":"
                       "{\"r.test/a\":[%s]}}}",
                       rows[i].requirement);
        import_case_run(IMPORT_CONTAINERS_POLICY, &given, "policy.json", bytes_of(document),
                        &result);
        if (strstr(import_case_first_refusal(&result), rows[i].expected) == NULL) {
            print_message("# %s\n", rows[i].requirement);
            import_case_print(&result);
        }
        assert_true(result.refused_count > 0);
        assert_non_null(strstr(import_case_first_refusal(&result), rows[i].expected));
        import_result_done(&result);
    }
}

static void import_containers_scopes_of_tags_and_transports_refused(void **state)
{
    static const char *const documents[] = {
        "{\"default\":[{\"type\":\"reject\"}],\"transports\":{\"docker\":{\"r.test/a:1\":"
        "[{\"type\":\"reject\"}]}}}",
        "{\"default\":[{\"type\":\"reject\"}],\"transports\":{\"docker\":{\"r.test/*\":"
        "[{\"type\":\"reject\"}]}}}",
        "{\"default\":[{\"type\":\"reject\"}],\"transports\":{\"oci\":{\"\":[{\"type\":"
        "\"signedBy\",\"keyType\":\"GPGKeys\",\"keyPath\":\"a\"}]}}}",
        "{\"default\":[]}",
        "{\"transports\":{}}",
        "{\"default\":[{\"type\":\"reject\"}],\"Transports\":{}}",
    };

    (void)state;
    for (size_t i = 0; i < GH_COUNT(documents); i++) {
        struct import_result result;

        import_case_run(IMPORT_CONTAINERS_POLICY, &given, "policy.json", bytes_of(documents[i]),
                        &result);
        assert_true(result.refused_count > 0);
        import_result_done(&result);
    }
}

static void import_containers_open_default_needs_choice(void **state)
{
    static const char document[] = "{\"default\":[{\"type\":\"insecureAcceptAnything\"}]}";
    struct import_case choice = given;
    struct import_result result;

    (void)state;
    choice.unverified = IMPORT_UNVERIFIED_REFUSED;
    import_case_run(IMPORT_CONTAINERS_POLICY, &choice, "policy.json", bytes_of(document), &result);
    assert_non_null(strstr(import_case_first_refusal(&result), "without verification"));
    import_result_done(&result);
    choice.unverified = IMPORT_UNVERIFIED_WARN;
    import_case_run(IMPORT_CONTAINERS_POLICY, &choice, "policy.json", bytes_of(document), &result);
    assert_non_null(strstr(import_case_first_refusal(&result), "no signer is known"));
    import_result_done(&result);
}

/* Scopes of the reference's fixture that it parses, and that are refused here by name: kinds of
 * keys that it has never implemented, base layers, and names no registry has. */
static void import_containers_fixture_scope_by_scope(void **state)
{
    static const char *const refused[] = {"example.com/hardened",
                                          "example.com/hardened-x509",
                                          "registry.access.redhat.com",
                                          "*.access.redhat.com",
                                          "*.redhat.com",
                                          "*.com",
                                          "bogus/key-data-example",
                                          "bogus/signed-identity-example",
                                          "example.com/sigstore/key-data-example"};
    char path[2048];
    json_t *fixture;
    json_t *scopes;
    json_t *value;
    const char *scope;
    size_t taken = 0;
    size_t named = 0;

    (void)state;
    import_case_suite(path, sizeof(path), "simple-signing/fixtures/policy.json");
    fixture = json_load_file(path, 0, NULL);
    if (fixture == NULL) {
        print_message("# the suite simple-signing is not here\n");
        skip();
    }
    scopes = json_object_get(json_object_get(fixture, "transports"), "docker");
    json_object_foreach (scopes, scope, value) {
        json_t *one = json_pack("{s:O,s:{s:{s:O}}}", "default", json_object_get(fixture, "default"),
                                "transports", "docker", scope, value);
        char *document = json_dumps(one, 0);
        bool is_refused = false;
        struct import_case observing = given;
        const struct import_pair pairs[] = {{"observe", "observed.pub"}};
        struct import_result result;

        observing.settings = pairs;
        observing.setting_count = 1;
        for (size_t i = 0; i < GH_COUNT(refused); i++) {
            is_refused = is_refused || strcmp(refused[i], scope) == 0;
        }
        import_case_run(IMPORT_CONTAINERS_POLICY, &observing, scope, bytes_of(document), &result);
        if ((result.refused_count > 0) != is_refused) {
            print_message("# %s\n", scope);
            import_case_print(&result);
        }
        assert_int_equal(result.refused_count > 0, is_refused);
        assert_true(is_refused || import_case_checks(&result));
        named += is_refused ? 1 : 0;
        taken += is_refused ? 0 : 1;
        import_result_done(&result);
        free(document);
        json_decref(one);
    }
    print_message("# %zu scopes imported, %zu refused by name\n", taken, named);
    assert_int_equal(named, GH_COUNT(refused));
    json_decref(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(import_containers_sample_written),
        cmocka_unit_test(import_containers_each_fault_refused),
        cmocka_unit_test(import_containers_scopes_of_tags_and_transports_refused),
        cmocka_unit_test(import_containers_open_default_needs_choice),
        cmocka_unit_test(import_containers_fixture_scope_by_scope),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
