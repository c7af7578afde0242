/*
 * Notation's COSE envelope: a tagged COSE_Sign1.
 *
 * Spec: notaryproject/specifications, signature-envelope-cose.md; RFC 9052 sections 4.2 and 4.4
 */
#ifndef CRYPTO_COSE_H
#define CRYPTO_COSE_H

#include "crypto/notation_envelope.h"

/*
 * Parse an envelope. The bytes that the signature covers are built from the protected header as
 * received, never from a re-encoding.
 *
 * Takes:   in: borrowed; must outlive *out
 * Gives:   *out: filled (from zero), caller frees with notation_envelope_done(), also on failure
 * Fails:   NOTATION_ENVELOPE_INVALID, NOTATION_CRIT_INVALID, SIZE_LIMIT_EXCEEDED,
 *          COUNT_LIMIT_EXCEEDED, INTERNAL_ERROR
 * Limits:  NOTATION_MAX_ENVELOPE_BYTES and the others of notation_envelope.h
 * Threads: any
 */
GH_CHECKED bool cose_parse(struct bytes in, struct notation_envelope *out, struct gh_error *err);

#endif
