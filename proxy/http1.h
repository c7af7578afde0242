/*
 * HTTP/1.1 request heads and chunked bodies: pure parsing of hostile input. Nothing is allocated or
 * copied; names and values are views into the caller's buffer. What is ambiguous is refused, never
 * repaired, and after a refusal the connection must be closed: where the next request would start
 * is then anybody's guess.
 *
 * Spec:    RFC 9112, RFC 9110 section 5 (fields), RFC 3986 (targets and hosts)
 * Threads: any; no shared state
 */
#ifndef PROXY_HTTP1_H
#define PROXY_HTTP1_H

#include "crypto/bytes.h"
#include "gatehouse.h"

#define HTTP1_MAX_HEAD_BYTES 32768  /* request line, fields and the empty line */
#define HTTP1_MAX_TARGET_BYTES 8192 /* request target */
#define HTTP1_MAX_METHOD_BYTES 32
#define HTTP1_MAX_FIELDS 100
#define HTTP1_MAX_LENGTH_DIGITS 18 /* of Content-Length; keeps every sum inside 64 bits */

enum http1_method {
    HTTP1_METHOD_OTHER = 0, /* a well-formed token that is none of these */
    HTTP1_METHOD_GET,
    HTTP1_METHOD_HEAD,
    HTTP1_METHOD_POST,
    HTTP1_METHOD_PUT,
    HTTP1_METHOD_PATCH,
    HTTP1_METHOD_DELETE,
    HTTP1_METHOD_OPTIONS,
};

enum http1_result {
    HTTP1_BAD = 0, /* refused; see status and why */
    HTTP1_MORE,    /* well-formed so far; feed more bytes */
    HTTP1_DATA,    /* chunked bodies only: a piece of the body */
    HTTP1_DONE,
};

/* Where a part of the head stands, as offsets into the buffer: the buffer may move while the head
 * is still arriving. */
struct http1_span {
    uint16_t at;
    uint16_t len;
};

struct http1_field {
    struct http1_span name;
    struct http1_span value;
};

/*
 * A request head. Only http1.c writes it. The views returned by the functions below hold as long
 * as the buffer that was fed last.
 */
struct http1_head {
    const uint8_t *base;     /* borrowed: the buffer of the last http1_head_feed() */
    uint32_t len;            /* bytes of the whole head, once done */
    uint32_t line_at;        /* start of the line being read */
    uint32_t scanned;        /* bytes known to hold no end of that line */
    unsigned status;         /* when refused: the status to answer, 4xx or 5xx */
    const char *why;         /* when refused: a sentence; static */
    uint64_t content_length; /* 0 without the field */
    struct http1_span method_span;
    struct http1_span target_span;
    struct http1_span path_span;  /* absolute path; empty for "*" and a bare absolute form */
    struct http1_span query_span; /* without its question mark */
    struct http1_span host_span;  /* host and port the client meant */
    enum http1_method method;
    uint8_t minor_version; /* 0 or 1 */
    uint8_t field_count;
    bool has_request_line;
    bool has_query;
    bool is_asterisk; /* OPTIONS * */
    bool is_absolute;
    bool has_host;
    bool has_content_length;
    bool is_chunked;
    bool expects_continue;
    bool says_close;
    bool is_keep_alive; /* the connection may carry another request */
    struct http1_field fields[HTTP1_MAX_FIELDS];
};

/* Start a new head; the fields behind field_count stay as they are. */
void http1_head_init(struct http1_head *head);

/*
 * Parse as many lines of a head as are complete. Call it again with the same bytes and more behind
 * them (the buffer may have moved) as long as it answers HTTP1_MORE.
 *
 * Takes: data, len: borrowed; everything received since the head began
 * Gives: HTTP1_DONE with head->len set; HTTP1_MORE; HTTP1_BAD with head->status and head->why
 * Limits: HTTP1_MAX_HEAD_BYTES (431), HTTP1_MAX_FIELDS (431), HTTP1_MAX_TARGET_BYTES (414)
 */
GH_CHECKED enum http1_result http1_head_feed(struct http1_head *head, const uint8_t *data,
                                             size_t len);

/* Views of a parsed head. */
struct bytes http1_head_view(const struct http1_head *head, struct http1_span span);
struct bytes http1_head_method(const struct http1_head *head);
struct bytes http1_head_target(const struct http1_head *head);
struct bytes http1_head_path(const struct http1_head *head); /* "/" for a bare absolute form */
struct bytes http1_head_query(const struct http1_head *head);
struct bytes http1_head_host(const struct http1_head *head);
bool http1_head_has_body(const struct http1_head *head);

/*
 * The first field of that name (any case), or false.
 * Takes: name: lower case
 */
bool http1_head_find(const struct http1_head *head, const char *name, struct bytes *value);
/* As http1_head_find(), starting at field *from, which is set behind the hit: walks repetitions. */
bool http1_head_find_next(const struct http1_head *head, const char *name, unsigned *from,
                          struct bytes *value);
/* How many fields have that name. */
unsigned http1_head_count(const struct http1_head *head, const char *name);

/* uri-host [":" port] as a registry's clients send it: a name of letters, digits, "-", ".", "_", or
 * an IPv4 address, or a bracketed IPv6 address; a port of 0 to 65535. RFC 3986 allows more in a
 * name (commas, say); no such name exists, so it is refused. */
bool http1_host_is_valid(struct bytes host);

/* What a byte may be part of; http1_byte_class[] holds the sums. */
enum {
    HTTP1_TOKEN = 1,  /* tchar */
    HTTP1_VALUE = 2,  /* field-vchar, obs-text, SP, HTAB */
    HTTP1_TARGET = 4, /* of a path or query: unreserved, sub-delims, ":@/?" and "%" */
    HTTP1_HOST = 8,   /* of a registered name */
    HTTP1_HEX = 16,
    HTTP1_DIGIT = 32,
};

extern const uint8_t http1_byte_class[256];

static inline bool http1_byte_is(uint8_t c, unsigned classes)
{
    return (http1_byte_class[c] & classes) != 0;
}

static inline uint8_t http1_byte_lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

/* Does the name, in any case, equal LOWER? */
bool http1_name_is(const uint8_t *name, size_t len, const char *lower);

#endif
