/*
 * What a notation signature is about: the target artifact's descriptor and user metadata.
 *
 * Spec: notaryproject/specifications, signature-specification.md, "Payload"
 */
#ifndef CRYPTO_NOTATION_PAYLOAD_H
#define CRYPTO_NOTATION_PAYLOAD_H

#include <jansson.h>

#include "crypto/digest.h"
#include "crypto/evidence.h"
#include "gatehouse.h"

struct gh_error;

#define NOTATION_MAX_PAYLOAD_BYTES (1024u * 1024)

/* Views point into the document; free with notation_payload_done(). */
struct notation_payload {
    json_t *doc;
    struct bytes media_type;
    struct digest digest;
    int64_t size;
    json_t *annotations; /* borrowed from the document; NULL where there are none */
};

/* Fails: PAYLOAD_MALFORMED, SIZE_LIMIT_EXCEEDED, INTERNAL_ERROR. */
GH_CHECKED bool notation_payload_read(struct bytes in, struct notation_payload *out,
                                      struct gh_error *err);
void notation_payload_done(struct notation_payload *payload);

/* Media type, digest and size must all be those of the manifest that is decided.
 * Fails: PAYLOAD_DIGEST_MISMATCH. */
GH_CHECKED bool notation_payload_check_subject(const struct notation_payload *payload,
                                               const struct evidence_subject *subject,
                                               struct gh_error *err);

/* Every required pair must be signed. Fails: ANNOTATION_MISMATCH. */
GH_CHECKED bool notation_payload_check_metadata(const struct notation_payload *payload,
                                                const struct evidence_annotation *required,
                                                size_t count, struct gh_error *err);

#endif
