#include "crypto/cosign.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crypto/keyed.h"
#include "tests/support/sigstore_case.h"

#include "metrics/error.h"

#define DAY 86400

static const struct claims_wanted signature_wanted = {.is_attestation = false};

static void assert_judged(const char *what, const struct evidence_item *item,
                          const struct evidence_subject *subject, const struct signer *signer,
                          const struct claims_wanted *wanted, enum gh_cause cause)
{
    struct evidence_proof proof = {0};
    struct gh_error err = {0};
    enum evidence_step step = EVIDENCE_STEP_FETCH;
    bool ok = cosign_verify(item, subject, signer, wanted, SIGSTORE_CASE_NOW, &step, &proof, &err);

    evidence_proof_done(&proof);
    if (ok != (cause == GH_CAUSE_NONE) || err.cause != cause) {
        fail_msg("%s: wanted %s, found %s at %s (%s: %s)", what,
                 cause != GH_CAUSE_NONE ? gh_cause_label(cause) : "good",
                 ok ? "good" : gh_cause_label(err.cause), evidence_step_label(step), err.place,
                 err.text);
    }
    assert_true(ok == (step == EVIDENCE_STEP_DONE));
}

/* A layer signed on the spot. */
struct layer {
    struct evidence_item item;
    struct evidence_annotation annotation;
    char *signature;
};

static void layer_make(struct layer *layer, EVP_PKEY *evp, const char *md, const char *payload)
{
    memset(layer, 0, sizeof(*layer));
    layer->signature = case_sign(evp, md, bytes_of(payload));
    layer->annotation.name = COSIGN_ANNOTATION_SIGNATURE;
    layer->annotation.value = layer->signature;
    layer->item.kind = EVIDENCE_COSIGN_SIGNATURE;
    layer->item.location = "test";
    layer->item.blob = bytes_of(payload);
    layer->item.annotations = &layer->annotation;
    layer->item.annotation_count = 1;
    layer->item.digest.alg = DIGEST_SHA256;
}

static char *payload_make(const struct evidence_subject *subject, const char *type,
                          const char *name, const char *optional)
{
    char digest[DIGEST_MAX_TEXT];
    char *out = NULL;

    digest_format(&subject->digest, digest);
    assert_true(asprintf(&out,
                         "{\"critical\":{\"identity\":{\"docker-reference\":\"%s\"},\"image\":"
                         "{\"docker-manifest-digest\":\"%s\"},\"type\":\"%s\"},\"optional\":%s}",
                         name, digest, type, optional) > 0);
    return out;
}

static char *payload_good(const struct evidence_subject *subject)
{
    return payload_make(subject, "cosign container image signature", SIGSTORE_CASE_NAME,
                        "{\"env\":\"prod\"}");
}

static void cosign_verify_each_key_type_accepted(void **state)
{
    static const struct {
        const char *type;
        const char *md;
        enum gh_cause cause;
    } rows[] = {
        {"P-256", "SHA256", GH_CAUSE_NONE}, {"P-384", "SHA256", GH_CAUSE_NONE},
        {"P-384", "SHA384", GH_CAUSE_NONE}, {"P-521", "SHA256", GH_CAUSE_NONE},
        {"P-521", "SHA512", GH_CAUSE_NONE}, {"RSA", "SHA256", GH_CAUSE_NONE},
        {"ED25519", NULL, GH_CAUSE_NONE},   {"P-256", "SHA512", GH_SIG_INVALID},
        {"P-384", "SHA1", GH_SIG_INVALID},  {"RSA", "SHA1", GH_SIG_INVALID},
    };

    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        struct case_signer made;
        struct evidence_subject subject;
        struct layer layer;
        char *payload;

        case_subject(&subject);
        case_signer_keys(rows[i].type, &made);
        payload = payload_good(&subject);
        layer_make(&layer, made.evp, rows[i].md, payload);
        assert_judged(rows[i].type, &layer.item, &subject, &made.signer, &signature_wanted,
                      rows[i].cause);
        free(layer.signature);
        free(payload);
        case_signer_done(&made);
    }
}

static void cosign_verify_fixture_layers_accepted(void **state)
{
    static const char *const slsa[] = {"https://slsa.dev/provenance/v1"};
    static const struct claims_wanted attestation = {
        .is_attestation = true, .types = slsa, .type_count = 1};
    static const char *const names[] = {"github-legacy", "attest-slsa1-legacy"};

    for (size_t i = 0; i < GH_COUNT(names); i++) {
        struct sigstore_case item;
        struct case_signer ci;
        const struct claims_wanted *wanted = i == 0 ? &signature_wanted : &attestation;

        case_load(names[i], &item);
        case_signer_keyless(&item, &ci);
        assert_judged(names[i], &item.item, &item.subject, &ci.signer, wanted, GH_CAUSE_NONE);
        assert_judged("other kind", &item.item, &item.subject, &ci.signer,
                      i == 0 ? &attestation : &signature_wanted, GH_PREDICATE_TYPE_MISMATCH);
        item.subject.digest.value[0] ^= 1;
        assert_judged("other image", &item.item, &item.subject, &ci.signer, wanted,
                      i == 0 ? GH_PAYLOAD_DIGEST_MISMATCH : GH_SUBJECT_MISMATCH);
        case_signer_done(&ci);
        case_done(&item);
    }
}

/* The annotations of a keyless layer, one replaced, dropped or taken from elsewhere at a time. */
static void cosign_verify_keyless_annotation_changed_refused(void **state)
{
    static const char key_pem[] =
        "-----BEGIN PUBLIC KEY-----\n"
        "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEKSexC1ErqePtz+Rngogoe60jApaZkfcIYGnEw99scjjHh5ZOqsAO\n"
        "WSH7FJimD2BHZrPZaFABVY0al05zQVE=\n-----END PUBLIC KEY-----\n";
    static const struct {
        const char *name;
        const char *value; /* NULL: removed; "@": of another signature by the same identity */
        enum gh_cause cause;
    } rows[] = {
        {"none", "", GH_CAUSE_NONE},
        {COSIGN_ANNOTATION_SIGNATURE, NULL, GH_SIG_MALFORMED},
        {COSIGN_ANNOTATION_SIGNATURE, "not base64!", GH_SIG_MALFORMED},
        {COSIGN_ANNOTATION_SIGNATURE, "AAAA", GH_TIMESTAMP_IMPRINT_MISMATCH},
        {COSIGN_ANNOTATION_CERTIFICATE, NULL, GH_IDENTITY_MISSING},
        {COSIGN_ANNOTATION_CERTIFICATE, key_pem, GH_CERT_MALFORMED},
        {COSIGN_ANNOTATION_CERTIFICATE, "@", GH_TLOG_KEY_MISMATCH},
        {COSIGN_ANNOTATION_CHAIN, "no PEM", GH_CERT_MALFORMED},
        {COSIGN_ANNOTATION_CHAIN, NULL, GH_CAUSE_NONE},
        {COSIGN_ANNOTATION_BUNDLE, NULL, GH_TLOG_MISSING},
        {COSIGN_ANNOTATION_BUNDLE, "{}", GH_TLOG_ENTRY_MALFORMED},
        {COSIGN_ANNOTATION_BUNDLE, "@", GH_TLOG_KIND_MISMATCH},
        {COSIGN_ANNOTATION_TIMESTAMP, "{}", GH_TIMESTAMP_INVALID},
        {COSIGN_ANNOTATION_TIMESTAMP, "@", GH_TIMESTAMP_IMPRINT_MISMATCH},
    };
    struct sigstore_case other;

    case_load("attest-slsa1-legacy", &other);
    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        struct sigstore_case item;
        struct case_signer ci;

        case_load("github-legacy", &item);
        case_signer_keyless(&item, &ci);
        for (size_t k = 0; k < item.item.annotation_count; k++) {
            if (strcmp(item.annotations[k].name, rows[i].name) != 0) {
                continue;
            }
            item.annotations[k].value = rows[i].value != NULL && strcmp(rows[i].value, "@") == 0
                                            ? evidence_annotation_get(&other.item, rows[i].name)
                                            : rows[i].value;
            if (rows[i].value == NULL) {
                item.annotations[k] = item.annotations[--item.item.annotation_count];
            }
            break;
        }
        assert_judged(rows[i].name, &item.item, &item.subject, &ci.signer, &signature_wanted,
                      rows[i].cause);
        case_signer_done(&ci);
        case_done(&item);
    }
    case_done(&other);
}

static void cosign_verify_payload_of_other_form_refused(void **state)
{
#define REFERENCE "\"identity\":{\"docker-reference\":\"a\"}"
#define IMAGE "\"image\":{\"docker-manifest-digest\":\"sha256:00\"}"
#define TYPE "\"type\":\"cosign container image signature\""
    static const struct {
        const char *payload;
        enum gh_cause cause;
    } rows[] = {
        {"not JSON", GH_PAYLOAD_MALFORMED},
        {"{}", GH_PAYLOAD_MALFORMED},
        {"{\"critical\":{" REFERENCE "," IMAGE "," TYPE "}}", GH_PAYLOAD_MALFORMED},
        {"{\"critical\":{" REFERENCE "," IMAGE "},\"optional\":null}", GH_PAYLOAD_MALFORMED},
        {"{\"critical\":{" REFERENCE "," IMAGE "," TYPE "},\"optional\":1}", GH_PAYLOAD_MALFORMED},
        {"{\"critical\":{" REFERENCE "," IMAGE "," TYPE "," TYPE "},\"optional\":null}",
         GH_PAYLOAD_MALFORMED},
        {"{\"critical\":{" REFERENCE "," IMAGE "," TYPE "},\"optional\":null,\"x\":1}",
         GH_PAYLOAD_UNKNOWN_FIELD},
        {"{\"critical\":{" REFERENCE "," IMAGE "," TYPE ",\"x\":1},\"optional\":null}",
         GH_PAYLOAD_UNKNOWN_FIELD},
        {"{\"critical\":{" REFERENCE ",\"image\":{\"docker-manifest-digest\":\"a\",\"x\":1}," TYPE
         "},\"optional\":null}",
         GH_PAYLOAD_UNKNOWN_FIELD},
        {"{\"critical\":{" REFERENCE "," IMAGE ",\"type\":\"atomic container signature\"},"
         "\"optional\":null}",
         GH_SIMPLE_TYPE_MISMATCH},
        {"{\"critical\":{" REFERENCE "," IMAGE "," TYPE "},\"optional\":null}",
         GH_PAYLOAD_DIGEST_MISMATCH},
    };
    struct case_signer made;
    struct evidence_subject subject;

    case_subject(&subject);
    case_signer_keys("P-256", &made);
    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        struct layer layer;

        layer_make(&layer, made.evp, "SHA256", rows[i].payload);
        assert_judged(rows[i].payload, &layer.item, &subject, &made.signer, &signature_wanted,
                      rows[i].cause);
        free(layer.signature);
    }
    case_signer_done(&made);
}

static void cosign_verify_annotations_and_reference(void **state)
{
    static const struct {
        const char *name; /* signed */
        enum signer_reference rule;
        enum gh_cause cause;
    } rows[] = {
        {"elsewhere.test/app", SIGNER_REFERENCE_OFF, GH_CAUSE_NONE},
        {SIGSTORE_CASE_NAME, SIGNER_REFERENCE_REPOSITORY, GH_CAUSE_NONE},
        {SIGSTORE_CASE_NAME ":v2", SIGNER_REFERENCE_REPOSITORY, GH_CAUSE_NONE},
        {"registry.example.test/app2", SIGNER_REFERENCE_REPOSITORY, GH_IDENTITY_REFERENCE_MISMATCH},
        {"", SIGNER_REFERENCE_REPOSITORY, GH_IDENTITY_REFERENCE_MISMATCH},
        {SIGSTORE_CASE_NAME ":v1", SIGNER_REFERENCE_EXACT, GH_CAUSE_NONE},
        {SIGSTORE_CASE_NAME ":v2", SIGNER_REFERENCE_EXACT, GH_IDENTITY_REFERENCE_MISMATCH},
        {SIGSTORE_CASE_NAME, SIGNER_REFERENCE_EXACT, GH_IDENTITY_REFERENCE_MISMATCH},
    };
    struct evidence_annotation pair = {"env", "prod"};
    struct claims_wanted wanted = {.annotations = &pair, .annotation_count = 1};
    struct case_signer made;
    struct evidence_subject subject;

    case_subject(&subject);
    case_signer_keys("P-256", &made);
    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        char *payload = payload_make(&subject, "cosign container image signature", rows[i].name,
                                     "{\"env\":\"prod\"}");
        struct layer layer;

        layer_make(&layer, made.evp, "SHA256", payload);
        made.signer.match_reference = rows[i].rule;
        pair.value = "prod";
        assert_judged(rows[i].name, &layer.item, &subject, &made.signer, &wanted, rows[i].cause);
        pair.value = "dev";
        assert_judged(rows[i].name, &layer.item, &subject, &made.signer, &wanted,
                      rows[i].cause != GH_CAUSE_NONE ? rows[i].cause : GH_ANNOTATION_MISMATCH);
        free(layer.signature);
        free(payload);
    }
    case_signer_done(&made);
}

static void cosign_verify_key_window_and_revocation(void **state)
{
    static const struct {
        const char *what;
        int64_t from;
        int64_t until;
        enum signer_revoked revoked;
        enum gh_cause cause;
    } rows[] = {
        {"in window", -DAY, DAY, SIGNER_NOT_REVOKED, GH_CAUSE_NONE},
        {"first second", 0, DAY, SIGNER_NOT_REVOKED, GH_CAUSE_NONE},
        {"last second", -DAY, 0, SIGNER_NOT_REVOKED, GH_CAUSE_NONE},
        {"too early", 1, DAY, SIGNER_NOT_REVOKED, GH_KEY_NOT_YET_VALID},
        {"too late", -DAY, -1, SIGNER_NOT_REVOKED, GH_KEY_EXPIRED},
        {"compromised", -DAY, DAY, SIGNER_COMPROMISED, GH_KEY_REVOKED},
        {"superseded, no time", -DAY, DAY, SIGNER_SUPERSEDED, GH_KEY_REVOKED},
        {"retired, no time", -DAY, DAY, SIGNER_RETIRED, GH_KEY_REVOKED},
    };
    struct case_signer made;
    struct evidence_subject subject;
    struct layer layer;
    char *payload;

    case_subject(&subject);
    case_signer_keys("P-256", &made);
    payload = payload_good(&subject);
    layer_make(&layer, made.evp, "SHA256", payload);
    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        made.keys[0].not_before_unix_s = SIGSTORE_CASE_NOW + rows[i].from;
        made.keys[0].not_after_unix_s = SIGSTORE_CASE_NOW + rows[i].until;
        made.keys[0].revoked = rows[i].revoked;
        made.keys[0].revoked_at_unix_s = SIGSTORE_CASE_NOW - DAY;
        assert_judged(rows[i].what, &layer.item, &subject, &made.signer, &signature_wanted,
                      rows[i].cause);
    }
    /* The same key once more, with a window that fits: the signature is good by that entry. */
    made.keys[0].revoked = SIGNER_NOT_REVOKED;
    made.keys[0].not_after_unix_s = SIGSTORE_CASE_NOW - DAY;
    case_signer_add_key(&made, made.evp);
    assert_judged("second window", &layer.item, &subject, &made.signer, &signature_wanted,
                  GH_CAUSE_NONE);
    free(layer.signature);
    free(payload);
    case_signer_done(&made);
}

static void keyed_check_window_proved_times(void **state)
{
    static const int64_t older[] = {SIGSTORE_CASE_NOW - 3 * DAY, SIGSTORE_CASE_NOW - 2 * DAY};
    static const int64_t mixed[] = {SIGSTORE_CASE_NOW - 3 * DAY, SIGSTORE_CASE_NOW};
    struct signer_key key = {.source = (char *)"old.pub",
                             .not_before_unix_s = SIGSTORE_CASE_NOW - 9 * DAY,
                             .not_after_unix_s = SIGSTORE_CASE_NOW - DAY,
                             .revoked_at_unix_s = SIGSTORE_CASE_NOW - DAY};
    struct gh_error err = {0};

    assert_true(keyed_check_window(&key, older, 2, SIGSTORE_CASE_NOW, &err));
    assert_false(keyed_check_window(&key, mixed, 2, SIGSTORE_CASE_NOW, &err));
    assert_int_equal(err.cause, GH_KEY_EXPIRED);
    gh_error_clear(&err);
    key.revoked = SIGNER_SUPERSEDED;
    assert_true(keyed_check_window(&key, older, 2, SIGSTORE_CASE_NOW, &err));
    assert_false(keyed_check_window(&key, mixed, 2, SIGSTORE_CASE_NOW, &err));
    assert_int_equal(err.cause, GH_KEY_REVOKED);
    gh_error_clear(&err);
    key.revoked = SIGNER_COMPROMISED;
    assert_false(keyed_check_window(&key, older, 2, SIGSTORE_CASE_NOW, &err));
    assert_int_equal(err.cause, GH_KEY_REVOKED);
}

/* An end that is announced: what is here before it is older, and what is unproved ends with it. */
static void keyed_check_window_end_to_come_spares_what_is_here(void **state)
{
    struct signer_key key = {.source = (char *)"old.pub",
                             .not_after_unix_s = INT64_MAX,
                             .revoked = SIGNER_RETIRED,
                             .revoked_at_unix_s = SIGSTORE_CASE_NOW + 1};
    struct gh_error err = {0};

    assert_true(keyed_check_window(&key, NULL, 0, SIGSTORE_CASE_NOW, &err));
    assert_false(keyed_check_window(&key, NULL, 0, SIGSTORE_CASE_NOW + 1, &err));
    assert_int_equal(err.cause, GH_KEY_REVOKED);
    gh_error_clear(&err);
    key.revoked = SIGNER_COMPROMISED;
    assert_false(keyed_check_window(&key, NULL, 0, SIGSTORE_CASE_NOW, &err));
    assert_int_equal(err.cause, GH_KEY_REVOKED);
}

static void cosign_verify_signature_of_other_encoding_refused(void **state)
{
    struct case_signer made;
    struct evidence_subject subject;
    struct layer layer;
    struct bytes_buf der = {0};
    struct gh_error err = {0};
    uint8_t raw[128] = {0};
    char *payload;
    char *text;

    case_subject(&subject);
    case_signer_keys("P-256", &made);
    payload = payload_good(&subject);
    layer_make(&layer, made.evp, "SHA256", payload);
    assert_true(bytes_base64_decode(bytes_of(layer.signature), BYTES_BASE64_STANDARD, &der, &err));
    memcpy(raw, der.data, der.len); /* and one byte more */
    text = bytes_base64_encode(bytes_make(raw, der.len + 1), BYTES_BASE64_STANDARD);
    layer.annotation.value = text;
    assert_judged("trailing byte", &layer.item, &subject, &made.signer, &signature_wanted,
                  GH_SIG_INVALID);
    free(text);
    memset(raw, 7, 64);
    text = bytes_base64_encode(bytes_make(raw, 64), BYTES_BASE64_STANDARD);
    layer.annotation.value = text;
    assert_judged("r and s", &layer.item, &subject, &made.signer, &signature_wanted,
                  GH_SIG_MALFORMED);
    free(text);
    bytes_buf_done(&der);
    free(layer.signature);
    free(payload);
    case_signer_done(&made);
}

static void cosign_verify_envelope_changed_refused(void **state)
{
    static const char *const types[] = {"https://example.test/review/v1"};
    struct claims_wanted wanted = {.is_attestation = true, .types = types, .type_count = 1};
    struct case_signer made;
    struct evidence_subject subject;
    struct evidence_item item = {.kind = EVIDENCE_COSIGN_ATTESTATION, .location = "test"};
    char *statement;
    json_t *doc;
    char *text;

    case_subject(&subject);
    case_signer_keys("P-256", &made);
    item.digest.alg = DIGEST_SHA256;
    statement = case_statement(&subject, types[0]);
    for (int change = 0; change < 7; change++) {
        static const enum gh_cause causes[] = {
            GH_CAUSE_NONE,        GH_DSSE_SIGNATURE_COUNT,  GH_SIG_INVALID,
            GH_PAYLOAD_MALFORMED, GH_PAYLOAD_TYPE_MISMATCH, GH_SIG_MALFORMED,
            GH_CAUSE_NONE};

        doc = case_envelope(made.evp, "SHA256", DSSE_IN_TOTO, bytes_of(statement));
        switch (change) {
        case 1:
            case_set(doc, "/signatures", json_array());
            break;
        case 2:
            case_flip(doc, "/payload", -20);
            wanted.types = types;
            break;
        case 3:
            case_set(doc, "/payload", json_string("?"));
            break;
        case 4:
            case_set(doc, "/payloadType", json_string("text/plain"));
            break;
        case 5:
            case_set(doc, "/signatures/0/sig", json_string("?"));
            break;
        case 6: /* another key's signature in front */
            assert_int_equal(
                json_array_insert_new(case_get(doc, "/signatures"), 0,
                                      json_pack("{s:s,s:s}", "sig", "AAAA", "keyid", "other")),
                0);
            break;
        default:
            break;
        }
        text = json_dumps(doc, JSON_COMPACT);
        item.blob = bytes_of(text);
        assert_judged("envelope", &item, &subject, &made.signer, &wanted, causes[change]);
        free(text);
        json_decref(doc);
    }
    free(statement);
    case_signer_done(&made);
}

static void verify_end_of_key_to_come_ends_the_proof(void **state)
{
    struct evidence_proof proof = {.until_unix_s = EVIDENCE_UNTIL_FOREVER};
    struct gh_error err = {0};
    enum evidence_step step = EVIDENCE_STEP_FETCH;
    struct case_signer made;
    struct evidence_subject subject;
    struct layer layer;
    char *payload;

    case_subject(&subject);
    case_signer_keys("P-256", &made);
    payload = payload_good(&subject);
    layer_make(&layer, made.evp, "SHA256", payload);
    made.keys[0].revoked = SIGNER_SUPERSEDED;
    made.keys[0].revoked_at_unix_s = SIGSTORE_CASE_NOW + DAY;
    assert_true(cosign_verify(&layer.item, &subject, &made.signer, &signature_wanted,
                              SIGSTORE_CASE_NOW, &step, &proof, &err));
    assert_int_equal(proof.until_unix_s, SIGSTORE_CASE_NOW + DAY);
    evidence_proof_done(&proof);
    free(layer.signature);
    free(payload);
    case_signer_done(&made);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cosign_verify_each_key_type_accepted),
        cmocka_unit_test(cosign_verify_fixture_layers_accepted),
        cmocka_unit_test(cosign_verify_keyless_annotation_changed_refused),
        cmocka_unit_test(cosign_verify_payload_of_other_form_refused),
        cmocka_unit_test(cosign_verify_annotations_and_reference),
        cmocka_unit_test(cosign_verify_key_window_and_revocation),
        cmocka_unit_test(keyed_check_window_proved_times),
        cmocka_unit_test(keyed_check_window_end_to_come_spares_what_is_here),
        cmocka_unit_test(verify_end_of_key_to_come_ends_the_proof),
        cmocka_unit_test(cosign_verify_signature_of_other_encoding_refused),
        cmocka_unit_test(cosign_verify_envelope_changed_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
