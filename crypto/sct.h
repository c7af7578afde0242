/*
 * Signed certificate timestamps embedded in a certificate.
 *
 * Spec:    RFC 6962 sections 3.2 and 3.3; verification.md section 3.3 step 7
 * Threads: any; no shared state
 */
#ifndef CRYPTO_SCT_H
#define CRYPTO_SCT_H

#include "crypto/bytes.h"
#include "crypto/digest.h"
#include "gatehouse.h"

struct gh_error;
struct trustroot;
struct trustroot_log;
struct x509_cert;
struct x509_view;

#define SCT_MAX_COUNT 16
#define SCT_MAX_LIST_BYTES 16384
#define SCT_MAX_EXTENSIONS 1024
#define SCT_MAX_SIGNATURE_BYTES 1024

struct sct {
    uint8_t version;
    uint8_t log_id[32];
    uint64_t issued_unix_ms;
    struct bytes extensions;
    uint8_t hash;      /* 4: SHA-256 */
    uint8_t algorithm; /* 3: ECDSA, 1: RSA */
    struct bytes signature;
};

/* Read a SignedCertificateTimestampList (TLS encoding). Fails: SCT_INVALID, COUNT_LIMIT_EXCEEDED.
 */
GH_CHECKED bool sct_list_read(struct bytes in, struct sct out[SCT_MAX_COUNT], size_t *count,
                              struct gh_error *err);

/*
 * The TBSCertificate a log signed: the certificate's own, without the SCT list.
 * Gives: *out: new, bytes_buf_done(). Fails: SCT_MISSING, CERT_MALFORMED, INTERNAL_ERROR.
 */
GH_CHECKED bool sct_precert_tbs(const struct x509_view *cert, struct bytes_buf *out,
                                struct gh_error *err);

/*
 * Check that at least THRESHOLD distinct logs of the trust root vouch for LEAF, issued by ISSUER
 * (the certificate that verified in the path). SCTs of unknown logs are passed over, one of a known
 * log that does not verify fails.
 *
 * Gives: *log: one that counted (borrowed from the root); may be NULL
 * Fails: SCT_MISSING, SCT_LOG_UNKNOWN, SCT_INVALID, INTERNAL_ERROR
 */
GH_CHECKED bool sct_verify(const struct x509_cert *leaf, const struct x509_cert *issuer,
                           const struct trustroot *root, size_t threshold,
                           const struct trustroot_log **log, struct gh_error *err);

#endif
