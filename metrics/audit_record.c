#include "metrics/audit_record.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "metrics/error.h"
#include "metrics/text.h"

#define AUDIT_HEX (2 * AUDIT_HASH_BYTES)
#define AUDIT_HASH_KEY ",\"hash\":\""
#define AUDIT_TRAILER (sizeof(AUDIT_HASH_KEY) - 1 + AUDIT_HEX + 2) /* with quote and brace */

void audit_hash_show(const uint8_t hash[AUDIT_HASH_BYTES], char out[AUDIT_HEX + 1])
{
    static const char hex[] = "0123456789abcdef";

    for (int i = 0; i < AUDIT_HASH_BYTES; i++) {
        out[2 * i] = hex[hash[i] >> 4];
        out[2 * i + 1] = hex[hash[i] & 15];
    }
    out[AUDIT_HEX] = '\0';
}

static int audit_hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool audit_hash_read(const char *hex, size_t len, uint8_t out[AUDIT_HASH_BYTES])
{
    if (len != AUDIT_HEX) {
        return false;
    }
    for (int i = 0; i < AUDIT_HASH_BYTES; i++) {
        int high = audit_hex_digit(hex[2 * i]);
        int low = audit_hex_digit(hex[2 * i + 1]);

        if (high < 0 || low < 0) {
            return false;
        }
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static bool audit_hash(const char *data, size_t len, uint8_t out[AUDIT_HASH_BYTES])
{
    return EVP_Digest(data, len, out, NULL, EVP_sha256(), NULL) == 1;
}

/* A body is one JSON object on one line; its inside is the caller's. */
static bool audit_body_is_good(const char *body, size_t len)
{
    if (len < 2 || len > AUDIT_MAX_BODY || body[0] != '{' || body[len - 1] != '}') {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)body[i] < 0x20) {
            return false;
        }
    }
    return true;
}

static bool audit_type_is_good(const char *type, size_t len)
{
    if (len == 0 || len > AUDIT_MAX_TYPE) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        if ((type[i] < 'a' || type[i] > 'z') && type[i] != '_' && type[i] != '-') {
            return false;
        }
    }
    return true;
}

bool audit_record_write(struct text *out, uint64_t seq, int64_t unix_ms, const char *type,
                        const uint8_t prev[AUDIT_HASH_BYTES], const char *body, size_t body_len,
                        uint8_t hash[AUDIT_HASH_BYTES], struct gh_error *err)
{
    char hex[AUDIT_HEX + 1];
    size_t start = out->len;

    if (!audit_type_is_good(type, strlen(type)) || !audit_body_is_good(body, body_len)) {
        return gh_fail(err, GH_INTERNAL_ERROR, "an audit record of type %s is not an object", type);
    }
    audit_hash_show(prev, hex);
    text_printf(out, "{\"seq\":%llu,\"time\":\"", (unsigned long long)seq);
    text_put_time_ms(out, unix_ms);
    text_printf(out, "\",\"type\":\"%s\",\"prev\":\"%s\"", type, hex);
    if (body_len > 2) {
        text_put_char(out, ',');
        text_put_bytes(out, body + 1, body_len - 2);
    }
    if (!text_ok(out) || !audit_hash(out->data + start, out->len - start, hash)) {
        return gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
    }
    audit_hash_show(hash, hex);
    text_printf(out, AUDIT_HASH_KEY "%s\"}\n", hex);
    return text_ok(out) || gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
}

/* What is left of a line while it is read. */
struct audit_reader {
    const char *at;
    size_t len;
};

static bool audit_expect(struct audit_reader *in, const char *literal)
{
    size_t len = strlen(literal);

    if (in->len < len || memcmp(in->at, literal, len) != 0) {
        return false;
    }
    in->at += len;
    in->len -= len;
    return true;
}

/* Up to the next quote, which stays. */
static bool audit_until_quote(struct audit_reader *in, const char **out, size_t *out_len)
{
    const char *end = memchr(in->at, '"', in->len);

    if (end == NULL) {
        return false;
    }
    *out = in->at;
    *out_len = (size_t)(end - in->at);
    in->at = end;
    in->len -= *out_len;
    return true;
}

static bool audit_read_number(struct audit_reader *in, uint64_t *out)
{
    uint64_t value = 0;
    size_t digits = 0;

    while (in->len > 0 && *in->at >= '0' && *in->at <= '9') {
        if (++digits > 19 || (digits > 1 && value == 0)) {
            return false;
        }
        value = value * 10 + (uint64_t)(*in->at - '0');
        in->at++;
        in->len--;
    }
    *out = value;
    return digits > 0;
}

static bool audit_read_head(struct audit_reader *in, struct audit_record *out)
{
    const char *part;
    size_t len;

    if (!audit_expect(in, "{\"seq\":") || !audit_read_number(in, &out->seq) ||
        !audit_expect(in, ",\"time\":\"") || !audit_until_quote(in, &part, &len) ||
        len >= sizeof(out->time)) {
        return false;
    }
    memcpy(out->time, part, len);
    if (!audit_expect(in, "\",\"type\":\"") || !audit_until_quote(in, &part, &len) ||
        !audit_type_is_good(part, len)) {
        return false;
    }
    memcpy(out->type, part, len);
    return audit_expect(in, "\",\"prev\":\"") && audit_until_quote(in, &part, &len) &&
           audit_hash_read(part, len, out->prev) && audit_expect(in, "\"");
}

bool audit_record_read(const char *line, size_t len, struct audit_record *out, struct gh_error *err)
{
    struct audit_reader in = {line, 0};
    struct audit_record record = {0};
    uint8_t hash[AUDIT_HASH_BYTES];
    const char *trailer;

    if (len < AUDIT_TRAILER || len > AUDIT_MAX_LINE) {
        return gh_fail(err, GH_SIG_MALFORMED, "a line of %zu bytes is no record", len);
    }
    in.len = len - AUDIT_TRAILER;
    trailer = line + in.len;
    if (memcmp(trailer, AUDIT_HASH_KEY, sizeof(AUDIT_HASH_KEY) - 1) != 0 ||
        !audit_hash_read(trailer + sizeof(AUDIT_HASH_KEY) - 1, AUDIT_HEX, record.hash) ||
        memcmp(line + len - 2, "\"}", 2) != 0) {
        return gh_fail(err, GH_SIG_MALFORMED, "the line does not end with its hash");
    }
    if (!audit_hash(line, in.len, hash)) {
        return gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
    }
    if (memcmp(hash, record.hash, sizeof(hash)) != 0) {
        return gh_fail(err, GH_DIGEST_MISMATCH,
                       "the line was changed: its hash is not the one it carries");
    }
    if (!audit_read_head(&in, &record)) {
        return gh_fail(err, GH_SIG_MALFORMED, "the line is not in a record's form");
    }
    *out = record;
    return true;
}
