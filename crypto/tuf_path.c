#include "crypto/tuf_path.h"

#include <stdio.h>
#include <string.h>

#include "crypto/digest.h"
#include "metrics/text.h"

static bool path_segment_is_safe(struct bytes segment)
{
    return segment.len > 0 && !bytes_equal_cstr(segment, ".") && !bytes_equal_cstr(segment, "..");
}

bool tuf_path_check(struct bytes path, struct gh_error *err)
{
    struct bytes rest = path, segment;
    bool is_safe = path.len > 0 && path.len <= TUF_PATH_MAX_BYTES;

    for (size_t i = 0; is_safe && i < path.len; i++) {
        is_safe = path.data[i] >= 0x20 && path.data[i] != 0x7f && path.data[i] != '\\';
    }
    while (is_safe && bytes_split(&rest, '/', &segment)) {
        is_safe = path_segment_is_safe(segment);
    }
    if (!is_safe || !path_segment_is_safe(rest)) {
        return gh_fail(err, GH_TUF_TARGET_MISMATCH, "'%.*s' is no safe target name",
                       (int)GH_MIN(path.len, (size_t)100), (const char *)path.data);
    }
    return true;
}

/* `[...]` at the start of PATTERN against one byte. *used: bytes of the pattern, 0 where the
 * bracket never closes and so stands for itself. */
static bool path_match_set(struct bytes pattern, uint8_t c, size_t *used)
{
    size_t at = 1;
    bool is_negated = pattern.len > at && (pattern.data[at] == '!' || pattern.data[at] == '^');
    bool is_match = false;
    size_t first;

    *used = 0;
    if (is_negated) {
        at++;
    }
    first = at;
    while (at < pattern.len && (pattern.data[at] != ']' || at == first)) {
        uint8_t low = pattern.data[at], high = low;

        if (at + 2 < pattern.len && pattern.data[at + 1] == '-' && pattern.data[at + 2] != ']') {
            high = pattern.data[at + 2];
            at += 2;
        }
        is_match = is_match || (c >= low && c <= high);
        at++;
    }
    if (at >= pattern.len) {
        return false;
    }
    *used = at + 1;
    return is_match != is_negated;
}

/* One byte against the head of the pattern, which is no star. *used: bytes of the pattern. */
static bool path_match_one(struct bytes pattern, uint8_t c, size_t *used)
{
    *used = 1;
    if (pattern.data[0] == '?') {
        return true;
    }
    if (pattern.data[0] == '[') {
        bool is_match = path_match_set(pattern, c, used);

        if (*used > 0) {
            return is_match;
        }
        *used = 1;
    }
    return pattern.data[0] == c;
}

/* One segment. Only the last star is ever retried: what an earlier one could give, it can too. */
static bool path_match_segment(struct bytes pattern, struct bytes text)
{
    size_t p = 0, t = 0, star = SIZE_MAX, star_text = 0;

    while (t < text.len) {
        size_t used = 0;

        if (p < pattern.len && pattern.data[p] == '*') {
            star = p++;
            star_text = t;
        } else if (p < pattern.len &&
                   path_match_one(bytes_slice(pattern, p, SIZE_MAX), text.data[t], &used)) {
            p += used;
            t++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            t = ++star_text;
        } else {
            return false;
        }
    }
    while (p < pattern.len && pattern.data[p] == '*') {
        p++;
    }
    return p == pattern.len;
}

bool tuf_path_match(struct bytes pattern, struct bytes path)
{
    struct bytes pattern_segment, path_segment;

    while (bytes_split(&pattern, '/', &pattern_segment)) {
        if (!bytes_split(&path, '/', &path_segment) ||
            !path_match_segment(pattern_segment, path_segment)) {
            return false;
        }
    }
    return bytes_find(path, BYTES_LITERAL("/")) == SIZE_MAX && path_match_segment(pattern, path);
}

bool tuf_path_hash(struct bytes path, char out[TUF_PATH_HASH_DIGITS + 1], struct gh_error *err)
{
    struct digest digest;

    GH_TRY(digest_compute(DIGEST_SHA256, path, &digest, err));
    bytes_hex_encode(digest_bytes(&digest), out);
    return true;
}

bool tuf_path_bin(struct bytes path, const char *prefix, unsigned bits, char **out,
                  struct gh_error *err)
{
    GH_OWN(text_done) struct text text = {0};
    struct digest digest;
    uint64_t last = (UINT64_C(1) << bits) - 1;
    uint32_t head;
    char digits[2 * sizeof(last) + 1];

    GH_TRY(digest_compute(DIGEST_SHA256, path, &digest, err));
    head = (uint32_t)digest.value[0] << 24 | (uint32_t)digest.value[1] << 16 |
           (uint32_t)digest.value[2] << 8 | (uint32_t)digest.value[3];
    (void)snprintf(digits, sizeof(digits), "%llx", (unsigned long long)last);
    text_init(&text, TUF_PATH_MAX_BYTES);
    text_printf(&text, "%s-%0*llx", prefix, (int)strlen(digits),
                (unsigned long long)head >> (TUF_BIN_MAX_BITS - bits));
    *out = text_take(&text);
    return *out != NULL || gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
}

static bool path_is_unreserved(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

bool tuf_path_escape(struct bytes name, bool keep_slashes, size_t limit, char **out,
                     struct gh_error *err)
{
    GH_OWN(text_done) struct text text = {0};

    text_init(&text, limit);
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.data[i];

        if (path_is_unreserved(c) || (c == '/' && keep_slashes)) {
            text_put_char(&text, (char)c);
        } else {
            text_printf(&text, "%%%02X", c);
        }
    }
    if (!text_ok(&text) || name.len == 0) {
        return gh_fail(err, GH_TUF_LIMIT_EXCEEDED, "a TUF name is empty or longer than %zu bytes",
                       limit);
    }
    *out = text_take(&text);
    return *out != NULL || gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
}
