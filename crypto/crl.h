/*
 * Certificate revocation lists, complete ones of one issuer. Delta lists are refused by name: a
 * complete list answers everything a delta could, only later.
 *
 * Spec:    RFC 5280 section 5
 * Threads: a list is immutable
 */
#ifndef CRYPTO_CRL_H
#define CRYPTO_CRL_H

#include "crypto/bytes.h"
#include "gatehouse.h"

struct gh_error;
struct x509_cert;
struct x509_view;

#define CRL_MAX_BYTES (32u * 1024 * 1024)
#define CRL_MAX_EXTENSIONS 16
#define CRL_MAX_POINTS 8

struct crl;

/* What a list says about one certificate. */
struct crl_entry {
    int64_t revoked_unix_s;
    int reason; /* CRLReason; 0 where none is given */
    bool has_invalidity_date;
    int64_t invalidity_unix_s;
};

/*
 * Read a list's form.
 *
 * Takes: der: borrowed for the call
 * Gives: *out: new, crl_free()
 * Fails: CRL_INVALID (delta, indirect and partial lists and unknown critical extensions included),
 *        SIZE_LIMIT_EXCEEDED, INTERNAL_ERROR
 */
GH_CHECKED bool crl_parse(struct bytes der, struct crl **out, struct gh_error *err);
void crl_free(struct crl *crl);
GH_DEFINE_FREEP(crl, struct crl)

/* Whether the list names this certificate's issuer as its own. */
bool crl_is_of(const struct crl *crl, const struct x509_view *cert);
/* Whether the list covers a certificate that names URL as a distribution point: its own
 * distribution point, if it has one, says so. */
bool crl_covers(const struct crl *crl, struct bytes url);
/* Whether it has a distribution point of its own, and so may hold only part of the issuer's
 * certificates. */
bool crl_has_points(const struct crl *crl);
/* Whether the issuer also publishes delta lists for it (freshestCRL). */
bool crl_has_delta(const struct crl *crl);
int64_t crl_this_update(const struct crl *crl);
int64_t crl_next_update(const struct crl *crl);

/*
 * Whether ISSUER signed the list and may do so.
 *
 * Fails: CRL_INVALID, INTERNAL_ERROR
 */
GH_CHECKED bool crl_check_signed(const struct crl *crl, const struct x509_cert *issuer,
                                 struct gh_error *err);
/* Whether the list is current. Fails: CRL_INVALID. */
GH_CHECKED bool crl_check_fresh(const struct crl *crl, int64_t now_unix_s, struct gh_error *err);

/*
 * Look a certificate up. *found says whether it is listed; only then *out is filled. Linear in the
 * list's length, without allocating.
 *
 * Fails: CRL_INVALID (an entry that cannot be read, or that has an unknown critical extension)
 */
GH_CHECKED bool crl_find(const struct crl *crl, struct bytes serial, bool *found,
                         struct crl_entry *out, struct gh_error *err);

#endif
