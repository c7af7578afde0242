/*
 * Certificates as data: the exact DER form, its fields and extensions. Nothing here knows of trust;
 * paths are crypto/x509_path.h, Fulcio's extensions crypto/x509_fulcio.h.
 *
 * Spec:    RFC 5280 section 4
 * Threads: a certificate is immutable; its references are counted with atomics
 */
#ifndef CRYPTO_X509_H
#define CRYPTO_X509_H

#include "crypto/bytes.h"
#include "crypto/digest.h"
#include "gatehouse.h"

struct gh_error;
struct key;
struct x509_st;

#define X509_MAX_CERT_BYTES (64u * 1024)
#define X509_MAX_PEM_BYTES (128u * 1024)
#define X509_MAX_EXTENSIONS 64
#define X509_MAX_SANS 64
#define X509_MAX_EKUS 32
#define X509_MAX_SERIAL_BYTES 32

/* Bits of keyUsage as der_named_bits() gives them. */
#define X509_KU_DIGITAL_SIGNATURE (1u << 0)
#define X509_KU_KEY_CERT_SIGN (1u << 5)
#define X509_KU_CRL_SIGN (1u << 6)

enum x509_san_kind {
    X509_SAN_EMAIL,
    X509_SAN_DNS,
    X509_SAN_URI,
    X509_SAN_IP,
    X509_SAN_OTHER,
    X509_SAN_UNKNOWN
};

struct x509_san {
    enum x509_san_kind kind;
    struct bytes value;    /* text, address, or of an otherName the DER inside its [0] */
    struct bytes type_oid; /* of an otherName */
};

struct x509_extension {
    struct bytes oid; /* content of the OBJECT IDENTIFIER */
    bool is_critical;
    struct bytes value; /* content of the OCTET STRING */
    struct bytes whole; /* the Extension with its header, as it stands in the certificate */
};

/* extendedKeyUsage; the last set bit stands for every purpose not named here. */
#define X509_EKU_CODE_SIGNING (1u << 0)
#define X509_EKU_TIME_STAMPING (1u << 1)
#define X509_EKU_OCSP_SIGNING (1u << 2)
#define X509_EKU_SERVER_AUTH (1u << 3)
#define X509_EKU_CLIENT_AUTH (1u << 4)
#define X509_EKU_EMAIL (1u << 5)
#define X509_EKU_ANY (1u << 6)
#define X509_EKU_OTHER (1u << 7)

/* What a certificate says. Every view points into `der`. */
struct x509_view {
    struct bytes der;
    struct bytes tbs;         /* TBSCertificate with its header: what is signed */
    struct bytes tbs_content; /* without it */
    struct bytes algorithm;   /* signatureAlgorithm with its header */
    struct bytes signature;
    struct bytes serial;  /* INTEGER content */
    struct bytes issuer;  /* Name with its header */
    struct bytes subject; /* Name with its header; of a leaf often empty (30 00) */
    struct bytes spki;
    int64_t not_before_unix_s;
    int64_t not_after_unix_s;
    bool has_unique_ids;
    struct bytes extensions_explicit; /* the [3] with its header; NULL when absent */

    struct x509_extension extensions[X509_MAX_EXTENSIONS];
    size_t extension_count;
    bool has_basic_constraints;
    bool is_ca;
    int64_t path_len; /* -1: no limit */
    bool has_key_usage;
    uint16_t key_usage;
    bool has_ext_key_usage;
    bool is_ext_key_usage_critical;
    uint32_t ext_key_usage; /* X509_EKU_* */
    size_t ext_key_usage_count;
    bool has_name_constraints;
    struct bytes subject_key_id;   /* NULL when absent */
    struct bytes authority_key_id; /* keyIdentifier; NULL when absent */
    struct x509_san sans[X509_MAX_SANS];
    size_t san_count;
};

/*
 * Read a certificate's exact DER. Version 3 only; no trailing bytes; both algorithm fields equal;
 * no extension twice; no critical extension that is not understood.
 *
 * Takes: der: borrowed for as long as *out is used
 * Fails: CERT_MALFORMED, SIZE_LIMIT_EXCEEDED, COUNT_LIMIT_EXCEEDED
 */
GH_CHECKED bool x509_view_read(struct bytes der, struct x509_view *out, struct gh_error *err);
/* The extension with this OID content, or NULL. */
const struct x509_extension *x509_view_extension(const struct x509_view *view, struct bytes oid);

struct x509_cert;

/*
 * Read a certificate with its key.
 *
 * Takes: der: borrowed for the call
 * Gives: *out: new with one reference
 * Fails: CERT_MALFORMED (a PUBLIC KEY where a certificate must stand is that, too),
 *        SIG_ALG_UNSUPPORTED (key), SIZE_LIMIT_EXCEEDED, COUNT_LIMIT_EXCEEDED, INTERNAL_ERROR
 */
GH_CHECKED bool x509_cert_parse(struct bytes der, struct x509_cert **out, struct gh_error *err);
/* As x509_cert_parse(), from exactly one PEM block labelled CERTIFICATE. */
GH_CHECKED bool x509_cert_parse_pem(struct bytes pem, struct x509_cert **out, struct gh_error *err);
/*
 * Read one to LIMIT PEM certificates, and nothing else. out[] gets a reference each; on failure
 * none. Fails: as x509_cert_parse().
 */
GH_CHECKED bool x509_cert_parse_pem_chain(struct bytes pem, size_t limit, struct x509_cert **out,
                                          size_t *count, struct gh_error *err);
struct x509_cert *x509_cert_ref(const struct x509_cert *cert);
void x509_cert_unref(struct x509_cert *cert);
GH_UNUSED static inline void x509_cert_unrefp(struct x509_cert **cert)
{
    x509_cert_unref(*cert);
    *cert = NULL;
}

/* Borrowed from the certificate. */
const struct x509_view *x509_cert_view(const struct x509_cert *cert);
struct bytes x509_cert_der(const struct x509_cert *cert);
const struct key *x509_cert_key(const struct x509_cert *cert);
/* SHA-256 of the DER. */
const struct digest *x509_cert_fingerprint(const struct x509_cert *cert);
bool x509_cert_equal(const struct x509_cert *a, const struct x509_cert *b);
/* Subject and issuer are the same name. Says nothing about the signature. */
bool x509_cert_is_self_issued(const struct x509_cert *cert);

/*
 * Whether ISSUER's key signed CERT: the mathematics alone, no rule of paths.
 *
 * Fails: CERT_CHAIN_UNTRUSTED, SIG_ALG_UNSUPPORTED (SHA-1 and older are never accepted),
 *        KEY_WEAK, INTERNAL_ERROR
 */
GH_CHECKED bool x509_check_signed(const struct x509_view *cert, const struct key *issuer,
                                  struct gh_error *err);
/*
 * Check a signature by its AlgorithmIdentifier: ECDSA and RSA (PKCS#1 v1.5, PSS) with SHA-256, -384
 * or -512, Ed25519. For certificates, CRLs and OCSP answers.
 *
 * Fails: SIG_INVALID, SIG_ALG_UNSUPPORTED, SIG_ALG_MISMATCH, KEY_WEAK, INTERNAL_ERROR
 */
GH_CHECKED bool x509_algorithm_verify(struct bytes algorithm, const struct key *key,
                                      struct bytes message, struct bytes signature,
                                      struct gh_error *err);

/* A fresh OpenSSL object of the certificate: new, caller frees with X509_free(). For revocation
 * and name constraints. Fails: CERT_MALFORMED. */
GH_CHECKED bool x509_cert_to_openssl(const struct x509_cert *cert, struct x509_st **out,
                                     struct gh_error *err);
/* "CN=…, O=…" for people, escaped and cut to SIZE; "(no name)" when empty. */
void x509_name_describe(struct bytes name, char *out, size_t size);

#endif
