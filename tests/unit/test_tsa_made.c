/*
 * Time stamps by authorities made here: embedded chains, both forms of the signing-certificate
 * attribute, RSA, and every way a token may claim another signer than the one that signed.
 */
#include "crypto/tsa.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "crypto/x509_path.h"
#include "metrics/error.h"
#include "tests/support/make_cert.h"
#include "tests/support/tsa_maker.h"

#define DAY MAKE_CERT_DAY
#define T0 MAKE_CERT_T0
#define NOW (T0 + 4000 * DAY) /* long after every certificate here has ended */
#define COVERED BYTES_LITERAL("the bytes of a signature")

/* Who there is. */
enum who {
    LEAF,       /* a good signer by ROOT */
    LEAF_UNDER, /* a good signer by BETWEEN */
    LEAF_RSA,
    LEAF_TWIN,        /* another key under the issuer and serial number of LEAF */
    LEAF_STRANGER,    /* good but for its root */
    LEAF_SERVER_AUTH, /* … and the wrong usages */
    LEAF_TWO_USAGES,
    LEAF_NOT_CRITICAL,
    LEAF_NO_USAGE,
    LEAF_CA,
    LEAF_CODE_BETWEEN, /* by an intermediate that is for code signing alone */
    ROOT,
    BETWEEN,
    BETWEEN_CODE,
    STRANGER,
    WHO_COUNT
};

struct person {
    const char *subject;
    enum who issuer;
    const char *eku; /* NULL: none */
    bool is_ca;
};

static const struct person persons[WHO_COUNT] = {
    [ROOT] = {"root", ROOT, NULL, true},
    [STRANGER] = {"root", STRANGER, NULL, true},
    [BETWEEN] = {"between", ROOT, "timeStamping", true},
    [BETWEEN_CODE] = {"between code", ROOT, "codeSigning", true},
    [LEAF] = {"tsa", ROOT, TSA_MAKER_LEAF_USAGE, false},
    [LEAF_UNDER] = {"tsa", BETWEEN, TSA_MAKER_LEAF_USAGE, false},
    [LEAF_RSA] = {"tsa rsa", ROOT, TSA_MAKER_LEAF_USAGE, false},
    [LEAF_TWIN] = {"tsa", STRANGER, TSA_MAKER_LEAF_USAGE, false},
    [LEAF_STRANGER] = {"tsa other", STRANGER, TSA_MAKER_LEAF_USAGE, false},
    [LEAF_SERVER_AUTH] = {"tsa", ROOT, "critical,serverAuth", false},
    [LEAF_TWO_USAGES] = {"tsa", ROOT, "critical,timeStamping,codeSigning", false},
    [LEAF_NOT_CRITICAL] = {"tsa", ROOT, "timeStamping", false},
    [LEAF_NO_USAGE] = {"tsa", ROOT, NULL, false},
    [LEAF_CA] = {"tsa", ROOT, TSA_MAKER_LEAF_USAGE, true},
    [LEAF_CODE_BETWEEN] = {"tsa", BETWEEN_CODE, TSA_MAKER_LEAF_USAGE, false},
};

struct world {
    EVP_PKEY *keys[WHO_COUNT];
    X509 *certs[WHO_COUNT];
};

static X509 *world_cert(struct world *world, enum who who)
{
    const struct person *person = &persons[who];
    struct make_cert make = {
        .subject = person->subject,
        .issuer = persons[person->issuer].subject,
        .key = world->keys[who],
        .signer = world->keys[person->issuer],
        .not_before = T0,
        .not_after = T0 + (person->is_ca ? 1000 : 100) * DAY,
        .extensions = {{"basicConstraints", "keyUsage", "subjectKeyIdentifier"},
                       {person->is_ca ? "critical,CA:TRUE" : "critical,CA:FALSE",
                        person->is_ca ? "critical,keyCertSign,digitalSignature"
                                      : "critical,digitalSignature",
                        "hash"}},
    };

    if (person->eku != NULL) {
        make.extensions[0][3] = "extendedKeyUsage";
        make.extensions[1][3] = person->eku;
    }
    return tsa_maker_x509(&make);
}

static int world_setup(void **state)
{
    struct world *world = calloc(1, sizeof(*world));

    assert_non_null(world);
    for (int i = 0; i < WHO_COUNT; i++) {
        world->keys[i] = i == LEAF_RSA ? EVP_RSA_gen(2048) : make_cert_key();
        assert_non_null(world->keys[i]);
    }
    for (int i = 0; i < WHO_COUNT; i++) {
        world->certs[i] = world_cert(world, (enum who)i);
    }
    *state = world;
    return 0;
}

static int world_teardown(void **state)
{
    struct world *world = *state;

    for (int i = 0; i < WHO_COUNT; i++) {
        EVP_PKEY_free(world->keys[i]);
        X509_free(world->certs[i]);
    }
    free(world);
    return 0;
}

/* What judges a token: the authority under ROOT, with a named leaf or other rules. */
struct judge {
    enum who named_leaf;       /* ROOT: none is named */
    int64_t window_end_unix_s; /* 0: open */
    int64_t now_unix_s;        /* 0: NOW */
    bool is_ess_v2_required;
    bool is_embedded_required;
};

static enum gh_cause judge_bytes(const struct world *world, const struct judge *judge,
                                 struct bytes token, struct tsa_result *out)
{
    struct x509_cert *root = tsa_maker_cert(world->certs[ROOT]);
    struct x509_cert *leaf =
        judge->named_leaf != ROOT ? tsa_maker_cert(world->certs[judge->named_leaf]) : NULL;
    struct x509_authority *authority = NULL;
    struct tsa_authority tsa = {.leaf = leaf};
    struct tsa_trust trust = {.items = &tsa,
                              .count = 1,
                              .is_ess_v2_required = judge->is_ess_v2_required,
                              .is_embedded_required = judge->is_embedded_required};
    struct gh_error err = {0};
    int64_t end = judge->window_end_unix_s != 0 ? judge->window_end_unix_s * 1000 : INT64_MAX;
    bool ok;

    assert_true(x509_authority_new(&root, 1, INT64_MIN, end, &authority, &err));
    tsa.authority = authority;
    ok = tsa_verify_token(token, COVERED, &trust, judge->now_unix_s != 0 ? judge->now_unix_s : NOW,
                          out, &err);
    assert_int_equal(ok, err.cause == GH_CAUSE_NONE);
    x509_authority_free(authority);
    x509_cert_unref(leaf);
    x509_cert_unref(root);
    return err.cause;
}

static enum gh_cause judge_made(const struct world *world, const struct judge *judge,
                                const struct tsa_make *make, struct tsa_result *out)
{
    struct bytes token = tsa_maker_token(make, COVERED);
    enum gh_cause cause = judge_bytes(world, judge, token, out);

    OPENSSL_free((void *)token.data);
    return cause;
}

#define NOBODY WHO_COUNT

struct token_row {
    const char *name;
    enum gh_cause cause;
    enum who signer;
    enum who bag[3]; /* ends at NOBODY */
    struct judge judge;
    struct tsa_make make;
};

#define ALONE                                                                                      \
    {                                                                                              \
        LEAF, NOBODY                                                                               \
    }
#define ANY_LEAF                                                                                   \
    {                                                                                              \
        .named_leaf = ROOT                                                                         \
    }

static const struct token_row token_rows[] = {
    /* what is good */
    {"certificate embedded", GH_CAUSE_NONE, LEAF, ALONE, ANY_LEAF, {0}},
    {"chain embedded", GH_CAUSE_NONE, LEAF_UNDER, {LEAF_UNDER, BETWEEN, NOBODY}, ANY_LEAF, {0}},
    {"signer named by the root", GH_CAUSE_NONE, LEAF, {NOBODY}, {.named_leaf = LEAF}, {0}},
    {"RSA", GH_CAUSE_NONE, LEAF_RSA, {LEAF_RSA, NOBODY}, ANY_LEAF, {0}},
    {"signer named by key id", GH_CAUSE_NONE, LEAF, ALONE, ANY_LEAF, {.is_named_by_key_id = true}},
    {"ESS v1", GH_CAUSE_NONE, LEAF, ALONE, ANY_LEAF, {.ess = TSA_MAKER_ESS_V1}},
    {"ESS v2 where it must be",
     GH_CAUSE_NONE,
     LEAF,
     ALONE,
     {.named_leaf = ROOT, .is_ess_v2_required = true},
     {0}},
    {"SHA-384", GH_CAUSE_NONE, LEAF, ALONE, ANY_LEAF, {.md = "SHA384"}},
    {"SHA-512 with RSA", GH_CAUSE_NONE, LEAF_RSA, {LEAF_RSA, NOBODY}, ANY_LEAF, {.md = "SHA512"}},
    {"a stranger's certificate beside",
     GH_CAUSE_NONE,
     LEAF,
     {LEAF_STRANGER, LEAF, NOBODY},
     ANY_LEAF,
     {0}},
    {"window ends with the time",
     GH_CAUSE_NONE,
     LEAF,
     ALONE,
     {.named_leaf = ROOT, .window_end_unix_s = TSA_MAKER_TIME},
     {0}},
    {"last second of the signer",
     GH_CAUSE_NONE,
     LEAF,
     ALONE,
     ANY_LEAF,
     {.time_unix_s = T0 + 100 * DAY}},
    /* what the signing certificate is judged by */
    {"no attribute names the signer",
     GH_TIMESTAMP_INVALID,
     LEAF,
     ALONE,
     ANY_LEAF,
     {.ess = TSA_MAKER_ESS_NONE}},
    {"ESS v1 where v2 must be",
     GH_TIMESTAMP_INVALID,
     LEAF,
     ALONE,
     {.named_leaf = ROOT, .is_ess_v2_required = true},
     {.ess = TSA_MAKER_ESS_V1}},
    {"root names another leaf", GH_TIMESTAMP_UNTRUSTED, LEAF, ALONE, {.named_leaf = LEAF_RSA}, {0}},
    {"no certificate anywhere", GH_TIMESTAMP_UNTRUSTED, LEAF, {NOBODY}, ANY_LEAF, {0}},
    {"certificate must be embedded",
     GH_TIMESTAMP_UNTRUSTED,
     LEAF,
     {NOBODY},
     {.named_leaf = LEAF, .is_embedded_required = true},
     {0}},
    {"unknown authority, chain embedded",
     GH_TIMESTAMP_UNTRUSTED,
     LEAF_STRANGER,
     {LEAF_STRANGER, STRANGER, NOBODY},
     ANY_LEAF,
     {0}},
    {"trusted certificate put before the forger's",
     GH_TIMESTAMP_UNTRUSTED,
     LEAF_STRANGER,
     {LEAF, LEAF_STRANGER, NOBODY},
     ANY_LEAF,
     {0}},
    {"forger with issuer and serial of the signer",
     GH_TIMESTAMP_UNTRUSTED,
     LEAF_TWIN,
     {LEAF, LEAF_TWIN, NOBODY},
     ANY_LEAF,
     {0}},
    {"forger with both, the root names the signer",
     GH_TIMESTAMP_UNTRUSTED,
     LEAF_TWIN,
     {LEAF, LEAF_TWIN, NOBODY},
     {.named_leaf = LEAF},
     {0}},
    {"intermediate missing",
     GH_TIMESTAMP_UNTRUSTED,
     LEAF_UNDER,
     {LEAF_UNDER, NOBODY},
     ANY_LEAF,
     {0}},
    {"intermediate for code signing",
     GH_TIMESTAMP_UNTRUSTED,
     LEAF_CODE_BETWEEN,
     {LEAF_CODE_BETWEEN, BETWEEN_CODE, NOBODY},
     ANY_LEAF,
     {0}},
    {"usage serverAuth",
     GH_TIMESTAMP_UNTRUSTED,
     LEAF_SERVER_AUTH,
     {LEAF_SERVER_AUTH, NOBODY},
     ANY_LEAF,
     {0}},
    {"two usages",
     GH_TIMESTAMP_UNTRUSTED,
     LEAF_TWO_USAGES,
     {LEAF_TWO_USAGES, NOBODY},
     ANY_LEAF,
     {0}},
    {"usage not critical",
     GH_TIMESTAMP_UNTRUSTED,
     LEAF_NOT_CRITICAL,
     {LEAF_NOT_CRITICAL, NOBODY},
     ANY_LEAF,
     {0}},
    {"no usage", GH_TIMESTAMP_UNTRUSTED, LEAF_NO_USAGE, {LEAF_NO_USAGE, NOBODY}, ANY_LEAF, {0}},
    {"signer is an authority", GH_TIMESTAMP_UNTRUSTED, LEAF_CA, {LEAF_CA, NOBODY}, ANY_LEAF, {0}},
    /* times */
    {"before the signer", GH_TIMESTAMP_UNTRUSTED, LEAF, ALONE, ANY_LEAF, {.time_unix_s = T0 - 1}},
    {"after the signer",
     GH_TIMESTAMP_UNTRUSTED,
     LEAF,
     ALONE,
     ANY_LEAF,
     {.time_unix_s = T0 + 100 * DAY + 1}},
    {"after the authority's window",
     GH_TIMESTAMP_UNTRUSTED,
     LEAF,
     ALONE,
     {.named_leaf = ROOT, .window_end_unix_s = TSA_MAKER_TIME - 1},
     {0}},
    {"tomorrow",
     GH_TIMESTAMP_FUTURE,
     LEAF,
     ALONE,
     {.named_leaf = ROOT, .now_unix_s = TSA_MAKER_TIME - DAY},
     {0}},
    /* the token itself */
    {"imprint by SHA-1", GH_TIMESTAMP_INVALID, LEAF, ALONE, ANY_LEAF, {.imprint_md = "SHA1"}},
    {"signature by SHA-1",
     GH_TIMESTAMP_INVALID,
     LEAF,
     ALONE,
     ANY_LEAF,
     {.md = "SHA1", .imprint_md = "SHA256"}},
    {"content of another type",
     GH_TIMESTAMP_INVALID,
     LEAF,
     ALONE,
     ANY_LEAF,
     {.content_type = NID_pkcs7_data}},
    {"TSTInfo of version 2", GH_TIMESTAMP_INVALID, LEAF, ALONE, ANY_LEAF, {.version = 2}},
    {"two signers", GH_TIMESTAMP_INVALID, LEAF, ALONE, ANY_LEAF, {.is_signed_twice = true}},
};

static void tsa_verify_token_made_exact_cause(void **state)
{
    const struct world *world = *state;

    for (size_t i = 0; i < GH_COUNT(token_rows); i++) {
        const struct token_row *row = &token_rows[i];
        struct tsa_make make = row->make;
        struct tsa_result result = {0};
        enum gh_cause cause;

        make.signer = world->certs[row->signer];
        make.key = world->keys[row->signer];
        for (size_t j = 0; j < GH_COUNT(row->bag) && row->bag[j] != NOBODY; j++) {
            make.bag[j] = world->certs[row->bag[j]];
        }
        cause = judge_made(world, &row->judge, &make, &result);
        if (cause != row->cause) {
            fail_msg("%s: wanted %s, found %s", row->name, gh_cause_label(row->cause),
                     gh_cause_label(cause));
        }
        if (cause == GH_CAUSE_NONE) {
            assert_int_equal(result.gen_time.unix_s,
                             make.time_unix_s != 0 ? make.time_unix_s : TSA_MAKER_TIME);
            assert_int_equal(result.path_count, row->signer == LEAF_UNDER ? 3 : 2);
        }
        tsa_result_done(&result);
    }
}

/* The attribute is signed: one that names another certificate is a contradiction, not a choice. */
static void tsa_verify_token_attribute_of_another_refused(void **state)
{
    const struct world *world = *state;
    const struct judge judge = ANY_LEAF;
    static const enum tsa_maker_ess forms[] = {TSA_MAKER_ESS_V1, TSA_MAKER_ESS_V2};

    for (size_t i = 0; i < GH_COUNT(forms); i++) {
        struct tsa_make make = {.signer = world->certs[LEAF],
                                .key = world->keys[LEAF],
                                .ess_of = world->certs[LEAF_RSA],
                                .bag = {world->certs[LEAF_RSA], world->certs[LEAF]},
                                .ess = forms[i]};
        struct tsa_result result = {0};

        assert_int_equal(judge_made(world, &judge, &make, &result), GH_TIMESTAMP_INVALID);
    }
}

/* The signer info names the trusted certificate, the attribute too, yet another key signed. */
static void tsa_verify_token_signed_by_another_key_refused(void **state)
{
    const struct world *world = *state;
    const struct judge judge = ANY_LEAF;
    struct tsa_make make = {
        .signer = world->certs[LEAF], .key = world->keys[LEAF], .bag = {world->certs[LEAF]}};
    struct bytes good = tsa_maker_token(&make, COVERED);
    struct tsa_result result = {0};
    uint8_t *last = (uint8_t *)good.data + good.len - 1; /* the signature's last octet */

    *last ^= 1;
    assert_int_equal(judge_bytes(world, &judge, good, &result), GH_TIMESTAMP_INVALID);
    *last ^= 1;
    assert_int_equal(judge_bytes(world, &judge, good, &result), GH_CAUSE_NONE);
    tsa_result_done(&result);
    OPENSSL_free((void *)good.data);
}

/* A response that was not granted proves nothing, whatever token lies in it. */
static void tsa_verify_response_status_judged(void **state)
{
    static const struct {
        uint8_t status;
        enum gh_cause cause;
    } rows[] = {{0, GH_CAUSE_NONE},
                {1, GH_CAUSE_NONE},
                {2, GH_TIMESTAMP_INVALID},
                {5, GH_TIMESTAMP_INVALID}};
    const struct world *world = *state;
    struct tsa_make make = {
        .signer = world->certs[LEAF], .key = world->keys[LEAF], .bag = {world->certs[LEAF]}};
    struct bytes token = tsa_maker_token(&make, COVERED);
    struct x509_cert *root = tsa_maker_cert(world->certs[ROOT]);
    struct x509_authority *authority = NULL;
    struct tsa_authority tsa = {0};
    struct tsa_trust trust = {.items = &tsa, .count = 1};

    assert_true(x509_authority_new(&root, 1, INT64_MIN, INT64_MAX, &authority, NULL));
    tsa.authority = authority;
    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        const uint8_t status[] = {0x30, 0x03, 0x02, 0x01, rows[i].status};
        uint8_t *der = malloc(token.len + 16);
        size_t head = der_put_header(DER_SEQUENCE, sizeof(status) + token.len, der);
        struct tsa_result result = {0};
        struct gh_error err = {0};

        memcpy(der + head, status, sizeof(status));
        memcpy(der + head + sizeof(status), token.data, token.len);
        (void)!tsa_verify_response(bytes_make(der, head + sizeof(status) + token.len), COVERED,
                                   &trust, NOW, &result, &err);
        assert_int_equal(err.cause, rows[i].cause);
        tsa_result_done(&result);
        free(der);
    }
    x509_authority_free(authority);
    x509_cert_unref(root);
    OPENSSL_free((void *)token.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tsa_verify_token_made_exact_cause),
        cmocka_unit_test(tsa_verify_token_attribute_of_another_refused),
        cmocka_unit_test(tsa_verify_token_signed_by_another_key_refused),
        cmocka_unit_test(tsa_verify_response_status_judged),
    };

    return cmocka_run_group_tests(tests, world_setup, world_teardown);
}
