/*
 * Strict CBOR over borrowed bytes, one item head at a time: definite lengths, shortest heads, no
 * reserved forms. A reader consumes from the front of *in and leaves it untouched where it fails;
 * the cause is then SIG_MALFORMED, which callers recast to that of their format (gh_recast()).
 * Heads are decoded by libcbor's streaming decoder, which allocates nothing; its tree builder is
 * never used, because a length in five bytes makes it reserve gigabytes.
 *
 * Spec:    RFC 8949 sections 3 and 4.2.1 (without the order of map keys)
 * Threads: any; no shared state
 */
#ifndef CRYPTO_CBOR_H
#define CRYPTO_CBOR_H

#include "crypto/bytes.h"
#include "gatehouse.h"

struct gh_error;

#define CBOR_MAX_DEPTH 16
#define CBOR_MAX_STRING_BYTES (8u * 1024 * 1024)
#define CBOR_MAX_ENTRIES 64    /* members of one array or pairs of one map */
#define CBOR_MAX_KEY_BYTES 256 /* of a map, encoded: every key is compared with every other */
#define CBOR_TAG_EPOCH 1       /* seconds since 1970 */
#define CBOR_MAX_HEAD 9        /* bytes cbor_put_head() writes */

enum cbor_kind {
    CBOR_KIND_UNSIGNED,
    CBOR_KIND_NEGATIVE, /* the value is -1 - value */
    CBOR_KIND_BYTES,
    CBOR_KIND_TEXT,
    CBOR_KIND_ARRAY,
    CBOR_KIND_MAP,
    CBOR_KIND_TAG,
    CBOR_KIND_FLOAT,
    CBOR_KIND_BOOL,
    CBOR_KIND_NULL,
    CBOR_KIND_UNDEFINED
};

/* One head. A string brings its content; what an array, map or tag holds follows in the input. */
struct cbor_head {
    enum cbor_kind kind;
    uint64_t value;       /* number, tag, member or pair count, 0 or 1 for a boolean */
    struct bytes content; /* of a byte or text string; text is valid UTF-8 */
};

GH_CHECKED bool cbor_next(struct bytes *in, struct cbor_head *out, struct gh_error *err);
/* The next head, which must be of KIND. */
GH_CHECKED bool cbor_take(struct bytes *in, enum cbor_kind kind, struct cbor_head *out,
                          struct gh_error *err);
GH_CHECKED bool cbor_bytes(struct bytes *in, struct bytes *out, struct gh_error *err);
GH_CHECKED bool cbor_text(struct bytes *in, struct bytes *out, struct gh_error *err);
/* An integer of either sign that fits. */
GH_CHECKED bool cbor_int64(struct bytes *in, int64_t *out, struct gh_error *err);
/* The value of an integer head, if it fits. */
GH_CHECKED bool cbor_head_int64(const struct cbor_head *head, int64_t *out, struct gh_error *err);

/*
 * Walk past one item and all it holds: strict heads, no map with the same key twice, no tag but
 * CBOR_TAG_EPOCH, at most DEPTH levels. *whole is the item as it stands.
 *
 * Limits: CBOR_MAX_DEPTH caps DEPTH; CBOR_MAX_ENTRIES, CBOR_MAX_KEY_BYTES
 */
GH_CHECKED bool cbor_skip(struct bytes *in, unsigned depth, struct bytes *whole,
                          struct gh_error *err);

/* Write the shortest head of a byte or text string, array or tag into OUT; returns its length. */
size_t cbor_put_head(enum cbor_kind kind, uint64_t value, uint8_t out[CBOR_MAX_HEAD]);

#endif
