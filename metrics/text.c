#include "metrics/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TEXT_FIRST_CAPACITY 256

void text_init(struct text *text, size_t limit)
{
    memset(text, 0, sizeof(*text));
    text->limit = limit;
}

void text_done(struct text *text)
{
    size_t limit = text->limit;

    free(text->data);
    text_init(text, limit);
}

void text_clear(struct text *text)
{
    text->len = 0;
    text->is_failed = false;
    if (text->data != NULL) {
        text->data[0] = '\0';
    }
}

bool text_ok(const struct text *text)
{
    return !text->is_failed;
}

const char *text_cstr(const struct text *text)
{
    return text->data != NULL ? text->data : "";
}

char *text_take(struct text *text)
{
    char *data;

    if (text->is_failed) {
        return NULL;
    }
    data = text->data != NULL ? GH_TAKE(text->data) : strdup("");
    text_init(text, text->limit);
    return data;
}

/* Room for MORE bytes and the NUL. */
static bool text_reserve(struct text *text, size_t more)
{
    size_t wanted;
    char *grown;

    if (text->is_failed) {
        return false;
    }
    if (text->len > text->limit || more > text->limit - text->len) {
        text->is_failed = true;
        return false;
    }
    if (text->len + more + 1 <= text->capacity) {
        return true;
    }
    wanted = text->capacity == 0 ? TEXT_FIRST_CAPACITY : text->capacity * 2;
    if (wanted < text->len + more + 1) {
        wanted = text->len + more + 1;
    }
    grown = realloc(text->data, wanted);
    if (grown == NULL) {
        text->is_failed = true;
        return false;
    }
    text->data = grown;
    text->capacity = wanted;
    return true;
}

void text_put_bytes(struct text *text, const void *data, size_t len)
{
    if (!text_reserve(text, len)) {
        return;
    }
    if (len > 0) {
        memcpy(text->data + text->len, data, len);
    }
    text->len += len;
    text->data[text->len] = '\0';
}

void text_put(struct text *text, const char *string)
{
    text_put_bytes(text, string, strlen(string));
}

void text_put_char(struct text *text, char c)
{
    text_put_bytes(text, &c, 1);
}

void text_put_number(struct text *text, uint64_t value)
{
    char digits[20];
    size_t at = sizeof(digits);

    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    text_put_bytes(text, digits + at, sizeof(digits) - at);
}

size_t text_join(char *out, size_t size, const char *const *parts, size_t count)
{
    size_t len = 0;

    for (size_t i = 0; i < count; i++) {
        size_t part = strlen(parts[i]);

        part = GH_MIN(part, size - 1 - len);
        memcpy(out + len, parts[i], part);
        len += part;
    }
    out[len] = '\0';
    return len;
}

void text_printf(struct text *text, const char *format, ...)
{
    size_t room = text->is_failed ? 0 : text->capacity - text->len;
    va_list args;
    int needed;

    /* Most fit into what is there: formatted once. What did not fit is cut off again. */
    va_start(args, format);
    needed = vsnprintf(room > 0 ? text->data + text->len : NULL, room, format, args);
    va_end(args);
    if (needed < 0 || !text_reserve(text, (size_t)needed)) {
        if (room > 0) {
            text->data[text->len] = '\0';
        }
        text->is_failed = true;
        return;
    }
    if ((size_t)needed >= room) {
        va_start(args, format);
        (void)vsnprintf(text->data + text->len, (size_t)needed + 1, format, args);
        va_end(args);
    }
    text->len += (size_t)needed;
}

/* Length of the well-formed UTF-8 sequence at DATA, or 0 (RFC 3629: no overlong, no surrogates). */
static size_t text_utf8_len(const uint8_t *data, size_t len)
{
    static const struct {
        uint8_t first_low, first_high, second_low, second_high, size;
    } forms[] = {
        {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3}, {0xe1, 0xec, 0x80, 0xbf, 3},
        {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3}, {0xf0, 0xf0, 0x90, 0xbf, 4},
        {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };

    for (size_t i = 0; i < GH_COUNT(forms); i++) {
        if (data[0] < forms[i].first_low || data[0] > forms[i].first_high) {
            continue;
        }
        if (len < forms[i].size || data[1] < forms[i].second_low ||
            data[1] > forms[i].second_high) {
            return 0;
        }
        for (size_t k = 2; k < forms[i].size; k++) {
            if ((data[k] & 0xc0) != 0x80) {
                return 0;
            }
        }
        return forms[i].size;
    }
    return 0;
}

/* How many bytes at DATA stand for themselves in a JSON string. */
static size_t text_plain_len(const uint8_t *data, size_t len)
{
    size_t n = 0;

    while (n < len && data[n] >= 0x20 && data[n] < 0x7f && data[n] != '"' && data[n] != '\\') {
        n++;
    }
    return n;
}

void text_put_json_bytes(struct text *text, const void *data, size_t len)
{
    const uint8_t *bytes = data;

    text_put_char(text, '"');
    for (size_t i = 0; i < len; i++) {
        size_t plain = text_plain_len(bytes + i, len - i);
        uint8_t c;

        if (plain > 0) {
            text_put_bytes(text, bytes + i, plain);
            i += plain - 1;
            continue;
        }
        c = bytes[i];
        if (c == '"' || c == '\\') {
            text_put_char(text, '\\');
            text_put_char(text, (char)c);
        } else if (c == '\n') {
            text_put(text, "\\n");
        } else if (c < 0x20 || c == 0x7f) {
            text_printf(text, "\\u%04x", c);
        } else {
            size_t size = text_utf8_len(bytes + i, len - i);

            if (size == 0) {
                text_put(text, "\\ufffd");
            } else {
                text_put_bytes(text, bytes + i, size);
                i += size - 1;
            }
        }
    }
    text_put_char(text, '"');
}

void text_put_json(struct text *text, const char *string)
{
    text_put_json_bytes(text, string, strlen(string));
}

void text_put_key(struct text *text, const char *key)
{
    char last = text->len > 0 ? text->data[text->len - 1] : '{';

    if (last != '{' && last != '[') {
        text_put_char(text, ',');
    }
    text_put_json(text, key);
    text_put_char(text, ':');
}

void text_put_hex(struct text *text, const uint8_t *data, size_t len)
{
    static const char hex[] = "0123456789abcdef";

    for (size_t i = 0; i < len; i++) {
        const char pair[2] = {hex[data[i] >> 4], hex[data[i] & 15]};

        text_put_bytes(text, pair, sizeof(pair));
    }
}

static void text_put_calendar(struct text *text, int64_t unix_s)
{
    struct tm tm;
    time_t t = (time_t)unix_s;
    char buffer[40];

    if (gmtime_r(&t, &tm) == NULL ||
        strftime(buffer, sizeof(buffer), "%Y-%m-%dT%H:%M:%S", &tm) == 0) {
        text_put(text, "0000-00-00T00:00:00");
        return;
    }
    text_put(text, buffer);
}

void text_put_time(struct text *text, int64_t unix_s)
{
    text_put_calendar(text, unix_s);
    text_put_char(text, 'Z');
}

void text_put_time_ms(struct text *text, int64_t unix_ms)
{
    int64_t ms = ((unix_ms % 1000) + 1000) % 1000;

    text_put_calendar(text, (unix_ms - ms) / 1000);
    text_printf(text, ".%03dZ", (int)ms);
}
