#include "policy/predicate.h"

#include "tests/support/predicate_case.h"

static void predicate_aliases_keys_are_all_named(void **state)
{
    static const size_t counts[] = {10, 6, 6, 2, 7};

    assert_int_equal(predicate_alias_count, GH_COUNT(counts));
    for (size_t i = 0; i < predicate_alias_count; i++) {
        const struct predicate_alias *alias = &predicate_aliases[i];

        assert_int_equal(alias->key_count, counts[i]);
        assert_true(alias->key_count <= PREDICATE_MAX_OPTIONS);
        assert_ptr_equal(predicate_alias_find(alias->name), alias);
        assert_non_null(alias->types[0]);
        for (size_t k = 0; k < alias->key_count; k++) {
            assert_non_null(alias->keys[k].name);
            assert_non_null(alias->keys[k].help);
        }
    }
}

static void predicate_name_check_table_agrees(void **state)
{
    static const struct {
        const char *name;
        bool is_good;
    } rows[] = {
        {"spdx", true},        {"slsa-provenance", true}, {"https://acme.example/review/v1", true},
        {"urn:acme:x", true},  {"slsa", false},           {"", false},
        {":x", false},         {"https:", false},         {"a b:c", false},
        {"http://a b", false}, {"SPDX", false},
    };

    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        struct gh_error err = {0};

        assert_int_equal(predicate_name_check(rows[i].name, &err), rows[i].is_good);
        assert_int_equal(err.cause, rows[i].is_good ? GH_CAUSE_NONE : GH_POLICY_DENIED);
    }
}

static void predicate_name_accepts_its_types_alone(void **state)
{
    assert_true(
        predicate_name_accepts("slsa-provenance", bytes_of("https://slsa.dev/provenance/v0.2")));
    assert_true(
        predicate_name_accepts("slsa-provenance", bytes_of("https://slsa.dev/provenance/v1")));
    assert_false(
        predicate_name_accepts("slsa-provenance", bytes_of("https://slsa.dev/provenance/v0.1")));
    assert_false(predicate_name_accepts("spdx", bytes_of("https://spdx.dev/Document/v9")));
    assert_true(predicate_name_accepts("https://x/y", bytes_of("https://x/y")));
    assert_false(predicate_name_accepts("https://x/y", bytes_of("https://x/y/z")));
}

static void predicate_check_new_faults_refused(void **state)
{
    static const struct {
        const char *name;
        const char *options;
        enum gh_cause cause;
    } rows[] = {
        {"slsa-provenance", "", GH_CAUSE_NONE},
        {"slsa-provenance", "bilder=x", GH_POLICY_DENIED},
        {"slsa-provenance", "builder=x;builder=y", GH_POLICY_DENIED},
        {"slsa-provenance", "builder{a=b", GH_POLICY_DENIED},
        {"slsa-provenance", "builder=", GH_POLICY_DENIED},
        {"slsa-provenance", "level=3", GH_CAUSE_NONE},
        {"slsa-provenance", "level=0", GH_POLICY_DENIED},
        {"slsa-provenance", "level=4", GH_POLICY_DENIED},
        {"slsa-provenance", "level=two", GH_POLICY_DENIED},
        {"slsa-provenance", "level= 2", GH_POLICY_DENIED},
        {"slsa-provenance", "level=1,2", GH_POLICY_DENIED},
        {"slsa-provenance", "builder_levels=3", GH_POLICY_DENIED},
        {"slsa-provenance", "builder_levels{x=9", GH_POLICY_DENIED},
        {"slsa-provenance", "max_severity=low", GH_POLICY_DENIED},
        {"spdx", "min_components=0", GH_POLICY_DENIED},
        {"openvex", "under_investigation=maybe", GH_POLICY_DENIED},
        {"vulnerability-scan", "max_severity=High", GH_POLICY_DENIED},
        {"vulnerability-scan", "max_severity=high", GH_CAUSE_NONE},
        {"vulnerability-scan", "max_count{hi=1", GH_POLICY_DENIED},
        {"vulnerability-scan", "max_count=-1", GH_POLICY_DENIED},
        {"vulnerability-scan", "max_age=7", GH_POLICY_DENIED},
        {"vulnerability-scan", "max_age=0d", GH_POLICY_DENIED},
        {"vulnerability-scan", "max_age=7d", GH_CAUSE_NONE},
        {"https://acme.example/x", "builder=x", GH_POLICY_DENIED},
        {"https://acme.example/x", "", GH_CAUSE_NONE},
    };

    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        struct predicate_check *check = NULL;

        assert_int_equal(case_compile(rows[i].name, rows[i].options, &check), rows[i].cause);
        predicate_check_free(check);
    }
}

static void predicate_evaluate_type_of_another_alias_refused(void **state)
{
    struct predicate_input input = {.type = bytes_of("https://spdx.dev/Document")};

    assert_int_equal(case_judge("cyclonedx", "", "{}", input, NULL), GH_PREDICATE_TYPE_MISMATCH);
}

/* ---- age ---- */

static enum gh_cause judge_age(const char *type, const char *text, int64_t proved, int64_t max_age,
                               int64_t *until)
{
    struct predicate_input input = {.type = bytes_of(type),
                                    .has_proved_time = proved != 0,
                                    .proved_unix_s = proved,
                                    .max_age_s = max_age};

    return case_judge("https://acme.example/any", "", text, input, until);
}

static void predicate_evaluate_age_from_older_time(void **state)
{
    const char *custom = "https://cosign.sigstore.dev/attestation/v1";
    const char *day_old = "{'Timestamp':'2025-12-31T00:00:00Z'}";
    int64_t until = 0;

    assert_int_equal(judge_age(custom, day_old, 0, 2 * 86400, &until), GH_CAUSE_NONE);
    assert_int_equal(until, CASE_NOW + 86400);
    assert_int_equal(judge_age(custom, day_old, 0, 86400, &until), GH_CAUSE_NONE);
    assert_int_equal(judge_age(custom, day_old, 0, 86399, &until), GH_ATTESTATION_STALE);
    assert_int_equal(judge_age(custom, day_old, CASE_NOW - 60, 86399, &until),
                     GH_ATTESTATION_STALE);
    assert_int_equal(judge_age(custom, day_old, CASE_NOW - 3 * 86400, 2 * 86400, &until),
                     GH_ATTESTATION_STALE);
    assert_int_equal(judge_age(custom, "{}", CASE_NOW - 60, 60, &until), GH_CAUSE_NONE);
    assert_int_equal(judge_age(custom, "{}", 0, 60, &until), GH_ATTESTATION_STALE);
    assert_int_equal(judge_age(custom, "{'Timestamp':'soon'}", 0, 60, &until),
                     GH_ATTESTATION_STALE);
    /* the future is no time */
    assert_int_equal(judge_age(custom, "{'Timestamp':'2027-01-01T00:00:00Z'}", 0, 60, &until),
                     GH_ATTESTATION_STALE);
    assert_int_equal(judge_age(custom, "{}", 0, 0, &until), GH_CAUSE_NONE);
    assert_true(until == INT64_MAX);
}

static void predicate_own_time_per_type_read(void **state)
{
    static const struct {
        const char *type;
        const char *pointer[3];
        bool is_read;
    } rows[] = {
        {"https://slsa.dev/provenance/v1", {"runDetails", "metadata", "finishedOn"}, true},
        {"https://slsa.dev/provenance/v0.2", {"metadata", "buildFinishedOn"}, true},
        {"https://spdx.dev/Document", {"creationInfo", "created"}, true},
        {"https://cyclonedx.org/bom", {"metadata", "timestamp"}, true},
        {"https://openvex.dev/ns", {"timestamp"}, true},
        {"https://in-toto.io/attestation/vulns", {"metadata", "scanFinishedOn"}, true},
        {"https://acme.example/x", {"Timestamp"}, false},
        {"https://slsa.dev/provenance/v1", {"metadata", "finishedOn"}, false},
    };

    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        json_t *doc = json_string("2026-01-01T01:00:00+01:00");
        int64_t time = 0;

        for (int p = 2; p >= 0; p--) {
            if (rows[i].pointer[p] != NULL) {
                doc = json_pack("{s:o}", rows[i].pointer[p], doc);
            }
        }
        assert_int_equal(predicate_own_time(bytes_of(rows[i].type), doc, &time), rows[i].is_read);
        assert_int_equal(time, rows[i].is_read ? CASE_NOW : 0);
        json_decref(doc);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(predicate_aliases_keys_are_all_named),
        cmocka_unit_test(predicate_name_check_table_agrees),
        cmocka_unit_test(predicate_name_accepts_its_types_alone),
        cmocka_unit_test(predicate_check_new_faults_refused),
        cmocka_unit_test(predicate_evaluate_type_of_another_alias_refused),
        cmocka_unit_test(predicate_evaluate_age_from_older_time),
        cmocka_unit_test(predicate_own_time_per_type_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
