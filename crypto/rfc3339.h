/*
 * Times as text: `2026-01-31T12:00:00Z`, with a fraction or an offset where the writer likes it.
 *
 * Spec:    RFC 3339 section 5.6, upper-case T and Z, without leap seconds
 * Threads: any; no shared state
 */
#ifndef CRYPTO_RFC3339_H
#define CRYPTO_RFC3339_H

#include "crypto/bytes.h"
#include "gatehouse.h"

/* Unix seconds, fractions cut off. False (an answer, not an error) where TEXT is no such time. */
bool rfc3339_parse(struct bytes text, int64_t *out);

#endif
