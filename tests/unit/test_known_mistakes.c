/*
 * What other verifiers got wrong (verification.md section 2.11), as one table: the advisories that
 * concern Sigstore evidence with the cause that refuses them here, and for every number of the
 * section the case that tests it, here or elsewhere, or why it cannot happen.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crypto/bundle.h"
#include "crypto/cosign.h"
#include "tests/support/sigstore_case.h"

#include "metrics/error.h"

static const struct claims_wanted signature_wanted = {.is_attestation = false};

/* What one row does to a case before it is verified. */
struct mistake {
    const char *advisory;
    const char *fixture;
    void (*change)(struct sigstore_case *item, struct case_signer *signer, json_t *doc);
    enum gh_cause cause;
};

static void set_annotation(struct sigstore_case *item, const char *name, const char *value)
{
    for (size_t i = 0; i < item->item.annotation_count; i++) {
        if (strcmp(item->annotations[i].name, name) == 0) {
            item->annotations[i].value = value;
            return;
        }
    }
    fail_msg("no annotation %s", name);
}

/* A log entry by the same log, of another signature. It lives as long as the test program. */
static void other_entry(struct sigstore_case *item, struct case_signer *signer, json_t *doc)
{
    static struct sigstore_case other;

    if (other.file == NULL) {
        case_load("attest-slsa1-legacy", &other);
    }
    set_annotation(item, COSIGN_ANNOTATION_BUNDLE,
                   evidence_annotation_get(&other.item, COSIGN_ANNOTATION_BUNDLE));
}

static void other_entry_of_a_bundle(struct sigstore_case *item, struct case_signer *signer,
                                    json_t *doc)
{
    struct sigstore_case other;
    json_t *other_doc;

    case_load("attest-slsa1-bundle", &other);
    other_doc = json_loadb((const char *)other.item.blob.data, other.item.blob.len, 0, NULL);
    case_set(doc, "/verificationMaterial/tlogEntries",
             json_incref(case_get(other_doc, "/verificationMaterial/tlogEntries")));
    json_decref(other_doc);
    case_done(&other);
}

static void other_identity(struct sigstore_case *item, struct case_signer *signer, json_t *doc)
{
    pattern_free(signer->signer.subject);
    signer->signer.subject = case_pattern("https://github.com/example-org/other");
}

static void invalid_entry_not_asked_for(struct sigstore_case *item, struct case_signer *signer,
                                        json_t *doc)
{
    signer->signer.tlog = SIGNER_OFF;
    case_flip(doc, "/verificationMaterial/tlogEntries/0/inclusionPromise/signedEntryTimestamp", -1);
}

static void issuer_by_prefix(struct sigstore_case *item, struct case_signer *signer, json_t *doc)
{
    pattern_free(signer->signer.issuer);
    signer->signer.issuer = case_pattern("https://token.actions.githubusercontent.com/evil");
}

static void key_in_the_certificate_field(struct sigstore_case *item, struct case_signer *signer,
                                         json_t *doc)
{
    case_set(doc, "/verificationMaterial/certificate/rawBytes",
             json_string("MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEKSexC1ErqePtz+Rngogoe60jApaZkfcIYGnEw"
                         "99scjjHh5ZOqsAOWSH7FJimD2BHZrPZaFABVY0al05zQVE="));
}

static void time_without_promise(struct sigstore_case *item, struct case_signer *signer,
                                 json_t *doc)
{
    case_set(doc, "/verificationMaterial/timestampVerificationData", NULL);
    case_set(doc, "/verificationMaterial/tlogEntries/0/inclusionPromise", NULL);
}

static void relabelled_without_proof(struct sigstore_case *item, struct case_signer *signer,
                                     json_t *doc)
{
    case_set(doc, "/mediaType",
             json_string("application/vnd.dev.sigstore.bundle+json;version=0.1"));
    case_set(doc, "/verificationMaterial/tlogEntries", NULL);
}

static void many_entries(struct sigstore_case *item, struct case_signer *signer, json_t *doc)
{
    json_t *entries = case_get(doc, "/verificationMaterial/tlogEntries");

    for (int i = 0; i < 32; i++) {
        assert_int_equal(json_array_append(entries, json_array_get(entries, 0)), 0);
    }
}

static void repeated_entry(struct sigstore_case *item, struct case_signer *signer, json_t *doc)
{
    json_t *entries = case_get(doc, "/verificationMaterial/tlogEntries");

    assert_int_equal(json_array_append(entries, json_array_get(entries, 0)), 0);
}

static void ended_authority(struct sigstore_case *item, struct case_signer *signer, json_t *doc)
{
    case_signer_root(signer, "logs/trusted_root-ca-ended.json");
}

static const struct mistake mistakes[] = {
    {"CVE-2022-23649: any log entry accepted", "github-legacy", other_entry, GH_TLOG_KIND_MISMATCH},
    {"CVE-2022-36056: entry not tied to the signature", "github-bundle", other_entry_of_a_bundle,
     GH_TLOG_DIGEST_MISMATCH},
    {"CVE-2022-36056: identity not checked beside a log entry", "github-bundle", other_identity,
     GH_IDENTITY_MISMATCH},
    {"CVE-2022-36056: invalid entry ignored", "github-bundle", invalid_entry_not_asked_for,
     GH_SET_INVALID},
    {"CVE-2024-45395: unbounded entries", "github-bundle", many_entries, GH_COUNT_LIMIT_EXCEEDED},
    {"CVE-2026-49834: one log counted twice", "github-bundle", repeated_entry,
     GH_TLOG_DUPLICATE_ENTRY},
    {"CVE-2026-24122: authority ended before signing", "github-bundle", ended_authority,
     GH_CERT_CA_WINDOW},
    {"CVE-2026-22772: issuer by pattern", "github-bundle", issuer_by_prefix, GH_ISSUER_MISMATCH},
    {"sigstore-java 1185: integrated time without promise", "github-bundle", time_without_promise,
     GH_TIME_SOURCE_MISSING},
    {"sigstore-python 1088: version is malleable", "github-bundle", relabelled_without_proof,
     GH_TLOG_MISSING},
    {"GHSA-fx35-mq7g-6g98: key in the certificate field", "github-bundle",
     key_in_the_certificate_field, GH_CERT_MALFORMED},
};

static void verify_known_mistake_refused(void **state)
{
    for (size_t i = 0; i < GH_COUNT(mistakes); i++) {
        const struct mistake *row = &mistakes[i];
        struct sigstore_case item;
        struct case_signer signer;
        struct evidence_proof proof = {0};
        struct gh_error err = {0};
        enum evidence_step step;
        json_t *doc = NULL;
        char *text = NULL;
        bool ok;

        case_load(row->fixture, &item);
        case_signer_keyless(&item, &signer);
        if (item.item.kind == EVIDENCE_BUNDLE) {
            doc = json_loadb((const char *)item.item.blob.data, item.item.blob.len, 0, NULL);
        }
        row->change(&item, &signer, doc);
        if (doc != NULL) {
            text = json_dumps(doc, JSON_COMPACT);
            item.item.blob = bytes_of(text);
        }
        ok = item.item.kind == EVIDENCE_BUNDLE
                 ? bundle_verify(&item.item, &item.subject, &signer.signer, &signature_wanted,
                                 SIGSTORE_CASE_NOW, &step, &proof, &err)
                 : cosign_verify(&item.item, &item.subject, &signer.signer, &signature_wanted,
                                 SIGSTORE_CASE_NOW, &step, &proof, &err);
        evidence_proof_done(&proof);
        if (ok || err.cause != row->cause) {
            fail_msg("%s: wanted %s, found %s: %s", row->advisory, gh_cause_label(row->cause),
                     ok ? "good" : gh_cause_label(err.cause), err.text);
        }
        free(text);
        json_decref(doc);
        case_signer_done(&signer);
        case_done(&item);
    }
}

/* --- those that need a signature of our own ------------------------------------------------ */

static enum gh_cause verify_statement(const char *text, const char *const *types,
                                      int64_t not_after_unix_s)
{
    struct claims_wanted wanted = {.is_attestation = true, .types = types, .type_count = 1};
    struct evidence_item item = {.kind = EVIDENCE_BUNDLE, .location = "test"};
    struct evidence_subject subject;
    struct evidence_proof proof = {0};
    struct case_signer made;
    struct gh_error err = {0};
    enum evidence_step step;
    char *blob;
    json_t *doc;

    case_subject(&subject);
    case_signer_keys("P-256", &made);
    made.keys[0].not_after_unix_s = not_after_unix_s;
    doc = case_key_bundle(made.keys[0].key, "dsseEnvelope",
                          case_envelope(made.evp, "SHA256", DSSE_IN_TOTO, bytes_of(text)));
    blob = json_dumps(doc, JSON_COMPACT);
    item.blob = bytes_of(blob);
    item.digest.alg = DIGEST_SHA256;
    (void)!bundle_verify(&item, &subject, &made.signer, &wanted, SIGSTORE_CASE_NOW, &step, &proof,
                         &err);
    evidence_proof_done(&proof);
    free(blob);
    json_decref(doc);
    case_signer_done(&made);
    return err.cause;
}

/* CVE-2022-35929, CVE-2022-35930: another predicate type satisfies nothing. */
static void bundle_verify_other_predicate_type_refused(void **state)
{
    static const char *const types[] = {"https://spdx.dev/Document"};
    struct evidence_subject subject;
    char *text;

    case_subject(&subject);
    text = case_statement(&subject, "https://cosign.sigstore.dev/attestation/vuln/v1");
    assert_int_equal(verify_statement(text, types, INT64_MAX), GH_PREDICATE_TYPE_MISMATCH);
    free(text);
    text = case_statement(&subject, types[0]);
    assert_int_equal(verify_statement(text, types, INT64_MAX), GH_CAUSE_NONE);
    free(text);
}

/* CVE-2026-39395: a payload that cannot be parsed was reported as verified. */
static void bundle_verify_signed_garbage_refused(void **state)
{
    static const char *const types[] = {"https://spdx.dev/Document"};

    assert_int_equal(verify_statement("\x01\x02 garbage", types, INT64_MAX),
                     GH_STATEMENT_MALFORMED);
    assert_int_equal(verify_statement("{\"_type\":1,\"_type\":2}", types, INT64_MAX),
                     GH_STATEMENT_MALFORMED);
}

/* CVE-2026-54787: the key's window was ignored for bundles signed by keys. */
static void bundle_verify_expired_key_refused(void **state)
{
    static const char *const types[] = {"https://spdx.dev/Document"};
    struct evidence_subject subject;
    char *text;

    case_subject(&subject);
    text = case_statement(&subject, types[0]);
    assert_int_equal(verify_statement(text, types, SIGSTORE_CASE_NOW - 1), GH_KEY_EXPIRED);
    free(text);
}

/* CVE-2024-45395: subjects without bound. */
static void bundle_verify_1025_subjects_refused(void **state)
{
    static const char *const types[] = {"https://spdx.dev/Document"};
    json_t *doc =
        json_pack("{s:s,s:s,s:[]}", "_type", STATEMENT_V1, "predicateType", types[0], "subject");
    json_t *subjects = json_object_get(doc, "subject");
    struct evidence_subject subject;
    char hex[DIGEST_MAX_TEXT];
    char *text;

    case_subject(&subject);
    bytes_hex_encode(digest_bytes(&subject.digest), hex);
    for (int i = 0; i < STATEMENT_MAX_SUBJECTS; i++) {
        assert_int_equal(
            json_array_append_new(subjects, json_pack("{s:{s:s}}", "digest", "sha256", hex)), 0);
    }
    text = json_dumps(doc, JSON_COMPACT);
    assert_int_equal(verify_statement(text, types, INT64_MAX), GH_CAUSE_NONE);
    free(text);
    assert_int_equal(json_array_append(subjects, json_array_get(subjects, 0)), 0);
    text = json_dumps(doc, JSON_COMPACT);
    assert_int_equal(verify_statement(text, types, INT64_MAX), GH_SUBJECT_LIMIT);
    free(text);
    json_decref(doc);
}

/* --- the whole table ----------------------------------------------------------------------- */

/* A mistake of the table, and the case that shows it is not made here; or why it cannot be. */
struct catalogued {
    const char *advisory;
    const char *mistake;
    const char *test;     /* "file::case" under tests/; NULL: not ours */
    const char *not_ours; /* why */
};

#define HERE "unit/test_known_mistakes.c::"

/* By number: the first is 1. */
static const struct catalogued catalogue[] = {
    {"CVE-2022-23649", "log entry of another signature", HERE "verify_known_mistake_refused", NULL},
    {"CVE-2022-36056", "entry, identity and early success", HERE "verify_known_mistake_refused",
     NULL},
    {"CVE-2022-35929", "another predicate type satisfies",
     HERE "bundle_verify_other_predicate_type_refused", NULL},
    {"CVE-2022-35930", "the same through policy",
     "unit/test_require.c::require_verify_attestation_conditions", NULL},
    {"CVE-2023-46737", "unbounded signatures",
     "unit/test_manifest.c::manifest_parse_items_over_limit_refused", NULL},
    {"CVE-2024-29902", "attachment of any size", "unit/test_referrers.c::find_over_limits_refused",
     NULL},
    {"CVE-2024-29903", "layer count allocated for",
     "unit/test_manifest.c::manifest_parse_items_over_limit_refused", NULL},
    {"CVE-2026-22703", "entry not compared on every path",
     "unit/test_rekor.c::rekor_verify_broken_field_exact_cause", NULL},
    {"CVE-2026-24122", "authority ended before signing", HERE "verify_known_mistake_refused", NULL},
    {"CVE-2026-39395", "payload that does not parse", HERE "bundle_verify_signed_garbage_refused",
     NULL},
    {"CVE-2024-45395", "unbounded entries and subjects", HERE "bundle_verify_1025_subjects_refused",
     NULL},
    {"CVE-2026-49834", "entries counted, not logs",
     "unit/test_thresholds.c::bundle_verify_thresholds_count_who_vouches", NULL},
    {"CVE-2026-54787", "key's window ignored", HERE "bundle_verify_expired_key_refused", NULL},
    {"CVE-2026-39984", "first certificate of the bag",
     "unit/test_tsa_made.c::tsa_verify_token_made_exact_cause", NULL},
    {"CVE-2026-24137", "target name leaves the folder",
     "unit/test_tuf_search.c::tuf_find_unsafe_name_refused", NULL},
    {"CVE-2022-29173", "rollback of other roles", "unit/test_tuf.c::tuf_snapshot_rollback_refused",
     NULL},
    {"GHSA-3633-5h82-39pq", "one key under several ids",
     "unit/test_tuf.c::tuf_threshold_one_key_under_two_ids_counts_once", NULL},
    {"CVE-2024-47534", "order of delegations",
     "unit/test_tuf_search.c::tuf_find_delegations_visited_in_preorder", NULL},
    {"CVE-2026-23992", "threshold below one",
     "unit/test_tuf_search.c::tuf_find_delegation_threshold_below_one_refused", NULL},
    {"CVE-2026-23991", "malformed metadata ends the client",
     "fuzz/fuzz_tuf_metadata.c::LLVMFuzzerTestOneInput", NULL},
    {"CVE-2026-24686", "repository name leaves the folder", NULL,
     "no map of repositories (TAP 4): each has a folder that the configuration names"},
    {"CVE-2015-9258", "algorithm chosen by the signature",
     "unit/test_tuf.c::tuf_key_scheme_of_another_kind_counts_for_nothing", NULL},
    {"CVE-2023-33959", "another manifest for the digest",
     "integration/test_faults.py::test_wrong_bytes_of_a_manifest_are_502", NULL},
    {"CVE-2023-33957", "unlimited signatures", "unit/test_referrers.c::find_over_limits_refused",
     NULL},
    {"CVE-2023-25656", "=# in a name", "unit/test_notation_dn.c::notation_dn_parse_invalid_refused",
     NULL},
    {"CVE-2024-23332", "expired at level strict",
     "unit/test_notation_fixtures.c::notation_verify_fixtures_judged_as_expected", NULL},
    {"CVE-2024-56138", "revocation of the time-stamp authority",
     "unit/test_notation_timestamp.c::notation_verify_time_stamp_exact_cause", NULL},
    {"CVE-2024-51491", "list not cached, verification ended", NULL,
     "fetched lists are answers of one verification: no cache on disk that could refuse them"},
    {"CVE-2022-47633", "verified and served bytes differ",
     "integration/test_mistakes.py::test_alternating_registry_serves_only_what_was_verified", NULL},
    {"CVE-2023-47630", "registry decides the digest",
     "integration/test_mistakes.py::test_alternating_registry_serves_only_what_was_verified", NULL},
    {"CVE-2025-29778", "conditions silently ignored",
     "unit/test_config.c::config_fault_is_named_with_its_place", NULL},
    {"CVE-2023-42813", "hostile manifests and signatures",
     "fuzz/fuzz_manifest.c::LLVMFuzzerTestOneInput", NULL},
    {"CVE-2025-27403", "tokens sent to other registries",
     "unit/test_upstream_token.c::token_hostile_realm_gets_nothing", NULL},
    {"CVE-2026-48978", "realm and redirect leak credentials",
     "unit/test_upstream_redirect.c::redirect_other_host_gets_no_credentials", NULL},
    {"CVE-2024-3727", "digests used unchecked in paths",
     "unit/test_route.c::route_parse_faults_named", NULL},
    {"CVE-2020-1702", "unbounded reads", "unit/test_upstream.c::fetch_body_over_limit_refused",
     NULL},
    {"CVE-2020-8945", "use after free of OpenPGP data", NULL,
     "OpenPGP signers are refused as not supported yet"},
    {"CVE-2021-41190", "one digest, two readings",
     "unit/test_manifest.c::manifest_parse_faults_named", NULL},
    {"CVE-2022-39237", "weak hash in a signature",
     "unit/test_x509_path.c::path_verify_trusted_chain_exact_cause", NULL},
    {"CVE-2024-51746", "entry looked up online", NULL,
     "logs are never asked: an entry comes with the evidence or is missing"},
    {"CVE-2023-47122", "log keys from the log",
     "unit/test_rekor.c::rekor_verify_broken_field_exact_cause", NULL},
    {"CVE-2026-44310", "a crash counted as verified",
     "integration/test_faults.py::test_kill_during_verdict_writes_loses_no_answer", NULL},
    {"CVE-2025-25204", "no attestation is success",
     "unit/test_require.c::require_verify_without_evidence_denied", NULL},
    {"GHSA-r2xv-vpr2-42m9", "signer and builder not paired",
     "unit/test_predicate_provenance.c::provenance_judge_generator_signed_by_another_refused",
     NULL},
    {"CVE-2026-22772", "issuer by an open pattern", HERE "verify_known_mistake_refused", NULL},
    {"CVE-2026-56865", "tiles not checked against parents", NULL,
     "no tiles are fetched: a proof comes with the entry"},
    {"connaisseur 2151", "missing delegation fell back", NULL,
     "dct signers are refused as not supported yet"},
    {"sigstore-java 1185", "one time of several",
     "unit/test_thresholds.c::bundle_verify_thresholds_count_who_vouches", NULL},
    {"sigstore-python 1088", "version is malleable", HERE "verify_known_mistake_refused", NULL},
    {"GHSA-fx35-mq7g-6g98", "key in the certificate field", HERE "verify_known_mistake_refused",
     NULL},
};

/* Whether the file names the case as a whole word. */
static bool is_named(struct bytes text, const char *name)
{
    size_t len = strlen(name);

    for (size_t at = 0; at + len <= text.len; at++) {
        const char *found = (const char *)text.data + at;

        if (memcmp(found, name, len) == 0 &&
            (at + len == text.len || found[len] == '(' || found[len] == ')' || found[len] == ',')) {
            return true;
        }
    }
    return false;
}

static void known_mistakes_each_has_its_test(void **state)
{
    assert_int_equal(GH_COUNT(catalogue), 50);
    for (size_t i = 0; i < GH_COUNT(catalogue); i++) {
        const struct catalogued *row = &catalogue[i];
        const char *name;
        char path[256];
        struct bytes_buf text;

        assert_true((row->test == NULL) != (row->not_ours == NULL));
        if (row->test == NULL) {
            continue;
        }
        name = strstr(row->test, "::");
        assert_non_null(name);
        (void)snprintf(path, sizeof(path), "../%.*s", (int)(name - row->test), row->test);
        text = case_read(path); /* relative to tests/fixtures */
        if (!is_named(bytes_view(&text), name + 2)) {
            fail_msg("%zu, %s (%s): there is no %s", i + 1, row->advisory, row->mistake, row->test);
        }
        bytes_buf_done(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verify_known_mistake_refused),
        cmocka_unit_test(bundle_verify_other_predicate_type_refused),
        cmocka_unit_test(bundle_verify_signed_garbage_refused),
        cmocka_unit_test(bundle_verify_expired_key_refused),
        cmocka_unit_test(bundle_verify_1025_subjects_refused),
        cmocka_unit_test(known_mistakes_each_has_its_test),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
