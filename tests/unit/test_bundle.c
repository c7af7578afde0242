#include "crypto/bundle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/sigstore_case.h"

#include "metrics/error.h"

static const struct claims_wanted signature_wanted = {.is_attestation = false};

static bool verify_doc(const json_t *doc, const struct evidence_subject *subject,
                       const struct signer *signer, const struct claims_wanted *wanted,
                       enum evidence_step *step, struct evidence_proof *proof, struct gh_error *err)
{
    char *text = json_dumps(doc, JSON_COMPACT);
    struct evidence_item item = {.kind = EVIDENCE_BUNDLE, .location = "test"};
    bool ok;

    item.blob = bytes_of(text);
    assert_true(digest_compute(DIGEST_SHA256, item.blob, &item.digest, err));
    ok = bundle_verify(&item, subject, signer, wanted, SIGSTORE_CASE_NOW, step, proof, err);
    free(text);
    return ok;
}

static void assert_judged(const char *what, const json_t *doc,
                          const struct evidence_subject *subject, const struct signer *signer,
                          const struct claims_wanted *wanted, enum gh_cause cause)
{
    struct evidence_proof proof = {0};
    struct gh_error err = {0};
    enum evidence_step step = EVIDENCE_STEP_FETCH;
    bool ok = verify_doc(doc, subject, signer, wanted, &step, &proof, &err);

    evidence_proof_done(&proof);
    if (ok != (cause == GH_CAUSE_NONE) || err.cause != cause) {
        fail_msg("%s: wanted %s, found %s at %s (%s: %s)", what,
                 cause != GH_CAUSE_NONE ? gh_cause_label(cause) : "good",
                 ok ? "good" : gh_cause_label(err.cause), evidence_step_label(step), err.place,
                 err.text);
    }
    assert_true(ok == (step == EVIDENCE_STEP_DONE));
}

/* --- keyless: a bundle of the private stack, one thing changed at a time ------------------- */

enum change {
    CHANGE_SET,    /* JSON text, or removal without one */
    CHANGE_FLIP,   /* a bit of base64, byte INDEX */
    CHANGE_REPEAT, /* the array's first element, INDEX times more */
};

struct change_row {
    const char *what;
    enum change change;
    const char *pointer;
    const char *json;
    int index;
    enum gh_cause cause;
};

#define MATERIAL "/verificationMaterial"
#define ENTRY MATERIAL "/tlogEntries/0"
#define STAMP MATERIAL "/timestampVerificationData/rfc3161Timestamps/0/signedTimestamp"

static const struct change_row keyless_rows[] = {
    {"as it is", CHANGE_REPEAT, ENTRY "/inclusionProof/hashes", NULL, 0, GH_CAUSE_NONE},
    {"unknown version", CHANGE_SET, "/mediaType",
     "\"application/vnd.dev.sigstore.bundle.v0.9+json\"", 0, GH_BUNDLE_MEDIA_TYPE_UNSUPPORTED},
    {"no media type", CHANGE_SET, "/mediaType", NULL, 0, GH_BUNDLE_MEDIA_TYPE_UNSUPPORTED},
    {"snake case", CHANGE_SET, "/media_type", "\"application/vnd.dev.sigstore.bundle.v0.1+json\"",
     0, GH_CAUSE_NONE},
    {"two contents", CHANGE_SET, "/messageSignature", "{\"signature\":\"AAAA\"}", 0,
     GH_BUNDLE_MALFORMED},
    {"no content", CHANGE_SET, "/dsseEnvelope", NULL, 0, GH_BUNDLE_CONTENT_MISSING},
    {"no material", CHANGE_SET, MATERIAL, NULL, 0, GH_BUNDLE_MATERIAL_INVALID},
    {"no certificate", CHANGE_SET, MATERIAL "/certificate", NULL, 0, GH_BUNDLE_MATERIAL_INVALID},
    {"key and certificate", CHANGE_SET, MATERIAL "/publicKey", "{\"hint\":\"x\"}", 0,
     GH_BUNDLE_MATERIAL_INVALID},
    {"key instead of a certificate", CHANGE_SET, MATERIAL "/certificate/rawBytes",
     "\"MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEKSexC1ErqePtz+Rngogoe60jApaZkfcIYGnEw99scjjHh5ZOqsAOWSH"
     "7FJimD2BHZrPZaFABVY0al05zQVE=\"",
     0, GH_CERT_MALFORMED},
    {"certificate changed", CHANGE_FLIP, MATERIAL "/certificate/rawBytes", NULL, -1,
     GH_TLOG_KEY_MISMATCH},
    {"no signature", CHANGE_SET, "/dsseEnvelope/signatures", "[]", 0, GH_DSSE_SIGNATURE_COUNT},
    {"two signatures", CHANGE_REPEAT, "/dsseEnvelope/signatures", NULL, 1, GH_DSSE_SIGNATURE_COUNT},
    {"other payload type", CHANGE_SET, "/dsseEnvelope/payloadType", "\"application/json\"", 0,
     GH_PAYLOAD_TYPE_MISMATCH},
    {"unknown member of the envelope", CHANGE_SET, "/dsseEnvelope/extra", "1", 0,
     GH_BUNDLE_MALFORMED},
    {"payload is no base64", CHANGE_SET, "/dsseEnvelope/payload", "\"*\"", 0, GH_PAYLOAD_MALFORMED},
    {"payload changed", CHANGE_FLIP, "/dsseEnvelope/payload", NULL, 90, GH_TLOG_DIGEST_MISMATCH},
    {"signature changed", CHANGE_FLIP, "/dsseEnvelope/signatures/0/sig", NULL, -1,
     GH_TIMESTAMP_IMPRINT_MISMATCH},
    {"time stamp changed", CHANGE_FLIP, STAMP, NULL, -1, GH_TIMESTAMP_INVALID},
    {"33 time stamps", CHANGE_REPEAT, MATERIAL "/timestampVerificationData/rfc3161Timestamps", NULL,
     32, GH_COUNT_LIMIT_EXCEEDED},
    {"no log entry", CHANGE_SET, MATERIAL "/tlogEntries", NULL, 0, GH_TLOG_MISSING},
    {"entry twice", CHANGE_REPEAT, MATERIAL "/tlogEntries", NULL, 1, GH_TLOG_DUPLICATE_ENTRY},
    {"33 entries", CHANGE_REPEAT, MATERIAL "/tlogEntries", NULL, 32, GH_COUNT_LIMIT_EXCEEDED},
    {"negative index", CHANGE_SET, ENTRY "/logIndex", "\"-1\"", 0, GH_TLOG_ENTRY_MALFORMED},
    {"other index", CHANGE_SET, ENTRY "/logIndex", "\"7\"", 0, GH_SET_INVALID},
    {"other time", CHANGE_SET, ENTRY "/integratedTime", "\"1748779299\"", 0, GH_SET_INVALID},
    {"promise changed", CHANGE_FLIP, ENTRY "/inclusionPromise/signedEntryTimestamp", NULL, -1,
     GH_SET_INVALID},
    {"unknown log", CHANGE_FLIP, ENTRY "/logId/keyId", NULL, 0, GH_TLOG_LOG_UNKNOWN},
    {"other kind", CHANGE_SET, ENTRY "/kindVersion/kind", "\"hashedrekord\"", 0,
     GH_TLOG_KIND_MISMATCH},
    {"no proof", CHANGE_SET, ENTRY "/inclusionProof", NULL, 0, GH_INCLUSION_PROOF_MISSING},
    {"no checkpoint", CHANGE_SET, ENTRY "/inclusionProof/checkpoint", NULL, 0,
     GH_CHECKPOINT_MALFORMED},
    {"other root", CHANGE_FLIP, ENTRY "/inclusionProof/rootHash", NULL, 0,
     GH_CHECKPOINT_ROOT_MISMATCH},
    {"other tree size", CHANGE_SET, ENTRY "/inclusionProof/treeSize", "\"99\"", 0,
     GH_CHECKPOINT_ROOT_MISMATCH},
    {"other leaf", CHANGE_SET, ENTRY "/inclusionProof/logIndex", "\"0\"", 0,
     GH_INCLUSION_PROOF_INVALID},
    {"proof hash changed", CHANGE_FLIP, ENTRY "/inclusionProof/hashes/0", NULL, 0,
     GH_INCLUSION_PROOF_INVALID},
    {"body changed", CHANGE_FLIP, ENTRY "/canonicalizedBody", NULL, -3, GH_SET_INVALID},
};

static void apply(json_t *doc, const struct change_row *row)
{
    json_t *array;

    switch (row->change) {
    case CHANGE_SET:
        case_set(doc, row->pointer,
                 row->json != NULL ? json_loads(row->json, JSON_DECODE_ANY, NULL) : NULL);
        return;
    case CHANGE_FLIP:
        case_flip(doc, row->pointer, row->index);
        return;
    case CHANGE_REPEAT:
        array = case_get(doc, row->pointer);
        for (int i = 0; i < row->index; i++) {
            assert_int_equal(json_array_append(array, json_array_get(array, 0)), 0);
        }
        return;
    }
}

static json_t *doc_of(const struct sigstore_case *item)
{
    json_t *doc = json_loadb((const char *)item->item.blob.data, item->item.blob.len, 0, NULL);

    assert_non_null(doc);
    return doc;
}

static void bundle_verify_keyless_changed_refused(void **state)
{
    struct sigstore_case item;
    struct case_signer ci;

    case_load("github-bundle", &item);
    case_signer_keyless(&item, &ci);
    for (size_t i = 0; i < GH_COUNT(keyless_rows); i++) {
        json_t *doc = doc_of(&item);

        apply(doc, &keyless_rows[i]);
        assert_judged(keyless_rows[i].what, doc, &item.subject, &ci.signer, &signature_wanted,
                      keyless_rows[i].cause);
        json_decref(doc);
    }
    case_signer_done(&ci);
    case_done(&item);
}

static void bundle_verify_keyless_every_version_accepted(void **state)
{
    static const char *const names[] = {"github-bundle", "bundle-v01", "bundle-v02",
                                        "rekor2-bundle"};

    for (size_t i = 0; i < GH_COUNT(names); i++) {
        struct sigstore_case item;
        struct case_signer ci;
        struct evidence_proof proof = {0};
        struct gh_error err = {0};
        enum evidence_step step;
        json_t *doc;

        case_load(names[i], &item);
        case_signer_keyless(&item, &ci);
        doc = doc_of(&item);
        if (!verify_doc(doc, &item.subject, &ci.signer, &signature_wanted, &step, &proof, &err)) {
            fail_msg("%s: %s: %s", names[i], gh_cause_label(err.cause), err.text);
        }
        assert_true(proof.has_proved_time);
        assert_int_equal(proof.log_count, 1);
        assert_true(proof.rest_count >= 4); /* leaf, authorities, root, log, evidence */
        assert_true(proof.leaf.len > 0);
        assert_non_null(strstr(proof.signer_text, "@"));
        evidence_proof_done(&proof);
        json_decref(doc);
        case_signer_done(&ci);
        case_done(&item);
    }
}

static void bundle_verify_keyless_without_proved_time_refused(void **state)
{
    struct sigstore_case item;
    struct case_signer ci;
    json_t *doc;

    case_load("github-bundle", &item);
    case_signer_keyless(&item, &ci);
    doc = doc_of(&item);
    case_set(doc, MATERIAL "/timestampVerificationData", NULL);
    assert_judged("promise alone", doc, &item.subject, &ci.signer, &signature_wanted,
                  GH_CAUSE_NONE);
    ci.signer.timestamp = SIGNER_REQUIRED;
    assert_judged("time stamp asked for", doc, &item.subject, &ci.signer, &signature_wanted,
                  GH_TIME_SOURCE_MISSING);
    ci.signer.timestamp = SIGNER_OPTIONAL;
    /* The time stays in the entry, but nothing signs it any more. */
    case_set(doc, ENTRY "/inclusionPromise", NULL);
    assert_judged("promise stripped", doc, &item.subject, &ci.signer, &signature_wanted,
                  GH_TIME_SOURCE_MISSING);
    case_set(doc, MATERIAL "/tlogEntries", NULL);
    ci.signer.tlog = SIGNER_OFF;
    assert_judged("nothing at all", doc, &item.subject, &ci.signer, &signature_wanted,
                  GH_TIME_SOURCE_MISSING);
    json_decref(doc);
    case_signer_done(&ci);
    case_done(&item);
}

static void bundle_verify_keyless_other_signer_refused(void **state)
{
    struct sigstore_case item;
    struct case_signer ci;
    json_t *doc;

    case_load("github-bundle", &item);
    case_signer_keyless(&item, &ci);
    doc = doc_of(&item);
    ci.signer.claim_count = 1;
    ci.claims[0].name = "source_repository_uri";
    ci.claims[0].pattern = case_pattern("https://github.com/example-org/app");
    assert_judged("claim", doc, &item.subject, &ci.signer, &signature_wanted, GH_CAUSE_NONE);
    pattern_free(ci.claims[0].pattern);
    ci.claims[0].pattern = case_pattern("https://github.com/evil/app");
    assert_judged("other claim", doc, &item.subject, &ci.signer, &signature_wanted,
                  GH_EXTENSION_MISMATCH);
    ci.claims[0].name = "deployment_environment";
    assert_judged("missing claim", doc, &item.subject, &ci.signer, &signature_wanted,
                  GH_EXTENSION_MISMATCH);
    pattern_free(ci.signer.subject);
    ci.signer.subject = case_pattern("https://github.com/example-org/app");
    assert_judged("prefix of the identity", doc, &item.subject, &ci.signer, &signature_wanted,
                  GH_IDENTITY_MISMATCH);
    pattern_free(ci.signer.issuer);
    ci.signer.issuer = case_pattern("https://accounts.example.test");
    assert_judged("other issuer", doc, &item.subject, &ci.signer, &signature_wanted,
                  GH_ISSUER_MISMATCH);
    case_signer_done(&ci);
    case_signer_keys("P-256", &ci);
    assert_judged("key signer", doc, &item.subject, &ci.signer, &signature_wanted,
                  GH_SIGNATURE_FORMAT_DISALLOWED);
    json_decref(doc);
    case_signer_done(&ci);
    case_done(&item);
}

static void bundle_verify_keyless_other_root_refused(void **state)
{
    static const struct {
        const char *file;
        enum gh_cause cause;
    } rows[] = {
        {"logs/trusted_root.json", GH_CAUSE_NONE},
        {"logs/trusted_root-other.json", GH_CERT_CHAIN_UNTRUSTED},
        {"logs/trusted_root-ca-ended.json", GH_CERT_CA_WINDOW},
        {"logs/trusted_root-ctlog-ended.json", GH_SCT_INVALID},
        {"logs/trusted_root-rekor-ended.json", GH_TLOG_KEY_WINDOW},
        {"logs/trusted_root-tsa-ended.json", GH_TIMESTAMP_UNTRUSTED},
    };
    struct sigstore_case item;
    struct case_signer ci;
    json_t *doc;

    case_load("github-bundle", &item);
    case_signer_keyless(&item, &ci);
    doc = doc_of(&item);
    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        case_signer_root(&ci, rows[i].file);
        assert_judged(rows[i].file, doc, &item.subject, &ci.signer, &signature_wanted,
                      rows[i].cause);
    }
    ci.signer.is_root_stale = true;
    assert_judged("stale", doc, &item.subject, &ci.signer, &signature_wanted, GH_TRUST_ROOT_STALE);
    ci.signer.root = NULL;
    assert_judged("none", doc, &item.subject, &ci.signer, &signature_wanted, GH_TRUST_ROOT_MISSING);
    json_decref(doc);
    case_signer_done(&ci);
    case_done(&item);
}

static void bundle_verify_other_subject_or_kind_refused(void **state)
{
    static const char *const slsa[] = {"https://slsa.dev/provenance/v1"};
    struct claims_wanted attestation = {.is_attestation = true, .types = slsa, .type_count = 1};
    struct sigstore_case item;
    struct case_signer ci;
    json_t *doc;

    case_load("github-bundle", &item);
    case_signer_keyless(&item, &ci);
    doc = doc_of(&item);
    assert_judged("attestation wanted", doc, &item.subject, &ci.signer, &attestation,
                  GH_PREDICATE_TYPE_MISMATCH);
    item.subject.digest.value[0] ^= 1;
    assert_judged("another image", doc, &item.subject, &ci.signer, &signature_wanted,
                  GH_SUBJECT_MISMATCH);
    json_decref(doc);
    case_signer_done(&ci);
    case_done(&item);

    case_load("attest-slsa1-bundle", &item);
    case_signer_keyless(&item, &ci);
    doc = doc_of(&item);
    assert_judged("attestation", doc, &item.subject, &ci.signer, &attestation, GH_CAUSE_NONE);
    assert_judged("signature wanted", doc, &item.subject, &ci.signer, &signature_wanted,
                  GH_PREDICATE_TYPE_MISMATCH);
    attestation.type_count = 0;
    assert_judged("no type accepted", doc, &item.subject, &ci.signer, &attestation,
                  GH_PREDICATE_TYPE_MISMATCH);
    assert_judged("anything", doc, &item.subject, &ci.signer, NULL, GH_CAUSE_NONE);
    json_decref(doc);
    case_signer_done(&ci);
    case_done(&item);
}

/* --- keys: signed on the spot ------------------------------------------------------------- */

static json_t *message_bundle(const struct case_signer *made, const char *md,
                              const struct evidence_subject *subject)
{
    char *signature = case_sign(made->evp, md, subject->manifest);
    char *digest = bytes_base64_encode(digest_bytes(&subject->digest), BYTES_BASE64_STANDARD);
    json_t *content = json_pack("{s:{s:s,s:s},s:s}", "messageDigest", "algorithm", "SHA2_256",
                                "digest", digest, "signature", signature);

    free(signature);
    free(digest);
    return case_key_bundle(made->keys[0].key, "messageSignature", content);
}

static json_t *statement_bundle(const struct case_signer *made, const char *md, const char *text)
{
    return case_key_bundle(made->keys[0].key, "dsseEnvelope",
                           case_envelope(made->evp, md, DSSE_IN_TOTO, bytes_of(text)));
}

static void bundle_verify_each_key_type_accepted(void **state)
{
    static const struct {
        const char *type;
        const char *md;
    } rows[] = {{"P-256", "SHA256"}, {"P-384", "SHA384"}, {"P-384", "SHA256"}, {"P-521", "SHA512"},
                {"P-521", "SHA256"}, {"RSA", "SHA256"},   {"ED25519", NULL}};

    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        struct case_signer made;
        struct evidence_subject subject;
        char *statement;
        json_t *doc;

        case_subject(&subject);
        case_signer_keys(rows[i].type, &made);
        doc = message_bundle(&made, rows[i].md, &subject);
        assert_judged(rows[i].type, doc, &subject, &made.signer, &signature_wanted, GH_CAUSE_NONE);
        json_decref(doc);
        statement = case_statement(&subject, SIGSTORE_CASE_SIGN);
        doc = statement_bundle(&made, rows[i].md, statement);
        assert_judged(rows[i].type, doc, &subject, &made.signer, &signature_wanted, GH_CAUSE_NONE);
        case_flip(doc, "/dsseEnvelope/signatures/0/sig", -1);
        assert_judged("changed", doc, &subject, &made.signer, &signature_wanted, GH_SIG_INVALID);
        json_decref(doc);
        free(statement);
        case_signer_done(&made);
    }
}

static void bundle_verify_message_of_other_content_refused(void **state)
{
    struct case_signer made;
    struct evidence_subject subject;
    struct claims_wanted annotated = {.annotation_count = 1};
    struct evidence_annotation pair = {"env", "prod"};
    json_t *doc;

    case_subject(&subject);
    case_signer_keys("P-256", &made);
    doc = message_bundle(&made, "SHA256", &subject);
    annotated.annotations = &pair;
    assert_judged("no annotations", doc, &subject, &made.signer, &annotated,
                  GH_ANNOTATION_MISMATCH);
    made.signer.match_reference = SIGNER_REFERENCE_REPOSITORY;
    assert_judged("no name", doc, &subject, &made.signer, &signature_wanted,
                  GH_IDENTITY_REFERENCE_MISMATCH);
    made.signer.match_reference = SIGNER_REFERENCE_OFF;
    case_flip(doc, "/messageSignature/messageDigest/digest", 0);
    assert_judged("digest of another", doc, &subject, &made.signer, &signature_wanted,
                  GH_MESSAGE_DIGEST_MISMATCH);
    case_set(doc, "/messageSignature/messageDigest", NULL);
    assert_judged("no digest", doc, &subject, &made.signer, &signature_wanted, GH_CAUSE_NONE);
    case_set(doc, "/messageSignature/extra", json_true());
    assert_judged("unknown member", doc, &subject, &made.signer, &signature_wanted,
                  GH_BUNDLE_MALFORMED);
    case_set(doc, "/messageSignature/extra", NULL);
    subject.manifest = BYTES_LITERAL("{\"schemaVersion\":3}");
    assert_true(digest_compute(DIGEST_SHA256, subject.manifest, &subject.digest, NULL));
    assert_judged("another image", doc, &subject, &made.signer, &signature_wanted, GH_SIG_INVALID);
    json_decref(doc);
    case_signer_done(&made);
}

static void bundle_verify_statement_of_other_form_refused(void **state)
{
#define HEAD                                                                                       \
    "{\"_type\":\"https://in-toto.io/Statement/v1\",\"predicateType\":\"" SIGSTORE_CASE_SIGN "\","
    static const struct {
        const char *text;
        enum gh_cause cause;
    } rows[] = {
        {"no JSON at all", GH_STATEMENT_MALFORMED},
        {"[]", GH_STATEMENT_MALFORMED},
        {HEAD "\"subject\":[],\"subject\":[]}", GH_STATEMENT_MALFORMED},
        {HEAD "\"subject\":[]}", GH_SUBJECT_MISSING},
        {HEAD "\"predicate\":{}}", GH_SUBJECT_MISSING},
        {HEAD "\"subject\":[null]}", GH_SUBJECT_MISSING},
        {HEAD "\"subject\":[{\"digest\":{\"sha256\":1}}]}", GH_STATEMENT_MALFORMED},
        {HEAD "\"subject\":[{\"digest\":{\"sha1\":\"da39a3ee5e6b4b0d3255bfef95601890afd80709\"}}]}",
         GH_SUBJECT_MISMATCH},
        {HEAD "\"subject\":[{\"name\":\"" SIGSTORE_CASE_NAME "\"}]}", GH_SUBJECT_MISMATCH},
        {"{\"_type\":\"https://in-toto.io/Statement/v2\"}", GH_STATEMENT_TYPE_UNSUPPORTED},
        {"{\"predicateType\":\"x\"}", GH_STATEMENT_MALFORMED},
    };
    struct case_signer made;
    struct evidence_subject subject;

    case_subject(&subject);
    case_signer_keys("P-256", &made);
    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        json_t *doc = statement_bundle(&made, "SHA256", rows[i].text);

        assert_judged(rows[i].text, doc, &subject, &made.signer, &signature_wanted, rows[i].cause);
        json_decref(doc);
    }
    case_signer_done(&made);
}

static void bundle_verify_key_hint_and_key_id(void **state)
{
    struct case_signer made;
    struct case_signer other;
    struct evidence_subject subject;
    char *statement;
    json_t *doc;

    case_subject(&subject);
    case_signer_keys("P-256", &made);
    case_signer_keys("P-256", &other);
    statement = case_statement(&subject, SIGSTORE_CASE_SIGN);
    doc = statement_bundle(&made, "SHA256", statement);
    assert_judged("other key", doc, &subject, &other.signer, &signature_wanted, GH_KEY_UNKNOWN);
    case_signer_add_key(&other, made.evp);
    assert_judged("one of two keys", doc, &subject, &other.signer, &signature_wanted,
                  GH_CAUSE_NONE);
    case_set(doc, MATERIAL "/publicKey/hint", json_string("free text"));
    assert_judged("free hint", doc, &subject, &other.signer, &signature_wanted, GH_CAUSE_NONE);
    case_set(doc, "/dsseEnvelope/signatures/0/keyid", json_string("another"));
    assert_judged("key id differs", doc, &subject, &other.signer, &signature_wanted,
                  GH_DSSE_KEYID_MISMATCH);
    case_set(doc, "/dsseEnvelope/signatures/0/keyid", json_string("free text"));
    assert_judged("key id agrees", doc, &subject, &other.signer, &signature_wanted, GH_CAUSE_NONE);
    case_set(doc, MATERIAL "/publicKey", json_object());
    case_set(doc, "/dsseEnvelope/signatures/0/keyid", NULL);
    assert_judged("no hint", doc, &subject, &other.signer, &signature_wanted, GH_CAUSE_NONE);
    other.signer.key_count = 1;
    assert_judged("no hint, other key", doc, &subject, &other.signer, &signature_wanted,
                  GH_SIG_INVALID);
    other.signer.key_count = 2;
    other.signer.tlog = SIGNER_REQUIRED;
    assert_judged("log without a root", doc, &subject, &other.signer, &signature_wanted,
                  GH_TRUST_ROOT_MISSING);
    case_signer_root(&other, "logs/trusted_root.json");
    assert_judged("no entry", doc, &subject, &other.signer, &signature_wanted, GH_TLOG_MISSING);
    other.signer.type = SIGNER_KEYLESS;
    assert_judged("identity asked for", doc, &subject, &other.signer, &signature_wanted,
                  GH_IDENTITY_MISSING);
    other.signer.type = SIGNER_KEYS;
    json_decref(doc);
    free(statement);
    case_signer_done(&made);
    case_signer_done(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bundle_verify_keyless_every_version_accepted),
        cmocka_unit_test(bundle_verify_keyless_changed_refused),
        cmocka_unit_test(bundle_verify_keyless_without_proved_time_refused),
        cmocka_unit_test(bundle_verify_keyless_other_signer_refused),
        cmocka_unit_test(bundle_verify_keyless_other_root_refused),
        cmocka_unit_test(bundle_verify_other_subject_or_kind_refused),
        cmocka_unit_test(bundle_verify_each_key_type_accepted),
        cmocka_unit_test(bundle_verify_message_of_other_content_refused),
        cmocka_unit_test(bundle_verify_statement_of_other_form_refused),
        cmocka_unit_test(bundle_verify_key_hint_and_key_id),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
