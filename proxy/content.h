/*
 * The bytes of a manifest, with the digest they were hashed to and the type they are served as.
 * Counted and immutable: what was verified is what is served.
 *
 * Threads: any
 */
#ifndef PROXY_CONTENT_H
#define PROXY_CONTENT_H

#include "crypto/bytes.h"
#include "crypto/digest.h"
#include "gatehouse.h"

struct content {
    int references; /* atomic */
    struct digest digest;
    char digest_text[DIGEST_MAX_TEXT];
    char *media_type;
    struct bytes bytes;
    uint8_t data[]; /* the bytes, then the media type */
};

/* Copy BYTES. DIGEST is what they were hashed to by the caller. NULL when memory is out. */
struct content *content_new(const struct digest *digest, const char *media_type,
                            struct bytes bytes);
struct content *content_ref(struct content *content);
void content_unref(struct content *content);
GH_UNUSED static inline void content_unrefp(struct content **content)
{
    content_unref(*content);
    *content = NULL;
}

#endif
