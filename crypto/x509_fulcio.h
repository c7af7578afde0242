/*
 * What a Fulcio certificate says about its holder: the one subject alternative name, the issuer of
 * the identity, and the claims in extensions 1.3.6.1.4.1.57264.1.*. How a value is encoded follows
 * from its OID: .1 to .6 are raw bytes, the others DER UTF8String.
 *
 * Spec:    fulcio docs/oid-info.md; verification.md section 3.4
 * Threads: any; no shared state
 */
#ifndef CRYPTO_X509_FULCIO_H
#define CRYPTO_X509_FULCIO_H

#include "crypto/x509.h"
#include "gatehouse.h"

#define X509_FULCIO_MAX_ARC 24
#define X509_FULCIO_MAX_VALUE_BYTES 4096

struct x509_fulcio {
    enum x509_san_kind subject_kind; /* URI, EMAIL or OTHER */
    struct bytes subject;
    struct bytes issuer;                          /* .8, else .1; NULL when there is neither */
    struct bytes values[X509_FULCIO_MAX_ARC + 1]; /* by arc; NULL when absent */
};

/*
 * Read the identity. Views point into the certificate.
 *
 * Fails: CERT_MALFORMED (an extension twice, a value not of its encoding, NUL or no UTF-8),
 *        IDENTITY_MISMATCH (not exactly one name, or a name of a kind that is no identity),
 *        ISSUER_MISMATCH (.1 and .8 differ), SIZE_LIMIT_EXCEEDED
 */
GH_CHECKED bool x509_fulcio_read(const struct x509_view *view, struct x509_fulcio *out,
                                 struct gh_error *err);
/* The arc below 1.3.6.1.4.1.57264.1 of a claim as policies name it in snake_case
 * ("source_repository_uri", "github_workflow_ref", …); 0 when no claim has the name. */
unsigned x509_fulcio_claim_arc(const char *name);
/* The name for an arc, NULL when there is none. */
const char *x509_fulcio_claim_name(unsigned arc);
/* The value of a named claim; data is NULL when the certificate lacks it or the name is unknown. */
struct bytes x509_fulcio_claim(const struct x509_fulcio *fulcio, const char *name);

#endif
