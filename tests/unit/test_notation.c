#include "crypto/notation.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "metrics/error.h"
#include "tests/support/notation_judge.h"
#include "tests/support/notation_maker.h"

static void notation_verify_good_proved(void **state)
{
    struct judge judge;
    struct digest authority;

    (void)state;
    judge_init(&judge, NOTATION_STORE_CA);
    assert_true(judge_jws(&judge, HEADER, payload, chain, 2, NULL));
    assert_int_equal(judge.err.cause, GH_CAUSE_NONE);
    assert_int_equal(judge.reached, EVIDENCE_STEP_DONE);
    assert_int_equal(judge.proof.rest_count, 3);                /* key, leaf, root */
    assert_true(judge.proof.until_unix_s == MAKER_NOW + 86400); /* no time stamp: notAfter */
    assert_false(judge.proof.has_proved_time);
    assert_non_null(strstr(judge.proof.signer_text, "leaf"));
    authority = judge.proof.authority;
    /* Again, now with the chain remembered. */
    assert_true(judge_jws(&judge, HEADER, payload, chain, 2, NULL));
    assert_true(digest_equal(&authority, &judge.proof.authority));
    judge_done(&judge);
}

static void notation_verify_remembered_chain_still_checks_signature(void **state)
{
    struct judge judge;
    struct bytes_buf blob;

    (void)state;
    judge_init(&judge, NOTATION_STORE_CA);
    assert_true(judge_jws(&judge, HEADER, payload, chain, 2, NULL));
    blob = maker_jws(HEADER, payload, chain, 2, NULL);
    /* The signature's text ends before the closing quote and brace. */
    blob.data[blob.len - 10] = blob.data[blob.len - 10] == 'A' ? 'B' : 'A';
    assert_false(judge_blob(&judge, EVIDENCE_NOTATION_JWS, bytes_view(&blob)));
    assert_int_equal(judge.err.cause, GH_SIG_INVALID);
    assert_int_equal(judge.reached, EVIDENCE_STEP_SIGNATURE);
    bytes_buf_done(&blob);
    judge.now = MAKER_NOW + 86401;
    assert_false(judge_jws(&judge, HEADER, payload, chain, 2, NULL));
    assert_int_equal(judge.err.cause, GH_CERT_NOT_VALID_AT_TIME);
    judge_done(&judge);
}

static void notation_verify_wrong_header_refused(void **state)
{
#define ES256 "{\"alg\":\"ES256\","
    static const struct {
        const char *header;
        enum gh_cause cause;
    } rows[] = {
        /* algorithm */
        {"{\"alg\":\"none\"," CTY "," CRIT "," SCHEME "," TIME "}", GH_NOTATION_ALG_MISMATCH},
        {"{\"alg\":\"PS512\"," CTY "," CRIT "," SCHEME "," TIME "}", GH_NOTATION_ALG_MISMATCH},
        {"{\"alg\":\"ES384\"," CTY "," CRIT "," SCHEME "," TIME "}", GH_NOTATION_ALG_MISMATCH},
        {"{" CTY "," CRIT "," SCHEME "," TIME "}", GH_NOTATION_ENVELOPE_INVALID},
        /* headers that bring keys or another reading */
        {ES256 "\"b64\":false," CTY "," CRIT "," SCHEME "," TIME "}", GH_NOTATION_ENVELOPE_INVALID},
        {ES256 "\"jwk\":{}," CTY "," CRIT "," SCHEME "," TIME "}", GH_NOTATION_ENVELOPE_INVALID},
        {ES256 "\"jku\":\"x\"," CTY "," CRIT "," SCHEME "," TIME "}", GH_NOTATION_ENVELOPE_INVALID},
        {ES256 "\"x5u\":\"x\"," CTY "," CRIT "," SCHEME "," TIME "}", GH_NOTATION_ENVELOPE_INVALID},
        {ES256 "\"x5c\":[]," CTY "," CRIT "," SCHEME "," TIME "}", GH_NOTATION_ENVELOPE_INVALID},
        {ES256 "\"alg\":\"ES256\"," CTY "," CRIT "," SCHEME "," TIME "}",
         GH_NOTATION_ENVELOPE_INVALID},
        {"[]", GH_NOTATION_ENVELOPE_INVALID},
        /* content type */
        {ES256 "\"cty\":\"text/plain\"," CRIT "," SCHEME "," TIME "}", GH_PAYLOAD_TYPE_MISMATCH},
        {ES256 CRIT "," SCHEME "," TIME "}", GH_PAYLOAD_TYPE_MISMATCH},
        /* crit */
        {ES256 CTY "," SCHEME "," TIME "}", GH_NOTATION_CRIT_INVALID},
        {ES256 CTY ",\"crit\":[]," SCHEME "," TIME "}", GH_NOTATION_CRIT_INVALID},
        {ES256 CTY ",\"crit\":\"io.cncf.notary.signingScheme\"," SCHEME "," TIME "}",
         GH_NOTATION_CRIT_INVALID},
        {ES256 CTY ",\"crit\":[1]," SCHEME "," TIME "}", GH_NOTATION_CRIT_INVALID},
        {ES256 CTY ",\"crit\":[\"io.cncf.notary.signingScheme\",\"absent\"]," SCHEME "," TIME "}",
         GH_NOTATION_CRIT_INVALID},
        {ES256 CTY ",\"crit\":[\"io.cncf.notary.signingScheme\",\"cty\"]," SCHEME "," TIME "}",
         GH_NOTATION_CRIT_INVALID},
        {ES256 CTY ",\"crit\":[\"io.cncf.notary.signingScheme\",\"io.cncf.notary.expiry\"]," SCHEME
                   "," TIME "}",
         GH_NOTATION_CRIT_INVALID},
        {ES256 CTY
         ",\"crit\":[\"io.cncf.notary.signingScheme\",\"io.cncf.notary.signingScheme\"]," SCHEME
         "," TIME "}",
         GH_NOTATION_CRIT_INVALID},
        {ES256 CTY "," CRIT "," SCHEME "," TIME
                   ",\"io.cncf.notary.expiry\":\"2027-02-01T00:00:00Z\"}",
         GH_NOTATION_CRIT_INVALID},
        {ES256 CTY ",\"x\":\"y\",\"crit\":[\"io.cncf.notary.signingScheme\",\"x\"]," SCHEME "," TIME
                   "}",
         GH_NOTATION_CRIT_UNKNOWN},
        {ES256 CTY "," CRIT "," SA_SCHEME "," SA_TIME "}", GH_NOTATION_CRIT_INVALID},
        /* scheme and its time */
        {ES256 CTY "," CRIT "," TIME "}", GH_NOTATION_ENVELOPE_INVALID},
        {ES256 CTY "," CRIT ",\"io.cncf.notary.signingScheme\":\"notary.foo\"," TIME "}",
         GH_NOTATION_SCHEME_UNSUPPORTED},
        {ES256 CTY "," CRIT "," SCHEME "}", GH_NOTATION_ENVELOPE_INVALID},
        {ES256 CTY ",\"crit\":[" SA_NAMES "]," SCHEME "," TIME "," SA_TIME "}",
         GH_NOTATION_ENVELOPE_INVALID},
        {ES256 CTY ",\"crit\":[" SA_NAMES "]," SA_SCHEME "," TIME "," SA_TIME "}",
         GH_NOTATION_ENVELOPE_INVALID},
        {ES256 CTY "," CRIT "," SCHEME ",\"io.cncf.notary.signingTime\":\"yesterday\"}",
         GH_NOTATION_ENVELOPE_INVALID},
        {ES256 CTY "," CRIT "," SCHEME ",\"io.cncf.notary.signingTime\":\"2027-02-30T00:00:00Z\"}",
         GH_NOTATION_ENVELOPE_INVALID},
        {ES256 CTY ",\"crit\":[\"io.cncf.notary.signingScheme\",\"io.cncf.notary.expiry\"]," SCHEME
                   "," TIME ",\"io.cncf.notary.expiry\":\"2027-01-15T07:00:00Z\"}",
         GH_NOTATION_ENVELOPE_INVALID}, /* expires as it is made */
        {ES256 CTY ",\"crit\":[\"io.cncf.notary.signingScheme\",\"io.cncf.notary.expiry\"]," SCHEME
                   "," TIME ",\"io.cncf.notary.expiry\":\"2027-01-15T08:00:00Z\"}",
         GH_NOTATION_EXPIRED}, /* the very second */
        /* plugins */
        {ES256 CTY "," CRIT "," SCHEME "," TIME
                   ",\"io.cncf.notary.verificationPlugin\":\"com.example.x\"}",
         GH_NOTATION_PLUGIN_REQUIRED},
        /* a root for the other scheme */
        {SA_HEADER, GH_NOTATION_SCHEME_STORE_MISMATCH},
    };
    struct judge judge;

    (void)state;
    judge_init(&judge, NOTATION_STORE_CA);
    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        assert_false(judge_jws(&judge, rows[i].header, payload, chain, 2, NULL));
        if (judge.err.cause != rows[i].cause) {
            print_message("# row %zu: %s (%s)\n", i, gh_cause_label(judge.err.cause),
                          judge.err.text);
        }
        assert_int_equal(judge.err.cause, rows[i].cause);
    }
    judge_done(&judge);
}

static void notation_verify_expiry_ahead_bounds_proof(void **state)
{
    struct judge judge;

    (void)state;
    judge_init(&judge, NOTATION_STORE_CA);
    assert_true(
        judge_jws(&judge,
                  "{\"alg\":\"ES256\"," CTY
                  ",\"crit\":[\"io.cncf.notary.signingScheme\",\"io.cncf.notary.expiry\"]," SCHEME
                  "," TIME ",\"io.cncf.notary.expiry\":\"2027-01-15T08:00:10.5Z\"}",
                  payload, chain, 2, NULL));
    assert_true(judge.proof.until_unix_s == MAKER_NOW + 9);
    judge_done(&judge);
}

static void notation_verify_wrong_unprotected_refused(void **state)
{
    static const char *const rows[] = {
        ",\"alg\":\"ES256\"",
        ",\"io.cncf.notary.signingScheme\":\"notary.x509\"",
        ",\"jwk\":{}",
        ",\"io.cncf.notary.timestampSignature\":\"%\"",
        ",\"io.cncf.notary.timestampSignature\":1",
        ",\"x5c\":[]",
    };
    struct judge judge;

    (void)state;
    judge_init(&judge, NOTATION_STORE_CA);
    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        assert_false(judge_jws(&judge, HEADER, payload, chain, 2, rows[i]));
        assert_int_equal(judge.err.cause, GH_NOTATION_ENVELOPE_INVALID);
        assert_true(judge.reached <= EVIDENCE_STEP_PARSE);
    }
    judge_done(&judge);
}

static void notation_verify_other_serialisations_refused(void **state)
{
    static const char *const rows[] = {
        "",
        "eyJhbGciOiJFUzI1NiJ9.e30.AAAA",
        "{\"payload\":\"e30\",\"signatures\":[]}",
        "{\"payload\":\"e30\",\"protected\":\"e30\",\"header\":{},\"signature\":\"\",\"x\":1}",
        "{\"payload\":\"e30\",\"protected\":\"e30\",\"signature\":\"\"}",
        "{\"payload\":\"e30=\",\"protected\":\"e30\",\"header\":{},\"signature\":\"\"}",
        ("{\"payload\":\"e30\",\"payload\":\"e30\",\"protected\":\"e30\",\"header\":{},"
         "\"signature\":\"\"}"),
    };
    struct judge judge;

    (void)state;
    judge_init(&judge, NOTATION_STORE_CA);
    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        assert_false(judge_blob(&judge, EVIDENCE_NOTATION_JWS, bytes_of(rows[i])));
        assert_int_equal(judge.err.cause, GH_NOTATION_ENVELOPE_INVALID);
    }
    assert_false(judge_blob(&judge, EVIDENCE_BUNDLE, bytes_of("{}")));
    assert_int_equal(judge.err.cause, GH_SIGNATURE_FORMAT_DISALLOWED);
    judge_done(&judge);
}

static void notation_verify_wrong_payload_refused(void **state)
{
    struct judge judge;
    char text[512];
    static const char *const broken[] = {"[]", "{}", "{\"targetArtifact\":1}",
                                         "{\"targetArtifact\":{\"mediaType\":\"x\"}}", "{"};

    (void)state;
    judge_init(&judge, NOTATION_STORE_CA);
    for (size_t i = 0; i < GH_COUNT(broken); i++) {
        assert_false(judge_jws(&judge, HEADER, broken[i], chain, 2, NULL));
        assert_int_equal(judge.err.cause, GH_PAYLOAD_MALFORMED);
    }
    format_payload(text, sizeof(text), MEDIA_TYPE, subject.manifest.len + 1, NULL);
    assert_false(judge_jws(&judge, HEADER, text, chain, 2, NULL));
    assert_int_equal(judge.err.cause, GH_PAYLOAD_DIGEST_MISMATCH);
    assert_int_equal(judge.reached, EVIDENCE_STEP_SUBJECT);
    format_payload(text, sizeof(text), "application/vnd.oci.image.index.v1+json",
                   subject.manifest.len, NULL);
    assert_false(judge_jws(&judge, HEADER, text, chain, 2, NULL));
    assert_int_equal(judge.err.cause, GH_PAYLOAD_DIGEST_MISMATCH);
    format_payload(text, sizeof(text), MEDIA_TYPE, subject.manifest.len, "{\"a\":1}");
    assert_false(judge_jws(&judge, HEADER, text, chain, 2, NULL));
    assert_int_equal(judge.err.cause, GH_PAYLOAD_MALFORMED);
    judge_done(&judge);
}

static void notation_verify_metadata_compared(void **state)
{
    static const struct evidence_annotation wanted[] = {{"stage", "prod"}, {"team", "a"}};
    struct judge judge;
    char text[512];

    (void)state;
    judge_init(&judge, NOTATION_STORE_CA);
    judge.metadata = wanted;
    judge.metadata_count = 2;
    format_payload(text, sizeof(text), MEDIA_TYPE, subject.manifest.len,
                   "{\"stage\":\"prod\",\"team\":\"a\",\"more\":\"x\"}");
    assert_true(judge_jws(&judge, HEADER, text, chain, 2, NULL));
    format_payload(text, sizeof(text), MEDIA_TYPE, subject.manifest.len, "{\"stage\":\"prod\"}");
    assert_false(judge_jws(&judge, HEADER, text, chain, 2, NULL));
    assert_int_equal(judge.err.cause, GH_ANNOTATION_MISMATCH);
    assert_false(judge_jws(&judge, HEADER, payload, chain, 2, NULL));
    assert_int_equal(judge.err.cause, GH_ANNOTATION_MISMATCH);
    assert_int_equal(judge.reached, EVIDENCE_STEP_REFERENCE);
    judge_done(&judge);
}

static void notation_verify_identity_compared(void **state)
{
    struct notation_dn *dns[1] = {NULL};
    struct judge judge;

    (void)state;
    judge_init(&judge, NOTATION_STORE_CA);
    judge.signer.is_any_identity = false;
    assert_false(judge_jws(&judge, HEADER, payload, chain, 2, NULL));
    assert_int_equal(judge.err.cause, GH_NOTATION_IDENTITY_MISMATCH);
    judge.signer.identities = dns;
    judge.signer.identity_count = 1;
    assert_true(notation_dn_parse(BYTES_LITERAL("x509.subject: C=US, ST=WA, O=Acme, CN=leaf"),
                                  &dns[0], NULL));
    assert_true(judge_jws(&judge, HEADER, payload, chain, 2, NULL));
    notation_dn_free(dns[0]);
    assert_true(notation_dn_parse(BYTES_LITERAL("x509.subject: C=US, ST=WA, O=Acme, CN=other"),
                                  &dns[0], NULL));
    assert_false(judge_jws(&judge, HEADER, payload, chain, 2, NULL));
    assert_int_equal(judge.err.cause, GH_NOTATION_IDENTITY_MISMATCH);
    assert_int_equal(judge.reached, EVIDENCE_STEP_IDENTITY);
    notation_dn_free(dns[0]);
    judge_done(&judge);
}

static void notation_verify_levels_log_instead(void **state)
{
    struct judge judge;

    (void)state;
    judge_init(&judge, NOTATION_STORE_SIGNING_AUTHORITY);
    judge.signer.authenticity = SIGNER_LOG;
    judge.signer.revocation = SIGNER_LOG;
    judge.now = MAKER_NOW + 90000; /* the certificates have ended */
    assert_false(judge_jws(&judge, HEADER, payload, chain, 2, NULL));
    assert_int_equal(judge.err.cause, GH_CERT_NOT_VALID_AT_TIME);
    judge.signer.authentic_timestamp = SIGNER_LOG;
    assert_true(judge_jws(&judge, HEADER, payload, chain, 2, NULL));
    assert_int_equal(judge.proof.logged_count, 3);
    assert_int_equal(judge.proof.logged[0].cause, GH_NOTATION_SCHEME_STORE_MISMATCH);
    assert_int_equal(judge.proof.logged[1].cause, GH_CERT_NOT_VALID_AT_TIME);
    assert_int_equal(judge.proof.logged[2].cause, GH_REVOCATION_UNAVAILABLE);
    judge_done(&judge);
}

static void notation_verify_signing_authority_time_proved(void **state)
{
    struct judge judge;

    (void)state;
    judge_init(&judge, NOTATION_STORE_SIGNING_AUTHORITY);
    judge.now = MAKER_NOW + 90000; /* after the certificates: the signing time counts */
    assert_true(judge_jws(&judge, SA_HEADER, payload, chain, 2, NULL));
    assert_true(judge.proof.has_proved_time);
    assert_true(judge.proof.proved_unix_s == MAKER_NOW - 3600);
    assert_true(judge.proof.until_unix_s == EVIDENCE_UNTIL_FOREVER);
    assert_false(judge_jws(&judge,
                           "{\"alg\":\"ES256\"," CTY ",\"crit\":[" SA_NAMES "]," SA_SCHEME
                           ",\"io.cncf.notary.authenticSigningTime\":\"2026-01-15T07:00:00Z\"}",
                           payload, chain, 2, NULL));
    assert_int_equal(judge.err.cause, GH_CERT_NOT_VALID_AT_TIME);
    assert_int_equal(judge.reached, EVIDENCE_STEP_TIME);
    judge_done(&judge);
}

static void notation_verify_timestamp_wanted_refused(void **state)
{
    struct judge judge;

    (void)state;
    judge_init(&judge, NOTATION_STORE_CA);
    assert_true(notation_store_add(judge.store, NOTATION_STORE_TSA, bytes_view(&root.der), NULL));
    assert_false(judge_jws(&judge, HEADER, payload, chain, 2, NULL));
    assert_int_equal(judge.err.cause, GH_NOTATION_TIMESTAMP_REQUIRED);
    judge.signer.is_timestamp_after_expiry_only = true;
    assert_true(judge_jws(&judge, HEADER, payload, chain, 2, NULL));
    judge.now = MAKER_NOW + 90000;
    assert_false(judge_jws(&judge, HEADER, payload, chain, 2, NULL));
    assert_int_equal(judge.err.cause, GH_NOTATION_TIMESTAMP_REQUIRED);
    judge.now = MAKER_NOW;
    judge.signer.is_timestamp_after_expiry_only = false;
    assert_false(judge_jws(&judge, HEADER, payload, chain, 2,
                           ",\"io.cncf.notary.timestampSignature\":\"MAA=\""));
    assert_int_equal(judge.err.cause, GH_TIMESTAMP_INVALID);
    judge_done(&judge);
}

static void notation_store_add_unfit_refused(void **state)
{
    struct notation_store *store = NULL;
    struct gh_error err = {0};

    (void)state;
    assert_true(notation_store_new(&store, NULL));
    assert_false(notation_store_add(store, NOTATION_STORE_CA, bytes_view(&leaf.der), &err));
    assert_int_equal(err.cause, GH_TRUST_ROOT_MALFORMED);
    gh_error_clear(&err);
    assert_false(notation_store_add(store, NOTATION_STORE_CA, BYTES_LITERAL(""), &err));
    assert_int_equal(err.cause, GH_TRUST_ROOT_MALFORMED);
    gh_error_clear(&err);
    assert_false(notation_store_add(store, NOTATION_STORE_TSA, BYTES_LITERAL("0\x00"), &err));
    assert_int_equal(err.cause, GH_TRUST_ROOT_MALFORMED);
    gh_error_clear(&err);
    assert_false(notation_store_add_crl(store, BYTES_LITERAL("junk"), &err));
    assert_int_equal(err.cause, GH_CRL_INVALID);
    assert_int_equal(notation_store_count(store, NOTATION_STORE_CA), 0);
    notation_store_free(store);
}

static void notation_verify_without_store_refused(void **state)
{
    struct judge judge;

    (void)state;
    judge_init(&judge, NOTATION_STORE_CA);
    judge.signer.store = NULL;
    assert_false(judge_jws(&judge, HEADER, payload, chain, 2, NULL));
    assert_int_equal(judge.err.cause, GH_TRUST_ROOT_MISSING);
    judge_done(&judge);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(notation_verify_good_proved),
        cmocka_unit_test(notation_verify_remembered_chain_still_checks_signature),
        cmocka_unit_test(notation_verify_wrong_header_refused),
        cmocka_unit_test(notation_verify_expiry_ahead_bounds_proof),
        cmocka_unit_test(notation_verify_wrong_unprotected_refused),
        cmocka_unit_test(notation_verify_other_serialisations_refused),
        cmocka_unit_test(notation_verify_wrong_payload_refused),
        cmocka_unit_test(notation_verify_metadata_compared),
        cmocka_unit_test(notation_verify_identity_compared),
        cmocka_unit_test(notation_verify_levels_log_instead),
        cmocka_unit_test(notation_verify_signing_authority_time_proved),
        cmocka_unit_test(notation_verify_timestamp_wanted_refused),
        cmocka_unit_test(notation_store_add_unfit_refused),
        cmocka_unit_test(notation_verify_without_store_refused),
    };

    return cmocka_run_group_tests(tests, judge_set_up, judge_tear_down);
}
