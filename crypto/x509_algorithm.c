/* Signatures by AlgorithmIdentifier; declared in crypto/x509.h. */
#include "crypto/der.h"
#include "crypto/key.h"
#include "crypto/x509.h"
#include "metrics/error.h"

enum x509_parameters { X509_PARAMETERS_NONE, X509_PARAMETERS_NULL, X509_PARAMETERS_PSS };

struct x509_algorithm {
    struct bytes oid;
    enum key_scheme scheme;
    enum digest_alg alg;
    enum x509_parameters parameters;
};

/* Accepted by list; SHA-1 and everything older is not on it. */
static const struct x509_algorithm x509_algorithms[] = {
    {BYTES_LITERAL("\x2a\x86\x48\xce\x3d\x04\x03\x02"), KEY_SCHEME_ECDSA, DIGEST_SHA256,
     X509_PARAMETERS_NONE},
    {BYTES_LITERAL("\x2a\x86\x48\xce\x3d\x04\x03\x03"), KEY_SCHEME_ECDSA, DIGEST_SHA384,
     X509_PARAMETERS_NONE},
    {BYTES_LITERAL("\x2a\x86\x48\xce\x3d\x04\x03\x04"), KEY_SCHEME_ECDSA, DIGEST_SHA512,
     X509_PARAMETERS_NONE},
    {BYTES_LITERAL("\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b"), KEY_SCHEME_RSA_PKCS1, DIGEST_SHA256,
     X509_PARAMETERS_NULL},
    {BYTES_LITERAL("\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0c"), KEY_SCHEME_RSA_PKCS1, DIGEST_SHA384,
     X509_PARAMETERS_NULL},
    {BYTES_LITERAL("\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0d"), KEY_SCHEME_RSA_PKCS1, DIGEST_SHA512,
     X509_PARAMETERS_NULL},
    {BYTES_LITERAL("\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a"), KEY_SCHEME_RSA_PSS, DIGEST_NONE,
     X509_PARAMETERS_PSS},
    {BYTES_LITERAL("\x2b\x65\x70"), KEY_SCHEME_ED25519, DIGEST_NONE, X509_PARAMETERS_NONE},
};

static bool x509_algorithm_unknown(struct gh_error *err, const char *what)
{
    return gh_fail(err, GH_SIG_ALG_UNSUPPORTED, "the signature's algorithm is not accepted: %s",
                   what);
}

static bool x509_read_hash(struct bytes *in, enum digest_alg *out, struct gh_error *err)
{
    struct bytes seq = {0};
    struct bytes oid = {0};

    GH_TRY(der_take(in, DER_SEQUENCE, &seq, err));
    GH_TRY(der_oid(&seq, &oid, err));
    if (seq.len > 0) {
        GH_TRY(der_null(&seq, err));
    }
    GH_TRY(der_end(&seq, err));
    if (bytes_equal(oid, BYTES_LITERAL("\x60\x86\x48\x01\x65\x03\x04\x02\x01"))) {
        *out = DIGEST_SHA256;
    } else if (bytes_equal(oid, BYTES_LITERAL("\x60\x86\x48\x01\x65\x03\x04\x02\x02"))) {
        *out = DIGEST_SHA384;
    } else if (bytes_equal(oid, BYTES_LITERAL("\x60\x86\x48\x01\x65\x03\x04\x02\x03"))) {
        *out = DIGEST_SHA512;
    } else {
        return x509_algorithm_unknown(err, "a hash other than SHA-256, SHA-384 or SHA-512");
    }
    return true;
}

/* RSASSA-PSS-params (RFC 4055): every default there means SHA-1, so all fields must be written. */
static bool x509_read_pss(struct bytes params, enum digest_alg *out, struct gh_error *err)
{
    struct bytes mgf_oid = {0};
    enum digest_alg alg = DIGEST_NONE;
    enum digest_alg mgf_alg = DIGEST_NONE;
    struct bytes seq = {0};
    struct bytes part = {0};
    int64_t salt = 0;
    int64_t trailer = 1;

    GH_TRY(der_only(params, DER_SEQUENCE, &seq, err));
    GH_TRY(der_take(&seq, DER_CONTEXT_CONSTRUCTED(0), &part, err));
    GH_TRY(x509_read_hash(&part, &alg, err));
    GH_TRY(der_end(&part, err));
    GH_TRY(der_take(&seq, DER_CONTEXT_CONSTRUCTED(1), &part, err));
    GH_TRY(der_only(part, DER_SEQUENCE, &part, err));
    GH_TRY(der_oid(&part, &mgf_oid, err));
    GH_TRY(x509_read_hash(&part, &mgf_alg, err));
    GH_TRY(der_end(&part, err));
    GH_TRY(der_take(&seq, DER_CONTEXT_CONSTRUCTED(2), &part, err));
    GH_TRY(der_int64(&part, &salt, err));
    GH_TRY(der_end(&part, err));
    GH_TRY(der_opt(&seq, DER_CONTEXT_CONSTRUCTED(3), &part, err));
    if (part.data != NULL) {
        GH_TRY(der_int64(&part, &trailer, err));
        GH_TRY(der_end(&part, err));
    }
    GH_TRY(der_end(&seq, err));
    if (!bytes_equal(mgf_oid, BYTES_LITERAL("\x2a\x86\x48\x86\xf7\x0d\x01\x01\x08")) ||
        mgf_alg != alg || salt != (int64_t)digest_alg_len(alg) || trailer != 1) {
        return x509_algorithm_unknown(err, "PSS with other parameters than MGF1 of the same hash "
                                           "and a salt of its length");
    }
    *out = alg;
    return true;
}

static bool x509_algorithm_read(struct bytes algorithm, enum key_scheme *scheme,
                                enum digest_alg *alg, struct gh_error *err)
{
    const struct x509_algorithm *form = NULL;
    struct bytes seq = {0};
    struct bytes oid = {0};

    GH_TRY(der_only(algorithm, DER_SEQUENCE, &seq, err));
    GH_TRY(der_oid(&seq, &oid, err));
    for (size_t i = 0; form == NULL && i < GH_COUNT(x509_algorithms); i++) {
        form = bytes_equal(oid, x509_algorithms[i].oid) ? &x509_algorithms[i] : NULL;
    }
    if (form == NULL) {
        char text[DER_MAX_OID_TEXT];

        GH_TRY(der_oid_text(oid, text, err));
        return x509_algorithm_unknown(err, text);
    }
    *scheme = form->scheme;
    *alg = form->alg;
    switch (form->parameters) {
    case X509_PARAMETERS_NONE:
        break;
    case X509_PARAMETERS_NULL:
        if (seq.len > 0) { /* RFC 4055: absent must be understood as well */
            GH_TRY(der_null(&seq, err));
        }
        break;
    case X509_PARAMETERS_PSS:
        return x509_read_pss(seq, alg, err);
    }
    return der_end(&seq, err);
}

bool x509_algorithm_verify(struct bytes algorithm, const struct key *key, struct bytes message,
                           struct bytes signature, struct gh_error *err)
{
    enum key_scheme scheme = KEY_SCHEME_ECDSA;
    enum digest_alg alg = DIGEST_NONE;

    GH_TRY(x509_algorithm_read(algorithm, &scheme, &alg, err));
    return key_verify(key, scheme, alg, message, signature, err);
}

bool x509_check_signed(const struct x509_view *cert, const struct key *issuer, struct gh_error *err)
{
    struct gh_error inner = {0};

    if (x509_algorithm_verify(cert->algorithm, issuer, cert->tbs, cert->signature, &inner)) {
        return true;
    }
    if (inner.cause == GH_SIG_MALFORMED) {
        return gh_fail(err, GH_CERT_MALFORMED, "%s", inner.text);
    }
    if (inner.cause == GH_SIG_INVALID || inner.cause == GH_SIG_ALG_MISMATCH) {
        return gh_fail(err, GH_CERT_CHAIN_UNTRUSTED,
                       "the certificate's signature is not its issuer's");
    }
    return gh_fail(err, inner.cause, "%s", inner.text);
}
