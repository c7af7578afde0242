#include "crypto/tuf_key.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/params.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "crypto/sjson.h"
#include "crypto/tuf_canonical.h"

#define TUF_KEY_MAX_TEXT 16384
#define TUF_KEY_MAX_POINT 97 /* uncompressed P-384 */

static void key_md_ctx_freep(EVP_MD_CTX **ctx)
{
    EVP_MD_CTX_free(*ctx);
}

static void key_pkey_ctx_freep(EVP_PKEY_CTX **ctx)
{
    EVP_PKEY_CTX_free(*ctx);
}

static bool key_check_id(const json_t *object, struct tuf_key *key, struct gh_error *err)
{
    GH_OWN(bytes_buf_done) struct bytes_buf canonical = {0};
    char hex[TUF_KEY_ID_DIGITS + 1];
    struct digest digest;

    GH_TRY(tuf_canonical_encode(object, &canonical, err));
    GH_TRY(digest_compute(DIGEST_SHA256, bytes_view(&canonical), &digest, err));
    bytes_hex_encode(digest_bytes(&digest), hex);
    key->is_id_wrong = strcmp(hex, key->id) != 0;
    return true;
}

static enum tuf_scheme key_scheme(struct bytes type, struct bytes scheme)
{
    bool is_ecdsa = bytes_equal_cstr(type, "ecdsa");

    if (bytes_equal_cstr(type, "rsa") && bytes_equal_cstr(scheme, "rsassa-pss-sha256")) {
        return TUF_SCHEME_RSA_PSS_SHA256;
    }
    if (bytes_equal_cstr(type, "ed25519") && bytes_equal_cstr(scheme, "ed25519")) {
        return TUF_SCHEME_ED25519;
    }
    if ((is_ecdsa || bytes_equal(type, scheme)) &&
        bytes_equal_cstr(scheme, "ecdsa-sha2-nistp256")) {
        return TUF_SCHEME_ECDSA_P256;
    }
    if ((is_ecdsa || bytes_equal(type, scheme)) &&
        bytes_equal_cstr(scheme, "ecdsa-sha2-nistp384")) {
        return TUF_SCHEME_ECDSA_P384;
    }
    return TUF_SCHEME_UNUSABLE;
}

static EVP_PKEY *key_from_pem(struct bytes text)
{
    GH_OWN(bytes_buf_done) struct bytes_buf der = {0};
    struct gh_error ignored = {0};
    struct bytes label;
    const uint8_t *at;
    EVP_PKEY *pkey;

    if (!bytes_pem_next(&text, &label, &der, &ignored) || !bytes_equal_cstr(label, "PUBLIC KEY")) {
        return NULL;
    }
    bytes_skip_space(&text);
    if (text.len != 0) {
        return NULL;
    }
    at = der.data;
    pkey = d2i_PUBKEY(NULL, &at, (long)der.len);
    if (pkey != NULL && at != der.data + der.len) {
        EVP_PKEY_free(pkey);
        return NULL;
    }
    return pkey;
}

/* Hex without a rule on case; false where TEXT is no hex of at most LIMIT bytes. */
static bool key_hex(struct bytes text, uint8_t *out, size_t limit, size_t *len)
{
    if (text.len % 2 != 0 || text.len / 2 > limit) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        int c = tolower(text.data[i]);
        int digit;

        if (!isxdigit(c)) {
            return false;
        }
        digit = isdigit(c) ? c - '0' : c - 'a' + 10;
        out[i / 2] = (uint8_t)(i % 2 == 0 ? digit << 4 : out[i / 2] | digit);
    }
    *len = text.len / 2;
    return true;
}

/* The first roots of the public Sigstore repository give the uncompressed point. */
static EVP_PKEY *key_from_point(const char *group, const uint8_t *point, size_t len)
{
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char *)group, 0),
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, (void *)point, len),
        OSSL_PARAM_construct_end(),
    };
    GH_OWN(key_pkey_ctx_freep) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    EVP_PKEY *pkey = NULL;

    if (ctx == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) != 1) {
        return NULL;
    }
    return pkey;
}

static EVP_PKEY *key_from_hex(enum tuf_scheme scheme, struct bytes text)
{
    uint8_t raw[TUF_KEY_MAX_POINT];
    size_t len;

    if (!key_hex(text, raw, sizeof(raw), &len)) {
        return NULL;
    }
    if (scheme == TUF_SCHEME_ED25519 && len == 32) {
        return EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, raw, len);
    }
    if (scheme == TUF_SCHEME_ECDSA_P256 && len == 65 && raw[0] == 4) {
        return key_from_point("P-256", raw, len);
    }
    if (scheme == TUF_SCHEME_ECDSA_P384 && len == 97 && raw[0] == 4) {
        return key_from_point("P-384", raw, len);
    }
    return NULL;
}

static bool key_group_is(const EVP_PKEY *pkey, const char *name)
{
    char group[64];

    return EVP_PKEY_get_base_id(pkey) == EVP_PKEY_EC &&
           EVP_PKEY_get_group_name(pkey, group, sizeof(group), NULL) == 1 &&
           strcmp(group, name) == 0;
}

/* The key must be of the kind that its scheme says. */
static bool key_fits(enum tuf_scheme scheme, const EVP_PKEY *pkey)
{
    switch (scheme) {
    case TUF_SCHEME_RSA_PSS_SHA256:
        return EVP_PKEY_get_base_id(pkey) == EVP_PKEY_RSA &&
               EVP_PKEY_get_bits(pkey) >= TUF_KEY_MIN_RSA_BITS &&
               EVP_PKEY_get_bits(pkey) <= TUF_KEY_MAX_RSA_BITS;
    case TUF_SCHEME_ED25519:
        return EVP_PKEY_get_base_id(pkey) == EVP_PKEY_ED25519;
    case TUF_SCHEME_ECDSA_P256:
        return key_group_is(pkey, "prime256v1");
    case TUF_SCHEME_ECDSA_P384:
        return key_group_is(pkey, "secp384r1");
    case TUF_SCHEME_UNUSABLE:
        return false;
    }
    return false;
}

static bool key_hash_material(struct tuf_key *key, struct gh_error *err)
{
    uint8_t *der = NULL;
    int len = i2d_PUBKEY(key->pkey, &der);
    bool is_hashed;

    if (len <= 0) {
        return gh_fail(err, GH_INTERNAL_ERROR, "a TUF key cannot be encoded");
    }
    is_hashed = digest_compute(DIGEST_SHA256, bytes_make(der, (size_t)len), &key->material, err);
    OPENSSL_free(der);
    return is_hashed;
}

static bool key_read_material(const json_t *object, struct tuf_key *key, struct gh_error *err)
{
    struct bytes type, scheme, text;
    json_t *value;

    if (!sjson_get_string(object, "keytype", &type, err) ||
        !sjson_get_string(object, "scheme", &scheme, err) ||
        !sjson_get_object(object, "keyval", &value, err)) {
        return gh_recast(err, GH_TRUST_ROOT_MALFORMED);
    }
    key->scheme = key->is_id_wrong ? TUF_SCHEME_UNUSABLE : key_scheme(type, scheme);
    if (key->scheme == TUF_SCHEME_UNUSABLE) {
        return true;
    }
    if (!sjson_get_string(value, "public", &text, err)) {
        return gh_recast(err, GH_TRUST_ROOT_MALFORMED);
    }
    if (text.len <= TUF_KEY_MAX_TEXT) {
        key->pkey = bytes_starts_with(text, BYTES_LITERAL("-----BEGIN "))
                        ? key_from_pem(text)
                        : key_from_hex(key->scheme, text);
    }
    if (key->pkey != NULL && !key_fits(key->scheme, key->pkey)) {
        EVP_PKEY_free(key->pkey);
        key->pkey = NULL;
    }
    ERR_clear_error();
    if (key->pkey == NULL) {
        key->scheme = TUF_SCHEME_UNUSABLE;
        return true;
    }
    return key_hash_material(key, err);
}

bool tuf_key_read(const char *id, const json_t *object, struct tuf_key *out, struct gh_error *err)
{
    struct tuf_key key = {0};

    if (!json_is_object(object)) {
        return gh_fail(err, GH_TRUST_ROOT_MALFORMED, "a TUF key is not an object");
    }
    if (strlen(id) > TUF_KEY_MAX_ID) {
        return gh_fail(err, GH_TRUST_ROOT_MALFORMED, "a TUF key id has more than %d bytes",
                       TUF_KEY_MAX_ID);
    }
    (void)snprintf(key.id, sizeof(key.id), "%s", id);
    GH_TRY(key_check_id(object, &key, err));
    if (!key_read_material(object, &key, err)) {
        tuf_key_done(&key);
        return false;
    }
    *out = key;
    return true;
}

void tuf_key_done(struct tuf_key *key)
{
    EVP_PKEY_free(key->pkey);
    key->pkey = NULL;
}

static bool key_verify_init(const struct tuf_key *key, EVP_MD_CTX *ctx)
{
    const EVP_MD *md = EVP_sha256();
    EVP_PKEY_CTX *pkey_ctx = NULL; /* belongs to ctx */

    if (key->scheme == TUF_SCHEME_ED25519) {
        md = NULL;
    } else if (key->scheme == TUF_SCHEME_ECDSA_P384) {
        md = EVP_sha384();
    }
    if (EVP_DigestVerifyInit(ctx, &pkey_ctx, md, NULL, key->pkey) != 1) {
        return false;
    }
    if (key->scheme != TUF_SCHEME_RSA_PSS_SHA256) {
        return true;
    }
    return EVP_PKEY_CTX_set_rsa_padding(pkey_ctx, RSA_PKCS1_PSS_PADDING) == 1 &&
           EVP_PKEY_CTX_set_rsa_mgf1_md(pkey_ctx, EVP_sha256()) == 1 &&
           EVP_PKEY_CTX_set_rsa_pss_saltlen(pkey_ctx, RSA_PSS_SALTLEN_AUTO) == 1;
}

bool tuf_key_verify(const struct tuf_key *key, struct bytes message, struct bytes signature_hex)
{
    uint8_t signature[TUF_KEY_MAX_SIGNATURE_BYTES];
    GH_OWN(key_md_ctx_freep) EVP_MD_CTX *ctx = NULL;
    bool is_valid;
    size_t len;

    if (key->pkey == NULL || !key_hex(signature_hex, signature, sizeof(signature), &len) ||
        len == 0) {
        return false;
    }
    ctx = EVP_MD_CTX_new();
    is_valid = ctx != NULL && key_verify_init(key, ctx) &&
               EVP_DigestVerify(ctx, signature, len, message.data, message.len) == 1;
    ERR_clear_error();
    return is_valid;
}
