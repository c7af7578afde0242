/*
 * The payload of simple signing, as cosign and the older container tools sign it. A strict reader:
 * a member that is not known may change the meaning of the rest, and is refused.
 *
 * Spec:    containers/image signature docs; cosign SIGNATURE_SPEC; verification.md section 2.2
 * Threads: a payload is immutable once parsed
 */
#ifndef CRYPTO_SIMPLE_SIGNING_H
#define CRYPTO_SIMPLE_SIGNING_H

#include <jansson.h>

#include "crypto/bytes.h"
#include "gatehouse.h"

struct gh_error;

#define SIMPLE_SIGNING_MAX_BYTES (4u * 1024 * 1024)
#define SIMPLE_SIGNING_COSIGN "cosign container image signature"
#define SIMPLE_SIGNING_ATOMIC "atomic container signature"

struct simple_signing {
    json_t *doc; /* owns what the rest points to */
    struct bytes type;
    struct bytes digest;    /* text, not judged */
    struct bytes reference; /* docker-reference */
    const json_t *optional; /* object, or NULL for null */
};

/*
 * Gives: *out: simple_signing_done() frees it
 * Fails: PAYLOAD_MALFORMED, PAYLOAD_UNKNOWN_FIELD, SIZE_LIMIT_EXCEEDED
 */
GH_CHECKED bool simple_signing_parse(struct bytes payload, struct simple_signing *out,
                                     struct gh_error *err);
void simple_signing_done(struct simple_signing *payload);

#endif
