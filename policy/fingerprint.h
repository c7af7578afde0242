/*
 * Fingerprints of what was compiled: SHA-256 over labelled, length-prefixed parts, so that no two
 * different definitions read the same.
 *
 * Threads: one at a time.
 */
#ifndef POLICY_FINGERPRINT_H
#define POLICY_FINGERPRINT_H

#include "crypto/bytes.h"
#include "crypto/digest.h"
#include "gatehouse.h"

struct gh_error;

struct fingerprint {
    struct digest_stream *stream;
    bool is_failed;
};

void fingerprint_init(struct fingerprint *fingerprint, const char *label);
void fingerprint_put(struct fingerprint *fingerprint, struct bytes part);
/* NULL reads differently from "". */
void fingerprint_put_text(struct fingerprint *fingerprint, const char *text);
void fingerprint_put_int(struct fingerprint *fingerprint, int64_t value);
void fingerprint_put_digest(struct fingerprint *fingerprint, const struct digest *digest);
/* Ends it and frees what it holds, on failure too. Fails: INTERNAL_ERROR. */
GH_CHECKED bool fingerprint_final(struct fingerprint *fingerprint, struct digest *out,
                                  struct gh_error *err);

#endif
