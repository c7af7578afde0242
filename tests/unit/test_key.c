#include "crypto/key.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <sodium.h>
#include <unistd.h>

#include "metrics/error.h"

#define MESSAGE BYTES_LITERAL("what was signed")

static EVP_PKEY *make_evp(const char *type, const char *curve, size_t bits)
{
    if (curve != NULL) {
        return EVP_PKEY_Q_keygen(NULL, NULL, type, curve);
    }
    if (bits != 0) {
        return EVP_PKEY_Q_keygen(NULL, NULL, type, bits);
    }
    return EVP_PKEY_Q_keygen(NULL, NULL, type);
}

static struct key *make_key(EVP_PKEY *evp)
{
    struct gh_error err = {0};
    struct key *key = NULL;

    assert_true(key_from_evp(evp, &key, &err));
    return key;
}

static size_t sign(EVP_PKEY *evp, const char *md, bool is_pss, struct bytes message, uint8_t *out,
                   size_t size)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    EVP_PKEY_CTX *options = NULL;
    size_t len = size;

    assert_int_equal(EVP_DigestSignInit_ex(context, &options, md, NULL, NULL, evp, NULL), 1);
    if (is_pss) {
        assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(options, RSA_PKCS1_PSS_PADDING), 1);
        assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_saltlen(options, RSA_PSS_SALTLEN_DIGEST), 1);
    }
    assert_int_equal(EVP_DigestSign(context, out, &len, message.data, message.len), 1);
    EVP_MD_CTX_free(context);
    return len;
}

static void assert_refused(const struct key *key, enum key_scheme scheme, enum digest_alg alg,
                           struct bytes message, struct bytes signature, enum gh_cause cause)
{
    struct gh_error err = {0};

    assert_false(key_verify(key, scheme, alg, message, signature, &err));
    assert_string_equal(gh_cause_label(err.cause), gh_cause_label(cause));
}

static void check_pair(EVP_PKEY *evp, enum key_scheme scheme, enum digest_alg alg, const char *md)
{
    struct key *key = make_key(evp);
    uint8_t raw[1024];
    size_t len = sign(evp, md, scheme == KEY_SCHEME_RSA_PSS, MESSAGE, raw, sizeof(raw) - 1);
    struct gh_error err = {0};

    assert_true(key_verify(key, scheme, alg, MESSAGE, bytes_make(raw, len), &err));
    assert_refused(key, scheme, alg, BYTES_LITERAL("what was signeD"), bytes_make(raw, len),
                   GH_SIG_INVALID);
    assert_refused(key, scheme, alg, MESSAGE, bytes_make(raw, len - 1), GH_SIG_INVALID);
    raw[len] = 0;
    assert_refused(key, scheme, alg, MESSAGE, bytes_make(raw, len + 1), GH_SIG_INVALID);
    assert_refused(key, scheme, alg, MESSAGE, bytes_make(raw, 0), GH_SIG_INVALID);
    raw[len - 1] ^= 1;
    assert_refused(key, scheme, alg, MESSAGE, bytes_make(raw, len), GH_SIG_INVALID);
    key_free(key);
}

static void key_verify_each_type_accepts_and_refuses_changes(void **state)
{
    static const struct {
        const char *type;
        const char *curve;
        size_t bits;
        enum key_scheme scheme;
        enum digest_alg alg;
        const char *md;
    } rows[] = {
        {"EC", "P-256", 0, KEY_SCHEME_ECDSA, DIGEST_SHA256, "SHA256"},
        {"EC", "P-384", 0, KEY_SCHEME_ECDSA, DIGEST_SHA384, "SHA384"},
        {"EC", "P-384", 0, KEY_SCHEME_ECDSA, DIGEST_SHA256, "SHA256"},
        {"EC", "P-521", 0, KEY_SCHEME_ECDSA, DIGEST_SHA512, "SHA512"},
        {"RSA", NULL, 2048, KEY_SCHEME_RSA_PKCS1, DIGEST_SHA256, "SHA256"},
        {"RSA", NULL, 2048, KEY_SCHEME_RSA_PSS, DIGEST_SHA384, "SHA384"},
        {"ED25519", NULL, 0, KEY_SCHEME_ED25519, DIGEST_SHA512, NULL},
    };

    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        EVP_PKEY *evp = make_evp(rows[i].type, rows[i].curve, rows[i].bits);

        assert_non_null(evp);
        check_pair(evp, rows[i].scheme, rows[i].alg, rows[i].md);
        EVP_PKEY_free(evp);
    }
}

static void key_verify_other_scheme_refused(void **state)
{
    EVP_PKEY *ec = make_evp("EC", "P-256", 0);
    EVP_PKEY *ed = make_evp("ED25519", NULL, 0);
    struct key *ec_key = make_key(ec);
    struct key *ed_key = make_key(ed);
    uint8_t raw[128] = {0};
    struct digest digest = {.alg = DIGEST_SHA512};
    struct gh_error err = {0};

    assert_refused(ec_key, KEY_SCHEME_RSA_PKCS1, DIGEST_SHA256, MESSAGE, bytes_make(raw, 64),
                   GH_SIG_ALG_MISMATCH);
    assert_refused(ec_key, KEY_SCHEME_ED25519, DIGEST_SHA256, MESSAGE, bytes_make(raw, 64),
                   GH_SIG_ALG_MISMATCH);
    assert_refused(ed_key, KEY_SCHEME_ECDSA, DIGEST_SHA256, MESSAGE, bytes_make(raw, 64),
                   GH_SIG_ALG_MISMATCH);
    assert_false(key_verify_digest(ed_key, KEY_SCHEME_ED25519, &digest, bytes_make(raw, 64), &err));
    assert_int_equal(err.cause, GH_SIG_ALG_MISMATCH);
    key_free(ec_key);
    key_free(ed_key);
    EVP_PKEY_free(ec);
    EVP_PKEY_free(ed);
}

static void key_verify_pure_and_prehashed_ed25519_are_apart(void **state)
{
    uint8_t public_key[32];
    uint8_t secret[64];
    uint8_t signature[64];
    crypto_sign_ed25519ph_state ph;
    struct key *key = NULL;
    struct gh_error err = {0};
    EVP_PKEY *evp;

    crypto_sign_ed25519_keypair(public_key, secret);
    evp = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, public_key, sizeof(public_key));
    key = make_key(evp);
    crypto_sign_ed25519ph_init(&ph);
    crypto_sign_ed25519ph_update(&ph, MESSAGE.data, MESSAGE.len);
    crypto_sign_ed25519ph_final_create(&ph, signature, NULL, secret);
    assert_true(key_verify(key, KEY_SCHEME_ED25519_PH, DIGEST_SHA512, MESSAGE,
                           bytes_make(signature, 64), &err));
    assert_refused(key, KEY_SCHEME_ED25519, DIGEST_SHA512, MESSAGE, bytes_make(signature, 64),
                   GH_SIG_INVALID);
    signature[3] ^= 1;
    assert_refused(key, KEY_SCHEME_ED25519_PH, DIGEST_SHA512, MESSAGE, bytes_make(signature, 64),
                   GH_SIG_INVALID);
    assert_refused(key, KEY_SCHEME_ED25519_PH, DIGEST_SHA512, MESSAGE, bytes_make(signature, 63),
                   GH_SIG_INVALID);
    key_free(key);
    EVP_PKEY_free(evp);
}

static void key_verify_weak_rsa_refused(void **state)
{
    static const size_t sizes[] = {1024, 2560};

    for (size_t i = 0; i < GH_COUNT(sizes); i++) {
        EVP_PKEY *evp = make_evp("RSA", NULL, sizes[i]);
        struct key *key = make_key(evp);
        uint8_t raw[512];
        size_t len = sign(evp, "SHA256", false, MESSAGE, raw, sizeof(raw));

        assert_true(key_is_weak(key));
        assert_refused(key, KEY_SCHEME_RSA_PKCS1, DIGEST_SHA256, MESSAGE, bytes_make(raw, len),
                       GH_KEY_WEAK);
        key_free(key);
        EVP_PKEY_free(evp);
    }
}

static void key_verify_rsa_exponent_three_refused(void **state)
{
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    BIGNUM *three = BN_new();
    EVP_PKEY *evp = NULL;
    struct key *key;

    assert_int_equal(BN_set_word(three, 3), 1);
    assert_int_equal(EVP_PKEY_keygen_init(context), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_keygen_bits(context, 2048), 1);
    assert_int_equal(EVP_PKEY_CTX_set1_rsa_keygen_pubexp(context, three), 1);
    assert_int_equal(EVP_PKEY_keygen(context, &evp), 1);
    key = make_key(evp);
    assert_true(key_is_weak(key));
    assert_refused(key, KEY_SCHEME_RSA_PKCS1, DIGEST_SHA256, MESSAGE, BYTES_LITERAL("x"),
                   GH_KEY_WEAK);
    key_free(key);
    BN_free(three);
    EVP_PKEY_CTX_free(context);
    EVP_PKEY_free(evp);
}

#define PKCS1_PEM                                                                                  \
    "-----BEGIN RSA PUBLIC KEY-----\n"                                                             \
    "MIIBCgKCAQEAmUspm922nXNNwGAs3hXskxXIuHLgVDMnsA1/Q7hIqeh1h5yGNISJ\n"                           \
    "rmwZpbIc4+3FAav+nQzsrKN24oI5hYpJSQqoEA/soSPWKWnMOqsa/0JqXdXOezc1\n"                           \
    "6mNsmPn9QVw119jKoV3KOYBUZUEcQfhoK2cVJ+s8SH3KtixpZgnO5RmhQYucHm5X\n"                           \
    "d+Na/zsQLIJVfX18a342WlUvyezg2NqciFfwui2aYPLH/5G8PP3OQhXytcTqQVqZ\n"                           \
    "Yx2QorO4LyZqCcfZrafVX2bZzr+hj3OZhWaaM85DlOnNbJWyUMEKEFooLPZXkKGc\n"                           \
    "KI1gVx45Qc1zoGk8PvmHfBJ7cjvCOpr96wIDAQAB\n"                                                   \
    "-----END RSA PUBLIC KEY-----\n"
#define SPKI_PEM                                                                                   \
    "-----BEGIN PUBLIC KEY-----\n"                                                                 \
    "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAmUspm922nXNNwGAs3hXs\n"                           \
    "kxXIuHLgVDMnsA1/Q7hIqeh1h5yGNISJrmwZpbIc4+3FAav+nQzsrKN24oI5hYpJ\n"                           \
    "SQqoEA/soSPWKWnMOqsa/0JqXdXOezc16mNsmPn9QVw119jKoV3KOYBUZUEcQfho\n"                           \
    "K2cVJ+s8SH3KtixpZgnO5RmhQYucHm5Xd+Na/zsQLIJVfX18a342WlUvyezg2Nqc\n"                           \
    "iFfwui2aYPLH/5G8PP3OQhXytcTqQVqZYx2QorO4LyZqCcfZrafVX2bZzr+hj3OZ\n"                           \
    "hWaaM85DlOnNbJWyUMEKEFooLPZXkKGcKI1gVx45Qc1zoGk8PvmHfBJ7cjvCOpr9\n"                           \
    "6wIDAQAB\n"                                                                                   \
    "-----END PUBLIC KEY-----\n"
#define SECP256K1_PEM                                                                              \
    "-----BEGIN PUBLIC KEY-----\n"                                                                 \
    "MFYwEAYHKoZIzj0CAQYFK4EEAAoDQgAEy3tHG+Hh+V4ZKrQR22ZC8L4wnGTDoOBe\n"                           \
    "4jTgFd6HBRi/1XsPUXGK6x1UOrY/rPTrBVF8ZnwVUHnIGWszDHpmuQ==\n"                                   \
    "-----END PUBLIC KEY-----\n"

static void key_parse_pem_pkcs1_equals_spki(void **state)
{
    struct gh_error err = {0};
    struct key *a = NULL;
    struct key *b = NULL;

    assert_true(key_parse_pem(bytes_of(SPKI_PEM), &a, &err));
    assert_true(key_parse_pem(bytes_of("\n" PKCS1_PEM "\n"), &b, &err));
    assert_true(key_equal(a, b));
    assert_true(digest_equal(key_fingerprint(a), key_fingerprint(b)));
    assert_int_equal(key_type(b), KEY_TYPE_RSA);
    assert_int_equal(key_bits(b), 2048);
    assert_false(key_is_weak(b));
    key_free(a);
    key_free(b);
}

static void key_parse_pem_unacceptable_refused(void **state)
{
    static const struct {
        const char *pem;
        enum gh_cause cause;
    } rows[] = {
        {"", GH_SIG_MALFORMED},
        {"no key at all", GH_SIG_MALFORMED},
        {SPKI_PEM SPKI_PEM, GH_SIG_MALFORMED},
        {SPKI_PEM "trailing", GH_SIG_MALFORMED},
        {SECP256K1_PEM, GH_SIG_ALG_UNSUPPORTED},
        {"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n", GH_SIG_MALFORMED},
        {"-----BEGIN PUBLIC KEY-----\nMAA=\n-----END PUBLIC KEY-----\n", GH_SIG_MALFORMED},
    };

    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        struct gh_error err = {0};
        struct key *key = NULL;

        assert_false(key_parse_pem(bytes_of(rows[i].pem), &key, &err));
        assert_string_equal(gh_cause_label(err.cause), gh_cause_label(rows[i].cause));
        assert_null(key);
    }
}

static void key_parse_spki_changed_bytes_refused(void **state)
{
    EVP_PKEY *evp = make_evp("EC", "P-256", 0);
    struct key *key = make_key(evp);
    uint8_t der[92];
    struct key *other = NULL;
    struct gh_error err = {0};

    assert_int_equal(key_spki(key).len, 91);
    memcpy(der, key_spki(key).data, 91);
    der[91] = 0;
    assert_false(key_parse_spki(bytes_make(der, 92), &other, &err)); /* trailing */
    assert_int_equal(err.cause, GH_SIG_ALG_UNSUPPORTED);
    gh_error_clear(&err);
    memset(der + 27, 0xff, 64); /* no point of the curve */
    assert_false(key_parse_spki(bytes_make(der, 91), &other, &err));
    assert_int_equal(err.cause, GH_SIG_MALFORMED);
    gh_error_clear(&err);
    der[26] = 0x00; /* the point at infinity */
    assert_false(key_parse_spki(bytes_make(der, 91), &other, &err));
    assert_int_equal(err.cause, GH_SIG_ALG_UNSUPPORTED);
    key_free(key);
    EVP_PKEY_free(evp);
}

static bool hex_to_buf(const char *hex, struct bytes_buf *out)
{
    struct gh_error err = {0};
    size_t len = strcmp(hex, "-") == 0 ? 0 : strlen(hex) / 2; /* a dash is no bytes */

    return bytes_buf_alloc(len, out, &err) &&
           bytes_hex_decode(bytes_make(hex, 2 * len), out->data, len, &err);
}

static FILE *open_suite(void)
{
    static const char *const folders[] = {"/../../shared/suites", "/../../../shared/suites"};
    const char *root = getenv("GH_TEST_DATA");
    char command[600];
    char path[512];

    for (size_t i = 0; root != NULL && i < GH_COUNT(folders); i++) {
        (void)snprintf(path, sizeof(path), "%s%s/wycheproof/vectors.tsv.gz", root, folders[i]);
        if (access(path, R_OK) == 0) {
            (void)snprintf(command, sizeof(command), "gzip -dc '%s'", path);
            return popen(command, "r");
        }
    }
    return NULL;
}

static enum key_scheme scheme_of(const char *name)
{
    if (strcmp(name, "ecdsa-der") == 0) {
        return KEY_SCHEME_ECDSA;
    }
    if (strcmp(name, "ecdsa-p1363") == 0) {
        return KEY_SCHEME_ECDSA_RAW;
    }
    if (strcmp(name, "rsa-pss") == 0) {
        return KEY_SCHEME_RSA_PSS;
    }
    return strcmp(name, "rsa-pkcs1") == 0 ? KEY_SCHEME_RSA_PKCS1 : KEY_SCHEME_ED25519;
}

static enum digest_alg alg_of(const char *name)
{
    if (strcmp(name, "SHA-384") == 0) {
        return DIGEST_SHA384;
    }
    return strcmp(name, "SHA-512") == 0 || strcmp(name, "-") == 0 ? DIGEST_SHA512 : DIGEST_SHA256;
}

/* 1: agrees, 0: does not, with the row named. */
static bool check_row(char *line)
{
    char *column[10] = {0};
    struct bytes_buf der = {0};
    struct bytes_buf message = {0};
    struct bytes_buf signature = {0};
    struct gh_error err = {0};
    struct key *key = NULL;
    bool is_good;
    bool agrees;

    for (size_t i = 0; i < GH_COUNT(column); i++) {
        column[i] = strsep(&line, "\t\n");
        assert_non_null(column[i]);
    }
    assert_true(hex_to_buf(column[5], &der) && hex_to_buf(column[6], &message));
    assert_true(hex_to_buf(column[7], &signature));
    assert_true(key_parse_spki(bytes_view(&der), &key, &err));
    is_good = key_verify(key, scheme_of(column[2]), alg_of(column[3]), bytes_view(&message),
                         bytes_view(&signature), &err);
    agrees =
        is_good == (strcmp(column[8], "valid") == 0) && (is_good || err.cause == GH_SIG_INVALID);
    /* Exponents under 65537 are refused here by choice, whatever the suite says. */
    agrees = agrees || (!is_good && key_is_weak(key) && err.cause == GH_KEY_WEAK);
    if (!agrees) {
        print_message("# %s %s wanted %s, found %s\n", column[0], column[1], column[8],
                      is_good ? "valid" : gh_cause_label(err.cause));
    }
    key_free(key);
    bytes_buf_done(&der);
    bytes_buf_done(&message);
    bytes_buf_done(&signature);
    return agrees;
}

static void key_verify_wycheproof_rows_agree(void **state)
{
    FILE *rows = open_suite();
    char *line = NULL;
    size_t capacity = 0;
    unsigned count = 0;
    unsigned wrong = 0;

    if (rows == NULL) {
        print_message("# skipped: the Wycheproof rows are not here\n");
        skip();
    }
    while (getline(&line, &capacity, rows) > 0) {
        count++;
        wrong += check_row(line) ? 0 : 1;
    }
    free(line);
    assert_int_equal(pclose(rows), 0);
    print_message("# %u Wycheproof rows, %u disagree\n", count, wrong);
    assert_true(count > 5000);
    assert_int_equal(wrong, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(key_verify_each_type_accepts_and_refuses_changes),
        cmocka_unit_test(key_verify_other_scheme_refused),
        cmocka_unit_test(key_verify_pure_and_prehashed_ed25519_are_apart),
        cmocka_unit_test(key_verify_weak_rsa_refused),
        cmocka_unit_test(key_verify_rsa_exponent_three_refused),
        cmocka_unit_test(key_parse_pem_pkcs1_equals_spki),
        cmocka_unit_test(key_parse_pem_unacceptable_refused),
        cmocka_unit_test(key_parse_spki_changed_bytes_refused),
        cmocka_unit_test(key_verify_wycheproof_rows_agree),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
