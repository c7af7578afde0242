/*
 * Paths from a leaf to a trusted authority, judged at every proved time. An authority is a chain of
 * certificates from the trust root, its last one the anchor, with a window of its own; its links
 * are verified once, when it is made. Certificates from evidence serve as hints for what lies
 * between leaf and authority; they are never trusted by themselves.
 *
 * Spec: RFC 5280 section 6; verification.md section 3.3
 */
#ifndef CRYPTO_X509_PATH_H
#define CRYPTO_X509_PATH_H

#include "crypto/bytes.h"
#include "gatehouse.h"

struct gh_error;
struct memo;
struct x509_cert;

#define X509_MAX_PATH 10
#define X509_MAX_HINTS 16
#define X509_MAX_TIMES 16
#define X509_MAX_SIGNATURE_CHECKS 32 /* per path search */

struct x509_authority;

/*
 * Make an authority of CHAIN, issuing certificate first, anchor last (a root, or an intermediate
 * that is trusted for itself). A chain whose links do not hold makes no authority.
 *
 * Takes: chain: references are added
 * Gives: *out: new, x509_authority_free()
 * Fails: CERT_CHAIN_UNTRUSTED, COUNT_LIMIT_EXCEEDED, SIG_ALG_UNSUPPORTED, KEY_WEAK,
 *        INTERNAL_ERROR
 */
GH_CHECKED bool x509_authority_new(struct x509_cert *const *chain, size_t count,
                                   int64_t start_unix_ms, int64_t end_unix_ms,
                                   struct x509_authority **out, struct gh_error *err);
void x509_authority_free(struct x509_authority *authority);
GH_DEFINE_FREEP(x509_authority, struct x509_authority)

size_t x509_authority_count(const struct x509_authority *authority);
/* Borrowed; index 0 is the issuing certificate. */
const struct x509_cert *x509_authority_cert(const struct x509_authority *authority, size_t index);
/* Whether the moment lies in the authority's own window, closed at both ends. */
bool x509_authority_covers(const struct x509_authority *authority, int64_t unix_ms);

enum x509_use {
    X509_USE_ANY,          /* the caller checks the leaf's usages itself; CAs must be CAs */
    X509_USE_CODE_SIGNING, /* leaf: no CA, digitalSignature, EKU with codeSigning, not any */
    X509_USE_TIME_STAMPING /* leaf: no CA, EKU critical and timeStamping alone */
};

struct x509_path_input {
    const struct x509_cert *leaf;
    struct x509_cert *const *hints;
    size_t hint_count;
    const struct x509_authority *const *authorities;
    size_t authority_count;
    const int64_t *times_unix_s; /* every certificate must be valid at each of them; at least one */
    size_t time_count;
    enum x509_use use;
    struct memo *memo;       /* may be NULL */
    bool is_leaf_remembered; /* leaves that repeat (time-stamp signers): the memo holds them too */
};

/* Leaf first, anchor last. Borrowed from leaf, hints and authority. */
struct x509_path {
    const struct x509_cert *certs[X509_MAX_PATH];
    size_t count;
    size_t authority; /* index of the one that vouches */
};

/*
 * Find a path and check all of it: signatures, names, CA and usage bits, path lengths, name
 * constraints, validity of every certificate and of the authority at every time.
 *
 * Fails:   CERT_CHAIN_UNTRUSTED, CERT_USAGE_INVALID, CERT_NOT_VALID_AT_TIME (the leaf),
 *          CERT_CA_WINDOW (an authority or its window), TIME_SOURCE_MISSING (no time given),
 *          COUNT_LIMIT_EXCEEDED, SIG_ALG_UNSUPPORTED, KEY_WEAK, INTERNAL_ERROR; of several
 *          authorities the failure of the one that came furthest
 * Threads: any; the memo is synchronised
 */
GH_CHECKED bool x509_path_verify(const struct x509_path_input *input, struct x509_path *out,
                                 struct gh_error *err);

/* The moment until which all certificates of the path are valid. */
int64_t x509_path_until(const struct x509_path *path);

#endif
