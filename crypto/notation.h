/*
 * Signatures of the Notary Project (notation): JWS and COSE envelopes, trust stores, identities and
 * the ordered verification.
 *
 * Spec:    notaryproject/specifications: signature-specification, signature-envelope-jws,
 *          signature-envelope-cose, trust-store-trust-policy, signing-scheme
 * Threads: a store and an identity are immutable once the snapshot stands and may be read by any
 *          thread; what a store remembers of verified chains is synchronised inside
 */
#ifndef CRYPTO_NOTATION_H
#define CRYPTO_NOTATION_H

#include "crypto/bytes.h"
#include "crypto/evidence.h"
#include "crypto/signer.h"
#include "gatehouse.h"

struct gh_error;
struct notation_store;
struct notation_dn;

#define NOTATION_MAX_IDENTITY_BYTES 1024
#define NOTATION_MAX_STORE_CERTIFICATES 256
#define NOTATION_MAX_STORE_CRLS 64
#define NOTATION_MAX_IDENTITIES 64

/* --- identities --------------------------------------------------------------------------- */

/*
 * Read an identity as policies write it: `x509.subject: C=US, ST=WA, O=Acme, CN=release` (RFC 4514;
 * C, ST or S, and O are needed, each type once), or the ARN of an AWS Signer signing profile or
 * profile version (`arn:aws:signer:REGION:ACCOUNT:/signing-profiles/NAME[/VERSION]`). `*` is not an
 * identity: see signer.is_any_identity.
 *
 * Gives: *out: new, caller frees with notation_dn_free()
 * Fails: NOTATION_POLICY_INVALID, INTERNAL_ERROR
 */
GH_CHECKED bool notation_dn_parse(struct bytes text, struct notation_dn **out,
                                  struct gh_error *err);
void notation_dn_free(struct notation_dn *dn);
GH_DEFINE_FREEP(notation_dn, struct notation_dn)

/* The text it was read from, for people. Borrowed. */
const char *notation_dn_text(const struct notation_dn *dn);

/*
 * No identity may be part of another: a signature would match both, and whoever reads the policy
 * takes the narrow one for the rule. Fails: NOTATION_POLICY_INVALID naming both.
 */
GH_CHECKED bool notation_dn_check_overlap(struct notation_dn *const *dns, size_t count,
                                          struct gh_error *err);

/* --- trust stores ------------------------------------------------------------------------- */

enum notation_store_kind {
    NOTATION_STORE_CA,
    NOTATION_STORE_SIGNING_AUTHORITY,
    NOTATION_STORE_TSA,
    NOTATION_STORE_KINDS
};

/* An empty store. Gives: *out: new, caller frees with notation_store_free(). Fails:
 * INTERNAL_ERROR. */
GH_CHECKED bool notation_store_new(struct notation_store **out, struct gh_error *err);
void notation_store_free(struct notation_store *store);
GH_DEFINE_FREEP(notation_store, struct notation_store)

/*
 * Add every certificate of a file: PEM blocks or one DER certificate. Kinds `ca` and
 * `signingAuthority` take authorities and self-signed certificates, `tsa` self-signed ones alone.
 * Only before the store is shared with other threads.
 *
 * Takes: file: borrowed for the call
 * Fails: TRUST_ROOT_MALFORMED, KEY_WEAK, COUNT_LIMIT_EXCEEDED, INTERNAL_ERROR
 */
GH_CHECKED bool notation_store_add(struct notation_store *store, enum notation_store_kind kind,
                                   struct bytes file, struct gh_error *err);

/*
 * Add a revocation list (DER, or one PEM block `X509 CRL`). As long as it is current, a list loaded
 * here answers for its issuer's certificates and nothing is fetched for them; a certificate it
 * lists is revoked even after it went stale.
 *
 * Takes: file: borrowed for the call
 * Fails: CRL_INVALID, SIZE_LIMIT_EXCEEDED, COUNT_LIMIT_EXCEEDED, INTERNAL_ERROR
 */
GH_CHECKED bool notation_store_add_crl(struct notation_store *store, struct bytes file,
                                       struct gh_error *err);

size_t notation_store_count(const struct notation_store *store, enum notation_store_kind kind);
/* When the first of its certificates ends, and when the first of its lists should be replaced;
 * INT64_MAX where there are none. */
int64_t notation_store_end(const struct notation_store *store);
int64_t notation_store_lists_end(const struct notation_store *store);

/* --- verification ------------------------------------------------------------------------- */

/* What is asked of one signature. All borrowed. */
struct notation_request {
    const struct evidence_item *item; /* EVIDENCE_NOTATION_JWS or EVIDENCE_NOTATION_COSE */
    const struct evidence_subject *subject;
    const struct signer *signer;                /* of type SIGNER_NOTATION */
    const struct evidence_annotation *metadata; /* required pairs of the user metadata */
    size_t metadata_count;
    const struct evidence_answers *answers; /* fetched so far; may be NULL */
    int64_t now_unix_s;
};

/*
 * Verify one signature. Three ends:
 *   true                                  *out is filled: the signature is good for the signer
 *   false, err->cause not zero            it is not, and *reached says how far it came
 *   false, err->cause zero, wants grown   it cannot be told yet: fetch what *wants lists, call
 * again A fetch that failed is an answer too (evidence_answer.failure); so the third end comes at
 * most a few times: OCSP first, then lists, then lists for OCSP responders. AWS Signer asks for
 * EVIDENCE_WANT_VENDOR; a shell that does not serve those answers with failure cause
 * NOTATION_PLUGIN_REQUIRED.
 *
 * Takes:   err: must be clean (cause zero); out: zeroed; wants: may hold wants of others
 * Gives:   *out: caller frees with evidence_proof_done(); its logged[] holds checks that failed
 *          where the signer's action is log
 * Fails:   SIG_ALG_UNSUPPORTED, SIG_INVALID, KEY_WEAK, PAYLOAD_*, CERT_MALFORMED,
 *          CERT_CHAIN_UNTRUSTED, CERT_NOT_VALID_AT_TIME, TIMESTAMP_*, NOTATION_*, REVOCATION_*,
 *          CRL_INVALID, OCSP_INVALID, ANNOTATION_MISMATCH, SIZE_LIMIT_EXCEEDED,
 *          COUNT_LIMIT_EXCEEDED, INTERNAL_ERROR
 * Threads: any
 */
GH_CHECKED bool notation_verify(const struct notation_request *request,
                                struct evidence_wants *wants, enum evidence_step *reached,
                                struct evidence_proof *out, struct gh_error *err);

#endif
