/*
 * Notation's JWS envelope: flattened JSON serialisation alone.
 *
 * Spec: notaryproject/specifications, signature-envelope-jws.md; RFC 7515 section 7.2.2
 */
#ifndef CRYPTO_JWS_H
#define CRYPTO_JWS_H

#include "crypto/notation_envelope.h"

/*
 * Parse an envelope.
 *
 * Takes:   in: borrowed; must outlive *out
 * Gives:   *out: filled (from zero), caller frees with notation_envelope_done(), also on failure
 * Fails:   NOTATION_ENVELOPE_INVALID, NOTATION_CRIT_INVALID, SIZE_LIMIT_EXCEEDED,
 *          COUNT_LIMIT_EXCEEDED, INTERNAL_ERROR
 * Limits:  NOTATION_MAX_ENVELOPE_BYTES and the others of notation_envelope.h
 * Threads: any
 */
GH_CHECKED bool jws_parse(struct bytes in, struct notation_envelope *out, struct gh_error *err);

#endif
