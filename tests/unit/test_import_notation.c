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

static const struct import_pair settings[] = {
    {"store:ca:valid-trust-store", "ca/a.pem"},
    {"store:ca:valid-trust-store", "ca/b.pem"},
    {"store:signingAuthority:valid-trust-store", "sa/a.pem"},
    {"store:signingAuthority:x", "sa/x.pem"},
    {"store:tsa:x", "tsa-x.pem"},
    {"store:ca:valid_1.2-x", "ca/v.pem"},
    {"store:ca:.", "ca/dot.pem"},
    {"store:ca:..", "ca/dots.pem"},
};

static const struct import_case given = {settings, GH_COUNT(settings), IMPORT_UNVERIFIED_AUDIT};

#define TWO_STATEMENTS                                                                             \
    "{\"version\":\"1.0\",\n\"trustPolicies\":[{\"name\":\"prod\",\"registryScopes\":"             \
    "[\"r.test/app\"],\"signatureVerification\":{\"level\":\"strict\",\"override\":"               \
    "{\"authenticTimestamp\":\"log\"},\"verifyTimestamp\":\"afterCertExpiry\"},"                   \
    "\"trustStores\":[\"ca:valid-trust-store\",\"tsa:x\"],\"trustedIdentities\":"                  \
    "[\"x509.subject:C=US,ST=WA,O=x\"]},\n{\"name\":\"rest\",\"registryScopes\":[\"%s\"],"         \
    "\"signatureVerification\":{\"level\":\"skip\"}}]}"

static void import_notation_two_statements_written(void **state)
{
    struct import_result result;
    char document[2000];

    (void)state;
    (void)snprintf(document, sizeof(document), TWO_STATEMENTS, "*");
    import_case_run(IMPORT_NOTATION, &given, "trustpolicy.json", bytes_of(document), &result);
    assert_string_equal(import_case_first_refusal(&result), "");
    assert_string_equal(
        text_cstr(&result.config),
        "upstreams:\n"
        "  \"r.test\": {url: \"https://r.test\"}\n"
        "roots:\n"
        "  \"prod\": {ca: [\"ca/a.pem\", \"ca/b.pem\"], tsa: [\"tsa-x.pem\"]}\n"
        "signers:\n"
        "  \"prod\": {notation: {root: \"prod\", identities: [\"x509.subject:C=US,ST=WA,O=x\"], "
        "level: strict, override: {authentic_timestamp: log}, "
        "verify_timestamp: after_cert_expiry}}\n"
        "policies:\n"
        "  - name: \"prod\"\n"
        "    images: [\"r.test/app\"]\n"
        "    mode: deny\n"
        "    require: [{signature: \"prod\"}]\n"
        "  - name: \"rest\"\n"
        "    images: [\"**\"]\n"
        "    except: [\"r.test/app\"]\n"
        "    mode: audit\n"
        "    require: [{signature: \"prod\"}]\n");
    assert_true(import_case_checks(&result));
    import_result_done(&result);
}

static void import_notation_skip_without_choice_refused(void **state)
{
    struct import_result result;
    struct import_case strict = given;
    char document[2000];

    (void)state;
    strict.unverified = IMPORT_UNVERIFIED_REFUSED;
    (void)snprintf(document, sizeof(document), TWO_STATEMENTS, "*");
    import_case_run(IMPORT_NOTATION, &strict, "trustpolicy.json", bytes_of(document), &result);
    assert_int_equal(result.refused_count, 1);
    assert_non_null(strstr(import_case_first_refusal(&result), "without verification"));
    assert_string_equal(text_cstr(&result.config), "");
    assert_int_equal(result.findings[result.finding_count - 1].line, 3);
    assert_string_equal(result.findings[result.finding_count - 1].path, "trustPolicies[1]");
    import_result_done(&result);
}

static void import_notation_skip_as_exception_written(void **state)
{
    struct import_result result;
    struct import_case dated = given;
    char document[2000];

    (void)state;
    dated.unverified = IMPORT_UNVERIFIED_EXCEPTION;
    (void)snprintf(document, sizeof(document), TWO_STATEMENTS, "r.test/lab");
    import_case_run(IMPORT_NOTATION, &dated, "trustpolicy.json", bytes_of(document), &result);
    assert_string_equal(import_case_first_refusal(&result), "");
    assert_int_equal(result.file_count, 1);
    assert_string_equal(result.files[0].name, "exceptions.yaml");
    assert_true(import_case_checks(&result));
    import_result_done(&result);

    (void)snprintf(document, sizeof(document), TWO_STATEMENTS, "*");
    import_case_run(IMPORT_NOTATION, &dated, "trustpolicy.json", bytes_of(document), &result);
    assert_non_null(strstr(import_case_first_refusal(&result), "too wide for an exception"));
    import_result_done(&result);
}

static void import_notation_unknown_and_duplicate_fields_refused(void **state)
{
    struct import_result result;

    (void)state;
    import_case_run(IMPORT_NOTATION, &given, "t.json",
                    bytes_of("{\"version\":\"1.0\",\"trustPolicy\":[],\"trustPolicies\":[]}"),
                    &result);
    assert_non_null(strstr(import_case_first_refusal(&result), "unknown field \"trustPolicy\""));
    import_result_done(&result);
    import_case_run(IMPORT_NOTATION, &given, "t.json",
                    bytes_of("{\"version\":\"1.0\",\n\t\"version\":\"1.0\"}"), &result);
    assert_int_equal(result.refused_count, 1);
    assert_int_equal(result.findings[0].line, 2);
    import_result_done(&result);
}

/* What the reference takes and the import refuses by name: identities that could match nobody, or
 * that two readers would read differently, fields it ignores, skip with nothing to observe, and
 * names that no registry has, and time-stamp authorities alone. */
static bool is_known_difference(const char *name)
{
    static const char *const names[] = {
        "identity='x509.subject:BOGUS=1,C=US,ST=WA,O=x'",
        "identity='other:foo'",
        "identity='x509.subject:C=US,ST=WA,O=\"x\"'",
        "unknown-field",
        "skip-clean",
        "skip-absent-keys",
        "scope='EXAMPLE.com/rep'",
        "scope='domain/rep'",
        "store='tsa:x'",
    };

    for (size_t i = 0; i < GH_COUNT(names); i++) {
        if (strcmp(name, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

static void import_notation_suite_agrees_with_reference(void **state)
{
    char path[2048];
    char *line = NULL;
    size_t size = 0;
    size_t run = 0;
    size_t known = 0;
    size_t wrong = 0;
    FILE *file;

    (void)state;
    import_case_suite(path, sizeof(path), "notation/trustpolicy-cases.jsonl");
    file = fopen(path, "r");
    if (file == NULL) {
        print_message("# the suite notation is not here\n");
        skip();
    }
    while (getline(&line, &size, file) > 0) {
        json_t *row = json_loads(line, 0, NULL);
        char *document = json_dumps(json_object_get(row, "doc"), JSON_ENCODE_ANY);
        const char *name = json_string_value(json_object_get(row, "name"));
        bool is_wanted = strcmp(json_string_value(json_object_get(row, "expect")), "valid") == 0;
        struct import_result result;
        bool is_good;

        import_case_run(IMPORT_NOTATION, &given, name, bytes_of(document), &result);
        is_good = result.refused_count == 0;
        run++;
        if (is_good != is_wanted && !is_good && is_known_difference(name)) {
            known++;
        } else if (is_good != is_wanted || (is_good && !import_case_checks(&result))) {
            wrong++;
            print_message("# %s: %s (%s)\n", name, is_good ? "imported" : "refused",
                          import_case_first_refusal(&result));
        }
        import_result_done(&result);
        free(document);
        json_decref(row);
    }
    free(line);
    fclose(file);
    print_message("# %zu documents, %zu agree, %zu known differences\n", run, run - known - wrong,
                  known);
    assert_int_equal(wrong, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(import_notation_two_statements_written),
        cmocka_unit_test(import_notation_skip_without_choice_refused),
        cmocka_unit_test(import_notation_skip_as_exception_written),
        cmocka_unit_test(import_notation_unknown_and_duplicate_fields_refused),
        cmocka_unit_test(import_notation_suite_agrees_with_reference),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
