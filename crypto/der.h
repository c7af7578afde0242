/*
 * Strict DER over borrowed bytes: definite, minimal lengths; one-byte tags; minimal integers. A
 * reader consumes one item from the front of *in and leaves it untouched where it fails; the cause
 * is then SIG_MALFORMED, which callers recast to that of their format (gh_recast()).
 *
 * Spec:    ITU-T X.690 sections 8 and 10
 * Threads: any; no shared state
 */
#ifndef CRYPTO_DER_H
#define CRYPTO_DER_H

#include "crypto/bytes.h"
#include "gatehouse.h"

struct gh_error;

/* Tags, with the constructed bit where DER sets it. */
#define DER_BOOLEAN 0x01
#define DER_INTEGER 0x02
#define DER_BIT_STRING 0x03
#define DER_OCTET_STRING 0x04
#define DER_NULL 0x05
#define DER_OID 0x06
#define DER_ENUMERATED 0x0a
#define DER_UTF8_STRING 0x0c
#define DER_PRINTABLE_STRING 0x13
#define DER_T61_STRING 0x14
#define DER_IA5_STRING 0x16
#define DER_UTC_TIME 0x17
#define DER_GENERALIZED_TIME 0x18
#define DER_BMP_STRING 0x1e
#define DER_SEQUENCE 0x30
#define DER_SET 0x31
#define DER_CONTEXT(n) (0x80 | (n)) /* [n] IMPLICIT of a primitive type */
#define DER_CONTEXT_CONSTRUCTED(n)                                                                 \
    (0xa0 | (n)) /* [n] EXPLICIT, or IMPLICIT of a constructed type */

#define DER_MAX_ITEM_BYTES (32u * 1024 * 1024)
#define DER_MAX_DEPTH 24
#define DER_MAX_HEADER 6     /* tag and length of what der_put_header() writes */
#define DER_MAX_OID_BYTES 64 /* content of an object identifier */
#define DER_MAX_OID_TEXT 192 /* dotted, with its NUL */

struct der_item {
    uint8_t tag;
    struct bytes content; /* without the header */
    struct bytes whole;   /* with the header */
};

/* The next item, whatever its tag. Views. */
GH_CHECKED bool der_next(struct bytes *in, struct der_item *out, struct gh_error *err);
/* The content of the next item, which must carry TAG. */
GH_CHECKED bool der_take(struct bytes *in, uint8_t tag, struct bytes *content,
                         struct gh_error *err);
/* As der_take(), header included: for what is hashed or compared as it stands. */
GH_CHECKED bool der_take_whole(struct bytes *in, uint8_t tag, struct bytes *whole,
                               struct gh_error *err);
/* Whether an item with TAG follows. An answer, not a check: the item may still be malformed. */
bool der_is_next(struct bytes in, uint8_t tag);
/* The content of the next item if it carries TAG; else nothing is consumed, data is NULL. The
 * content of a present but empty item has data that is not NULL. */
GH_CHECKED bool der_opt(struct bytes *in, uint8_t tag, struct bytes *content, struct gh_error *err);
/* All of IN is one item with TAG. */
GH_CHECKED bool der_only(struct bytes in, uint8_t tag, struct bytes *content, struct gh_error *err);
/* Nothing is left. */
GH_CHECKED bool der_end(const struct bytes *in, struct gh_error *err);
/*
 * Walk one item (and nothing after it) and all that constructed tags contain: every header must be
 * strict, to DEPTH levels. For structures that another parser reads as well.
 *
 * Limits: DER_MAX_DEPTH caps DEPTH
 */
GH_CHECKED bool der_check(struct bytes in, unsigned depth, struct gh_error *err);

/* BOOLEAN: 00 or FF. */
GH_CHECKED bool der_bool(struct bytes *in, bool *out, struct gh_error *err);
/* `BOOLEAN DEFAULT FALSE`: absent is false; an encoded FALSE is not DER but widespread, so it is
 * read. */
GH_CHECKED bool der_opt_bool(struct bytes *in, bool *out, struct gh_error *err);
/* INTEGER content in two's complement, minimal. */
GH_CHECKED bool der_integer(struct bytes *in, struct bytes *out, struct gh_error *err);
/* INTEGER that fits. */
GH_CHECKED bool der_int64(struct bytes *in, int64_t *out, struct gh_error *err);
/* INTEGER content already taken, with an implicit tag for instance. */
GH_CHECKED bool der_int64_content(struct bytes content, int64_t *out, struct gh_error *err);
/* OBJECT IDENTIFIER content, well formed. */
GH_CHECKED bool der_oid(struct bytes *in, struct bytes *out, struct gh_error *err);
GH_CHECKED bool der_octets(struct bytes *in, struct bytes *out, struct gh_error *err);
/* BIT STRING of whole octets: no unused bits. */
GH_CHECKED bool der_bits(struct bytes *in, struct bytes *out, struct gh_error *err);
/* BIT STRING of up to 16 named bits; bit 0 of the string is bit 0 of *out. */
GH_CHECKED bool der_named_bits(struct bytes *in, uint16_t *out, struct gh_error *err);
GH_CHECKED bool der_null(struct bytes *in, struct gh_error *err);

/* A moment: seconds since 1970 in UTC and the fraction of a second. */
struct der_time {
    int64_t unix_s;
    uint32_t nanos;
};

/* UTCTime or GeneralizedTime as X.509 allows them: seconds present, no fraction, "Z". */
GH_CHECKED bool der_time(struct bytes *in, int64_t *unix_s, struct gh_error *err);
/*
 * GeneralizedTime as RFC 3161 section 2.4.2 allows it: seconds present, an optional fraction of one
 * to nine digits that does not end in 0, "Z".
 */
GH_CHECKED bool der_generalized_time(struct bytes *in, struct der_time *out, struct gh_error *err);

/* Dotted text of OBJECT IDENTIFIER content. Fails with SIG_MALFORMED. */
GH_CHECKED bool der_oid_text(struct bytes oid, char out[DER_MAX_OID_TEXT], struct gh_error *err);

/* Write tag and minimal length into OUT; returns how many bytes. LEN is below 2^32. */
size_t der_put_header(uint8_t tag, size_t len, uint8_t out[DER_MAX_HEADER]);

#endif
