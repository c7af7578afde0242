/*
 * What a verified signature says, held against what was asked: the digest, the name, annotations
 * and the type of a statement.
 *
 * Spec:    verification.md sections 2.2 steps 10 to 14, 2.6; interface.md match_reference
 * Threads: any; no shared state
 */
#ifndef CRYPTO_CLAIMS_H
#define CRYPTO_CLAIMS_H

#include "crypto/bytes.h"
#include "crypto/evidence.h"
#include "crypto/signer.h"
#include "crypto/statement.h"
#include "gatehouse.h"

struct gh_error;

/* What a requirement asks of a signature beyond its signer. All borrowed. */
struct claims_wanted {
    bool is_attestation;      /* a statement of one of the types; else an image signature */
    const char *const *types; /* accepted predicate types; without any nothing is accepted */
    size_t type_count;
    const struct evidence_annotation *annotations; /* that the signature must carry */
    size_t annotation_count;
};

/* Whether the signed text of an image name agrees with the one being decided. NAMED is a
 * repository, perhaps with a tag or digest. Fails: IDENTITY_REFERENCE_MISMATCH. */
GH_CHECKED bool claims_check_reference(enum signer_reference rule, struct bytes named,
                                       const struct evidence_subject *subject,
                                       struct gh_error *err);

/* Fails unless the statement is of a kind that is WANTED (NULL: any): PREDICATE_TYPE_MISMATCH.
 * Sign statements are signatures, all others are attestations. */
GH_CHECKED bool claims_check_type(const struct statement *statement,
                                  const struct claims_wanted *wanted, struct gh_error *err);

/*
 * Check a simple-signing payload whose signature has verified: structure, type, digest, name,
 * annotations.
 *
 * Gives: *reached: PAYLOAD, SUBJECT or REFERENCE
 * Fails: PAYLOAD_MALFORMED, PAYLOAD_UNKNOWN_FIELD, SIMPLE_TYPE_MISMATCH, PAYLOAD_DIGEST_MISMATCH,
 *        IDENTITY_REFERENCE_MISMATCH, ANNOTATION_MISMATCH
 */
GH_CHECKED bool claims_check_payload(struct bytes payload, const struct evidence_subject *subject,
                                     enum signer_reference rule, const struct claims_wanted *wanted,
                                     enum evidence_step *reached, struct gh_error *err);

/*
 * Check a statement whose envelope has verified: type, subject, name, annotations.
 *
 * Gives: *reached: PAYLOAD, SUBJECT or REFERENCE
 * Fails: PREDICATE_TYPE_MISMATCH, SUBJECT_MISMATCH, IDENTITY_REFERENCE_MISMATCH,
 *        ANNOTATION_MISMATCH
 */
GH_CHECKED bool claims_check_statement(const struct statement *statement,
                                       const struct evidence_subject *subject,
                                       enum signer_reference rule,
                                       const struct claims_wanted *wanted,
                                       enum evidence_step *reached, struct gh_error *err);

#endif
