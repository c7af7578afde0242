#include "crypto/notation_chain.h"

#include <stdlib.h>

#include "crypto/memo.h"
#include "crypto/notation.h"
#include "crypto/notation_dn.h"
#include "crypto/x509.h"
#include "metrics/error.h"

/* Bits of keyUsage that a signing leaf must not have; see x509.h for the others. */
#define NOTATION_CHAIN_KU_FORBIDDEN                                                                \
    ((1u << 2) | (1u << 3) | (1u << 4) | X509_KU_KEY_CERT_SIGN | X509_KU_CRL_SIGN | (1u << 7) |    \
     (1u << 8))
#define NOTATION_CHAIN_EKU_FORBIDDEN                                                               \
    (X509_EKU_ANY | X509_EKU_SERVER_AUTH | X509_EKU_CLIENT_AUTH | X509_EKU_EMAIL |                 \
     X509_EKU_TIME_STAMPING)

/* 2.5.29.15 and 2.5.29.19 */
static const struct bytes notation_chain_oid_key_usage = BYTES_LITERAL("\x55\x1d\x0f");
static const struct bytes notation_chain_oid_constraints = BYTES_LITERAL("\x55\x1d\x13");

struct notation_chain *notation_chain_ref(struct notation_chain *chain)
{
    __atomic_add_fetch(&chain->references, 1, __ATOMIC_RELAXED);
    return chain;
}

void notation_chain_unref(struct notation_chain *chain)
{
    if (chain == NULL || __atomic_sub_fetch(&chain->references, 1, __ATOMIC_ACQ_REL) > 0) {
        return;
    }
    for (size_t i = 0; i < chain->count; i++) {
        x509_cert_unref(chain->certs[i]);
    }
    notation_dn_free(chain->subject);
    free(chain);
}

bool notation_chain_name(const struct bytes *ders, size_t count, struct digest *out,
                         struct gh_error *err)
{
    return memo_name("notation chain", ders, count, out, err);
}

static bool notation_chain_is_critical(const struct x509_view *view, struct bytes oid)
{
    const struct x509_extension *extension = x509_view_extension(view, oid);

    return extension != NULL && extension->is_critical;
}

/* A certificate that signs others; BELOW counts the authorities under it. */
static bool notation_chain_check_ca(const struct x509_view *view, size_t index, size_t below,
                                    struct gh_error *err)
{
    if (!view->has_basic_constraints || !view->is_ca ||
        !notation_chain_is_critical(view, notation_chain_oid_constraints)) {
        return gh_fail(err, GH_NOTATION_CHAIN_INVALID,
                       "certificate %zu signs another one but is no CA by a critical extension",
                       index);
    }
    if (view->path_len >= 0 && (uint64_t)view->path_len < below) {
        return gh_fail(err, GH_NOTATION_CHAIN_INVALID,
                       "certificate %zu allows %lld authorities below it, found %zu", index,
                       (long long)view->path_len, below);
    }
    if (!view->has_key_usage || !notation_chain_is_critical(view, notation_chain_oid_key_usage) ||
        (view->key_usage & X509_KU_KEY_CERT_SIGN) == 0) {
        return gh_fail(err, GH_NOTATION_CHAIN_INVALID,
                       "certificate %zu lacks the critical usage keyCertSign", index);
    }
    return true;
}

static bool notation_chain_check_leaf(const struct x509_view *view, struct gh_error *err)
{
    if (view->is_ca) {
        return gh_fail(err, GH_NOTATION_CHAIN_INVALID, "the signing certificate is a CA");
    }
    if (!view->has_key_usage || !notation_chain_is_critical(view, notation_chain_oid_key_usage) ||
        (view->key_usage & X509_KU_DIGITAL_SIGNATURE) == 0) {
        return gh_fail(err, GH_NOTATION_CHAIN_INVALID,
                       "the signing certificate lacks the critical usage digitalSignature");
    }
    if ((view->key_usage & NOTATION_CHAIN_KU_FORBIDDEN) != 0) {
        return gh_fail(err, GH_NOTATION_CHAIN_INVALID,
                       "the signing certificate has a usage besides signing (bits 0x%03x)",
                       view->key_usage);
    }
    if (view->has_ext_key_usage && (view->ext_key_usage & NOTATION_CHAIN_EKU_FORBIDDEN) != 0) {
        return gh_fail(err, GH_NOTATION_CHAIN_INVALID,
                       "the signing certificate is for TLS, mail, time stamps or anything");
    }
    return true;
}

/* Any other failure of a link is the chain's, for people who read causes: it is not trust that is
 * missing, the chain itself does not hold. */
static bool notation_chain_check_link(const struct notation_chain *chain, size_t index,
                                      struct gh_error *err)
{
    const struct x509_view *view = x509_cert_view(chain->certs[index]);
    bool is_last = index + 1 == chain->count;
    const struct x509_cert *issuer = chain->certs[is_last ? index : index + 1];
    struct gh_error why = {0};

    if (!bytes_equal(view->issuer, x509_cert_view(issuer)->subject)) {
        return gh_fail(err, GH_NOTATION_CHAIN_INVALID,
                       is_last
                           ? "the last certificate (%zu) is not self-signed: the chain must end "
                             "with its root"
                           : "certificate %zu was not issued by the one after it",
                       index);
    }
    /* A CA may give its own name to another key; the same key again is a root that stands twice. */
    if (!is_last && bytes_equal(view->spki, x509_cert_view(issuer)->spki)) {
        return gh_fail(err, GH_NOTATION_CHAIN_INVALID,
                       "certificate %zu has the key of the one after it", index);
    }
    if (!x509_check_signed(view, x509_cert_key(issuer), &why)) {
        if (why.cause == GH_INTERNAL_ERROR) {
            return gh_fail(err, why.cause, "%s", why.text);
        }
        return gh_fail(err, GH_NOTATION_CHAIN_INVALID, "certificate %zu: %s", index, why.text);
    }
    return true;
}

static bool notation_chain_check(const struct notation_chain *chain, struct gh_error *err)
{
    for (size_t i = 0; i < chain->count; i++) {
        const struct x509_view *view = x509_cert_view(chain->certs[i]);

        if (key_is_weak(x509_cert_key(chain->certs[i]))) {
            return gh_fail(err, GH_NOTATION_CHAIN_INVALID, "certificate %zu has a weak key", i);
        }
        GH_TRY(i == 0 ? notation_chain_check_leaf(view, err)
                      : notation_chain_check_ca(view, i, i - 1, err));
    }
    for (size_t i = 0; i < chain->count; i++) {
        GH_TRY(notation_chain_check_link(chain, i, err));
    }
    return true;
}

/* The algorithm belongs to the key; what an envelope says is compared with it, never obeyed. */
static bool notation_chain_choose_alg(struct notation_chain *chain, struct gh_error *err)
{
    const struct key *key = x509_cert_key(chain->certs[0]);
    static const struct {
        enum key_type type;
        unsigned bits;
        enum notation_alg alg;
        enum key_scheme scheme;
        enum digest_alg digest;
    } rows[] = {
        {KEY_TYPE_RSA, 2048, NOTATION_ALG_PS256, KEY_SCHEME_RSA_PSS, DIGEST_SHA256},
        {KEY_TYPE_RSA, 3072, NOTATION_ALG_PS384, KEY_SCHEME_RSA_PSS, DIGEST_SHA384},
        {KEY_TYPE_RSA, 4096, NOTATION_ALG_PS512, KEY_SCHEME_RSA_PSS, DIGEST_SHA512},
        {KEY_TYPE_P256, 0, NOTATION_ALG_ES256, KEY_SCHEME_ECDSA_RAW, DIGEST_SHA256},
        {KEY_TYPE_P384, 0, NOTATION_ALG_ES384, KEY_SCHEME_ECDSA_RAW, DIGEST_SHA384},
        {KEY_TYPE_P521, 0, NOTATION_ALG_ES512, KEY_SCHEME_ECDSA_RAW, DIGEST_SHA512},
    };

    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        if (rows[i].type == key_type(key) && (rows[i].bits == 0 || rows[i].bits == key_bits(key))) {
            chain->alg = rows[i].alg;
            chain->scheme = rows[i].scheme;
            chain->digest = rows[i].digest;
            return true;
        }
    }
    return gh_fail(err, GH_NOTATION_CHAIN_INVALID,
                   "the signing key is neither RSA 2048, 3072, 4096 nor P-256, P-384, P-521");
}

/* Certificates come and go; issuer and subject stay. */
static bool notation_chain_name_signer(struct notation_chain *chain, struct gh_error *err)
{
    const struct x509_view *leaf = x509_cert_view(chain->certs[0]);
    struct bytes parts[2] = {leaf->issuer, leaf->subject};

    x509_name_describe(leaf->subject, chain->signer_text, sizeof(chain->signer_text));
    return memo_name("notation authority", parts, GH_COUNT(parts), &chain->authority, err);
}

static bool notation_chain_fill(struct notation_chain *chain, const struct bytes *ders,
                                size_t count, struct gh_error *err)
{
    chain->not_before_unix_s = INT64_MIN;
    chain->not_after_unix_s = INT64_MAX;
    for (size_t i = 0; i < count; i++) {
        const struct x509_view *view;

        if (!x509_cert_parse(ders[i], &chain->certs[i], err)) {
            gh_error_at(err, "certificate %zu", i);
            if (err != NULL && err->cause == GH_SIG_ALG_UNSUPPORTED) {
                err->cause = GH_NOTATION_CHAIN_INVALID;
            }
            return false;
        }
        chain->count++;
        view = x509_cert_view(chain->certs[i]);
        chain->not_before_unix_s = GH_MAX(chain->not_before_unix_s, view->not_before_unix_s);
        chain->not_after_unix_s = GH_MIN(chain->not_after_unix_s, view->not_after_unix_s);
    }
    GH_TRY(notation_chain_check(chain, err));
    GH_TRY(notation_chain_choose_alg(chain, err));
    GH_TRY(notation_chain_name_signer(chain, err));
    return notation_dn_read(x509_cert_view(chain->certs[0])->subject, &chain->subject, err);
}

bool notation_chain_read(const struct bytes *ders, size_t count, const struct digest *name,
                         struct notation_chain **out, struct gh_error *err)
{
    GH_OWN(notation_chain_unrefp) struct notation_chain *chain = NULL;

    if (count == 0) {
        return gh_fail(err, GH_NOTATION_CHAIN_INVALID, "the chain is empty");
    }
    if (count > NOTATION_MAX_CHAIN) {
        return gh_fail(err, GH_COUNT_LIMIT_EXCEEDED, "a chain of more than %d certificates",
                       NOTATION_MAX_CHAIN);
    }
    chain = calloc(1, sizeof(*chain));
    if (chain == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for a chain");
    }
    chain->references = 1;
    chain->name = *name;
    GH_TRY(notation_chain_fill(chain, ders, count, err));
    *out = GH_TAKE(chain);
    return true;
}
