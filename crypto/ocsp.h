/*
 * OCSP: the question about one certificate, and what an answer to it is worth.
 *
 * Spec:    RFC 6960
 * Threads: any; no shared state
 */
#ifndef CRYPTO_OCSP_H
#define CRYPTO_OCSP_H

#include "crypto/bytes.h"
#include "gatehouse.h"

struct gh_error;
struct x509_cert;

#define OCSP_MAX_ANSWER_BYTES (64u * 1024)
#define OCSP_MAX_ANSWERS 64        /* single responses in one answer */
#define OCSP_MAX_CERTS 8           /* certificates in one answer */
#define OCSP_MAX_AGE_S (24 * 3600) /* of an answer that names no nextUpdate */

enum ocsp_status { OCSP_UNKNOWN = 0, OCSP_GOOD, OCSP_REVOKED };

struct ocsp_answer {
    enum ocsp_status status;
    int64_t revoked_unix_s;
    bool has_invalidity_date;
    int64_t invalidity_unix_s;
    int64_t from_unix_s;         /* thisUpdate */
    int64_t until_unix_s;        /* nextUpdate, or thisUpdate and OCSP_MAX_AGE_S */
    struct x509_cert *responder; /* delegated and without id-pkix-ocsp-nocheck: its revocation must
                                    be checked, too; NULL otherwise. Own reference. */
};

/*
 * The request for CERT: one CertID by SHA-1, as responders expect, and no nonce, so that answers
 * can be kept.
 *
 * Gives: *out: new, bytes_buf_done()
 * Fails: INTERNAL_ERROR
 */
GH_CHECKED bool ocsp_ask(const struct x509_cert *cert, const struct x509_cert *issuer,
                         struct bytes_buf *out, struct gh_error *err);

/*
 * Judge an answer about CERT: signed by its issuer, or by a responder that the issuer certified for
 * this; about this certificate; current.
 *
 * Gives: *out: filled; caller drops out->responder with x509_cert_unref()
 * Fails: OCSP_INVALID, REVOCATION_UNAVAILABLE (the responder declined), INTERNAL_ERROR
 */
GH_CHECKED bool ocsp_judge(struct bytes der, const struct x509_cert *cert,
                           const struct x509_cert *issuer, int64_t now_unix_s,
                           struct ocsp_answer *out, struct gh_error *err);

/* From when and until when the whole answer is current, by its own word alone: nothing is verified.
 * False where it is out of date, declines or cannot be read. */
bool ocsp_life(struct bytes der, int64_t now_unix_s, int64_t *from_unix_s, int64_t *until_unix_s);

#endif
