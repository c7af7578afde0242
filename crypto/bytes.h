/*
 * Bounded reading of hostile input. A struct bytes is a borrowed pointer and length; only bytes.c
 * moves pointers. Readers consume from the front of *in and leave it untouched where they fail;
 * the cause of a failure is SIG_MALFORMED: a caller that has a better one starts with a clean
 * gh_error and says it itself (a first failure is never overwritten).
 *
 * Threads: any; no shared state.
 */
#ifndef CRYPTO_BYTES_H
#define CRYPTO_BYTES_H

#include "gatehouse.h"
#include "metrics/error.h"

struct bytes {
    const uint8_t *data; /* borrowed; may be NULL when len is 0 */
    size_t len;
};

/* Bytes with an owner: bytes_buf_done() frees them. */
struct bytes_buf {
    uint8_t *data;
    size_t len;
};

/* A view of a NUL-terminated string, without its NUL. */
struct bytes bytes_of(const char *string);
struct bytes bytes_make(const void *data, size_t len);
#define BYTES_LITERAL(s) ((struct bytes){(const uint8_t *)("" s), sizeof(s) - 1})
struct bytes bytes_view(const struct bytes_buf *buf);

bool bytes_equal(struct bytes a, struct bytes b);
bool bytes_equal_cstr(struct bytes a, const char *b);
/* Same length and content, in time that depends on the lengths alone. */
bool bytes_equal_secret(struct bytes a, struct bytes b);
int bytes_compare(struct bytes a, struct bytes b);
bool bytes_starts_with(struct bytes in, struct bytes prefix);
bool bytes_ends_with(struct bytes in, struct bytes suffix);
bool bytes_contains_nul(struct bytes in);
/* Well-formed UTF-8 (RFC 3629) throughout. */
bool bytes_is_utf8(struct bytes in);
/* Index of the first/last NEEDLE in IN, or SIZE_MAX. */
size_t bytes_find(struct bytes in, struct bytes needle);
size_t bytes_find_last(struct bytes in, struct bytes needle);
/* The part [offset, offset+len), cut to what there is; an offset past the end gives no bytes. */
struct bytes bytes_slice(struct bytes in, size_t offset, size_t len);

GH_CHECKED bool bytes_u8(struct bytes *in, uint8_t *out, struct gh_error *err);
GH_CHECKED bool bytes_u16be(struct bytes *in, uint16_t *out, struct gh_error *err);
GH_CHECKED bool bytes_u32be(struct bytes *in, uint32_t *out, struct gh_error *err);
GH_CHECKED bool bytes_u64be(struct bytes *in, uint64_t *out, struct gh_error *err);
/* The next LEN bytes as a view. */
GH_CHECKED bool bytes_take(struct bytes *in, size_t len, struct bytes *out, struct gh_error *err);
GH_CHECKED bool bytes_copy(struct bytes *in, void *out, size_t len, struct gh_error *err);
/* A view behind a 16-bit big-endian length of at most LIMIT. */
GH_CHECKED bool bytes_prefixed16(struct bytes *in, size_t limit, struct bytes *out,
                                 struct gh_error *err);
/* Fails unless everything was consumed: what is left over is an attack or a bug. */
GH_CHECKED bool bytes_end(struct bytes *in, struct gh_error *err);
/* Cut at the next SEPARATOR: *out is what stands before it, the separator is consumed. False (and
 * nothing consumed) where there is none; that is an answer, not an error. */
bool bytes_split(struct bytes *in, uint8_t separator, struct bytes *out);

/* Allocate. Fail with INTERNAL_ERROR when memory is out. *out: new, bytes_buf_done() frees. */
GH_CHECKED bool bytes_buf_alloc(size_t len, struct bytes_buf *out, struct gh_error *err);
GH_CHECKED bool bytes_dup(struct bytes in, struct bytes_buf *out, struct gh_error *err);
/* A NUL-terminated copy: new, free() frees. Fails with SIG_MALFORMED where IN holds a NUL. */
GH_CHECKED bool bytes_to_cstr(struct bytes in, char **out, struct gh_error *err);
void bytes_buf_done(struct bytes_buf *buf);

/* Which base64 alphabets and paddings are accepted (RFC 4648). */
enum bytes_base64 {
    BYTES_BASE64_STANDARD,    /* +/ with padding */
    BYTES_BASE64_URL_NOPAD,   /* -_ without padding (JOSE) */
    BYTES_BASE64_ANY_ALPHABET /* +/ or -_ but not both, padding complete or absent (old DSSE) */
};

/*
 * Decode base64 strictly: no white space, no stray bits, nothing after the padding.
 *
 * Spec:  RFC 4648 sections 4, 5 and 3.5 (canonical)
 * Gives: *out: new, bytes_buf_done() frees
 * Fails: SIG_MALFORMED, INTERNAL_ERROR
 */
GH_CHECKED bool bytes_base64_decode(struct bytes in, enum bytes_base64 form, struct bytes_buf *out,
                                    struct gh_error *err);
/* Standard (padded) or URL-safe unpadded text: new, free() frees; NULL when memory is out. */
char *bytes_base64_encode(struct bytes in, enum bytes_base64 form);

/* Lower-case hex only, exactly 2*len digits. Fails with SIG_MALFORMED. */
GH_CHECKED bool bytes_hex_decode(struct bytes in, uint8_t *out, size_t len, struct gh_error *err);
/* Writes 2*in.len lower-case digits and a NUL into OUT. */
void bytes_hex_encode(struct bytes in, char *out);

/*
 * Read one PEM block (RFC 7468 strict form, LF or CRLF) off the front of *in; text between blocks
 * may only be white space. Label and content are checked for matching BEGIN/END lines.
 *
 * Gives: *label: view of the label; *der: new, bytes_buf_done() frees
 * Fails: SIG_MALFORMED
 */
GH_CHECKED bool bytes_pem_next(struct bytes *in, struct bytes *label, struct bytes_buf *der,
                               struct gh_error *err);
/* Consume leading ASCII white space. */
void bytes_skip_space(struct bytes *in);

#endif
