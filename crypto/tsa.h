/*
 * RFC 3161 time stamps. Every rule is applied to the certificate that signed, never to another one
 * that happens to lie in the token.
 *
 * Spec:    RFC 3161, RFC 5816, RFC 5652 section 5; verification.md section 3.5
 * Threads: any; no shared state (the trust's memo is synchronised)
 */
#ifndef CRYPTO_TSA_H
#define CRYPTO_TSA_H

#include "crypto/bytes.h"
#include "crypto/der.h"
#include "crypto/digest.h"
#include "crypto/x509_path.h"
#include "gatehouse.h"

struct gh_error;
struct memo;
struct x509_authority;
struct x509_cert;

#define TSA_MAX_TOKEN_BYTES (64u * 1024)
#define TSA_MAX_CERTS 16
#define TSA_MAX_FUTURE_S 300
#define TSA_MAX_ACCURACY_S 86400

/* One authority for time stamps. */
struct tsa_authority {
    const struct x509_authority *authority; /* borrowed; its window is the TSA's */
    const struct x509_cert *leaf; /* the signing certificate where the root names one; or NULL */
    struct digest operator_id;    /* counts once in a threshold */
};

/* What time stamps are judged by. Borrowed. */
struct tsa_trust {
    const struct tsa_authority *items;
    size_t count;
    bool is_ess_v2_required;   /* notation: signing-certificate-v2 must be there */
    bool is_embedded_required; /* notation: the token must carry its signing certificate */
    struct memo *memo;         /* may be NULL */
};

/* A verified time stamp. Owns references; tsa_result_done() drops them. */
struct tsa_result {
    struct der_time gen_time;
    int64_t accuracy_us;    /* 0 where the token names none */
    bool is_second_implied; /* it names none, and its policy (ETSI's baseline) promises a second */
    int64_t not_before_unix_s; /* genTime less accuracy, rounded down */
    int64_t not_after_unix_s;  /* genTime and accuracy, rounded up */
    struct digest operator_id;
    struct x509_cert *path[X509_MAX_PATH]; /* signer first, anchor last: for revocation */
    size_t path_count;
};

void tsa_result_done(struct tsa_result *result);

/*
 * Verify a TimeStampResp (as in bundles) over the bytes COVERED.
 *
 * Gives: *out: tsa_result_done()
 * Fails: TIMESTAMP_INVALID, TIMESTAMP_IMPRINT_MISMATCH, TIMESTAMP_UNTRUSTED, TIMESTAMP_FUTURE,
 *        SIZE_LIMIT_EXCEEDED, INTERNAL_ERROR
 */
GH_CHECKED bool tsa_verify_response(struct bytes der, struct bytes covered,
                                    const struct tsa_trust *trust, int64_t now_unix_s,
                                    struct tsa_result *out, struct gh_error *err);
/* As tsa_verify_response(), for a bare TimeStampToken (a CMS ContentInfo, as in notation). */
GH_CHECKED bool tsa_verify_token(struct bytes der, struct bytes covered,
                                 const struct tsa_trust *trust, int64_t now_unix_s,
                                 struct tsa_result *out, struct gh_error *err);

#endif
