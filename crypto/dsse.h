/*
 * DSSE envelopes: reading them, and the bytes that their signatures cover.
 *
 * Spec:    secure-systems-lab/dsse v1.0.2 envelope.md, protocol.md; verification.md section 2.5
 * Threads: an envelope is immutable once read
 */
#ifndef CRYPTO_DSSE_H
#define CRYPTO_DSSE_H

#include <jansson.h>

#include "crypto/bytes.h"
#include "gatehouse.h"

struct gh_error;

#define DSSE_MAX_BYTES (32u * 1024 * 1024)
#define DSSE_MAX_SIGNATURES 8
#define DSSE_MAX_SIGNATURE_BYTES 4096
#define DSSE_MAX_TYPE_BYTES 255
#define DSSE_IN_TOTO "application/vnd.in-toto+json"

struct dsse_signature {
    struct bytes_buf value;
    struct bytes keyid; /* a hint and nothing more; data NULL when absent or empty */
};

struct dsse {
    json_t *doc; /* holds what the views point to; a reference of our own */
    struct bytes payload_type;
    struct bytes_buf payload;
    struct dsse_signature signatures[DSSE_MAX_SIGNATURES];
    size_t signature_count;
    struct bytes_buf pae; /* what every signature covers */
};

/*
 * Read an envelope that stands alone. Base64 of both alphabets is accepted, as writers differ.
 *
 * Gives: *out: dsse_done() frees what it owns
 * Fails: MALFORMED_JSON, DUPLICATE_JSON_KEY, PAYLOAD_MALFORMED (not base64), SIG_MALFORMED (a
 *        signature is not base64), DSSE_SIGNATURE_COUNT (none, or more than
 *        DSSE_MAX_SIGNATURES), SIZE_LIMIT_EXCEEDED, INTERNAL_ERROR
 */
GH_CHECKED bool dsse_parse(struct bytes json, struct dsse *out, struct gh_error *err);

/* As dsse_parse(), of a document that was parsed as part of another one (a bundle): base64 as
 * FORM says, exactly one signature. */
GH_CHECKED bool dsse_read(json_t *envelope, enum bytes_base64 form, struct dsse *out,
                          struct gh_error *err);

/* Fails unless the payload is an in-toto statement by its type: PAYLOAD_TYPE_MISMATCH. */
GH_CHECKED bool dsse_check_in_toto(const struct dsse *dsse, struct gh_error *err);

void dsse_done(struct dsse *dsse);

/*
 * The pre-authentication encoding: `DSSEv1 LEN TYPE LEN PAYLOAD`.
 * Gives: *out: new, bytes_buf_done(). Fails: INTERNAL_ERROR.
 */
GH_CHECKED bool dsse_pae(struct bytes type, struct bytes payload, struct bytes_buf *out,
                         struct gh_error *err);

#endif
