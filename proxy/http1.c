#include "proxy/http1.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

#define T HTTP1_TOKEN
#define V HTTP1_VALUE
#define U HTTP1_TARGET
#define H HTTP1_HOST
#define X HTTP1_HEX
#define D HTTP1_DIGIT
#define ALPHA (T | V | U | H)
#define ALPHA_HEX (ALPHA | X)
#define DIGIT (ALPHA_HEX | D)

const uint8_t http1_byte_class[256] = {
    ['\t'] = V,
    [' '] = V,
    ['!'] = T | V | U,
    ['"'] = V,
    ['#'] = T | V,
    ['$'] = T | V | U,
    ['%'] = T | V | U,
    ['&'] = T | V | U,
    ['\''] = T | V | U,
    ['('] = V | U,
    [')'] = V | U,
    ['*'] = T | V | U,
    ['+'] = T | V | U,
    [','] = V | U,
    ['-'] = ALPHA,
    ['.'] = ALPHA,
    ['/'] = V | U,
    ['0' ... '9'] = DIGIT,
    [':'] = V | U,
    [';'] = V | U,
    ['<'] = V,
    ['='] = V | U,
    ['>'] = V,
    ['?'] = V | U,
    ['@'] = V | U,
    ['A' ... 'F'] = ALPHA_HEX,
    ['G' ... 'Z'] = ALPHA,
    ['['] = V,
    ['\\'] = V,
    [']'] = V,
    ['^'] = T | V,
    ['_'] = ALPHA,
    ['`'] = T | V,
    ['a' ... 'f'] = ALPHA_HEX,
    ['g' ... 'z'] = ALPHA,
    ['{'] = V,
    ['|'] = T | V,
    ['}'] = V,
    ['~'] = T | V | U,
    [0x80 ... 0xff] = V,
};

#undef T
#undef V
#undef U
#undef H
#undef X
#undef D
#undef ALPHA
#undef ALPHA_HEX
#undef DIGIT

static bool http1_all(const uint8_t *data, size_t len, unsigned classes)
{
    for (size_t i = 0; i < len; i++) {
        if (!http1_byte_is(data[i], classes)) {
            return false;
        }
    }
    return true;
}

bool http1_name_is(const uint8_t *name, size_t len, const char *lower)
{
    for (size_t i = 0; i < len; i++) {
        if (http1_byte_lower(name[i]) != (uint8_t)lower[i]) {
            return false; /* a shorter name ends at its NUL, which no field byte equals */
        }
    }
    return lower[len] == '\0';
}

static enum http1_result http1_refuse(struct http1_head *head, unsigned status, const char *why)
{
    head->status = status;
    head->why = why;
    head->is_keep_alive = false;
    return HTTP1_BAD;
}

/* ---- request line ---- */

static enum http1_method http1_method_of(const uint8_t *name, size_t len)
{
    static const struct {
        const char *name;
        enum http1_method method;
    } methods[] = {
        {"GET", HTTP1_METHOD_GET},         {"HEAD", HTTP1_METHOD_HEAD},
        {"POST", HTTP1_METHOD_POST},       {"PUT", HTTP1_METHOD_PUT},
        {"PATCH", HTTP1_METHOD_PATCH},     {"DELETE", HTTP1_METHOD_DELETE},
        {"OPTIONS", HTTP1_METHOD_OPTIONS},
    };

    for (size_t i = 0; i < GH_COUNT(methods); i++) {
        if (strlen(methods[i].name) == len && memcmp(methods[i].name, name, len) == 0) {
            return methods[i].method;
        }
    }
    return HTTP1_METHOD_OTHER;
}

/* The part of a target from its first slash or question mark on. */
static bool http1_path_is_valid(const uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (!http1_byte_is(data[i], HTTP1_TARGET)) {
            return false;
        }
        if (data[i] == '%' && (len - i < 3 || !http1_byte_is(data[i + 1], HTTP1_HEX) ||
                               !http1_byte_is(data[i + 2], HTTP1_HEX))) {
            return false;
        }
    }
    return true;
}

/* Cut AT..END into path and query. */
static bool http1_split_path(struct http1_head *head, size_t at, size_t end)
{
    const uint8_t *data = head->base;
    const uint8_t *mark = end > at ? memchr(data + at, '?', end - at) : NULL;
    size_t path_end = mark != NULL ? (size_t)(mark - data) : end;

    if (!http1_path_is_valid(data + at, end - at)) {
        return false;
    }
    head->path_span = (struct http1_span){(uint16_t)at, (uint16_t)(path_end - at)};
    head->has_query = mark != NULL;
    if (mark != NULL) {
        head->query_span =
            (struct http1_span){(uint16_t)(path_end + 1), (uint16_t)(end - path_end - 1)};
    }
    return true;
}

static enum http1_result http1_read_absolute(struct http1_head *head, size_t at, size_t end)
{
    const char *target = (const char *)head->base + at;
    size_t len = end - at;
    size_t scheme = 0;
    size_t host_end;

    if (len > 7 && strncasecmp(target, "http:", 5) == 0) {
        scheme = 5;
    } else if (len > 8 && strncasecmp(target, "https:", 6) == 0) {
        scheme = 6;
    }
    if (scheme == 0 || target[scheme] != '/' || target[scheme + 1] != '/') {
        return http1_refuse(head, 400, "the request target has no form this method may use");
    }
    scheme += 2;
    host_end = at + scheme;
    while (host_end < end && head->base[host_end] != '/' && head->base[host_end] != '?') {
        host_end++;
    }
    if (!http1_host_is_valid(bytes_make(target + scheme, host_end - at - scheme))) {
        return http1_refuse(head, 400, "the request target names a malformed host");
    }
    head->is_absolute = true;
    head->host_span =
        (struct http1_span){(uint16_t)(at + scheme), (uint16_t)(host_end - at - scheme)};
    if (!http1_split_path(head, host_end, end)) {
        return http1_refuse(head, 400, "the request target has a character no URI may have");
    }
    return HTTP1_DONE;
}

static enum http1_result http1_read_target(struct http1_head *head, size_t at, size_t end)
{
    if (end - at > HTTP1_MAX_TARGET_BYTES) {
        return http1_refuse(head, 414, "the request target is longer than 8192 bytes");
    }
    head->target_span = (struct http1_span){(uint16_t)at, (uint16_t)(end - at)};
    if (bytes_equal_cstr(http1_head_method(head), "CONNECT")) {
        return http1_refuse(head, 501, "tunnels are not served here");
    }
    if (end - at == 1 && head->base[at] == '*') {
        head->is_asterisk = true;
        return head->method == HTTP1_METHOD_OPTIONS
                   ? HTTP1_DONE
                   : http1_refuse(head, 400, "only OPTIONS may have the target *");
    }
    if (end > at && head->base[at] == '/') {
        return http1_split_path(head, at, end)
                   ? HTTP1_DONE
                   : http1_refuse(head, 400, "the request target has a character no URI may have");
    }
    return http1_read_absolute(head, at, end);
}

static enum http1_result http1_read_version(struct http1_head *head, size_t at, size_t end)
{
    const uint8_t *v = head->base + at;

    if (end - at != 8 || memcmp(v, "HTTP/", 5) != 0 || !http1_byte_is(v[5], HTTP1_DIGIT) ||
        v[6] != '.' || !http1_byte_is(v[7], HTTP1_DIGIT)) {
        return http1_refuse(head, 400, "the request line does not end in an HTTP version");
    }
    if (v[5] != '1' || v[7] > '1') {
        return http1_refuse(head, 505, "only HTTP/1.1 and HTTP/1.0 are served here");
    }
    head->minor_version = (uint8_t)(v[7] - '0');
    return HTTP1_DONE;
}

static enum http1_result http1_read_request_line(struct http1_head *head, size_t at, size_t end)
{
    const uint8_t *data = head->base;
    const uint8_t *first = memchr(data + at, ' ', end - at);
    const uint8_t *second;
    size_t method_len = first != NULL ? (size_t)(first - data) - at : 0;

    if (method_len == 0 || !http1_all(data + at, method_len, HTTP1_TOKEN)) {
        return http1_refuse(head, 400, "the request line does not start with a method");
    }
    if (method_len > HTTP1_MAX_METHOD_BYTES) {
        return http1_refuse(head, 501, "no method has a name that long");
    }
    head->method = http1_method_of(data + at, method_len);
    head->method_span = (struct http1_span){(uint16_t)at, (uint16_t)method_len};
    first++;
    second = memchr(first, ' ', end - (size_t)(first - data));
    if (second == NULL) {
        return http1_refuse(head, 400, "the request line has no HTTP version");
    }
    /* The version first: what it does not cover is not ours to judge. */
    if (http1_read_version(head, (size_t)(second - data) + 1, end) != HTTP1_DONE) {
        return HTTP1_BAD;
    }
    if (http1_read_target(head, (size_t)(first - data), (size_t)(second - data)) != HTTP1_DONE) {
        return HTTP1_BAD;
    }
    head->has_request_line = true;
    return HTTP1_MORE;
}

/* ---- fields ---- */

static bool http1_port_is_valid(const uint8_t *data, size_t len)
{
    unsigned long port = 0;

    if (len > 5 || !http1_all(data, len, HTTP1_DIGIT)) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        port = port * 10 + (unsigned long)(data[i] - '0');
    }
    return port <= 65535;
}

static bool http1_ipv6_is_valid(const uint8_t *data, size_t len)
{
    char text[INET6_ADDRSTRLEN];
    struct in6_addr address;

    if (len == 0 || len >= sizeof(text) || memchr(data, '\0', len) != NULL) {
        return false;
    }
    memcpy(text, data, len);
    text[len] = '\0';
    return inet_pton(AF_INET6, text, &address) == 1;
}

bool http1_host_is_valid(struct bytes host)
{
    size_t name = 0;

    if (host.len == 0 || host.len > 255 + 6) {
        return false;
    }
    if (host.data[0] == '[') {
        const uint8_t *close = memchr(host.data, ']', host.len);

        if (close == NULL || !http1_ipv6_is_valid(host.data + 1, (size_t)(close - host.data) - 1)) {
            return false;
        }
        name = (size_t)(close - host.data) + 1;
    } else {
        while (name < host.len && http1_byte_is(host.data[name], HTTP1_HOST)) {
            name++;
        }
        if (name == 0 || name > 255) {
            return false;
        }
    }
    if (name == host.len) {
        return true;
    }
    return host.data[name] == ':' && http1_port_is_valid(host.data + name + 1, host.len - name - 1);
}

static enum http1_result http1_read_host(struct http1_head *head, struct http1_span value)
{
    if (head->has_host) {
        return http1_refuse(head, 400, "Host is repeated");
    }
    head->has_host = true;
    if (!http1_host_is_valid(http1_head_view(head, value))) {
        return http1_refuse(head, 400, "Host is not a host name with an optional port");
    }
    if (!head->is_absolute) { /* RFC 9112 section 3.2.2: the target's own host counts */
        head->host_span = value;
    }
    return HTTP1_MORE;
}

static enum http1_result http1_read_length(struct http1_head *head, struct bytes value)
{
    uint64_t length = 0;

    if (head->has_content_length) {
        return http1_refuse(head, 400, "Content-Length is repeated");
    }
    if (value.len == 0 || value.len > HTTP1_MAX_LENGTH_DIGITS ||
        !http1_all(value.data, value.len, HTTP1_DIGIT)) {
        return http1_refuse(head, 400, "Content-Length is not one number of at most 18 digits");
    }
    for (size_t i = 0; i < value.len; i++) {
        length = length * 10 + (uint64_t)(value.data[i] - '0');
    }
    head->has_content_length = true;
    head->content_length = length;
    return HTTP1_MORE;
}

static enum http1_result http1_read_coding(struct http1_head *head, struct bytes value)
{
    if (head->is_chunked) {
        return http1_refuse(head, 400, "Transfer-Encoding is repeated");
    }
    if (value.len != 7 || !http1_name_is(value.data, value.len, "chunked")) {
        return http1_refuse(head, 400, "Transfer-Encoding is not exactly chunked");
    }
    head->is_chunked = true;
    return HTTP1_MORE;
}

/* Connection is a list of tokens; only close matters here. */
static enum http1_result http1_read_connection(struct http1_head *head, struct bytes value)
{
    size_t at = 0;

    while (at < value.len) {
        size_t end = at;
        size_t last;

        while (end < value.len && value.data[end] != ',') {
            end++;
        }
        last = end;
        while (at < last && (value.data[at] == ' ' || value.data[at] == '\t')) {
            at++;
        }
        while (last > at && (value.data[last - 1] == ' ' || value.data[last - 1] == '\t')) {
            last--;
        }
        if (!http1_all(value.data + at, last - at, HTTP1_TOKEN)) {
            return http1_refuse(head, 400, "Connection is not a list of tokens");
        }
        if (last - at == 5 && http1_name_is(value.data + at, 5, "close")) {
            head->says_close = true;
        }
        at = end + 1;
    }
    return HTTP1_MORE;
}

static enum http1_result http1_read_expect(struct http1_head *head, struct bytes value)
{
    if (head->minor_version == 0) {
        return HTTP1_MORE; /* RFC 9110 section 10.1.1: ignored in HTTP/1.0 */
    }
    if (value.len != 12 || !http1_name_is(value.data, value.len, "100-continue")) {
        return http1_refuse(head, 417, "Expect names something else than 100-continue");
    }
    head->expects_continue = true;
    return HTTP1_MORE;
}

/* The fields that frame the message or the connection. */
static enum http1_result http1_read_known(struct http1_head *head, const struct http1_field *field)
{
    const uint8_t *name = head->base + field->name.at;
    struct bytes value = http1_head_view(head, field->value);

    switch (field->name.len) {
    case 4:
        return http1_name_is(name, 4, "host") ? http1_read_host(head, field->value) : HTTP1_MORE;
    case 6:
        return http1_name_is(name, 6, "expect") ? http1_read_expect(head, value) : HTTP1_MORE;
    case 10:
        return http1_name_is(name, 10, "connection") ? http1_read_connection(head, value)
                                                     : HTTP1_MORE;
    case 14:
        return http1_name_is(name, 14, "content-length") ? http1_read_length(head, value)
                                                         : HTTP1_MORE;
    case 17:
        return http1_name_is(name, 17, "transfer-encoding") ? http1_read_coding(head, value)
                                                            : HTTP1_MORE;
    default:
        return HTTP1_MORE;
    }
}

static enum http1_result http1_read_field(struct http1_head *head, size_t at, size_t end)
{
    const uint8_t *data = head->base;
    size_t colon = at;
    struct http1_field *field;

    if (data[at] == ' ' || data[at] == '\t') {
        return http1_refuse(head, 400, "a field line is folded or starts with white space");
    }
    while (colon < end && http1_byte_is(data[colon], HTTP1_TOKEN)) {
        colon++;
    }
    if (colon == at || colon == end || data[colon] != ':') {
        return http1_refuse(head, 400, "a field line has no name with a colon right behind it");
    }
    if (head->field_count == HTTP1_MAX_FIELDS) {
        return http1_refuse(head, 431, "there are more than 100 header fields");
    }
    field = &head->fields[head->field_count];
    field->name = (struct http1_span){(uint16_t)at, (uint16_t)(colon - at)};
    at = colon + 1;
    if (!http1_all(data + at, end - at, HTTP1_VALUE)) {
        return http1_refuse(head, 400, "a field value holds a control character");
    }
    while (at < end && (data[at] == ' ' || data[at] == '\t')) {
        at++;
    }
    while (end > at && (data[end - 1] == ' ' || data[end - 1] == '\t')) {
        end--;
    }
    field->value = (struct http1_span){(uint16_t)at, (uint16_t)(end - at)};
    head->field_count++;
    return http1_read_known(head, field);
}

/* The empty line was reached: what only the whole head can tell. */
static enum http1_result http1_finish(struct http1_head *head)
{
    if (!head->has_host && head->minor_version == 1) {
        return http1_refuse(head, 400, "Host is missing");
    }
    if (head->is_chunked && head->has_content_length) {
        return http1_refuse(head, 400,
                            "Content-Length and Transfer-Encoding contradict each other");
    }
    if (head->is_chunked && head->minor_version == 0) {
        return http1_refuse(head, 400, "HTTP/1.0 has no Transfer-Encoding");
    }
    head->is_keep_alive = head->minor_version == 1 && !head->says_close;
    return HTTP1_DONE;
}

void http1_head_init(struct http1_head *head)
{
    memset(head, 0, offsetof(struct http1_head, fields));
}

/* One complete line, AT..END without its CRLF. */
static enum http1_result http1_read_line(struct http1_head *head, size_t at, size_t end)
{
    if (memchr(head->base + at, '\r', end - at) != NULL) {
        return http1_refuse(head, 400, "a line holds a bare CR");
    }
    if (!head->has_request_line) {
        if (at == end) { /* RFC 9112 section 2.2: one empty line in front is tolerated */
            return at == 0 ? HTTP1_MORE
                           : http1_refuse(head, 400, "empty lines stand where a request begins");
        }
        return http1_read_request_line(head, at, end);
    }
    return at == end ? http1_finish(head) : http1_read_field(head, at, end);
}

/* What can be said about a head whose line under way has not ended yet. */
static enum http1_result http1_judge_partial(struct http1_head *head, size_t len)
{
    if (!head->has_request_line) {
        uint8_t first = len > head->line_at ? head->base[head->line_at] : 'G';

        if (!http1_byte_is(first, HTTP1_TOKEN) && first != '\r') {
            return http1_refuse(head, 400, "the request does not start with a method");
        }
        if (len - head->line_at > HTTP1_MAX_TARGET_BYTES + HTTP1_MAX_METHOD_BYTES + 16) {
            return http1_refuse(head, 414, "the request line is too long");
        }
    }
    if (len >= HTTP1_MAX_HEAD_BYTES) {
        return http1_refuse(head, 431, "the request head is larger than 32768 bytes");
    }
    return HTTP1_MORE;
}

enum http1_result http1_head_feed(struct http1_head *head, const uint8_t *data, size_t len)
{
    head->base = data;
    if (head->status != 0) {
        return HTTP1_BAD;
    }
    for (;;) {
        const uint8_t *lf = NULL;
        size_t end;
        enum http1_result result;

        if (len > head->scanned) {
            lf = memchr(data + head->scanned, '\n', len - head->scanned);
        }
        if (lf == NULL) {
            head->scanned = (uint32_t)GH_MIN(len, (size_t)HTTP1_MAX_HEAD_BYTES);
            return http1_judge_partial(head, len);
        }
        end = (size_t)(lf - data);
        if (end >= HTTP1_MAX_HEAD_BYTES) { /* offsets beyond are never stored */
            return !head->has_request_line
                       ? http1_refuse(head, 414, "the request line is too long")
                       : http1_refuse(head, 431, "the request head is larger than 32768 bytes");
        }
        if (end == head->line_at || data[end - 1] != '\r') {
            return http1_refuse(head, 400, "a line ends in a bare LF");
        }
        result = http1_read_line(head, head->line_at, end - 1);
        head->line_at = (uint32_t)end + 1;
        head->scanned = head->line_at;
        if (result == HTTP1_DONE) {
            head->len = head->line_at;
        }
        if (result != HTTP1_MORE) {
            return result;
        }
    }
}

/* ---- views ---- */

struct bytes http1_head_view(const struct http1_head *head, struct http1_span span)
{
    return bytes_make(head->base + span.at, span.len);
}

struct bytes http1_head_method(const struct http1_head *head)
{
    return http1_head_view(head, head->method_span);
}

struct bytes http1_head_target(const struct http1_head *head)
{
    return http1_head_view(head, head->target_span);
}

struct bytes http1_head_path(const struct http1_head *head)
{
    if (head->is_absolute && head->path_span.len == 0) {
        return BYTES_LITERAL("/");
    }
    return http1_head_view(head, head->path_span);
}

struct bytes http1_head_query(const struct http1_head *head)
{
    return http1_head_view(head, head->query_span);
}

struct bytes http1_head_host(const struct http1_head *head)
{
    return http1_head_view(head, head->host_span);
}

bool http1_head_has_body(const struct http1_head *head)
{
    return head->is_chunked || head->content_length > 0;
}

bool http1_head_find_next(const struct http1_head *head, const char *name, unsigned *from,
                          struct bytes *value)
{
    size_t len = strlen(name);

    for (unsigned i = *from; i < head->field_count; i++) {
        const struct http1_field *field = &head->fields[i];

        if (field->name.len == len && http1_name_is(head->base + field->name.at, len, name)) {
            *value = http1_head_view(head, field->value);
            *from = i + 1;
            return true;
        }
    }
    return false;
}

bool http1_head_find(const struct http1_head *head, const char *name, struct bytes *value)
{
    unsigned from = 0;

    return http1_head_find_next(head, name, &from, value);
}

unsigned http1_head_count(const struct http1_head *head, const char *name)
{
    unsigned from = 0;
    unsigned count = 0;
    struct bytes value;

    while (http1_head_find_next(head, name, &from, &value)) {
        count++;
    }
    return count;
}
