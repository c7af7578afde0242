/*
 * Makes notation signatures, certificates, revocation lists and OCSP answers for tests: P-256
 * throughout, every field open to being wrong.
 */
#ifndef TESTS_SUPPORT_NOTATION_MAKER_H
#define TESTS_SUPPORT_NOTATION_MAKER_H

#include <openssl/x509.h>

#include "crypto/bytes.h"

#define MAKER_NOW 1800000000 /* 2027-01-15, the present of these tests */

struct maker_cert {
    EVP_PKEY *key;
    X509 *cert;
    struct bytes_buf der;
};

struct maker_profile {
    const char *name;        /* CN; C=US, ST=WA, O=Acme come with it */
    const char *constraints; /* as in OpenSSL's configuration; NULL: none */
    const char *usage;
    const char *extended;
    const char *points; /* crlDistributionPoints */
    const char *access; /* authorityInfoAccess */
    const char *other;  /* noCheck, or a whole other extension: "OID=value" */
    long from_s;        /* validity relative to MAKER_NOW; both 0: two days around it */
    long to_s;
    const EVP_MD *md;  /* NULL: SHA-256 */
    const char *curve; /* NULL: P-256 */
    unsigned rsa_bits; /* not 0: an RSA key */
    long serial;       /* 0: one after the other */
};

#define MAKER_ROOT                                                                                 \
    {                                                                                              \
        .name = "root", .constraints = "critical,CA:TRUE", .usage = "critical,keyCertSign,cRLSign" \
    }
#define MAKER_LEAF                                                                                 \
    {                                                                                              \
        .name = "leaf", .usage = "critical,digitalSignature", .extended = "codeSigning"            \
    }

/* ISSUER NULL: self-signed. */
void maker_issue(const struct maker_cert *issuer, const struct maker_profile *profile,
                 struct maker_cert *out);
void maker_done(struct maker_cert *cert);

/* ES256 over the flattened JWS; HEADER is the protected header's JSON as it stands, EXTRA is put
 * into the unprotected header (",\"x\":1") or NULL. */
struct bytes_buf maker_jws(const char *header, const char *payload,
                           const struct maker_cert *const *chain, size_t count, const char *extra);
/* As maker_jws(), for COSE; PROTECTED is the map's bytes. */
struct bytes_buf maker_cose(struct bytes protected_map, const char *payload,
                            const struct maker_cert *const *chain, size_t count);
/* Raw r and s of an ES256 signature. */
void maker_sign(const struct maker_cert *signer, struct bytes message, uint8_t out[64]);

struct maker_crl {
    const struct maker_cert *revoked; /* NULL: nobody */
    long invalidity_s;                /* relative to MAKER_NOW; 0: none */
    long from_s;
    long to_s; /* both 0: an hour around now */
    bool is_delta;
    bool has_freshest;
    const char *point; /* issuingDistributionPoint as in OpenSSL's configuration */
};
struct bytes_buf maker_crl(const struct maker_cert *issuer, const struct maker_crl *crl);

enum maker_status { MAKER_GOOD, MAKER_REVOKED, MAKER_UNKNOWN };
struct bytes_buf maker_ocsp(const struct maker_cert *signer, const struct maker_cert *issuer,
                            const struct maker_cert *about, enum maker_status status, long from_s,
                            long to_s);

#endif
