/*
 * Whether the certificates of a path are revoked: what to ask, and what the answers are worth.
 * Nothing is fetched here.
 *
 * Per certificate, root to leaf, the root exempt: a current list loaded from a file answers at
 * once; else OCSP, and where that does not decide, the list at the distribution point. A
 * certificate that names neither cannot be revoked.
 *
 * Spec:    RFC 5280 section 6.3, RFC 6960; notaryproject/specifications,
 *          trust-store-trust-policy.md, "Certificate Revocation Evaluation"
 * Threads: any; no shared state
 */
#ifndef CRYPTO_REVOCATION_H
#define CRYPTO_REVOCATION_H

#include "crypto/evidence.h"
#include "gatehouse.h"

struct crl;
struct gh_error;
struct x509_cert;

#define REVOCATION_MAX_URLS 4 /* of one kind, in one certificate */
#define REVOCATION_MAX_URL_BYTES 1024

struct revocation_input {
    /* Leaf first, root last. The links must have been verified and the root be a configured one:
     * addresses are taken from these certificates. */
    struct x509_cert *const *path;
    size_t count;
    const struct crl *const *crls; /* loaded from files */
    size_t crl_count;
    const struct evidence_answers *answers; /* may be NULL */
    int64_t now_unix_s;
    bool has_signing_time; /* an authentic one: a later invalidityDate spares the signature */
    int64_t signing_unix_s;
};

/*
 * Check all certificates of the path.
 *
 * Gives: *proof: rests on every answer that was used, and ends no later than the first of them gets
 *        old; false with err->cause zero: *wants says what must be fetched first
 * Fails: REVOCATION_REVOKED, REVOCATION_UNAVAILABLE, CRL_INVALID, OCSP_INVALID,
 *        COUNT_LIMIT_EXCEEDED, INTERNAL_ERROR
 */
GH_CHECKED bool revocation_check(const struct revocation_input *input, struct evidence_wants *wants,
                                 struct evidence_proof *proof, struct gh_error *err);

/* What an answer says of its own life, with nothing verified. */
struct revocation_life {
    int64_t from_unix_s;  /* INT64_MIN: it does not say */
    int64_t until_unix_s; /* INT64_MAX: it does not say */
};

/* False where the answer is out of date at NOW or cannot be read: it is not worth keeping. */
bool revocation_answer_life(enum evidence_want_kind kind, struct bytes answer, int64_t now_unix_s,
                            struct revocation_life *out);

#endif
