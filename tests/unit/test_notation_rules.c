/*
 * Rules of the Notary Project that other cases do not come to, each with the cause it is refused
 * with. tests/lint/steps.tsv lists all of them and where they are tested.
 */
#include "crypto/notation.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "crypto/cbor.h"
#include "metrics/error.h"
#include "tests/support/notation_judge.h"
#include "tests/support/notation_maker.h"

static void assert_refused(struct judge *judge, bool is_good, enum gh_cause cause, const char *name)
{
    if (is_good || judge->err.cause != cause) {
        fail_msg("%s: wanted %s, found %s: %s", name, gh_cause_label(cause),
                 gh_cause_label(judge->err.cause), judge->err.text);
    }
    assert_int_equal(judge->err.cause, cause);
}

/* --- keys ------------------------------------------------------------------------------------ */

/* The size of the key says the algorithm, and only six sizes sign. */
static void notation_verify_key_not_allowed_refused(void **state)
{
    static const struct {
        const char *curve;
        unsigned rsa_bits;
        const char *alg;
        enum gh_cause cause;
    } rows[] = {
        {NULL, 1024, "PS256", GH_NOTATION_CHAIN_INVALID},
        {NULL, 2560, "PS256", GH_NOTATION_CHAIN_INVALID},
        {"P-224", 0, "ES256", GH_NOTATION_CHAIN_INVALID},
        {"secp256k1", 0, "ES256", GH_NOTATION_CHAIN_INVALID},
        {NULL, 2048, "PS384", GH_NOTATION_ALG_MISMATCH},
        {NULL, 2048, "ES256", GH_NOTATION_ALG_MISMATCH},
        {NULL, 2048, "RS256", GH_NOTATION_ALG_MISMATCH},
        {NULL, 3072, "PS256", GH_NOTATION_ALG_MISMATCH},
        {"P-384", 0, "ES256", GH_NOTATION_ALG_MISMATCH},
        {NULL, 2048, "PS256", GH_SIG_INVALID}, /* and the signature itself is checked */
    };
    struct judge judge;

    (void)state;
    judge_init(&judge, NOTATION_STORE_CA);
    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        struct maker_profile profile = MAKER_LEAF;
        struct maker_cert own;
        const struct maker_cert *const certs[] = {&own, &root};
        char header[512];

        profile.curve = rows[i].curve;
        profile.rsa_bits = rows[i].rsa_bits;
        maker_issue(&root, &profile, &own);
        (void)snprintf(header, sizeof(header),
                       "{\"alg\":\"%s\"," CTY "," CRIT "," SCHEME "," TIME "}", rows[i].alg);
        assert_refused(&judge, judge_jws(&judge, header, payload, certs, 2, NULL), rows[i].cause,
                       rows[i].alg);
        maker_done(&own);
    }
    judge_done(&judge);
}

/* --- JWS ------------------------------------------------------------------------------------- */

/* The envelope with SIGNATURE, in base64url, in the place of its own. */
static bool judge_with_signature(struct judge *judge, const char *signature)
{
    struct bytes_buf blob = maker_jws(HEADER, payload, chain, 2, NULL);
    json_t *doc = json_loadb((const char *)blob.data, blob.len, 0, NULL);
    char *text;
    bool is_good;

    assert_non_null(doc);
    assert_int_equal(json_object_set_new(doc, "signature", json_string(signature)), 0);
    text = json_dumps(doc, JSON_COMPACT);
    is_good = judge_blob(judge, EVIDENCE_NOTATION_JWS, bytes_of(text));
    free(text);
    json_decref(doc);
    bytes_buf_done(&blob);
    return is_good;
}

/* r and s raw, 32 bytes each: no DER, not shorter, not longer, not zero. */
static void notation_verify_jws_signature_form_refused(void **state)
{
    static const struct {
        size_t len;
        uint8_t fill;
    } rows[] = {{0, 0}, {63, 1}, {65, 1}, {64, 0}, {96, 1}, {132, 1}};
    uint8_t raw[132];
    struct judge judge;

    (void)state;
    judge_init(&judge, NOTATION_STORE_CA);
    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        char *text;

        memset(raw, rows[i].fill, sizeof(raw));
        text = bytes_base64_encode(bytes_make(raw, rows[i].len), BYTES_BASE64_URL_NOPAD);
        assert_false(judge_with_signature(&judge, text));
        assert_true(judge.err.cause == GH_SIG_INVALID || judge.err.cause == GH_SIG_MALFORMED ||
                    judge.err.cause == GH_NOTATION_ENVELOPE_INVALID);
        free(text);
    }
    /* a DER signature: SEQUENCE of two INTEGER */
    assert_refused(&judge, judge_with_signature(&judge, "MAYCAQECAQE"), GH_SIG_INVALID, "DER");
    judge_done(&judge);
}

/* Only the name of the specification counts, not that of its example. */
static void notation_verify_timestamp_of_other_name_ignored(void **state)
{
    struct judge judge;

    (void)state;
    judge_init(&judge, NOTATION_STORE_CA);
    assert_true(notation_store_add(judge.store, NOTATION_STORE_TSA, bytes_view(&root.der), NULL));
    assert_refused(
        &judge,
        judge_jws(&judge, HEADER, payload, chain, 2, ",\"io.cncf.notary.timestamp\":\"MAA=\""),
        GH_NOTATION_TIMESTAMP_REQUIRED, "the example's name");
    judge_done(&judge);
}

static void notation_verify_authentic_time_missing_refused(void **state)
{
    struct judge judge;

    (void)state;
    judge_init(&judge, NOTATION_STORE_SIGNING_AUTHORITY);
    assert_refused(&judge,
                   judge_jws(&judge, "{\"alg\":\"ES256\"," CTY "," CRIT "," SA_SCHEME "}", payload,
                             chain, 2, NULL),
                   GH_NOTATION_ENVELOPE_INVALID, "no authentic signing time");
    judge_done(&judge);
}

static void notation_verify_chain_missing_refused(void **state)
{
    struct judge judge;

    (void)state;
    judge_init(&judge, NOTATION_STORE_CA);
    assert_refused(
        &judge,
        judge_blob(&judge, EVIDENCE_NOTATION_JWS,
                   bytes_of("{\"payload\":\"e30\",\"protected\":"
                            "\"eyJhbGciOiJFUzI1NiJ9\",\"header\":{},\"signature\":\"AA\"}")),
        GH_NOTATION_ENVELOPE_INVALID, "no x5c");
    judge_done(&judge);
}

static void notation_verify_reserved_metadata_refused(void **state)
{
    static const struct evidence_annotation wanted[] = {{"io.cncf.notary.x", "1"}};
    struct judge judge;
    char text[512];

    (void)state;
    judge_init(&judge, NOTATION_STORE_CA);
    judge.metadata = wanted;
    judge.metadata_count = 1;
    format_payload(text, sizeof(text), MEDIA_TYPE, subject.manifest.len,
                   "{\"io.cncf.notary.x\":\"1\"}");
    assert_refused(&judge, judge_jws(&judge, HEADER, text, chain, 2, NULL), GH_ANNOTATION_MISMATCH,
                   "reserved");
    judge_done(&judge);
}

/* --- COSE ------------------------------------------------------------------------------------ */

/* {1: -7, 2: [scheme], 3: type, scheme: notary.x509, time: 1(epoch)} */
#define COSE_REST                                                                                  \
    "\x01\x26\x02\x81\x78\x1cio.cncf.notary.signingScheme\x03\x78\x2b"                             \
    "application/vnd.cncf.notary.payload.v1+json"                                                  \
    "\x78\x1cio.cncf.notary.signingScheme\x6bnotary.x509"                                          \
    "\x78\x1aio.cncf.notary.signingTime\xc1\x1a\x6b\x49\xd2\x00"
#define COSE_MAP "\xa5" COSE_REST

static void put(FILE *file, enum cbor_kind kind, struct bytes content)
{
    uint8_t head[CBOR_MAX_HEAD];

    fwrite(head, 1, cbor_put_head(kind, content.len, head), file);
    fwrite(content.data, 1, content.len, file);
}

enum cose_fault {
    COSE_GOOD,
    COSE_ONE_CERT,        /* the leaf alone, as a string: fit, but it is not self-signed */
    COSE_CHAIN_PROTECTED, /* good too: the chain may be protected */
    COSE_CHAIN_TWICE,     /* in both maps */
    COSE_CHAIN_EMPTY,
    COSE_CHAIN_TEXT,
    COSE_NO_CHAIN,
    COSE_DETACHED,
    COSE_PAYLOAD_TEXT,
    COSE_UNPROTECTED_ARRAY,
    COSE_ALG_UNPROTECTED, /* once more, beside the protected one */
    COSE_SCHEME_UNPROTECTED,
    COSE_THREE_ITEMS,
    COSE_SIGNATURE_LONG,
    COSE_SIGNATURE_DER,
    COSE_EXTERNAL_DATA, /* signed over other external data than none */
    COSE_TIMESTAMP_TEXT,
};

static void put_chain(FILE *file, enum cose_fault fault)
{
    fputs("\x18\x21", file);
    if (fault == COSE_CHAIN_EMPTY) {
        fputc(0x80, file);
    } else if (fault == COSE_CHAIN_TEXT) {
        put(file, CBOR_KIND_TEXT, bytes_of("MIIB"));
    } else if (fault == COSE_ONE_CERT) {
        put(file, CBOR_KIND_BYTES, bytes_view(&leaf.der));
    } else {
        fputc(0x82, file);
        put(file, CBOR_KIND_BYTES, bytes_view(&leaf.der));
        put(file, CBOR_KIND_BYTES, bytes_view(&root.der));
    }
}

static void put_unprotected(FILE *file, enum cose_fault fault)
{
    if (fault == COSE_UNPROTECTED_ARRAY) {
        fputc(0x80, file);
    } else if (fault == COSE_NO_CHAIN || fault == COSE_CHAIN_PROTECTED) {
        fputc(0xa0, file);
    } else if (fault == COSE_ALG_UNPROTECTED) {
        fputs("\xa2\x01\x26", file);
        put_chain(file, fault);
    } else if (fault == COSE_SCHEME_UNPROTECTED) {
        fputs("\xa2\x78\x1cio.cncf.notary.signingScheme\x6bnotary.x509", file);
        put_chain(file, fault);
    } else if (fault == COSE_TIMESTAMP_TEXT) {
        fputs("\xa2\x78\x21io.cncf.notary.timestampSignature\x61x", file);
        put_chain(file, fault);
    } else {
        fputc(0xa1, file);
        put_chain(file, fault);
    }
}

/* The protected map: new, free(). */
static char *cose_protected(enum cose_fault fault, size_t *len)
{
    char *text = NULL;
    FILE *file = open_memstream(&text, len);

    if (fault == COSE_CHAIN_PROTECTED || fault == COSE_CHAIN_TWICE) {
        fputs("\xa6", file);
        fwrite(COSE_REST, 1, sizeof(COSE_REST) - 1, file);
        put_chain(file, fault);
    } else {
        fwrite(COSE_MAP, 1, sizeof(COSE_MAP) - 1, file);
    }
    (void)fclose(file);
    return text;
}

static void cose_sign(struct bytes map, enum cose_fault fault, uint8_t out[64])
{
    char *text = NULL;
    size_t len = 0;
    FILE *file = open_memstream(&text, &len);

    fputs("\x84\x6aSignature1", file);
    put(file, CBOR_KIND_BYTES, map);
    put(file, CBOR_KIND_BYTES, bytes_of(fault == COSE_EXTERNAL_DATA ? "x" : ""));
    put(file, CBOR_KIND_BYTES, bytes_of(payload));
    (void)fclose(file);
    maker_sign(&leaf, bytes_make(text, len), out);
    free(text);
}

static bool judge_cose(struct judge *judge, enum cose_fault fault)
{
    size_t map_len = 0;
    char *map_text = cose_protected(fault, &map_len);
    struct bytes map = bytes_make(map_text, map_len);
    uint8_t signature[65] = {0};
    char *text = NULL;
    size_t len = 0;
    FILE *file = open_memstream(&text, &len);
    bool is_good;

    cose_sign(map, fault, signature);
    fputs(fault == COSE_THREE_ITEMS ? "\xd2\x83" : "\xd2\x84", file);
    put(file, CBOR_KIND_BYTES, map);
    put_unprotected(file, fault);
    if (fault == COSE_DETACHED) {
        fputc(0xf6, file);
    } else {
        put(file, fault == COSE_PAYLOAD_TEXT ? CBOR_KIND_TEXT : CBOR_KIND_BYTES, bytes_of(payload));
    }
    if (fault == COSE_SIGNATURE_DER) {
        put(file, CBOR_KIND_BYTES, BYTES_LITERAL("\x30\x06\x02\x01\x01\x02\x01\x01"));
    } else if (fault != COSE_THREE_ITEMS) {
        put(file, CBOR_KIND_BYTES, bytes_make(signature, fault == COSE_SIGNATURE_LONG ? 65 : 64));
    }
    (void)fclose(file);
    is_good = judge_blob(judge, EVIDENCE_NOTATION_COSE, bytes_make(text, len));
    free(text);
    free(map_text);
    return is_good;
}

static void notation_verify_cose_rules_kept(void **state)
{
    static const struct {
        const char *name;
        enum cose_fault fault;
        enum gh_cause cause;
    } rows[] = {
        {"good", COSE_GOOD, GH_CAUSE_NONE},
        {"protected chain", COSE_CHAIN_PROTECTED, GH_CAUSE_NONE},
        {"one certificate as a string", COSE_ONE_CERT, GH_NOTATION_CHAIN_INVALID},
        {"chain in both maps", COSE_CHAIN_TWICE, GH_NOTATION_ENVELOPE_INVALID},
        {"empty chain", COSE_CHAIN_EMPTY, GH_NOTATION_ENVELOPE_INVALID},
        {"chain of text", COSE_CHAIN_TEXT, GH_NOTATION_ENVELOPE_INVALID},
        {"no chain", COSE_NO_CHAIN, GH_NOTATION_ENVELOPE_INVALID},
        {"detached payload", COSE_DETACHED, GH_NOTATION_ENVELOPE_INVALID},
        {"payload of text", COSE_PAYLOAD_TEXT, GH_NOTATION_ENVELOPE_INVALID},
        {"unprotected array", COSE_UNPROTECTED_ARRAY, GH_NOTATION_ENVELOPE_INVALID},
        {"algorithm in both maps", COSE_ALG_UNPROTECTED, GH_NOTATION_ENVELOPE_INVALID},
        {"scheme in both maps", COSE_SCHEME_UNPROTECTED, GH_NOTATION_ENVELOPE_INVALID},
        {"three items", COSE_THREE_ITEMS, GH_NOTATION_ENVELOPE_INVALID},
        {"signature of 65 bytes", COSE_SIGNATURE_LONG, GH_SIG_INVALID},
        {"DER signature", COSE_SIGNATURE_DER, GH_SIG_INVALID},
        {"external data", COSE_EXTERNAL_DATA, GH_SIG_INVALID},
        {"time stamp of text", COSE_TIMESTAMP_TEXT, GH_NOTATION_ENVELOPE_INVALID},
    };
    struct judge judge;

    (void)state;
    judge_init(&judge, NOTATION_STORE_CA);
    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        bool is_good = judge_cose(&judge, rows[i].fault);

        if (judge.err.cause != rows[i].cause) {
            print_message("# %s: %s (%s)\n", rows[i].name, gh_cause_label(judge.err.cause),
                          judge.err.text);
        }
        assert_int_equal(judge.err.cause, rows[i].cause);
        assert_int_equal(is_good, rows[i].cause == GH_CAUSE_NONE);
    }
    judge_done(&judge);
}

/* --- revocation ------------------------------------------------------------------------------ */

/* Not the leaf alone: an authority between it and the root may have been revoked. */
static void notation_verify_revoked_intermediate_refused(void **state)
{
    static const struct maker_profile issuing = {.name = "issuing",
                                                 .constraints = "critical,CA:TRUE",
                                                 .usage = "critical,keyCertSign,cRLSign"};
    static const struct maker_profile leaf_profile = MAKER_LEAF;
    struct maker_cert middle;
    struct maker_cert own;
    const struct maker_cert *const certs[] = {&own, &middle, &root};

    (void)state;
    maker_issue(&root, &issuing, &middle);
    maker_issue(&middle, &leaf_profile, &own);
    for (int is_revoked = 0; is_revoked <= 1; is_revoked++) {
        struct bytes_buf crl =
            maker_crl(&root, &(struct maker_crl){.revoked = is_revoked == 1 ? &middle : NULL});
        struct judge judge;

        judge_init(&judge, NOTATION_STORE_CA);
        assert_true(notation_store_add_crl(judge.store, bytes_view(&crl), NULL));
        assert_int_equal(judge_jws(&judge, HEADER, payload, certs, 3, NULL), is_revoked == 0);
        assert_int_equal(judge.err.cause, is_revoked == 1 ? GH_REVOCATION_REVOKED : GH_CAUSE_NONE);
        judge_done(&judge);
        bytes_buf_done(&crl);
    }
    maker_done(&own);
    maker_done(&middle);
}

/* An expired signature at a level that logs: it passes, and says so. */
static void notation_verify_expiry_logged_told(void **state)
{
    struct judge judge;

    (void)state;
    judge_init(&judge, NOTATION_STORE_CA);
    judge.signer.expiry = SIGNER_LOG;
    assert_true(
        judge_jws(&judge,
                  "{\"alg\":\"ES256\"," CTY
                  ",\"crit\":[\"io.cncf.notary.signingScheme\",\"io.cncf.notary.expiry\"]," SCHEME
                  "," TIME ",\"io.cncf.notary.expiry\":\"2027-01-15T07:30:00Z\"}",
                  payload, chain, 2, NULL));
    assert_int_equal(judge.proof.logged_count, 1);
    assert_int_equal(judge.proof.logged[0].cause, GH_NOTATION_EXPIRED);
    judge_done(&judge);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(notation_verify_key_not_allowed_refused),
        cmocka_unit_test(notation_verify_jws_signature_form_refused),
        cmocka_unit_test(notation_verify_timestamp_of_other_name_ignored),
        cmocka_unit_test(notation_verify_authentic_time_missing_refused),
        cmocka_unit_test(notation_verify_chain_missing_refused),
        cmocka_unit_test(notation_verify_reserved_metadata_refused),
        cmocka_unit_test(notation_verify_cose_rules_kept),
        cmocka_unit_test(notation_verify_revoked_intermediate_refused),
        cmocka_unit_test(notation_verify_expiry_logged_told),
    };

    return cmocka_run_group_tests(tests, judge_set_up, judge_tear_down);
}
