/*
 * Chunked request bodies: a strict decoder without memory of its own.
 *
 * Spec:    RFC 9112 section 7.1
 * Threads: any; no shared state
 */
#ifndef PROXY_HTTP1_CHUNKED_H
#define PROXY_HTTP1_CHUNKED_H

#include "proxy/http1.h"

#define HTTP1_CHUNKED_MAX_LINE_BYTES 256     /* size, extensions */
#define HTTP1_CHUNKED_MAX_TRAILER_BYTES 8192 /* whole trailer section */
#define HTTP1_CHUNKED_MAX_TRAILER_FIELDS 32
#define HTTP1_CHUNKED_MAX_SIZE_DIGITS 15 /* hexadecimal */

/* The state of a chunked body. Only http1_chunked.c writes it. */
struct http1_chunked {
    uint64_t left;        /* bytes left of the chunk under way */
    const char *why;      /* when refused: a sentence; static */
    uint32_t line_len;    /* bytes of the line under way */
    uint32_t trailer_len; /* bytes of the trailer section */
    uint8_t digits;       /* digits of the chunk size */
    uint8_t field_count;
    uint8_t state;
    uint8_t name_len;
    char name[20]; /* of the trailer field under way, lower case, cut */
};

void http1_chunked_init(struct http1_chunked *chunked);

/*
 * Decode the next piece of a chunked body. Trailer fields are checked and dropped.
 *
 * Takes: data, len: borrowed; bytes not consumed yet
 * Gives: *consumed: bytes used; *piece: with HTTP1_DATA, a view of the body's next bytes.
 *        HTTP1_MORE when everything was consumed; HTTP1_DONE behind the trailer section; HTTP1_BAD
 *        with chunked->why (the status is 400)
 */
GH_CHECKED enum http1_result http1_chunked_next(struct http1_chunked *chunked, const uint8_t *data,
                                                size_t len, size_t *consumed, struct bytes *piece);

#endif
