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

/* A leaf of this profile under the root. */
static void judge_leaf(struct judge *judge, const struct maker_profile *profile,
                       enum gh_cause cause)
{
    struct maker_cert own;
    const struct maker_cert *const certs[] = {&own, &root};

    maker_issue(&root, profile, &own);
    (void)!judge_jws(judge, HEADER, payload, certs, 2, NULL);
    if (judge->err.cause != cause) {
        print_message("# %s: %s (%s)\n", profile->name, gh_cause_label(judge->err.cause),
                      judge->err.text);
    }
    assert_int_equal(judge->err.cause, cause);
    maker_done(&own);
}

static void notation_verify_unfit_leaf_refused(void **state)
{
    static const struct maker_profile good[] = {
        {.name = "no eku", .usage = "critical,digitalSignature"},
        {.name = "not a CA", .constraints = "CA:FALSE", .usage = "critical,digitalSignature"},
        {.name = "content commitment", .usage = "critical,digitalSignature,nonRepudiation"},
    };
    static const struct maker_profile bad[] = {
        {.name = "no usage", .extended = "codeSigning"},
        {.name = "usage not critical", .usage = "digitalSignature"},
        {.name = "other usage", .usage = "critical,nonRepudiation"},
        {.name = "ke", .usage = "critical,digitalSignature,keyEncipherment"},
        {.name = "de", .usage = "critical,digitalSignature,dataEncipherment"},
        {.name = "ka", .usage = "critical,digitalSignature,keyAgreement"},
        {.name = "cs", .usage = "critical,digitalSignature,keyCertSign"},
        {.name = "crl", .usage = "critical,digitalSignature,cRLSign"},
        {.name = "eo", .usage = "critical,digitalSignature,encipherOnly"},
        {.name = "do", .usage = "critical,digitalSignature,decipherOnly"},
        {.name = "ca", .constraints = "critical,CA:TRUE", .usage = "critical,digitalSignature"},
        {.name = "server", .usage = "critical,digitalSignature", .extended = "serverAuth"},
        {.name = "client", .usage = "critical,digitalSignature", .extended = "clientAuth"},
        {.name = "mail", .usage = "critical,digitalSignature", .extended = "emailProtection"},
        {.name = "tsa", .usage = "critical,digitalSignature", .extended = "timeStamping"},
        {.name = "any",
         .usage = "critical,digitalSignature",
         .extended = "codeSigning,anyExtendedKeyUsage"},
    };
    struct maker_profile sha1 = MAKER_LEAF;
    struct maker_profile strange = MAKER_LEAF;
    struct judge judge;

    (void)state;
    judge_init(&judge, NOTATION_STORE_CA);
    for (size_t i = 0; i < GH_COUNT(good); i++) {
        judge_leaf(&judge, &good[i], GH_CAUSE_NONE);
    }
    for (size_t i = 0; i < GH_COUNT(bad); i++) {
        judge_leaf(&judge, &bad[i], GH_NOTATION_CHAIN_INVALID);
    }
    sha1.md = EVP_sha1();
    judge_leaf(&judge, &sha1, GH_NOTATION_CHAIN_INVALID);
    strange.other = "1.2.3.4=critical,DER:0500";
    judge_leaf(&judge, &strange, GH_CERT_MALFORMED);
    strange.other = "1.2.3.4=DER:0500";
    judge_leaf(&judge, &strange, GH_CAUSE_NONE);
    judge_done(&judge);
}

static void notation_verify_unfit_authority_refused(void **state)
{
    static const struct maker_profile rows[] = {
        {.name = "no constraints", .usage = "critical,keyCertSign"},
        {.name = "soft", .constraints = "CA:TRUE", .usage = "critical,keyCertSign"},
        {.name = "not a CA", .constraints = "critical,CA:FALSE", .usage = "critical,keyCertSign"},
        {.name = "no usage", .constraints = "critical,CA:TRUE"},
        {.name = "soft usage", .constraints = "critical,CA:TRUE", .usage = "keyCertSign"},
        {.name = "crl alone", .constraints = "critical,CA:TRUE", .usage = "critical,cRLSign"},
    };
    static const struct maker_profile fine = {
        .name = "issuing", .constraints = "critical,CA:TRUE", .usage = "critical,keyCertSign"};
    static const struct maker_profile leaf_profile = MAKER_LEAF;
    struct judge judge;

    (void)state;
    judge_init(&judge, NOTATION_STORE_CA);
    for (size_t i = 0; i <= GH_COUNT(rows); i++) {
        struct maker_cert middle;
        struct maker_cert own;
        const struct maker_cert *const certs[] = {&own, &middle, &root};

        maker_issue(&root, i < GH_COUNT(rows) ? &rows[i] : &fine, &middle);
        maker_issue(&middle, &leaf_profile, &own);
        assert_int_equal(judge_jws(&judge, HEADER, payload, certs, 3, NULL), i == GH_COUNT(rows));
        assert_int_equal(judge.err.cause,
                         i < GH_COUNT(rows) ? GH_NOTATION_CHAIN_INVALID : GH_CAUSE_NONE);
        maker_done(&own);
        maker_done(&middle);
    }
    judge_done(&judge);
}

static void notation_verify_path_length_honoured(void **state)
{
    static const struct maker_profile short_root = {.name = "short",
                                                    .constraints = "critical,CA:TRUE,pathlen:0",
                                                    .usage = "critical,keyCertSign"};
    static const struct maker_profile middle_profile = {
        .name = "issuing", .constraints = "critical,CA:TRUE", .usage = "critical,keyCertSign"};
    static const struct maker_profile leaf_profile = MAKER_LEAF;
    struct maker_cert top;
    struct maker_cert middle;
    struct maker_cert own;
    const struct maker_cert *const certs[] = {&own, &middle, &top};
    struct judge judge;

    (void)state;
    judge_init(&judge, NOTATION_STORE_CA);
    maker_issue(NULL, &short_root, &top);
    maker_issue(&top, &middle_profile, &middle);
    maker_issue(&middle, &leaf_profile, &own);
    assert_true(notation_store_add(judge.store, NOTATION_STORE_CA, bytes_view(&top.der), NULL));
    assert_false(judge_jws(&judge, HEADER, payload, certs, 3, NULL));
    assert_int_equal(judge.err.cause, GH_NOTATION_CHAIN_INVALID);
    maker_done(&own);
    maker_done(&middle);
    maker_done(&top);
    judge_done(&judge);
}

static void notation_verify_wrong_chain_order_refused(void **state)
{
    static const struct maker_profile other_profile = MAKER_LEAF;
    static const struct maker_profile middle_profile = {
        .name = "issuing", .constraints = "critical,CA:TRUE", .usage = "critical,keyCertSign"};
    struct maker_cert middle;
    struct maker_cert own;
    const struct maker_cert *const no_root[] = {&own, &middle};
    const struct maker_cert *const shuffled[] = {&own, &root, &middle};
    const struct maker_cert *const extra[] = {&own, &middle, &root, &root};
    const struct maker_cert *const alone[] = {&leaf};
    struct judge judge;

    (void)state;
    judge_init(&judge, NOTATION_STORE_CA);
    maker_issue(&root, &middle_profile, &middle);
    maker_issue(&middle, &other_profile, &own);
    assert_false(judge_jws(&judge, HEADER, payload, no_root, 2, NULL));
    assert_int_equal(judge.err.cause, GH_NOTATION_CHAIN_INVALID);
    assert_false(judge_jws(&judge, HEADER, payload, shuffled, 3, NULL));
    assert_int_equal(judge.err.cause, GH_NOTATION_CHAIN_INVALID);
    assert_false(judge_jws(&judge, HEADER, payload, extra, 4, NULL));
    assert_int_equal(judge.err.cause, GH_NOTATION_CHAIN_INVALID);
    assert_false(judge_jws(&judge, HEADER, payload, alone, 1, NULL));
    assert_int_equal(judge.err.cause, GH_NOTATION_CHAIN_INVALID);
    maker_done(&own);
    maker_done(&middle);
    judge_done(&judge);
}

static void notation_verify_self_signed_leaf_judged_as_leaf(void **state)
{
    static const struct maker_profile profile = MAKER_LEAF;
    struct maker_cert own;
    const struct maker_cert *const certs[] = {&own};
    struct judge judge;

    (void)state;
    judge_init(&judge, NOTATION_STORE_CA);
    maker_issue(NULL, &profile, &own);
    assert_false(judge_jws(&judge, HEADER, payload, certs, 1, NULL));
    assert_int_equal(judge.err.cause, GH_CERT_CHAIN_UNTRUSTED);
    assert_int_equal(judge.reached, EVIDENCE_STEP_SIGNER);
    assert_true(notation_store_add(judge.store, NOTATION_STORE_CA, bytes_view(&own.der), NULL));
    assert_true(judge_jws(&judge, HEADER, payload, certs, 1, NULL));
    maker_done(&own);
    judge_done(&judge);
}

static void notation_verify_chain_length_limited(void **state)
{
    const struct maker_cert *certs[11];
    struct judge judge;

    (void)state;
    judge_init(&judge, NOTATION_STORE_CA);
    for (size_t i = 0; i < GH_COUNT(certs); i++) {
        certs[i] = &leaf;
    }
    assert_false(judge_jws(&judge, HEADER, payload, certs, 11, NULL));
    assert_int_equal(judge.err.cause, GH_COUNT_LIMIT_EXCEEDED);
    assert_false(judge_jws(&judge, HEADER, payload, certs, 10, NULL));
    assert_int_equal(judge.err.cause, GH_NOTATION_CHAIN_INVALID);
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

/* The shell's answer to what the vendor's verification asked for. */
static void answer_vendor(struct judge *judge, struct evidence_answer *answer, const char *body,
                          enum gh_cause failure)
{
    memset(answer, 0, sizeof(*answer));
    answer->kind = EVIDENCE_WANT_VENDOR;
    answer->url = judge->wants.items[0].url;
    answer->answer = bytes_of(body);
    if (failure != GH_CAUSE_NONE) {
        gh_fail(&answer->failure, failure, "no");
    }
    judge->answers = (struct evidence_answers){answer, 1};
}

static void notation_verify_aws_asks_vendor(void **state)
{
    static const struct {
        const char *body;
        enum gh_cause failure;
        enum gh_cause cause;
    } rows[] = {
        {"{\"revokedEntities\":[]}", GH_CAUSE_NONE, GH_CAUSE_NONE},
        {"{\"revokedEntities\":[\"arn:x\"]}", GH_CAUSE_NONE, GH_REVOCATION_REVOKED},
        {"{}", GH_CAUSE_NONE, GH_NOTATION_PLUGIN_FAILED},
        {"nonsense", GH_CAUSE_NONE, GH_NOTATION_PLUGIN_FAILED},
        {"", GH_NOTATION_PLUGIN_REQUIRED, GH_NOTATION_PLUGIN_REQUIRED},
        {"", GH_UPSTREAM_UNAVAILABLE, GH_REVOCATION_UNAVAILABLE},
    };
    struct notation_dn *dns[1] = {NULL};
    struct evidence_answer answer;
    struct judge judge;
    char url[8192];

    (void)state;
    judge_init(&judge, NOTATION_STORE_SIGNING_AUTHORITY);
    /* "Any" is nobody here. */
    assert_false(judge_jws(&judge, AWS_HEADER, payload, chain, 2, NULL));
    assert_int_equal(judge.err.cause, GH_NOTATION_IDENTITY_MISMATCH);
    assert_true(notation_dn_parse(
        BYTES_LITERAL("arn:aws:signer:us-west-2:1:/signing-profiles/release"), &dns[0], NULL));
    judge.signer.is_any_identity = false;
    judge.signer.identities = dns;
    judge.signer.identity_count = 1;
    assert_false(judge_jws(&judge, AWS_HEADER, payload, chain, 2, NULL));
    assert_int_equal(judge.err.cause, GH_CAUSE_NONE);
    assert_int_equal(judge.wants.count, 1);
    assert_int_equal(judge.wants.items[0].kind, EVIDENCE_WANT_VENDOR);
    snprintf(url, sizeof(url), "%s", judge.wants.items[0].url);
    assert_non_null(strstr(url, "https://data-signer.us-west-2.amazonaws.com/revocations?"));
    assert_non_null(strstr(url, "&signatureTimestamp=2027-01-15T07%3A00%3A00Z"));
    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        answer_vendor(&judge, &answer, rows[i].body, rows[i].failure);
        answer.url = url;
        assert_int_equal(judge_jws(&judge, AWS_HEADER, payload, chain, 2, NULL),
                         rows[i].cause == GH_CAUSE_NONE);
        assert_int_equal(judge.err.cause, rows[i].cause);
    }
    judge.signer.revocation = SIGNER_LOG;
    answer_vendor(&judge, &answer, "", GH_NOTATION_PLUGIN_REQUIRED);
    answer.url = url;
    assert_true(judge_jws(&judge, AWS_HEADER, payload, chain, 2, NULL));
    assert_int_equal(judge.proof.logged[0].cause, GH_NOTATION_PLUGIN_REQUIRED);
    judge.signer.revocation = SIGNER_SKIP;
    judge.answers.count = 0;
    assert_true(judge_jws(&judge, AWS_HEADER, payload, chain, 2, NULL));
    notation_dn_free(dns[0]);
    judge_done(&judge);
}

static void notation_verify_aws_incomplete_refused(void **state)
{
#define AWS_PLUGIN "\"io.cncf.notary.verificationPlugin\":\"com.amazonaws.signer.notation.plugin\""
    static const struct {
        const char *header;
        enum gh_cause cause;
    } rows[] = {
        {"{\"alg\":\"ES256\"," CTY "," CRIT "," SCHEME "," TIME "," AWS_PLUGIN "}",
         GH_NOTATION_PLUGIN_FAILED},
        {"{\"alg\":\"ES256\"," CTY ",\"crit\":[" SA_NAMES "]," SA_SCHEME "," SA_TIME "," AWS_PLUGIN
         "}",
         GH_NOTATION_PLUGIN_FAILED},
        {"{\"alg\":\"ES256\"," CTY ",\"crit\":[" SA_NAMES "]," SA_SCHEME "," SA_TIME
         "," AWS_ATTRIBUTES "}",
         GH_NOTATION_PLUGIN_FAILED}, /* there, but not critical */
        {"{\"alg\":\"ES256\"," CTY ",\"crit\":[" AWS_NAMES "]," SA_SCHEME "," SA_TIME
         "," AWS_ATTRIBUTES ",\"io.cncf.notary.verificationPluginMinVersion\":\"2.0.0\"}",
         GH_NOTATION_PLUGIN_REQUIRED},
        {"{\"alg\":\"ES256\"," CTY ",\"crit\":[" AWS_NAMES "]," SA_SCHEME "," SA_TIME
         "," AWS_ATTRIBUTES ",\"io.cncf.notary.verificationPluginMinVersion\":\"new\"}",
         GH_NOTATION_PLUGIN_REQUIRED},
        {"{\"alg\":\"ES256\"," CTY ",\"crit\":[" SA_NAMES
         ",\"com.amazonaws.signer.signingJob\"]," SA_SCHEME "," SA_TIME
         ",\"com.amazonaws.signer.signingJob\":\"arn\"}",
         GH_NOTATION_CRIT_UNKNOWN}, /* the attribute without the plugin */
    };
    struct judge judge;

    (void)state;
    judge_init(&judge, NOTATION_STORE_SIGNING_AUTHORITY);
    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        assert_false(judge_jws(&judge, rows[i].header, payload, chain, 2, NULL));
        assert_int_equal(judge.err.cause, rows[i].cause);
    }
    judge_done(&judge);
}

/* {1: -7, 2: [scheme], 3: type, scheme: notary.x509, time: 1(epoch)} */
#define COSE_START "\xa5\x01\x26\x02\x81\x78\x1cio.cncf.notary.signingScheme\x03\x78\x2b"
#define COSE_TYPE "application/vnd.cncf.notary.payload.v1+json"
#define COSE_SCHEME "\x78\x1cio.cncf.notary.signingScheme\x6bnotary.x509"
#define COSE_TIME "\x78\x1aio.cncf.notary.signingTime"
#define COSE_GOOD COSE_START COSE_TYPE COSE_SCHEME COSE_TIME "\xc1\x1a\x6b\x49\xd2\x00"

static void notation_verify_cose_headers_judged(void **state)
{
    static const struct {
        struct bytes map;
        enum gh_cause cause;
    } rows[] = {
        {BYTES_LITERAL(COSE_GOOD), GH_CAUSE_NONE},
        /* time without its tag, as text, as a float */
        {BYTES_LITERAL(COSE_START COSE_TYPE COSE_SCHEME COSE_TIME "\x1a\x6b\x49\xd2\x00"),
         GH_NOTATION_ENVELOPE_INVALID},
        {BYTES_LITERAL(COSE_START COSE_TYPE COSE_SCHEME COSE_TIME "\xc1\xfa\x4f\x00\x00\x00"),
         GH_NOTATION_ENVELOPE_INVALID},
        /* an indefinite map, a key twice, bytes behind the map */
        {BYTES_LITERAL("\xbf\x01\x26\xff"), GH_NOTATION_ENVELOPE_INVALID},
        {BYTES_LITERAL("\xa2\x01\x26\x01\x26"), GH_NOTATION_ENVELOPE_INVALID},
        {BYTES_LITERAL(COSE_GOOD "\x00"), GH_NOTATION_ENVELOPE_INVALID},
        {BYTES_LITERAL(""), GH_NOTATION_ENVELOPE_INVALID},
        {BYTES_LITERAL("\xa0"), GH_NOTATION_ENVELOPE_INVALID},
        /* ES384, none, a private algorithm */
        {BYTES_LITERAL("\xa1\x01\x38\x22"), GH_NOTATION_ALG_MISMATCH},
        {BYTES_LITERAL("\xa1\x01\x00"), GH_NOTATION_ALG_MISMATCH},
        {BYTES_LITERAL("\xa1\x01\x61x"), GH_NOTATION_ALG_MISMATCH},
        /* another content type, none */
        {BYTES_LITERAL("\xa2\x01\x26\x03\x61x"), GH_PAYLOAD_TYPE_MISMATCH},
        {BYTES_LITERAL("\xa2\x01\x26\x03\x18\x32"), GH_PAYLOAD_TYPE_MISMATCH},
        /* crit lists a label, or is none */
        {BYTES_LITERAL("\xa2\x01\x26\x02\x81\x03"), GH_NOTATION_CRIT_INVALID},
        {BYTES_LITERAL("\xa2\x01\x26\x02\x03"), GH_NOTATION_CRIT_INVALID},
    };
    struct judge judge;

    (void)state;
    judge_init(&judge, NOTATION_STORE_CA);
    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        struct bytes_buf blob = maker_cose(rows[i].map, payload, chain, 2);

        (void)!judge_blob(&judge, EVIDENCE_NOTATION_COSE, bytes_view(&blob));
        if (judge.err.cause != rows[i].cause) {
            print_message("# row %zu: %s (%s)\n", i, gh_cause_label(judge.err.cause),
                          judge.err.text);
        }
        assert_int_equal(judge.err.cause, rows[i].cause);
        bytes_buf_done(&blob);
    }
    judge_done(&judge);
}

static void notation_verify_cose_form_judged(void **state)
{
    struct bytes_buf blob = maker_cose(BYTES_LITERAL(COSE_GOOD), payload, chain, 2);
    struct bytes_buf copy;
    struct judge judge;

    (void)state;
    judge_init(&judge, NOTATION_STORE_CA);
    /* without its tag */
    assert_false(
        judge_blob(&judge, EVIDENCE_NOTATION_COSE, bytes_slice(bytes_view(&blob), 1, SIZE_MAX)));
    assert_int_equal(judge.err.cause, GH_NOTATION_ENVELOPE_INVALID);
    /* another tag */
    blob.data[0] = 0xd1;
    assert_false(judge_blob(&judge, EVIDENCE_NOTATION_COSE, bytes_view(&blob)));
    assert_int_equal(judge.err.cause, GH_NOTATION_ENVELOPE_INVALID);
    blob.data[0] = 0xd2;
    /* cut, and continued */
    assert_false(judge_blob(&judge, EVIDENCE_NOTATION_COSE,
                            bytes_slice(bytes_view(&blob), 0, blob.len - 1)));
    assert_int_equal(judge.err.cause, GH_NOTATION_ENVELOPE_INVALID);
    assert_true(bytes_buf_alloc(blob.len + 1, &copy, NULL));
    memcpy(copy.data, blob.data, blob.len);
    copy.data[blob.len] = 0;
    assert_false(judge_blob(&judge, EVIDENCE_NOTATION_COSE, bytes_view(&copy)));
    assert_int_equal(judge.err.cause, GH_NOTATION_ENVELOPE_INVALID);
    /* an indefinite array */
    copy.data[1] = 0x9f;
    copy.data[blob.len] = 0xff;
    assert_false(judge_blob(&judge, EVIDENCE_NOTATION_COSE, bytes_view(&copy)));
    assert_int_equal(judge.err.cause, GH_NOTATION_ENVELOPE_INVALID);
    /* one bit of the signature */
    blob.data[blob.len - 1] ^= 1;
    assert_false(judge_blob(&judge, EVIDENCE_NOTATION_COSE, bytes_view(&blob)));
    assert_int_equal(judge.err.cause, GH_SIG_INVALID);
    bytes_buf_done(&copy);
    bytes_buf_done(&blob);
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
        cmocka_unit_test(notation_verify_unfit_leaf_refused),
        cmocka_unit_test(notation_verify_unfit_authority_refused),
        cmocka_unit_test(notation_verify_path_length_honoured),
        cmocka_unit_test(notation_verify_wrong_chain_order_refused),
        cmocka_unit_test(notation_verify_self_signed_leaf_judged_as_leaf),
        cmocka_unit_test(notation_verify_chain_length_limited),
        cmocka_unit_test(notation_verify_identity_compared),
        cmocka_unit_test(notation_verify_levels_log_instead),
        cmocka_unit_test(notation_verify_signing_authority_time_proved),
        cmocka_unit_test(notation_verify_timestamp_wanted_refused),
        cmocka_unit_test(notation_verify_aws_asks_vendor),
        cmocka_unit_test(notation_verify_aws_incomplete_refused),
        cmocka_unit_test(notation_verify_cose_headers_judged),
        cmocka_unit_test(notation_verify_cose_form_judged),
        cmocka_unit_test(notation_store_add_unfit_refused),
        cmocka_unit_test(notation_verify_without_store_refused),
    };

    return cmocka_run_group_tests(tests, judge_set_up, judge_tear_down);
}
