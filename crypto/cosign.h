/*
 * cosign's signatures and attestations in their older form: layers with annotations, under the
 * `.sig` and `.att` tags or attached as referrers, and envelopes attached by other tools.
 *
 * Spec:    sigstore/cosign SIGNATURE_SPEC, BUNDLE_SPEC, ATTESTATION_SPEC; verification.md sections
 *          2.2 and 2.3
 * Threads: any; no shared state
 */
#ifndef CRYPTO_COSIGN_H
#define CRYPTO_COSIGN_H

#include "crypto/claims.h"
#include "crypto/evidence.h"
#include "crypto/signer.h"
#include "gatehouse.h"

struct gh_error;

#define COSIGN_MAX_SIGNATURE_TEXT 8192
#define COSIGN_MAX_TIMESTAMP_TEXT (128u * 1024)
#define COSIGN_ANNOTATION_SIGNATURE "dev.cosignproject.cosign/signature"
#define COSIGN_ANNOTATION_CERTIFICATE "dev.sigstore.cosign/certificate"
#define COSIGN_ANNOTATION_CHAIN "dev.sigstore.cosign/chain"
#define COSIGN_ANNOTATION_BUNDLE "dev.sigstore.cosign/bundle"
#define COSIGN_ANNOTATION_TIMESTAMP "dev.sigstore.cosign/rfc3161timestamp"

/*
 * Verify one layer for a signer of keys or identities: the payload of a signature
 * (EVIDENCE_COSIGN_SIGNATURE), or an envelope with a statement (EVIDENCE_COSIGN_ATTESTATION,
 * EVIDENCE_DSSE).
 *
 * Takes: wanted: NULL takes any statement
 * Gives: *reached: EVIDENCE_STEP_DONE, or the step that failed; *out: evidence_proof_done(); its
 *        payload is the statement
 * Fails: as sigstore_verify(), claims_check_payload() and claims_check_statement(); SIG_MALFORMED,
 *        CERT_MALFORMED, TLOG_ENTRY_MALFORMED, TIMESTAMP_INVALID, PAYLOAD_*, STATEMENT_*,
 *        DSSE_SIGNATURE_COUNT, PREDICATE_TYPE_MISMATCH (at EVIDENCE_STEP_PARSE: it is no candidate)
 */
GH_CHECKED bool cosign_verify(const struct evidence_item *item,
                              const struct evidence_subject *subject, const struct signer *signer,
                              const struct claims_wanted *wanted, int64_t now_unix_s,
                              enum evidence_step *reached, struct evidence_proof *out,
                              struct gh_error *err);

#endif
