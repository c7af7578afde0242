#include "proxy/http1_chunked.h"

#include <string.h>

enum http1_chunked_state {
    HTTP1_CHUNKED_SIZE = 0,
    HTTP1_CHUNKED_SPACE,     /* white space behind the size or an extension: ";" must follow */
    HTTP1_CHUNKED_EXT_START, /* behind ";" */
    HTTP1_CHUNKED_EXT_NAME,
    HTTP1_CHUNKED_EXT_EQUALS, /* white space behind a name: "=" or ";" must follow */
    HTTP1_CHUNKED_EXT_VALUE_START,
    HTTP1_CHUNKED_EXT_VALUE,
    HTTP1_CHUNKED_EXT_QUOTED,
    HTTP1_CHUNKED_EXT_ESCAPED,
    HTTP1_CHUNKED_EXT_CLOSED, /* behind a quoted value */
    HTTP1_CHUNKED_SIZE_LF,
    HTTP1_CHUNKED_DATA,
    HTTP1_CHUNKED_DATA_CR,
    HTTP1_CHUNKED_DATA_LF,
    HTTP1_CHUNKED_TRAILER_START,
    HTTP1_CHUNKED_TRAILER_NAME,
    HTTP1_CHUNKED_TRAILER_VALUE,
    HTTP1_CHUNKED_TRAILER_LF,
    HTTP1_CHUNKED_END_LF,
    HTTP1_CHUNKED_FINISHED,
    HTTP1_CHUNKED_REFUSED,
};

void http1_chunked_init(struct http1_chunked *chunked)
{
    memset(chunked, 0, sizeof(*chunked));
}

static bool http1_chunked_bad(struct http1_chunked *chunked, const char *why)
{
    chunked->why = why;
    chunked->state = HTTP1_CHUNKED_REFUSED;
    return false;
}

static bool http1_chunked_go(struct http1_chunked *chunked, enum http1_chunked_state state)
{
    chunked->state = (uint8_t)state;
    return true;
}

static bool http1_chunked_size(struct http1_chunked *chunked, uint8_t c)
{
    if (http1_byte_is(c, HTTP1_HEX)) {
        if (chunked->digits == HTTP1_CHUNKED_MAX_SIZE_DIGITS) {
            return http1_chunked_bad(chunked, "a chunk size has more than 15 digits");
        }
        chunked->digits++;
        chunked->left =
            (chunked->left << 4) |
            (uint64_t)(http1_byte_is(c, HTTP1_DIGIT) ? c - '0' : http1_byte_lower(c) - 'a' + 10);
        return true;
    }
    if (chunked->digits == 0) {
        return http1_chunked_bad(chunked, "a chunk does not start with its size");
    }
    if (c == '\r') {
        return http1_chunked_go(chunked, HTTP1_CHUNKED_SIZE_LF);
    }
    if (c == ';') {
        return http1_chunked_go(chunked, HTTP1_CHUNKED_EXT_START);
    }
    if (c == ' ' || c == '\t') {
        return http1_chunked_go(chunked, HTTP1_CHUNKED_SPACE);
    }
    return http1_chunked_bad(chunked,
                             "a chunk size is followed by something else than its line end");
}

/* Behind an extension's name or value. */
static bool http1_chunked_ext_next(struct http1_chunked *chunked, uint8_t c)
{
    if (c == ';') {
        return http1_chunked_go(chunked, HTTP1_CHUNKED_EXT_START);
    }
    if (c == '\r') {
        return http1_chunked_go(chunked, HTTP1_CHUNKED_SIZE_LF);
    }
    if (c == ' ' || c == '\t') {
        return http1_chunked_go(chunked, HTTP1_CHUNKED_SPACE);
    }
    return http1_chunked_bad(chunked, "a chunk extension is malformed");
}

static bool http1_chunked_ext(struct http1_chunked *chunked, uint8_t c)
{
    bool is_space = c == ' ' || c == '\t';

    switch ((enum http1_chunked_state)chunked->state) {
    case HTTP1_CHUNKED_SPACE:
        if (is_space) {
            return true;
        }
        return c == ';' ? http1_chunked_go(chunked, HTTP1_CHUNKED_EXT_START)
                        : http1_chunked_bad(chunked, "white space stands behind a chunk size");
    case HTTP1_CHUNKED_EXT_START:
        if (is_space) {
            return true;
        }
        return http1_byte_is(c, HTTP1_TOKEN)
                   ? http1_chunked_go(chunked, HTTP1_CHUNKED_EXT_NAME)
                   : http1_chunked_bad(chunked, "a chunk extension has no name");
    case HTTP1_CHUNKED_EXT_NAME:
        if (http1_byte_is(c, HTTP1_TOKEN)) {
            return true;
        }
        if (is_space) {
            return http1_chunked_go(chunked, HTTP1_CHUNKED_EXT_EQUALS);
        }
        return c == '=' ? http1_chunked_go(chunked, HTTP1_CHUNKED_EXT_VALUE_START)
                        : http1_chunked_ext_next(chunked, c);
    case HTTP1_CHUNKED_EXT_EQUALS:
        if (is_space) {
            return true;
        }
        if (c == '=') {
            return http1_chunked_go(chunked, HTTP1_CHUNKED_EXT_VALUE_START);
        }
        return c == ';' ? http1_chunked_go(chunked, HTTP1_CHUNKED_EXT_START)
                        : http1_chunked_bad(chunked, "a chunk extension is malformed");
    case HTTP1_CHUNKED_EXT_VALUE_START:
        if (is_space) {
            return true;
        }
        if (c == '"') {
            return http1_chunked_go(chunked, HTTP1_CHUNKED_EXT_QUOTED);
        }
        return http1_byte_is(c, HTTP1_TOKEN)
                   ? http1_chunked_go(chunked, HTTP1_CHUNKED_EXT_VALUE)
                   : http1_chunked_bad(chunked, "a chunk extension has no value");
    case HTTP1_CHUNKED_EXT_VALUE:
        return http1_byte_is(c, HTTP1_TOKEN) ? true : http1_chunked_ext_next(chunked, c);
    case HTTP1_CHUNKED_EXT_QUOTED:
        if (c == '"' || c == '\\') {
            return http1_chunked_go(chunked, c == '"' ? HTTP1_CHUNKED_EXT_CLOSED
                                                      : HTTP1_CHUNKED_EXT_ESCAPED);
        }
        return http1_byte_is(c, HTTP1_VALUE)
                   ? true
                   : http1_chunked_bad(chunked, "a chunk extension holds a control character");
    case HTTP1_CHUNKED_EXT_ESCAPED:
        return http1_byte_is(c, HTTP1_VALUE)
                   ? http1_chunked_go(chunked, HTTP1_CHUNKED_EXT_QUOTED)
                   : http1_chunked_bad(chunked, "a chunk extension holds a control character");
    case HTTP1_CHUNKED_EXT_CLOSED:
        return http1_chunked_ext_next(chunked, c);
    case HTTP1_CHUNKED_SIZE:
    case HTTP1_CHUNKED_SIZE_LF:
    case HTTP1_CHUNKED_DATA:
    case HTTP1_CHUNKED_DATA_CR:
    case HTTP1_CHUNKED_DATA_LF:
    case HTTP1_CHUNKED_TRAILER_START:
    case HTTP1_CHUNKED_TRAILER_NAME:
    case HTTP1_CHUNKED_TRAILER_VALUE:
    case HTTP1_CHUNKED_TRAILER_LF:
    case HTTP1_CHUNKED_END_LF:
    case HTTP1_CHUNKED_FINISHED:
    case HTTP1_CHUNKED_REFUSED:
        break;
    }
    return http1_chunked_bad(chunked, "the chunked body is malformed");
}

/* A field that frames or routes has no business in a trailer section (RFC 9110 section 6.5.1). */
static bool http1_chunked_is_forbidden(const struct http1_chunked *chunked)
{
    static const char *const names[] = {"content-length", "transfer-encoding", "host",
                                        "connection",     "trailer",           "te"};
    const uint8_t *name = (const uint8_t *)chunked->name;

    for (size_t i = 0; i < GH_COUNT(names); i++) {
        if (http1_name_is(name, chunked->name_len, names[i])) {
            return true;
        }
    }
    return false;
}

static bool http1_chunked_trailer_name(struct http1_chunked *chunked, uint8_t c)
{
    if (http1_byte_is(c, HTTP1_TOKEN)) {
        if (chunked->name_len < sizeof(chunked->name)) {
            chunked->name[chunked->name_len++] = (char)http1_byte_lower(c);
        }
        return true;
    }
    if (c != ':') {
        return http1_chunked_bad(chunked, "a trailer line has no name with a colon behind it");
    }
    if (http1_chunked_is_forbidden(chunked)) {
        return http1_chunked_bad(chunked, "a trailer field tries to frame the message");
    }
    return http1_chunked_go(chunked, HTTP1_CHUNKED_TRAILER_VALUE);
}

static bool http1_chunked_trailer(struct http1_chunked *chunked, uint8_t c)
{
    if (++chunked->trailer_len > HTTP1_CHUNKED_MAX_TRAILER_BYTES) {
        return http1_chunked_bad(chunked, "the trailer section is larger than 8192 bytes");
    }
    if (chunked->state == HTTP1_CHUNKED_TRAILER_START) {
        if (c == '\r') {
            return http1_chunked_go(chunked, HTTP1_CHUNKED_END_LF);
        }
        if (++chunked->field_count > HTTP1_CHUNKED_MAX_TRAILER_FIELDS ||
            !http1_byte_is(c, HTTP1_TOKEN)) {
            return http1_chunked_bad(chunked, "a trailer line is malformed, or there are too many");
        }
        chunked->name_len = 0;
        chunked->state = HTTP1_CHUNKED_TRAILER_NAME;
    }
    if (chunked->state == HTTP1_CHUNKED_TRAILER_NAME) {
        return http1_chunked_trailer_name(chunked, c);
    }
    if (chunked->state == HTTP1_CHUNKED_TRAILER_VALUE) {
        if (c == '\r') {
            return http1_chunked_go(chunked, HTTP1_CHUNKED_TRAILER_LF);
        }
        return http1_byte_is(c, HTTP1_VALUE)
                   ? true
                   : http1_chunked_bad(chunked, "a trailer field holds a control character");
    }
    if (c != '\n') {
        return http1_chunked_bad(chunked, "a trailer line holds a bare CR");
    }
    return http1_chunked_go(chunked, chunked->state == HTTP1_CHUNKED_END_LF
                                         ? HTTP1_CHUNKED_FINISHED
                                         : HTTP1_CHUNKED_TRAILER_START);
}

/* One byte that is not body data. */
static bool http1_chunked_step(struct http1_chunked *chunked, uint8_t c)
{
    if (chunked->state >= HTTP1_CHUNKED_TRAILER_START) {
        return http1_chunked_trailer(chunked, c);
    }
    if (chunked->state == HTTP1_CHUNKED_DATA_CR || chunked->state == HTTP1_CHUNKED_DATA_LF) {
        bool is_cr = chunked->state == HTTP1_CHUNKED_DATA_CR;

        if (c != (is_cr ? '\r' : '\n')) {
            return http1_chunked_bad(chunked, "a chunk is longer than its size");
        }
        chunked->digits = 0;
        chunked->line_len = 0;
        return http1_chunked_go(chunked, is_cr ? HTTP1_CHUNKED_DATA_LF : HTTP1_CHUNKED_SIZE);
    }
    if (++chunked->line_len > HTTP1_CHUNKED_MAX_LINE_BYTES) {
        return http1_chunked_bad(chunked, "a chunk line is longer than 256 bytes");
    }
    if (chunked->state == HTTP1_CHUNKED_SIZE) {
        return http1_chunked_size(chunked, c);
    }
    if (chunked->state == HTTP1_CHUNKED_SIZE_LF) {
        if (c != '\n') {
            return http1_chunked_bad(chunked, "a chunk line holds a bare CR");
        }
        return http1_chunked_go(chunked, chunked->left > 0 ? HTTP1_CHUNKED_DATA
                                                           : HTTP1_CHUNKED_TRAILER_START);
    }
    return http1_chunked_ext(chunked, c);
}

enum http1_result http1_chunked_next(struct http1_chunked *chunked, const uint8_t *data, size_t len,
                                     size_t *consumed, struct bytes *piece)
{
    size_t at = 0;

    *consumed = 0;
    *piece = (struct bytes){0};
    if (chunked->state == HTTP1_CHUNKED_REFUSED) {
        return HTTP1_BAD;
    }
    while (chunked->state != HTTP1_CHUNKED_FINISHED) {
        if (at == len) {
            *consumed = at;
            return HTTP1_MORE;
        }
        if (chunked->state == HTTP1_CHUNKED_DATA) {
            size_t size = (size_t)GH_MIN((uint64_t)(len - at), chunked->left);

            *piece = bytes_make(data + at, size);
            *consumed = at + size;
            chunked->left -= size;
            if (chunked->left == 0) {
                chunked->state = HTTP1_CHUNKED_DATA_CR;
            }
            return HTTP1_DATA;
        }
        if (!http1_chunked_step(chunked, data[at])) {
            return HTTP1_BAD;
        }
        at++;
    }
    *consumed = at;
    return HTTP1_DONE;
}
