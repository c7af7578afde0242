/*
 * in-toto Statements v0.1 and v1: what an attestation says, and about which subjects.
 *
 * Spec:    in-toto/attestation spec/v1/statement.md; verification.md section 2.6
 * Threads: a statement is immutable once parsed
 */
#ifndef CRYPTO_STATEMENT_H
#define CRYPTO_STATEMENT_H

#include <jansson.h>

#include "crypto/bytes.h"
#include "crypto/digest.h"
#include "gatehouse.h"

struct gh_error;

#define STATEMENT_MAX_BYTES (32u * 1024 * 1024)
#define STATEMENT_MAX_SUBJECTS 1024
#define STATEMENT_MAX_DIGESTS 32 /* of one subject */
#define STATEMENT_V01 "https://in-toto.io/Statement/v0.1"
#define STATEMENT_V1 "https://in-toto.io/Statement/v1"
/* An image signature in the form of a statement: it claims nothing but that it was signed. */
#define STATEMENT_COSIGN_SIGN "https://sigstore.dev/cosign/sign/v1"

struct statement {
    json_t *doc; /* owns what the rest points to */
    struct bytes predicate_type;
    const json_t *predicate; /* NULL when absent */
    const json_t *subjects;  /* array, not empty */
};

/*
 * Read a statement; every subject is read, so that what is malformed is refused even where another
 * subject would match.
 *
 * Gives: *out: statement_done() frees it
 * Fails: STATEMENT_MALFORMED, STATEMENT_TYPE_UNSUPPORTED, SUBJECT_MISSING, SUBJECT_LIMIT,
 *        SIZE_LIMIT_EXCEEDED
 */
GH_CHECKED bool statement_parse(struct bytes payload, struct statement *out, struct gh_error *err);
void statement_done(struct statement *statement);

/*
 * The subject with this very digest. Names never count.
 *
 * Gives: *subject: borrowed from the statement; may be NULL
 * Fails: SUBJECT_MISMATCH
 */
GH_CHECKED bool statement_find_subject(const struct statement *statement,
                                       const struct digest *digest, const json_t **subject,
                                       struct gh_error *err);

#endif
