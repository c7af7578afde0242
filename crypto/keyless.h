/*
 * Certificates of identities: the path to a trusted authority at every proved time, the SCT, and
 * the match of issuer, subject and claims with what a signer asks for.
 *
 * Spec:    verification.md sections 3.3, 3.4
 * Threads: any; no shared state (the trust root's memo is synchronised)
 */
#ifndef CRYPTO_KEYLESS_H
#define CRYPTO_KEYLESS_H

#include "crypto/evidence.h"
#include "crypto/signer.h"
#include "crypto/x509_path.h"
#include "gatehouse.h"

struct gh_error;
struct x509_cert;

/*
 * Check the path from LEAF to an authority of the signer's root, usage, validity at all times, and
 * the SCT where the signer asks for it.
 *
 * Takes: hints: certificates from the evidence, never trusted by themselves
 * Gives: *path: borrowed from leaf, hints and root
 * Fails: CERT_*, SCT_*, TIME_SOURCE_MISSING, KEY_WEAK, SIG_ALG_UNSUPPORTED, INTERNAL_ERROR
 */
GH_CHECKED bool keyless_check_path(const struct signer *signer, const struct x509_cert *leaf,
                                   struct x509_cert *const *hints, size_t hint_count,
                                   const int64_t *times_unix_s, size_t time_count,
                                   struct x509_path *path, struct gh_error *err);

/*
 * Check issuer, subject and claims of a certificate whose path has verified.
 *
 * Gives: out->authority, out->signer_text
 * Fails: ISSUER_MISMATCH, IDENTITY_MISMATCH, EXTENSION_MISMATCH, CERT_MALFORMED
 */
GH_CHECKED bool keyless_check_identity(const struct signer *signer, const struct x509_cert *leaf,
                                       struct evidence_proof *out, struct gh_error *err);

#endif
