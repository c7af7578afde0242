/*
 * The canonical JSON that TUF signatures and key ids cover.
 *
 * Spec:    OLPC canonical JSON as TUF 1.0 section 4.2.1 uses it: members sorted bytewise, no white
 *          space, only `"` and `\` escaped, everything else raw, integers only
 * Threads: any; no shared state
 */
#ifndef CRYPTO_TUF_CANONICAL_H
#define CRYPTO_TUF_CANONICAL_H

#include <jansson.h>

#include "crypto/bytes.h"
#include "gatehouse.h"
#include "metrics/error.h"

#define TUF_CANONICAL_MAX_BYTES (8u * 1024 * 1024)
#define TUF_CANONICAL_MAX_DEPTH 64

/*
 * Encode a value as it was received.
 *
 * Gives: *out: new, bytes_buf_done() frees
 * Fails: TRUST_ROOT_MALFORMED (a number that is no integer), TUF_LIMIT_EXCEEDED, INTERNAL_ERROR
 */
GH_CHECKED bool tuf_canonical_encode(const json_t *value, struct bytes_buf *out,
                                     struct gh_error *err);

#endif
