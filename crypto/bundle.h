/*
 * Sigstore bundles v0.1 to v0.3: signature, verification material and proofs in one JSON document.
 *
 * Spec:    sigstore protobuf-specs bundle v0.1 to v0.3; verification.md section 2.4
 * Threads: any; no shared state
 */
#ifndef CRYPTO_BUNDLE_H
#define CRYPTO_BUNDLE_H

#include <jansson.h>

#include "crypto/claims.h"
#include "crypto/dsse.h"
#include "crypto/evidence.h"
#include "crypto/signer.h"
#include "crypto/sigstore.h"
#include "gatehouse.h"

struct gh_error;

#define BUNDLE_MAX_BYTES (32u * 1024 * 1024)
#define BUNDLE_MAX_CERTIFICATES 10 /* leaf included */

enum bundle_version { BUNDLE_V01 = 1, BUNDLE_V02, BUNDLE_V03 };

/* A bundle as read; nothing in it has been verified. Owned: bundle_done(). */
struct bundle {
    json_t *doc;
    enum bundle_version version;
    bool is_envelope;
    struct dsse dsse;             /* envelope */
    struct bytes_buf signature;   /* message signature */
    struct digest message_digest; /* as the bundle claims; NONE when absent */
    struct sigstore_input input;  /* material and proofs; what was signed is not set yet */
};

/*
 * Read a bundle.
 *
 * Gives: *out: bundle_done() frees it
 * Fails: BUNDLE_MALFORMED, BUNDLE_MEDIA_TYPE_UNSUPPORTED, BUNDLE_CONTENT_MISSING,
 *        BUNDLE_MATERIAL_INVALID, DSSE_SIGNATURE_COUNT, DSSE_KEYID_MISMATCH, PAYLOAD_MALFORMED,
 *        SIG_MALFORMED, CERT_MALFORMED, TLOG_ENTRY_MALFORMED, TLOG_DUPLICATE_ENTRY,
 *        SIG_ALG_UNSUPPORTED, SIZE_LIMIT_EXCEEDED, COUNT_LIMIT_EXCEEDED, INTERNAL_ERROR
 */
GH_CHECKED bool bundle_parse(struct bytes json, struct bundle *out, struct gh_error *err);
void bundle_done(struct bundle *bundle);

/* The key hint of a bundle without reading all of it: for the order of candidates. data NULL when
 * there is none. DOC is the parsed bundle. */
struct bytes bundle_hint(const json_t *doc);

/*
 * Verify a bundle for a signer of keys or identities.
 *
 * Takes: subject: with manifest.data NULL only the digest is known (verify-bundle); wanted: NULL
 *        takes any statement
 * Gives: *reached: EVIDENCE_STEP_DONE, or the step that failed; *out: evidence_proof_done(); its
 *        payload is the statement, if there is one
 * Fails: as bundle_parse(), sigstore_verify() and claims_check_statement();
 *        MESSAGE_DIGEST_MISMATCH, PAYLOAD_TYPE_MISMATCH, STATEMENT_*, ANNOTATION_MISMATCH,
 *        PREDICATE_TYPE_MISMATCH (at EVIDENCE_STEP_PARSE: it is no candidate)
 */
GH_CHECKED bool bundle_verify(const struct evidence_item *item,
                              const struct evidence_subject *subject, const struct signer *signer,
                              const struct claims_wanted *wanted, int64_t now_unix_s,
                              enum evidence_step *reached, struct evidence_proof *out,
                              struct gh_error *err);

#endif
