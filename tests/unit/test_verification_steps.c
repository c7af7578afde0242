/*
 * Steps of the verification rules (verification.md sections 2 to 4) that no other case refuses by
 * name. tests/lint/steps.tsv lists every step with its case.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crypto/bundle.h"
#include "crypto/cosign.h"
#include "crypto/sjson.h"
#include "metrics/error.h"
#include "tests/support/sigstore_case.h"

#define PAYLOAD_TYPE "cosign container image signature"
#define REVIEW "https://example.test/review/v1"

static const struct claims_wanted signature_wanted = {.is_attestation = false};

static enum gh_cause verify(const struct evidence_item *item,
                            const struct evidence_subject *subject, const struct signer *signer,
                            const struct claims_wanted *wanted)
{
    struct evidence_proof proof = {0};
    struct gh_error err = {0};
    enum evidence_step step;
    bool ok =
        item->kind == EVIDENCE_BUNDLE
            ? bundle_verify(item, subject, signer, wanted, SIGSTORE_CASE_NOW, &step, &proof, &err)
            : cosign_verify(item, subject, signer, wanted, SIGSTORE_CASE_NOW, &step, &proof, &err);

    evidence_proof_done(&proof);
    assert_int_equal(ok, err.cause == GH_CAUSE_NONE);
    return err.cause;
}

static enum gh_cause verify_text(const char *text, const struct evidence_subject *subject,
                                 const struct signer *signer)
{
    struct evidence_item item = {.kind = EVIDENCE_BUNDLE, .location = "test"};

    item.blob = bytes_of(text);
    assert_true(digest_compute(DIGEST_SHA256, item.blob, &item.digest, NULL));
    return verify(&item, subject, signer, &signature_wanted);
}

static enum gh_cause verify_doc(const json_t *doc, const struct evidence_subject *subject,
                                const struct signer *signer)
{
    char *text = json_dumps(doc, JSON_COMPACT);
    enum gh_cause cause = verify_text(text, subject, signer);

    free(text);
    return cause;
}

static json_t *doc_of(const struct sigstore_case *item)
{
    json_t *doc = json_loadb((const char *)item->item.blob.data, item->item.blob.len, 0, NULL);

    assert_non_null(doc);
    return doc;
}

static void annotate(struct sigstore_case *item, const char *name, const char *value)
{
    for (size_t i = 0; i < item->item.annotation_count; i++) {
        if (strcmp(item->annotations[i].name, name) == 0) {
            item->annotations[i].value = value;
            return;
        }
    }
    fail_msg("no annotation %s", name);
}

/* ---- 2.2: what hangs on a legacy layer ---- */

/* The key signed, yet the certificate beside the signature is somebody else's. */
static void cosign_verify_certificate_of_another_key_refused(void **state)
{
    struct sigstore_case item;
    struct case_signer made;
    struct evidence_subject subject;
    struct evidence_annotation annotations[2];
    struct evidence_item layer = {.kind = EVIDENCE_COSIGN_SIGNATURE, .location = "test"};
    char digest[DIGEST_MAX_TEXT];
    char *payload, *signature;

    case_load("github-legacy", &item);
    case_subject(&subject);
    case_signer_keys("P-256", &made);
    digest_format(&subject.digest, digest);
    assert_true(asprintf(&payload,
                         "{\"critical\":{\"identity\":{\"docker-reference\":\"a\"},\"image\":{"
                         "\"docker-manifest-digest\":\"%s\"},\"type\":\"" PAYLOAD_TYPE
                         "\"},\"optional\":null}",
                         digest) > 0);
    signature = case_sign(made.evp, "SHA256", bytes_of(payload));
    annotations[0] = (struct evidence_annotation){COSIGN_ANNOTATION_SIGNATURE, signature};
    annotations[1] = (struct evidence_annotation){
        COSIGN_ANNOTATION_CERTIFICATE,
        evidence_annotation_get(&item.item, COSIGN_ANNOTATION_CERTIFICATE)};
    layer.blob = bytes_of(payload);
    layer.digest.alg = DIGEST_SHA256;
    layer.annotations = annotations;
    layer.annotation_count = 1;
    assert_int_equal(verify(&layer, &subject, &made.signer, &signature_wanted), GH_CAUSE_NONE);
    layer.annotation_count = 2;
    assert_int_equal(verify(&layer, &subject, &made.signer, &signature_wanted), GH_KEY_UNKNOWN);
    free(signature);
    free(payload);
    case_signer_done(&made);
    case_done(&item);
}

static void cosign_verify_two_certificates_refused(void **state)
{
    struct sigstore_case item;
    struct case_signer ci;
    const char *leaf;
    char *twice;

    case_load("github-legacy", &item);
    case_signer_keyless(&item, &ci);
    leaf = evidence_annotation_get(&item.item, COSIGN_ANNOTATION_CERTIFICATE);
    assert_true(asprintf(&twice, "%s%s", leaf, leaf) > 0);
    annotate(&item, COSIGN_ANNOTATION_CERTIFICATE, twice);
    assert_int_equal(verify(&item.item, &item.subject, &ci.signer, &signature_wanted),
                     GH_CERT_MALFORMED);
    free(twice);
    case_signer_done(&ci);
    case_done(&item);
}

/* An entry that is there must be right, also where none is asked for (CVE-2022-36056). */
static void cosign_verify_invalid_entry_not_asked_for_refused(void **state)
{
    struct sigstore_case item;
    struct case_signer ci;
    json_t *entry;
    char *text;

    case_load("github-legacy", &item);
    case_signer_keyless(&item, &ci);
    ci.signer.tlog = SIGNER_OFF;
    assert_int_equal(verify(&item.item, &item.subject, &ci.signer, &signature_wanted),
                     GH_CAUSE_NONE);
    entry = json_loads(evidence_annotation_get(&item.item, COSIGN_ANNOTATION_BUNDLE), 0, NULL);
    case_flip(entry, "/SignedEntryTimestamp", -1);
    text = json_dumps(entry, JSON_COMPACT);
    annotate(&item, COSIGN_ANNOTATION_BUNDLE, text);
    assert_int_equal(verify(&item.item, &item.subject, &ci.signer, &signature_wanted),
                     GH_SET_INVALID);
    free(text);
    json_decref(entry);
    case_signer_done(&ci);
    case_done(&item);
}

/* ---- 2.3: attestations under a tag ---- */

static void cosign_verify_attestation_stamp_of_another_refused(void **state)
{
    static const char *const slsa[] = {"https://slsa.dev/provenance/v1"};
    static const struct claims_wanted wanted = {
        .is_attestation = true, .types = slsa, .type_count = 1};
    struct sigstore_case item, other;
    struct case_signer ci;

    case_load("attest-slsa1-legacy", &item);
    case_load("github-legacy", &other);
    case_signer_keyless(&item, &ci);
    assert_int_equal(verify(&item.item, &item.subject, &ci.signer, &wanted), GH_CAUSE_NONE);
    annotate(&item, COSIGN_ANNOTATION_TIMESTAMP,
             evidence_annotation_get(&other.item, COSIGN_ANNOTATION_TIMESTAMP));
    assert_int_equal(verify(&item.item, &item.subject, &ci.signer, &wanted),
                     GH_TIMESTAMP_IMPRINT_MISMATCH);
    case_signer_done(&ci);
    case_done(&other);
    case_done(&item);
}

static enum gh_cause verify_envelope(json_t *doc, const struct evidence_subject *subject,
                                     const struct signer *signer)
{
    static const char *const types[] = {REVIEW};
    static const struct claims_wanted wanted = {
        .is_attestation = true, .types = types, .type_count = 1};
    struct evidence_item item = {.kind = EVIDENCE_COSIGN_ATTESTATION, .location = "test"};
    char *text = json_dumps(doc, JSON_COMPACT);
    enum gh_cause cause;

    item.digest.alg = DIGEST_SHA256;
    item.blob = bytes_of(text);
    cause = verify(&item, subject, signer, &wanted);
    free(text);
    return cause;
}

/* Base64 with the other alphabet, as some writers of legacy envelopes have it. */
static json_t *url_safe(const char *text)
{
    char *copy = strdup(text);
    json_t *out;

    assert_non_null(copy);
    for (char *at = copy; *at != '\0'; at++) {
        *at = *at == '+' ? '-' : *at == '/' ? '_' : *at;
    }
    out = json_string(copy);
    free(copy);
    return out;
}

static void cosign_verify_envelope_alphabets_and_signature_count(void **state)
{
    struct case_signer made;
    struct evidence_subject subject;
    char *statement;
    json_t *doc, *signatures;

    case_subject(&subject);
    case_signer_keys("P-256", &made);
    statement = case_statement(&subject, REVIEW);
    doc = case_envelope(made.evp, "SHA256", DSSE_IN_TOTO, bytes_of(statement));
    case_set(doc, "/payload", url_safe(json_string_value(case_get(doc, "/payload"))));
    case_set(doc, "/signatures/0/sig",
             url_safe(json_string_value(case_get(doc, "/signatures/0/sig"))));
    assert_int_equal(verify_envelope(doc, &subject, &made.signer), GH_CAUSE_NONE);
    signatures = case_get(doc, "/signatures");
    for (int i = 1; i < DSSE_MAX_SIGNATURES; i++) {
        assert_int_equal(json_array_append(signatures, json_array_get(signatures, 0)), 0);
    }
    assert_int_equal(verify_envelope(doc, &subject, &made.signer), GH_CAUSE_NONE);
    assert_int_equal(json_array_append(signatures, json_array_get(signatures, 0)), 0);
    assert_int_equal(verify_envelope(doc, &subject, &made.signer), GH_DSSE_SIGNATURE_COUNT);
    json_decref(doc);
    free(statement);
    case_signer_done(&made);
}

/* ---- 2.4: bundles ---- */

static json_t *certificate_of(const json_t *doc, const char *pointer)
{
    return json_incref(case_get((json_t *)doc, pointer));
}

static void bundle_verify_chain_of_other_form_refused(void **state)
{
    static const char chain[] = "/verificationMaterial/x509CertificateChain/certificates";
    struct sigstore_case item;
    struct case_signer ci;
    struct bytes_buf text;
    json_t *doc, *root, *leaf;

    case_load("bundle-v01", &item);
    case_signer_keyless(&item, &ci);
    text = case_read("logs/trusted_root.json");
    root = json_loadb((const char *)text.data, text.len, 0, NULL);
    doc = doc_of(&item);
    assert_int_equal(verify_doc(doc, &item.subject, &ci.signer), GH_CAUSE_NONE);
    leaf = certificate_of(doc, "/verificationMaterial/x509CertificateChain/certificates/0");

    /* the self-signed root at its end */
    assert_int_equal(
        json_array_append_new(
            case_get(doc, chain),
            certificate_of(root, "/certificateAuthorities/0/certChain/certificates/1")),
        0);
    assert_int_equal(verify_doc(doc, &item.subject, &ci.signer), GH_BUNDLE_MATERIAL_INVALID);
    case_set(doc, chain, json_array());
    assert_int_equal(verify_doc(doc, &item.subject, &ci.signer), GH_BUNDLE_MATERIAL_INVALID);
    case_set(doc, "/verificationMaterial/x509CertificateChain", NULL);
    assert_int_equal(verify_doc(doc, &item.subject, &ci.signer), GH_BUNDLE_MATERIAL_INVALID);
    json_decref(doc);

    /* a chain where version 0.3 has the certificate alone */
    doc = doc_of(&item);
    case_set(doc, "/mediaType", json_string("application/vnd.dev.sigstore.bundle.v0.3+json"));
    assert_int_equal(verify_doc(doc, &item.subject, &ci.signer), GH_BUNDLE_MATERIAL_INVALID);
    case_set(doc, "/verificationMaterial/certificate", leaf);
    assert_int_equal(verify_doc(doc, &item.subject, &ci.signer), GH_BUNDLE_MATERIAL_INVALID);
    json_decref(doc);
    json_decref(root);
    bytes_buf_done(&text);
    case_signer_done(&ci);
    case_done(&item);
}

static void bundle_verify_other_spelling_refused(void **state)
{
    struct sigstore_case item;
    struct case_signer ci;
    json_t *doc;
    char *text, *lines;

    case_load("github-bundle", &item);
    case_signer_keyless(&item, &ci);
    doc = doc_of(&item);
    text = json_dumps(doc, JSON_COMPACT);
    assert_true(asprintf(&lines, "%s\n%s\n", text, text) > 0);
    assert_int_equal(verify_text(text, &item.subject, &ci.signer), GH_CAUSE_NONE);
    assert_int_equal(verify_text(lines, &item.subject, &ci.signer), GH_BUNDLE_MALFORMED);
    free(lines);
    free(text);

    /* the field's other spelling is another field */
    case_set(doc, "/dsse_envelope", certificate_of(doc, "/dsseEnvelope"));
    case_set(doc, "/dsseEnvelope", NULL);
    assert_int_equal(verify_doc(doc, &item.subject, &ci.signer), GH_BUNDLE_CONTENT_MISSING);
    json_decref(doc);

    doc = doc_of(&item);
    case_set(doc, "/dsseEnvelope/payload", json_string("eyJhIjoi-_8ifQ=="));
    assert_int_equal(verify_doc(doc, &item.subject, &ci.signer), GH_PAYLOAD_MALFORMED);
    json_decref(doc);
    case_signer_done(&ci);
    case_done(&item);
}

/* ---- 2.6: the subject's digest is exact ---- */

static void bundle_verify_subject_in_upper_case_refused(void **state)
{
    struct case_signer made;
    struct evidence_subject subject;
    char *statement, *hex;
    json_t *doc;

    case_subject(&subject);
    case_signer_keys("P-256", &made);
    statement = case_statement(&subject, SIGSTORE_CASE_SIGN);
    hex = strstr(statement, "\"sha256\":\"");
    assert_non_null(hex);
    for (char *at = hex + 10; *at != '"'; at++) {
        *at = *at >= 'a' && *at <= 'f' ? (char)(*at - 32) : *at;
    }
    doc = case_key_bundle(made.keys[0].key, "dsseEnvelope",
                          case_envelope(made.evp, "SHA256", DSSE_IN_TOTO, bytes_of(statement)));
    assert_int_equal(verify_doc(doc, &subject, &made.signer), GH_SUBJECT_MISMATCH);
    json_decref(doc);
    free(statement);
    case_signer_done(&made);
}

/* ---- 2.1: strict JSON ---- */

static void sjson_parse_other_than_strict_refused(void **state)
{
    static const struct {
        const char *text;
        enum gh_cause cause;
    } rows[] = {
        {"{}", GH_CAUSE_NONE},
        {" {\"a\":1} ", GH_CAUSE_NONE},
        {"", GH_MALFORMED_JSON},
        {"{} {}", GH_MALFORMED_JSON},
        {"{}\n{}", GH_MALFORMED_JSON},
        {"{\"a\":1,\"a\":1}", GH_DUPLICATE_JSON_KEY},
        {"{\"a\":\"\\u0000\"}", GH_MALFORMED_JSON},
        {"{\"\\u0000\":1}", GH_MALFORMED_JSON},
        {"{\"a\":\"\xff\"}", GH_MALFORMED_JSON},
        {"{'a':1}", GH_MALFORMED_JSON},
        {"{\"a\":1,}", GH_MALFORMED_JSON},
        {"{\"a\":NaN}", GH_MALFORMED_JSON},
    };
    char deep[2 * (SJSON_MAX_DEPTH + 2) + 1];

    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        json_t *doc = NULL;
        struct gh_error err = {0};

        bool ok = sjson_parse(bytes_of(rows[i].text), SJSON_MAX_BYTES, &doc, &err);

        if (ok != (rows[i].cause == GH_CAUSE_NONE) || err.cause != rows[i].cause) {
            fail_msg("%s: %s", rows[i].text, gh_cause_label(err.cause));
        }
        json_decref(doc);
    }
    for (int extra = 0; extra < 2; extra++) {
        int depth = SJSON_MAX_DEPTH + extra;
        json_t *doc = NULL;

        memset(deep, '[', (size_t)depth);
        memset(deep + depth, ']', (size_t)depth);
        deep[2 * depth] = '\0';
        assert_int_equal(sjson_parse(bytes_of(deep), SJSON_MAX_BYTES, &doc, NULL), extra == 0);
        json_decref(doc);
    }
}

static void sjson_get_integer_of_other_type_refused(void **state)
{
    static const char *const rows[] = {"{\"n\":1.0}",  "{\"n\":1e3}",  "{\"n\":\"1\"}",
                                       "{\"n\":true}", "{\"n\":null}", "{}"};

    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        json_t *doc = NULL;
        struct gh_error err = {0};
        int64_t value;

        assert_true(sjson_parse(bytes_of(rows[i]), SJSON_MAX_BYTES, &doc, NULL));
        assert_false(sjson_get_int(doc, "n", &value, &err));
        assert_int_equal(err.cause, GH_MALFORMED_JSON);
        json_decref(doc);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cosign_verify_certificate_of_another_key_refused),
        cmocka_unit_test(cosign_verify_two_certificates_refused),
        cmocka_unit_test(cosign_verify_invalid_entry_not_asked_for_refused),
        cmocka_unit_test(cosign_verify_attestation_stamp_of_another_refused),
        cmocka_unit_test(cosign_verify_envelope_alphabets_and_signature_count),
        cmocka_unit_test(bundle_verify_chain_of_other_form_refused),
        cmocka_unit_test(bundle_verify_other_spelling_refused),
        cmocka_unit_test(bundle_verify_subject_in_upper_case_refused),
        cmocka_unit_test(sjson_parse_other_than_strict_refused),
        cmocka_unit_test(sjson_get_integer_of_other_type_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
