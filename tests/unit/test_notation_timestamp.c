/*
 * Notation signatures with time stamps of an authority made here: what a revoked authority, another
 * signature's token, or a token with the older attribute costs.
 */
#include "crypto/notation.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "crypto/bytes.h"
#include "crypto/evidence.h"
#include "crypto/signer.h"
#include "metrics/error.h"
#include "tests/support/notation_maker.h"
#include "tests/support/tsa_maker.h"

#define MEDIA_TYPE "application/vnd.oci.image.manifest.v1+json"
#define HEADER                                                                                     \
    "{\"alg\":\"ES256\",\"cty\":\"application/vnd.cncf.notary.payload.v1+json\",\"crit\":"         \
    "[\"io.cncf.notary.signingScheme\"],\"io.cncf.notary.signingScheme\":\"notary.x509\","         \
    "\"io.cncf.notary.signingTime\":\"2027-01-15T07:00:00Z\"}"

struct stack {
    struct maker_cert root;
    struct maker_cert leaf;
    struct maker_cert tsa_root;
    struct maker_cert tsa;
    struct evidence_subject subject;
    char payload[512];
};

static int stack_setup(void **state)
{
    static const struct maker_profile root = MAKER_ROOT;
    static const struct maker_profile leaf = MAKER_LEAF;
    static const struct maker_profile tsa_root = {.name = "tsa root",
                                                  .constraints = "critical,CA:TRUE",
                                                  .usage = "critical,keyCertSign,cRLSign",
                                                  .from_s = -200000,
                                                  .to_s = 200000};
    static const struct maker_profile tsa = {.name = "tsa",
                                             .usage = "critical,digitalSignature",
                                             .extended = "critical,timeStamping",
                                             .from_s = -200000,
                                             .to_s = 200000};
    struct stack *stack = calloc(1, sizeof(*stack));
    char digest[DIGEST_MAX_TEXT];

    assert_non_null(stack);
    maker_issue(NULL, &root, &stack->root);
    maker_issue(&stack->root, &leaf, &stack->leaf);
    maker_issue(NULL, &tsa_root, &stack->tsa_root);
    maker_issue(&stack->tsa_root, &tsa, &stack->tsa);
    stack->subject = (struct evidence_subject){.name = "registry.test/app",
                                               .media_type = MEDIA_TYPE,
                                               .manifest = BYTES_LITERAL("{\"schemaVersion\":2}")};
    assert_true(
        digest_compute(DIGEST_SHA256, stack->subject.manifest, &stack->subject.digest, NULL));
    digest_format(&stack->subject.digest, digest);
    (void)snprintf(stack->payload, sizeof(stack->payload),
                   "{\"targetArtifact\":{\"mediaType\":\"" MEDIA_TYPE
                   "\",\"digest\":\"%s\",\"size\":%zu}}",
                   digest, stack->subject.manifest.len);
    *state = stack;
    return 0;
}

static int stack_teardown(void **state)
{
    struct stack *stack = *state;

    maker_done(&stack->root);
    maker_done(&stack->leaf);
    maker_done(&stack->tsa_root);
    maker_done(&stack->tsa);
    free(stack);
    return 0;
}

/* A signature with a time stamp in its unprotected header: new, free(). */
static char *stamped(const struct stack *stack, const struct tsa_make *make, bool is_of_another)
{
    const struct maker_cert *const chain[] = {&stack->leaf, &stack->root};
    struct bytes_buf jws = maker_jws(HEADER, stack->payload, chain, 2, NULL);
    json_t *doc = json_loadb((const char *)jws.data, jws.len, 0, NULL);
    struct bytes_buf signature = {0};
    struct bytes token;
    char *text;
    char *out;

    assert_non_null(doc);
    assert_true(bytes_base64_decode(bytes_of(json_string_value(json_object_get(doc, "signature"))),
                                    BYTES_BASE64_URL_NOPAD, &signature, NULL));
    signature.data[0] ^= is_of_another ? 1 : 0;
    token = tsa_maker_token(make, bytes_view(&signature));
    text = bytes_base64_encode(token, BYTES_BASE64_STANDARD);
    assert_int_equal(json_object_set_new(json_object_get(doc, "header"),
                                         "io.cncf.notary.timestampSignature", json_string(text)),
                     0);
    out = json_dumps(doc, JSON_COMPACT);
    free(text);
    OPENSSL_free((void *)token.data);
    bytes_buf_done(&signature);
    json_decref(doc);
    bytes_buf_done(&jws);
    return out;
}

struct row {
    const char *name;
    enum gh_cause cause;
    struct tsa_make make;
    bool is_of_another;
    bool is_tsa_revoked;
    int64_t now; /* after MAKER_NOW */
};

static const struct row rows[] = {
    {"good", GH_CAUSE_NONE, {0}, false, false, 0},
    {"good, long after the certificates", GH_CAUSE_NONE, {0}, false, false, 90000},
    {"authority revoked", GH_REVOCATION_REVOKED, {0}, false, true, 0},
    {"token of another signature", GH_TIMESTAMP_IMPRINT_MISMATCH, {0}, true, false, 0},
    {"attribute of the first form",
     GH_TIMESTAMP_INVALID,
     {.ess = TSA_MAKER_ESS_V1},
     false,
     false,
     0},
    {"before the certificates",
     GH_CERT_NOT_VALID_AT_TIME,
     {.time_unix_s = MAKER_NOW - 86401},
     false,
     false,
     0},
    /* What a token says of its accuracy must lie within the certificates, too; one that says
     * nothing means the second that it names, unless its policy promises less. */
    {"at the start of the certificates",
     GH_CAUSE_NONE,
     {.time_unix_s = MAKER_NOW - 86400},
     false,
     false,
     0},
    {"at the start, good to two seconds",
     GH_CERT_NOT_VALID_AT_TIME,
     {.time_unix_s = MAKER_NOW - 86400, .accuracy_s = 2},
     false,
     false,
     0},
    {"two seconds in, good to two seconds",
     GH_CAUSE_NONE,
     {.time_unix_s = MAKER_NOW - 86398, .accuracy_s = 2},
     false,
     false,
     0},
    {"at the start, by ETSI's baseline",
     GH_CERT_NOT_VALID_AT_TIME,
     {.time_unix_s = MAKER_NOW - 86400, .policy = "0.4.0.2023.1.1"},
     false,
     false,
     0},
    {"a second in, by ETSI's baseline",
     GH_CAUSE_NONE,
     {.time_unix_s = MAKER_NOW - 86399, .policy = "0.4.0.2023.1.1"},
     false,
     false,
     0},
    {"two seconds in by ETSI's baseline, but good to three",
     GH_CERT_NOT_VALID_AT_TIME,
     {.time_unix_s = MAKER_NOW - 86398, .policy = "0.4.0.2023.1.1", .accuracy_s = 3},
     false,
     false,
     0},
    {"stamped in the future",
     GH_TIMESTAMP_FUTURE,
     {.time_unix_s = MAKER_NOW + 3600},
     false,
     false,
     0},
    {"attribute of neither form",
     GH_TIMESTAMP_INVALID,
     {.ess = TSA_MAKER_ESS_NONE},
     false,
     false,
     0},
};

static enum gh_cause judge(const struct stack *stack, const struct row *row)
{
    const struct maker_crl revoked = {
        .revoked = row->is_tsa_revoked ? &stack->tsa : NULL, .from_s = -60, .to_s = 100000};
    struct bytes_buf crl = maker_crl(&stack->tsa_root, &revoked);
    struct signer signer = {.type = SIGNER_NOTATION, .is_any_identity = true};
    struct evidence_item item = {.kind = EVIDENCE_NOTATION_JWS};
    struct evidence_answers answers = {0};
    struct tsa_make make = row->make;
    struct notation_store *store = NULL;
    struct evidence_wants wants = {0};
    struct evidence_proof proof = {0};
    struct gh_error err = {0};
    enum evidence_step step;
    char *text;
    struct notation_request request = {.item = &item,
                                       .subject = &stack->subject,
                                       .signer = &signer,
                                       .answers = &answers,
                                       .now_unix_s = MAKER_NOW + row->now};

    make.signer = stack->tsa.cert;
    make.key = stack->tsa.key;
    make.bag[0] = stack->tsa.cert;
    make.time_unix_s = make.time_unix_s != 0 ? make.time_unix_s : MAKER_NOW - 600;
    text = stamped(stack, &make, row->is_of_another);
    item.blob = bytes_of(text);
    assert_true(
        notation_store_new(&store, NULL) &&
        notation_store_add(store, NOTATION_STORE_CA, bytes_view(&stack->root.der), NULL) &&
        notation_store_add(store, NOTATION_STORE_TSA, bytes_view(&stack->tsa_root.der), NULL) &&
        notation_store_add_crl(store, bytes_view(&crl), NULL));
    signer.store = store;
    if (notation_verify(&request, &wants, &step, &proof, &err)) {
        assert_true(proof.has_proved_time);
        assert_int_equal(proof.proved_unix_s, make.time_unix_s);
    }
    evidence_wants_done(&wants);
    evidence_proof_done(&proof);
    notation_store_free(store);
    bytes_buf_done(&crl);
    free(text);
    if (err.cause != row->cause) {
        fail_msg("%s: wanted %s, found %s: %s", row->name, gh_cause_label(row->cause),
                 gh_cause_label(err.cause), err.text);
    }
    return err.cause;
}

static void notation_verify_time_stamp_exact_cause(void **state)
{
    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        assert_int_equal(judge(*state, &rows[i]), rows[i].cause);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(notation_verify_time_stamp_exact_cause),
    };

    return cmocka_run_group_tests(tests, stack_setup, stack_teardown);
}
