#include "crypto/key.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <sodium.h>

#include "metrics/error.h"

#define KEY_ED25519_BYTES 32
#define KEY_ED25519_SIGNATURE_BYTES 64
#define KEY_MAX_FIELD_BYTES 66 /* P-521 */
#define KEY_MIN_RSA_EXPONENT 65537

struct key {
    enum key_type type;
    unsigned bits;
    bool is_weak;
    EVP_PKEY *evp;
    struct bytes_buf spki;
    struct digest fingerprint;
};

/* The whole of a SubjectPublicKeyInfo up to its key bits, by which a type is recognised. */
struct key_form {
    enum key_type type;
    unsigned bits;
    size_t total; /* length of the whole structure */
    const char *prefix;
    size_t prefix_len;
};

#define KEY_FORM(type, bits, total, prefix)                                                        \
    {                                                                                              \
        (type), (bits), (total), (prefix), sizeof(prefix) - 1                                      \
    }

static const struct key_form key_forms[] = {
    KEY_FORM(KEY_TYPE_P256, 256, 91,
             "\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03"
             "\x01\x07\x03\x42\x00\x04"),
    KEY_FORM(KEY_TYPE_P384, 384, 120,
             "\x30\x76\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22\x03"
             "\x62\x00\x04"),
    KEY_FORM(KEY_TYPE_P521, 521, 158,
             "\x30\x81\x9b\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x23"
             "\x03\x81\x86\x00\x04"),
    KEY_FORM(KEY_TYPE_ED25519, 256, 44, "\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00"),
};

/* AlgorithmIdentifier of rsaEncryption with its NULL parameters (RFC 3279). */
static const char key_rsa_algorithm[] = "\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05";

/* What OpenSSL said goes into the text; what is left in its queue would be blamed on later calls.
 */
static bool key_openssl_fail(struct gh_error *err, enum gh_cause cause, const char *what)
{
    unsigned long code = ERR_peek_error();
    char detail[120] = "";

    if (code != 0) {
        ERR_error_string_n(code, detail, sizeof(detail));
    }
    ERR_clear_error();
    return gh_fail(err, cause, "%s%s%s", what, detail[0] != '\0' ? ": " : "", detail);
}

void key_free(struct key *key)
{
    if (key == NULL) {
        return;
    }
    EVP_PKEY_free(key->evp);
    bytes_buf_done(&key->spki);
    free(key);
}

static bool key_recognise(struct bytes der, struct key *key, struct gh_error *err)
{
    struct bytes algorithm = bytes_make(key_rsa_algorithm, sizeof(key_rsa_algorithm) - 1);

    for (size_t i = 0; i < GH_COUNT(key_forms); i++) {
        const struct key_form *form = &key_forms[i];

        if (der.len == form->total &&
            bytes_starts_with(der, bytes_make(form->prefix, form->prefix_len))) {
            key->type = form->type;
            key->bits = form->bits;
            return true;
        }
    }
    /* RSA structures of interest are 256 bytes or longer and begin 30 82 hh ll. */
    if (bytes_starts_with(bytes_slice(der, 4, der.len), algorithm) ||
        bytes_starts_with(bytes_slice(der, 3, der.len), algorithm)) {
        key->type = KEY_TYPE_RSA;
        return true;
    }
    if (der.len < 8 || der.data[0] != 0x30) {
        return gh_fail(err, GH_SIG_MALFORMED, "the key is not a SubjectPublicKeyInfo");
    }
    return gh_fail(
        err, GH_SIG_ALG_UNSUPPORTED,
        "the key is not ECDSA on P-256, P-384 or P-521, RSA or Ed25519 in its usual form");
}

static bool key_judge_rsa(struct key *key, struct gh_error *err)
{
    BIGNUM *exponent = NULL;
    int bits = EVP_PKEY_get_bits(key->evp);

    if (bits <= 0 || EVP_PKEY_get_bn_param(key->evp, OSSL_PKEY_PARAM_RSA_E, &exponent) != 1) {
        BN_free(exponent);
        return key_openssl_fail(err, GH_SIG_MALFORMED, "the RSA key cannot be read");
    }
    key->bits = (unsigned)bits;
    key->is_weak = (bits != 2048 && bits != 3072 && bits != 4096) || BN_is_odd(exponent) != 1 ||
                   BN_num_bits(exponent) > 64 || BN_get_word(exponent) < KEY_MIN_RSA_EXPONENT;
    BN_free(exponent);
    return true;
}

/* A point on a named curve. OpenSSL's own decoder tries form after form and takes five times as
 * long, more than the verification of a signature; the form is known here already. */
static EVP_PKEY *key_decode_point(const char *group, struct bytes point)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char *)group, 0),
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, (uint8_t *)point.data,
                                          point.len),
        OSSL_PARAM_construct_end()};
    EVP_PKEY *evp = NULL;

    if (ctx == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &evp, EVP_PKEY_PUBLIC_KEY, params) != 1) {
        evp = NULL;
    }
    EVP_PKEY_CTX_free(ctx);
    return evp;
}

/* The last COUNT bytes of the structure: of a recognised form these are the key. */
static struct bytes key_tail(struct bytes der, size_t count)
{
    return bytes_slice(der, der.len - count, count);
}

/* DER is of the recognised type; everything but RSA has one length and one prefix. */
static EVP_PKEY *key_decode(enum key_type type, struct bytes der)
{
    const unsigned char *cursor = der.data;
    EVP_PKEY *evp;

    switch (type) {
    case KEY_TYPE_P256:
        return key_decode_point("prime256v1", key_tail(der, 1 + 2 * 32));
    case KEY_TYPE_P384:
        return key_decode_point("secp384r1", key_tail(der, 1 + 2 * 48));
    case KEY_TYPE_P521:
        return key_decode_point("secp521r1", key_tail(der, 1 + 2 * 66));
    case KEY_TYPE_ED25519:
        return EVP_PKEY_new_raw_public_key(
            EVP_PKEY_ED25519, NULL, key_tail(der, KEY_ED25519_BYTES).data, KEY_ED25519_BYTES);
    case KEY_TYPE_RSA:
        break;
    }
    evp = d2i_PUBKEY(NULL, &cursor, (long)der.len);
    if (evp != NULL && cursor != der.data + der.len) {
        EVP_PKEY_free(evp);
        return NULL;
    }
    return evp;
}

bool key_parse_spki(struct bytes der, struct key **out, struct gh_error *err)
{
    GH_OWN(key_freep) struct key *key = calloc(1, sizeof(*key));

    if (key == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for a key");
    }
    if (der.len > KEY_MAX_SPKI_BYTES) {
        return gh_fail(err, GH_SIZE_LIMIT_EXCEEDED, "a key of %zu bytes, at most %d are read",
                       der.len, KEY_MAX_SPKI_BYTES);
    }
    GH_TRY(key_recognise(der, key, err));
    ERR_clear_error();
    /* The recognised prefix has fixed curve and form; decoding the point checks that it lies on the
     * curve, and with cofactor 1 nothing more is to be checked. */
    key->evp = key_decode(key->type, der);
    if (key->evp == NULL) {
        return key_openssl_fail(err, GH_SIG_MALFORMED, "the key cannot be read");
    }
    if (key->type == KEY_TYPE_RSA) {
        GH_TRY(key_judge_rsa(key, err));
    }
    GH_TRY(bytes_dup(der, &key->spki, err));
    GH_TRY(digest_compute(DIGEST_SHA256, der, &key->fingerprint, err));
    *out = GH_TAKE(key);
    return true;
}

static size_t key_put_length(uint8_t *out, size_t len)
{
    if (len < 0x80) {
        out[0] = (uint8_t)len;
        return 1;
    }
    if (len < 0x100) {
        out[0] = 0x81;
        out[1] = (uint8_t)len;
        return 2;
    }
    out[0] = 0x82;
    out[1] = (uint8_t)(len >> 8);
    out[2] = (uint8_t)len;
    return 3;
}

/* PKCS#1's RSAPublicKey inside the SubjectPublicKeyInfo that everything else expects. */
static bool key_parse_pkcs1(struct bytes der, struct key **out, struct gh_error *err)
{
    uint8_t spki[KEY_MAX_SPKI_BYTES + 64];
    uint8_t bits[5];
    uint8_t head[5];
    uint8_t algorithm[16];
    size_t algorithm_len = sizeof(key_rsa_algorithm) - 1;
    size_t bits_len;
    size_t head_len;
    size_t used = 0;

    if (der.len > KEY_MAX_SPKI_BYTES - 64) {
        return gh_fail(err, GH_SIZE_LIMIT_EXCEEDED, "an RSA key of %zu bytes", der.len);
    }
    memcpy(algorithm, key_rsa_algorithm, algorithm_len);
    algorithm[algorithm_len++] = 0x00; /* closes the NULL that the constant ends with */
    bits[0] = 0x03;
    bits_len = 1 + key_put_length(bits + 1, der.len + 1);
    head[0] = 0x30;
    head_len = 1 + key_put_length(head + 1, algorithm_len + bits_len + 1 + der.len);
    memcpy(spki + used, head, head_len);
    used += head_len;
    memcpy(spki + used, algorithm, algorithm_len);
    used += algorithm_len;
    memcpy(spki + used, bits, bits_len);
    used += bits_len;
    spki[used++] = 0x00; /* no unused bits */
    if (der.len > 0) {
        memcpy(spki + used, der.data, der.len);
        used += der.len;
    }
    return key_parse_spki(bytes_make(spki, used), out, err);
}

bool key_parse_pem(struct bytes pem, struct key **out, struct gh_error *err)
{
    GH_OWN(bytes_buf_done) struct bytes_buf der = {0};
    struct bytes label;

    if (pem.len > KEY_MAX_PEM_BYTES) {
        return gh_fail(err, GH_SIZE_LIMIT_EXCEEDED, "a key file of %zu bytes, at most %d are read",
                       pem.len, KEY_MAX_PEM_BYTES);
    }
    GH_TRY(bytes_pem_next(&pem, &label, &der, err));
    bytes_skip_space(&pem);
    if (pem.len != 0) {
        return gh_fail(err, GH_SIG_MALFORMED, "more than one PEM block, or text after the key");
    }
    if (bytes_equal_cstr(label, "PUBLIC KEY")) {
        return key_parse_spki(bytes_view(&der), out, err);
    }
    if (bytes_equal_cstr(label, "RSA PUBLIC KEY")) {
        return key_parse_pkcs1(bytes_view(&der), out, err);
    }
    return gh_fail(err, GH_SIG_MALFORMED,
                   "the PEM block is `%.*s`, wanted is `PUBLIC KEY` or `RSA PUBLIC KEY`",
                   (int)GH_MIN(label.len, 40), (const char *)label.data);
}

bool key_from_evp(EVP_PKEY *evp, struct key **out, struct gh_error *err)
{
    unsigned char *der = NULL;
    int len = i2d_PUBKEY(evp, &der);
    bool ok;

    if (len <= 0) {
        return key_openssl_fail(err, GH_SIG_MALFORMED, "the key cannot be written");
    }
    ok = key_parse_spki(bytes_make(der, (size_t)len), out, err);
    OPENSSL_free(der);
    return ok;
}

enum key_type key_type(const struct key *key)
{
    return key->type;
}

void key_describe(const struct key *key, char *out, size_t size)
{
    switch (key->type) {
    case KEY_TYPE_P256:
    case KEY_TYPE_P384:
    case KEY_TYPE_P521:
        (void)snprintf(out, size, "ECDSA P-%u", key->bits);
        return;
    case KEY_TYPE_RSA:
        (void)snprintf(out, size, "RSA %u", key->bits);
        return;
    case KEY_TYPE_ED25519:
        (void)snprintf(out, size, "Ed25519");
        return;
    }
}

unsigned key_bits(const struct key *key)
{
    return key->bits;
}

bool key_is_weak(const struct key *key)
{
    return key->is_weak;
}

struct bytes key_spki(const struct key *key)
{
    return bytes_view(&key->spki);
}

const struct digest *key_fingerprint(const struct key *key)
{
    return &key->fingerprint;
}

bool key_equal(const struct key *a, const struct key *b)
{
    return bytes_equal(bytes_view(&a->spki), bytes_view(&b->spki));
}

enum digest_alg key_own_digest(const struct key *key)
{
    switch (key->type) {
    case KEY_TYPE_P384:
        return DIGEST_SHA384;
    case KEY_TYPE_P521:
    case KEY_TYPE_ED25519:
        return DIGEST_SHA512;
    case KEY_TYPE_P256:
    case KEY_TYPE_RSA:
        break;
    }
    return DIGEST_SHA256;
}

enum key_scheme key_default_scheme(const struct key *key)
{
    switch (key->type) {
    case KEY_TYPE_RSA:
        return KEY_SCHEME_RSA_PKCS1;
    case KEY_TYPE_ED25519:
        return KEY_SCHEME_ED25519;
    case KEY_TYPE_P256:
    case KEY_TYPE_P384:
    case KEY_TYPE_P521:
        break;
    }
    return KEY_SCHEME_ECDSA;
}

static bool key_allows_scheme(const struct key *key, enum key_scheme scheme)
{
    switch (scheme) {
    case KEY_SCHEME_ECDSA:
    case KEY_SCHEME_ECDSA_RAW:
        return key->type == KEY_TYPE_P256 || key->type == KEY_TYPE_P384 ||
               key->type == KEY_TYPE_P521;
    case KEY_SCHEME_RSA_PKCS1:
    case KEY_SCHEME_RSA_PSS:
        return key->type == KEY_TYPE_RSA;
    case KEY_SCHEME_ED25519:
    case KEY_SCHEME_ED25519_PH:
        return key->type == KEY_TYPE_ED25519;
    }
    return false;
}

static bool key_check_use(const struct key *key, enum key_scheme scheme, struct gh_error *err)
{
    char name[32];

    key_describe(key, name, sizeof(name));
    if (key->is_weak) {
        return gh_fail(err, GH_KEY_WEAK,
                       "the %s key is refused: RSA needs 2048, 3072 or 4096 bits and an exponent "
                       "of 65537 or more",
                       name);
    }
    if (!key_allows_scheme(key, scheme)) {
        return gh_fail(err, GH_SIG_ALG_MISMATCH, "the algorithm is not one of the %s key", name);
    }
    return true;
}

static bool key_verify_failed(const struct key *key, struct gh_error *err)
{
    char name[32];

    ERR_clear_error();
    key_describe(key, name, sizeof(name));
    return gh_fail(err, GH_SIG_INVALID, "the signature does not verify with the %s key", name);
}

/* One INTEGER of an ECDSA-Sig-Value, minimal; gives the bytes written. */
static size_t key_put_integer(uint8_t *out, const uint8_t *value, size_t len)
{
    size_t used = 0;

    while (len > 1 && *value == 0) {
        value++;
        len--;
    }
    out[used++] = 0x02;
    out[used++] = (uint8_t)(len + (*value >> 7)); /* 67 at most: one length byte does */
    if ((*value & 0x80) != 0) {
        out[used++] = 0x00;
    }
    memcpy(out + used, value, len);
    return used + len;
}

/* r and s side by side become the DER that OpenSSL reads. False: not of the curve's length. */
static bool key_raw_to_der(const struct key *key, struct bytes raw, uint8_t *out, size_t *out_len)
{
    uint8_t body[2 * (KEY_MAX_FIELD_BYTES + 3)];
    size_t field = (key->bits + 7) / 8;
    size_t used;
    size_t head;

    if (raw.len != 2 * field) {
        return false;
    }
    used = key_put_integer(body, raw.data, field);
    used += key_put_integer(body + used, raw.data + field, field);
    out[0] = 0x30;
    head = 1 + key_put_length(out + 1, used);
    memcpy(out + head, body, used);
    *out_len = head + used;
    return true;
}

static const EVP_MD *key_md(enum digest_alg alg)
{
    switch (alg) {
    case DIGEST_SHA256:
        return EVP_sha256();
    case DIGEST_SHA384:
        return EVP_sha384();
    case DIGEST_SHA512:
        return EVP_sha512();
    case DIGEST_NONE:
        break;
    }
    return NULL;
}

static bool key_set_rsa(EVP_PKEY_CTX *context, enum key_scheme scheme, enum digest_alg alg)
{
    const EVP_MD *md = key_md(alg);

    if (md == NULL) {
        return false;
    }
    if (scheme == KEY_SCHEME_RSA_PKCS1) {
        return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING) == 1 &&
               EVP_PKEY_CTX_set_signature_md(context, md) == 1;
    }
    return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) == 1 &&
           EVP_PKEY_CTX_set_signature_md(context, md) == 1 &&
           EVP_PKEY_CTX_set_rsa_mgf1_md(context, md) == 1 &&
           EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_DIGEST) == 1;
}

static bool key_verify_hashed(const struct key *key, enum key_scheme scheme,
                              const struct digest *digest, struct bytes signature,
                              struct gh_error *err)
{
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(key->evp, NULL);
    bool is_rsa = scheme == KEY_SCHEME_RSA_PKCS1 || scheme == KEY_SCHEME_RSA_PSS;
    bool is_ready = context != NULL && EVP_PKEY_verify_init(context) == 1 &&
                    (!is_rsa || key_set_rsa(context, scheme, digest->alg));
    bool is_good = is_ready && EVP_PKEY_verify(context, signature.data, signature.len,
                                               digest->value, digest_alg_len(digest->alg)) == 1;

    EVP_PKEY_CTX_free(context);
    if (!is_ready) {
        return key_openssl_fail(err, GH_INTERNAL_ERROR, "verification cannot be set up");
    }
    return is_good ? true : key_verify_failed(key, err);
}

/* The raw public key stands at the end of the structure. */
static const uint8_t *key_ed25519_point(const struct key *key)
{
    return key->spki.data + key->spki.len - KEY_ED25519_BYTES;
}

static bool key_verify_ed25519(const struct key *key, struct bytes message, struct bytes signature,
                               struct gh_error *err)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool is_ready =
        context != NULL && EVP_DigestVerifyInit(context, NULL, NULL, NULL, key->evp) == 1;
    bool is_good = is_ready && EVP_DigestVerify(context, signature.data, signature.len,
                                                message.data, message.len) == 1;

    EVP_MD_CTX_free(context);
    if (!is_ready) {
        return key_openssl_fail(err, GH_INTERNAL_ERROR, "verification cannot be set up");
    }
    return is_good ? true : key_verify_failed(key, err);
}

/* OpenSSL 3.0 has no Ed25519ph; pure Ed25519 over the hash would be another algorithm. */
static bool key_verify_ed25519ph(const struct key *key, struct bytes message,
                                 struct bytes signature, struct gh_error *err)
{
    crypto_sign_ed25519ph_state state;
    unsigned char copy[KEY_ED25519_SIGNATURE_BYTES]; /* the library's parameter is not const */

    if (signature.len != sizeof(copy)) {
        return key_verify_failed(key, err);
    }
    memcpy(copy, signature.data, sizeof(copy));
    if (crypto_sign_ed25519ph_init(&state) != 0 ||
        crypto_sign_ed25519ph_update(&state, message.data, message.len) != 0) {
        return gh_fail(err, GH_INTERNAL_ERROR, "Ed25519ph cannot be set up");
    }
    return crypto_sign_ed25519ph_final_verify(&state, copy, key_ed25519_point(key)) == 0
               ? true
               : key_verify_failed(key, err);
}

bool key_verify_digest(const struct key *key, enum key_scheme scheme, const struct digest *digest,
                       struct bytes signature, struct gh_error *err)
{
    uint8_t der[2 * (KEY_MAX_FIELD_BYTES + 3) + 4];
    size_t der_len = 0;

    GH_TRY(key_check_use(key, scheme, err));
    if (scheme == KEY_SCHEME_ED25519 || scheme == KEY_SCHEME_ED25519_PH) {
        return gh_fail(err, GH_SIG_ALG_MISMATCH,
                       "Ed25519 signs messages, not hashes made by others");
    }
    if (digest_alg_len(digest->alg) == 0) {
        return gh_fail(err, GH_SIG_ALG_UNSUPPORTED, "no hash is named");
    }
    if (signature.len == 0 || signature.len > KEY_MAX_SIGNATURE_BYTES) {
        return key_verify_failed(key, err);
    }
    ERR_clear_error();
    if (scheme == KEY_SCHEME_ECDSA_RAW) {
        if (!key_raw_to_der(key, signature, der, &der_len)) {
            return key_verify_failed(key, err);
        }
        signature = bytes_make(der, der_len);
    }
    return key_verify_hashed(key, scheme, digest, signature, err);
}

bool key_verify(const struct key *key, enum key_scheme scheme, enum digest_alg alg,
                struct bytes message, struct bytes signature, struct gh_error *err)
{
    struct digest digest;

    if (scheme != KEY_SCHEME_ED25519 && scheme != KEY_SCHEME_ED25519_PH) {
        GH_TRY(key_check_use(key, scheme, err));
        GH_TRY(digest_compute(alg, message, &digest, err));
        return key_verify_digest(key, scheme, &digest, signature, err);
    }
    GH_TRY(key_check_use(key, scheme, err));
    if (signature.len != KEY_ED25519_SIGNATURE_BYTES) {
        return key_verify_failed(key, err);
    }
    ERR_clear_error();
    return scheme == KEY_SCHEME_ED25519 ? key_verify_ed25519(key, message, signature, err)
                                        : key_verify_ed25519ph(key, message, signature, err);
}
