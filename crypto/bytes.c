#include "crypto/bytes.h"

#include <stdlib.h>
#include <string.h>

struct bytes bytes_of(const char *string)
{
    return (struct bytes){(const uint8_t *)string, strlen(string)};
}

struct bytes bytes_make(const void *data, size_t len)
{
    return (struct bytes){data, len};
}

struct bytes bytes_view(const struct bytes_buf *buf)
{
    return (struct bytes){buf->data, buf->len};
}

bool bytes_equal(struct bytes a, struct bytes b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

bool bytes_equal_cstr(struct bytes a, const char *b)
{
    return bytes_equal(a, bytes_of(b));
}

bool bytes_equal_secret(struct bytes a, struct bytes b)
{
    volatile uint8_t difference = 0;

    if (a.len != b.len) {
        return false;
    }
    for (size_t i = 0; i < a.len; i++) {
        difference |= (uint8_t)(a.data[i] ^ b.data[i]);
    }
    return difference == 0;
}

int bytes_compare(struct bytes a, struct bytes b)
{
    size_t shared = GH_MIN(a.len, b.len);
    int order = shared > 0 ? memcmp(a.data, b.data, shared) : 0;

    if (order != 0) {
        return order;
    }
    return a.len < b.len ? -1 : a.len > b.len;
}

bool bytes_starts_with(struct bytes in, struct bytes prefix)
{
    return in.len >= prefix.len && bytes_equal(bytes_slice(in, 0, prefix.len), prefix);
}

bool bytes_ends_with(struct bytes in, struct bytes suffix)
{
    return in.len >= suffix.len &&
           bytes_equal(bytes_slice(in, in.len - suffix.len, suffix.len), suffix);
}

bool bytes_contains_nul(struct bytes in)
{
    return in.len > 0 && memchr(in.data, 0, in.len) != NULL;
}

/* RFC 3629 table 3-7: overlong forms, surrogates and what lies past U+10FFFF are refused. */
bool bytes_is_utf8(struct bytes in)
{
    size_t i = 0;

    while (i < in.len) {
        uint8_t c = in.data[i];
        uint8_t low = 0x80;
        uint8_t high = 0xbf;
        size_t more;

        if (c < 0x80) {
            i++;
            continue;
        }
        if (c >= 0xc2 && c <= 0xdf) {
            more = 1;
        } else if (c >= 0xe0 && c <= 0xef) {
            more = 2;
            low = c == 0xe0 ? 0xa0 : 0x80;
            high = c == 0xed ? 0x9f : 0xbf;
        } else if (c >= 0xf0 && c <= 0xf4) {
            more = 3;
            low = c == 0xf0 ? 0x90 : 0x80;
            high = c == 0xf4 ? 0x8f : 0xbf;
        } else {
            return false;
        }
        if (in.len - i <= more || in.data[i + 1] < low || in.data[i + 1] > high) {
            return false;
        }
        for (size_t k = 2; k <= more; k++) {
            if ((in.data[i + k] & 0xc0) != 0x80) {
                return false;
            }
        }
        i += more + 1;
    }
    return true;
}

size_t bytes_find(struct bytes in, struct bytes needle)
{
    const uint8_t *hit;

    if (needle.len == 0 || in.len < needle.len) {
        return SIZE_MAX;
    }
    hit = memmem(in.data, in.len, needle.data, needle.len);
    return hit != NULL ? (size_t)(hit - in.data) : SIZE_MAX;
}

size_t bytes_find_last(struct bytes in, struct bytes needle)
{
    if (needle.len == 0 || in.len < needle.len) {
        return SIZE_MAX;
    }
    for (size_t left = in.len - needle.len + 1; left > 0;) {
        const uint8_t *hit = memrchr(in.data, needle.data[0], left);

        if (hit == NULL) {
            return SIZE_MAX;
        }
        if (memcmp(hit, needle.data, needle.len) == 0) {
            return (size_t)(hit - in.data);
        }
        left = (size_t)(hit - in.data);
    }
    return SIZE_MAX;
}

struct bytes bytes_slice(struct bytes in, size_t offset, size_t len)
{
    if (offset >= in.len) {
        return (struct bytes){NULL, 0};
    }
    return (struct bytes){in.data + offset, GH_MIN(len, in.len - offset)};
}

bool bytes_take(struct bytes *in, size_t len, struct bytes *out, struct gh_error *err)
{
    if (len > in->len) {
        return gh_fail(err, GH_SIG_MALFORMED, "wanted %zu more bytes, found %zu", len, in->len);
    }
    out->data = in->data;
    out->len = len;
    if (len > 0) {
        in->data += len;
        in->len -= len;
    }
    return true;
}

static bool bytes_unsigned(struct bytes *in, size_t len, uint64_t *out, struct gh_error *err)
{
    struct bytes part;
    uint64_t value = 0;

    GH_TRY(bytes_take(in, len, &part, err));
    for (size_t i = 0; i < len; i++) {
        value = value << 8 | part.data[i];
    }
    *out = value;
    return true;
}

bool bytes_u8(struct bytes *in, uint8_t *out, struct gh_error *err)
{
    uint64_t value;

    GH_TRY(bytes_unsigned(in, 1, &value, err));
    *out = (uint8_t)value;
    return true;
}

bool bytes_u16be(struct bytes *in, uint16_t *out, struct gh_error *err)
{
    uint64_t value;

    GH_TRY(bytes_unsigned(in, 2, &value, err));
    *out = (uint16_t)value;
    return true;
}

bool bytes_u32be(struct bytes *in, uint32_t *out, struct gh_error *err)
{
    uint64_t value;

    GH_TRY(bytes_unsigned(in, 4, &value, err));
    *out = (uint32_t)value;
    return true;
}

bool bytes_u64be(struct bytes *in, uint64_t *out, struct gh_error *err)
{
    return bytes_unsigned(in, 8, out, err);
}

bool bytes_copy(struct bytes *in, void *out, size_t len, struct gh_error *err)
{
    struct bytes part;

    GH_TRY(bytes_take(in, len, &part, err));
    if (len > 0) {
        memcpy(out, part.data, len);
    }
    return true;
}

static bool bytes_prefixed(struct bytes *in, size_t width, size_t limit, struct bytes *out,
                           struct gh_error *err)
{
    struct bytes rest = *in;
    struct bytes part;
    uint64_t len;

    GH_TRY(bytes_unsigned(&rest, width, &len, err));
    if (len > limit) {
        return gh_fail(err, GH_SIZE_LIMIT_EXCEEDED,
                       "a part of %llu bytes, at most %zu are accepted", (unsigned long long)len,
                       limit);
    }
    GH_TRY(bytes_take(&rest, (size_t)len, &part, err));
    *in = rest;
    *out = part;
    return true;
}

bool bytes_prefixed16(struct bytes *in, size_t limit, struct bytes *out, struct gh_error *err)
{
    return bytes_prefixed(in, 2, limit, out, err);
}

bool bytes_end(struct bytes *in, struct gh_error *err)
{
    if (in->len != 0) {
        return gh_fail(err, GH_SIG_MALFORMED, "%zu bytes follow where the data should end",
                       in->len);
    }
    return true;
}

bool bytes_split(struct bytes *in, uint8_t separator, struct bytes *out)
{
    size_t at = bytes_find(*in, bytes_make(&separator, 1));

    if (at == SIZE_MAX) {
        return false;
    }
    *out = bytes_slice(*in, 0, at);
    *in = bytes_slice(*in, at + 1, SIZE_MAX);
    return true;
}

bool bytes_buf_alloc(size_t len, struct bytes_buf *out, struct gh_error *err)
{
    uint8_t *data = malloc(len > 0 ? len : 1);

    if (data == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for %zu bytes", len);
    }
    out->data = data;
    out->len = len;
    return true;
}

bool bytes_dup(struct bytes in, struct bytes_buf *out, struct gh_error *err)
{
    GH_TRY(bytes_buf_alloc(in.len, out, err));
    if (in.len > 0) {
        memcpy(out->data, in.data, in.len);
    }
    return true;
}

bool bytes_to_cstr(struct bytes in, char **out, struct gh_error *err)
{
    char *copy;

    if (bytes_contains_nul(in)) {
        return gh_fail(err, GH_SIG_MALFORMED, "a text holds a NUL byte");
    }
    copy = malloc(in.len + 1);
    if (copy == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for %zu bytes", in.len + 1);
    }
    if (in.len > 0) {
        memcpy(copy, in.data, in.len);
    }
    copy[in.len] = '\0';
    *out = copy;
    return true;
}

void bytes_buf_done(struct bytes_buf *buf)
{
    free(buf->data);
    buf->data = NULL;
    buf->len = 0;
}

/* Value of one base64 digit, or 64. URL says which alphabet it was seen in, where that matters. */
/* Letters and digits of both alphabets; 64: none of them. A table, because the branches of the
 * plain form are mispredicted on every other character. */
static const uint8_t bytes_base64_digits[128] = {
    64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64,
    64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64,
    64, 64, 64, 64, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 64, 64, 64, 64, 64, 64, 64, 0,
    1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22,
    23, 24, 25, 64, 64, 64, 64, 64, 64, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38,
    39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 64, 64, 64, 64, 64,
};

static unsigned bytes_base64_digit(uint8_t c, bool *is_standard, bool *is_url)
{
    unsigned digit = c < sizeof(bytes_base64_digits) ? bytes_base64_digits[c] : 64;

    if (digit < 64) {
        return digit;
    }
    if (c == '+' || c == '/') {
        *is_standard = true;
        return c == '+' ? 62 : 63;
    }
    if (c == '-' || c == '_') {
        *is_url = true;
        return c == '-' ? 62 : 63;
    }
    return 64;
}

/* Strip the padding the form asks for. */
static bool bytes_base64_unpad(struct bytes *in, enum bytes_base64 form, struct gh_error *err)
{
    size_t padding = 0;

    while (padding < 2 && padding < in->len && in->data[in->len - 1 - padding] == '=') {
        padding++;
    }
    if (padding > 0 && (form == BYTES_BASE64_URL_NOPAD || in->len % 4 != 0)) {
        return gh_fail(err, GH_SIG_MALFORMED, "base64 is padded wrongly");
    }
    if (padding == 0 && form == BYTES_BASE64_STANDARD && in->len % 4 != 0) {
        return gh_fail(err, GH_SIG_MALFORMED, "base64 lacks its padding");
    }
    *in = bytes_slice(*in, 0, in->len - padding);
    return true;
}

/* As many groups of four as hold letters and digits alone; the number of characters read. */
static size_t bytes_base64_decode_groups(struct bytes in, uint8_t *out)
{
    size_t at = 0;

    for (; in.len - at >= 4; at += 4, out += 3) {
        const uint8_t *group = in.data + at;
        uint32_t bits;
        unsigned a;
        unsigned b;
        unsigned c;
        unsigned d;

        if (((group[0] | group[1] | group[2] | group[3]) & 0x80) != 0) {
            break;
        }
        a = bytes_base64_digits[group[0]];
        b = bytes_base64_digits[group[1]];
        c = bytes_base64_digits[group[2]];
        d = bytes_base64_digits[group[3]];
        if (((a | b | c | d) & 64) != 0) {
            break;
        }
        bits = (uint32_t)a << 18 | (uint32_t)b << 12 | (uint32_t)c << 6 | (uint32_t)d;
        out[0] = (uint8_t)(bits >> 16);
        out[1] = (uint8_t)(bits >> 8);
        out[2] = (uint8_t)bits;
    }
    return at;
}

bool bytes_base64_decode(struct bytes in, enum bytes_base64 form, struct bytes_buf *out,
                         struct gh_error *err)
{
    struct bytes_buf buf;
    bool is_standard = false;
    bool is_url = false;
    uint32_t bits = 0;
    unsigned held = 0;
    size_t used = 0;

    GH_TRY(bytes_base64_unpad(&in, form, err));
    if (in.len % 4 == 1) {
        return gh_fail(err, GH_SIG_MALFORMED, "base64 of an impossible length");
    }
    GH_TRY(bytes_buf_alloc(in.len / 4 * 3 + 2, &buf, err));
    for (size_t i = 0; i < in.len; i++) {
        unsigned digit;

        if (held == 0) { /* the plain part of the text, group by group */
            size_t read =
                bytes_base64_decode_groups(bytes_slice(in, i, in.len - i), buf.data + used);

            i += read;
            used += read / 4 * 3;
            if (i == in.len) {
                break;
            }
        }
        digit = bytes_base64_digit(in.data[i], &is_standard, &is_url);

        if (digit == 64) {
            bytes_buf_done(&buf);
            return gh_fail(err, GH_SIG_MALFORMED, "base64 holds byte 0x%02x at %zu", in.data[i], i);
        }
        bits = bits << 6 | digit;
        held += 6;
        if (held >= 8) {
            held -= 8;
            buf.data[used++] = (uint8_t)(bits >> held);
        }
    }
    /* Bits that belong to no byte must be zero, or two texts would name the same bytes. */
    if ((bits & ((1u << held) - 1)) != 0 || (is_url && is_standard) ||
        (is_url && form == BYTES_BASE64_STANDARD) ||
        (is_standard && form == BYTES_BASE64_URL_NOPAD)) {
        bytes_buf_done(&buf);
        return gh_fail(err, GH_SIG_MALFORMED, "base64 is not canonical or of the wrong alphabet");
    }
    buf.len = used;
    *out = buf;
    return true;
}

char *bytes_base64_encode(struct bytes in, enum bytes_base64 form)
{
    static const char standard[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    static const char url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const char *alphabet = form == BYTES_BASE64_URL_NOPAD ? url : standard;
    char *text = malloc(in.len / 3 * 4 + 5);
    size_t used = 0;

    if (text == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < in.len; i += 3) {
        size_t have = GH_MIN(in.len - i, (size_t)3);
        uint32_t bits = (uint32_t)in.data[i] << 16;

        bits |= have > 1 ? (uint32_t)in.data[i + 1] << 8 : 0;
        bits |= have > 2 ? in.data[i + 2] : 0;
        text[used++] = alphabet[bits >> 18 & 63];
        text[used++] = alphabet[bits >> 12 & 63];
        if (have > 1) {
            text[used++] = alphabet[bits >> 6 & 63];
        }
        if (have > 2) {
            text[used++] = alphabet[bits & 63];
        }
        for (size_t pad = have; pad < 3 && form != BYTES_BASE64_URL_NOPAD; pad++) {
            text[used++] = '=';
        }
    }
    text[used] = '\0';
    return text;
}

static int bytes_hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool bytes_hex_decode(struct bytes in, uint8_t *out, size_t len, struct gh_error *err)
{
    if (in.len != len * 2) {
        return gh_fail(err, GH_SIG_MALFORMED, "wanted %zu hex digits, found %zu", len * 2, in.len);
    }
    for (size_t i = 0; i < in.len; i++) {
        if (bytes_hex_digit(in.data[i]) < 0) {
            return gh_fail(err, GH_SIG_MALFORMED, "not a lower-case hex digit at %zu", i);
        }
    }
    for (size_t i = 0; i < len; i++) {
        unsigned high = (unsigned)bytes_hex_digit(in.data[2 * i]);
        unsigned low = (unsigned)bytes_hex_digit(in.data[2 * i + 1]);

        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

void bytes_hex_encode(struct bytes in, char *out)
{
    static const char hex[] = "0123456789abcdef";

    for (size_t i = 0; i < in.len; i++) {
        out[2 * i] = hex[in.data[i] >> 4];
        out[2 * i + 1] = hex[in.data[i] & 15];
    }
    out[2 * in.len] = '\0';
}

void bytes_skip_space(struct bytes *in)
{
    while (in->len > 0 && (in->data[0] == ' ' || in->data[0] == '\t' || in->data[0] == '\r' ||
                           in->data[0] == '\n')) {
        in->data++;
        in->len--;
    }
}

/* Next line without its LF or CRLF; at the end of input a last line without LF counts. */
static bool bytes_pem_line(struct bytes *in, struct bytes *line)
{
    if (in->len == 0) {
        return false;
    }
    if (!bytes_split(in, '\n', line)) {
        *line = *in;
        *in = bytes_slice(*in, in->len, 0);
    }
    while (line->len > 0 &&
           (line->data[line->len - 1] == '\r' || line->data[line->len - 1] == ' ')) {
        line->len--;
    }
    return true;
}

static bool bytes_pem_frame(struct bytes line, struct bytes start, struct bytes *label)
{
    static const struct bytes dashes = BYTES_LITERAL("-----");

    if (!bytes_starts_with(line, start) || !bytes_ends_with(line, dashes) ||
        line.len < start.len + dashes.len) {
        return false;
    }
    *label = bytes_slice(line, start.len, line.len - start.len - dashes.len);
    return true;
}

bool bytes_pem_next(struct bytes *in, struct bytes *label, struct bytes_buf *der,
                    struct gh_error *err)
{
    struct bytes rest = *in;
    struct bytes_buf base64;
    struct bytes begin;
    struct bytes end;
    struct bytes line;
    size_t used = 0;
    bool is_decoded;

    bytes_skip_space(&rest);
    if (!bytes_pem_line(&rest, &line) ||
        !bytes_pem_frame(line, BYTES_LITERAL("-----BEGIN "), &begin)) {
        return gh_fail(err, GH_SIG_MALFORMED, "no PEM block where one should begin");
    }
    GH_TRY(bytes_buf_alloc(rest.len, &base64, err));
    for (;;) {
        if (!bytes_pem_line(&rest, &line)) {
            bytes_buf_done(&base64);
            return gh_fail(err, GH_SIG_MALFORMED, "a PEM block does not end");
        }
        if (bytes_pem_frame(line, BYTES_LITERAL("-----END "), &end)) {
            break;
        }
        memcpy(base64.data + used, line.data, line.len);
        used += line.len;
    }
    if (!bytes_equal(begin, end)) {
        bytes_buf_done(&base64);
        return gh_fail(err, GH_SIG_MALFORMED, "a PEM block ends under another label");
    }
    is_decoded =
        bytes_base64_decode(bytes_make(base64.data, used), BYTES_BASE64_STANDARD, der, err);
    bytes_buf_done(&base64);
    GH_TRY(is_decoded);
    *label = begin;
    *in = rest;
    return true;
}
