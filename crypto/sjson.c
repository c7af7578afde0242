#include "crypto/sjson.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "metrics/error.h"

/* Not through stdio, which asks for memory as well. */
static void *sjson_malloc(size_t size)
{
    static const char text[] = "gatehouse: out of memory while JSON is read or written\n";
    void *memory = malloc(size);

    if (memory == NULL) {
        (void)!write(STDERR_FILENO, text, sizeof(text) - 1);
        abort();
    }
    return memory;
}

void sjson_end_without_memory(void)
{
    json_set_alloc_funcs(sjson_malloc, free);
}

/* jansson's depth limit is fixed when it is built (2048): count before it recurses. */
static bool sjson_check_depth(struct bytes in, struct gh_error *err)
{
    size_t depth = 0;
    bool is_string = false;

    for (size_t i = 0; i < in.len; i++) {
        uint8_t c = in.data[i];

        if (is_string) {
            if (c == '\\') {
                i++;
            } else if (c == '"') {
                is_string = false;
            }
        } else if (c == '"') {
            is_string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > SJSON_MAX_DEPTH) {
                return gh_fail(err, GH_MALFORMED_JSON, "JSON nests deeper than %d",
                               SJSON_MAX_DEPTH);
            }
        } else if ((c == '}' || c == ']') && depth > 0) {
            depth--;
        }
    }
    return true;
}

bool sjson_parse(struct bytes in, size_t limit, json_t **out, struct gh_error *err)
{
    json_error_t error;
    json_t *doc;

    if (in.len > limit || in.len > SJSON_MAX_BYTES) {
        return gh_fail(err, GH_SIZE_LIMIT_EXCEEDED, "JSON of %zu bytes, at most %zu are accepted",
                       in.len, GH_MIN(limit, (size_t)SJSON_MAX_BYTES));
    }
    GH_TRY(sjson_check_depth(in, err));
    doc = json_loadb(in.data != NULL ? (const char *)in.data : "", in.len,
                     JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (doc == NULL) {
        bool is_duplicate = json_error_code(&error) == json_error_duplicate_key;

        return gh_fail(err, is_duplicate ? GH_DUPLICATE_JSON_KEY : GH_MALFORMED_JSON,
                       "JSON at line %d, column %d: %s", error.line, error.column, error.text);
    }
    *out = doc;
    return true;
}

bool sjson_parse_object(struct bytes in, size_t limit, json_t **out, struct gh_error *err)
{
    GH_OWN(sjson_freep) json_t *doc = NULL;

    GH_TRY(sjson_parse(in, limit, &doc, err));
    if (!json_is_object(doc)) {
        return gh_fail(err, GH_MALFORMED_JSON, "wanted a JSON object");
    }
    *out = GH_TAKE(doc);
    return true;
}

static const char *sjson_type_name(json_type type)
{
    switch (type) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
        return "an integer";
    case JSON_REAL:
        return "a real number";
    case JSON_TRUE:
    case JSON_FALSE:
        return "a boolean";
    case JSON_NULL:
        return "null";
    }
    return "nothing";
}

/* The member, or NULL when absent and not required. True and false are one type here. */
static bool sjson_member(const json_t *object, const char *key, json_type wanted, bool is_required,
                         json_t **out, struct gh_error *err)
{
    json_t *value = json_is_object(object) ? json_object_get(object, key) : NULL;
    json_type found;

    if (!json_is_object(object)) {
        return gh_fail(err, GH_MALFORMED_JSON, "wanted an object that holds '%s'", key);
    }
    if (value == NULL || (!is_required && json_is_null(value))) {
        if (is_required) {
            return gh_fail(err, GH_MALFORMED_JSON, "member '%s' is missing", key);
        }
        *out = NULL;
        return true;
    }
    found = json_is_boolean(value) ? JSON_TRUE : json_typeof(value);
    if (found != wanted) {
        return gh_fail(err, GH_MALFORMED_JSON, "member '%s': wanted %s, found %s", key,
                       sjson_type_name(wanted), sjson_type_name(found));
    }
    *out = value;
    return true;
}

bool sjson_get_object(const json_t *object, const char *key, json_t **out, struct gh_error *err)
{
    return sjson_member(object, key, JSON_OBJECT, true, out, err);
}

bool sjson_get_array(const json_t *object, const char *key, json_t **out, struct gh_error *err)
{
    return sjson_member(object, key, JSON_ARRAY, true, out, err);
}

struct bytes sjson_string(const json_t *string)
{
    return bytes_make(json_string_value(string), json_string_length(string));
}

bool sjson_get_string(const json_t *object, const char *key, struct bytes *out,
                      struct gh_error *err)
{
    json_t *value = NULL;

    GH_TRY(sjson_member(object, key, JSON_STRING, true, &value, err));
    *out = sjson_string(value);
    return true;
}

bool sjson_get_int(const json_t *object, const char *key, int64_t *out, struct gh_error *err)
{
    json_t *value = NULL;

    GH_TRY(sjson_member(object, key, JSON_INTEGER, true, &value, err));
    *out = json_integer_value(value);
    return true;
}

bool sjson_get_bool(const json_t *object, const char *key, bool *out, struct gh_error *err)
{
    json_t *value = NULL;

    GH_TRY(sjson_member(object, key, JSON_TRUE, true, &value, err));
    *out = json_is_true(value);
    return true;
}

bool sjson_opt_object(const json_t *object, const char *key, json_t **out, struct gh_error *err)
{
    return sjson_member(object, key, JSON_OBJECT, false, out, err);
}

bool sjson_opt_array(const json_t *object, const char *key, json_t **out, struct gh_error *err)
{
    return sjson_member(object, key, JSON_ARRAY, false, out, err);
}

bool sjson_opt_string(const json_t *object, const char *key, struct bytes *out,
                      struct gh_error *err)
{
    json_t *value = NULL;

    GH_TRY(sjson_member(object, key, JSON_STRING, false, &value, err));
    *out = value != NULL ? sjson_string(value) : bytes_make(NULL, 0);
    return true;
}

bool sjson_opt_int(const json_t *object, const char *key, int64_t fallback, int64_t *out,
                   struct gh_error *err)
{
    json_t *value = NULL;

    GH_TRY(sjson_member(object, key, JSON_INTEGER, false, &value, err));
    *out = value != NULL ? json_integer_value(value) : fallback;
    return true;
}

bool sjson_opt_bool(const json_t *object, const char *key, bool fallback, bool *out,
                    struct gh_error *err)
{
    json_t *value = NULL;

    GH_TRY(sjson_member(object, key, JSON_TRUE, false, &value, err));
    *out = value != NULL ? json_is_true(value) : fallback;
    return true;
}

/* Decimal digits with an optional minus; no other form, so that one number has one text. */
static bool sjson_decimal(struct bytes text, int64_t *out)
{
    struct bytes digits = text;
    bool is_negative = digits.len > 0 && digits.data[0] == '-';
    int64_t value = 0;

    if (is_negative) {
        digits = bytes_slice(digits, 1, SIZE_MAX);
    }
    if (digits.len == 0 || digits.len > 19 || (digits.len > 1 && digits.data[0] == '0')) {
        return false;
    }
    for (size_t i = 0; i < digits.len; i++) {
        if (digits.data[i] < '0' || digits.data[i] > '9' ||
            __builtin_mul_overflow(value, (int64_t)10, &value) ||
            __builtin_sub_overflow(value, (int64_t)(digits.data[i] - '0'), &value)) {
            return false;
        }
    }
    if (!is_negative && __builtin_sub_overflow((int64_t)0, value, &value)) {
        return false;
    }
    *out = value;
    return true;
}

bool sjson_opt_proto_int64(const json_t *object, const char *key, int64_t *out,
                           struct gh_error *err)
{
    const json_t *value = json_object_get(object, key);

    if (value == NULL || json_is_null(value)) {
        *out = 0;
        return true;
    }
    if (json_is_integer(value)) {
        *out = json_integer_value(value);
        return true;
    }
    if (json_is_string(value) && sjson_decimal(sjson_string(value), out)) {
        return true;
    }
    return gh_fail(err, GH_MALFORMED_JSON, "member '%s': wanted a 64-bit integer", key);
}

bool sjson_get_base64(const json_t *object, const char *key, struct bytes_buf *out,
                      struct gh_error *err)
{
    struct bytes text;

    GH_TRY(sjson_get_string(object, key, &text, err));
    if (!bytes_base64_decode(text, BYTES_BASE64_STANDARD, out, err)) {
        gh_error_at(err, "%s", key);
        return false;
    }
    return true;
}

bool sjson_only_keys(const json_t *object, const char *const *keys, struct gh_error *err)
{
    const char *found;
    json_t *value;

    json_object_foreach ((json_t *)object, found, value) {
        bool is_known = false;

        for (size_t i = 0; keys[i] != NULL; i++) {
            is_known = is_known || strcmp(keys[i], found) == 0;
        }
        if (!is_known) {
            return gh_fail(err, GH_MALFORMED_JSON, "unknown member '%s'", found);
        }
    }
    return true;
}

#define SJSON_MAX_TOKEN 512

/* One reference token with ~0 and ~1 resolved (RFC 6901 section 4). */
static bool sjson_token(const char *from, const char *to, char out[SJSON_MAX_TOKEN])
{
    size_t used = 0;

    for (; from < to; from++) {
        char c = *from;

        if (c == '~') {
            from++;
            if (from == to || (*from != '0' && *from != '1')) {
                return false;
            }
            c = *from == '0' ? '~' : '/';
        }
        if (used + 1 == SJSON_MAX_TOKEN) {
            return false;
        }
        out[used++] = c;
    }
    out[used] = '\0';
    return true;
}

const json_t *sjson_pointer(const json_t *doc, const char *pointer)
{
    char token[SJSON_MAX_TOKEN];

    while (doc != NULL && *pointer == '/') {
        const char *start = pointer + 1;
        const char *end = strchrnul(start, '/');

        if (!sjson_token(start, end, token)) {
            return NULL;
        }
        if (json_is_object(doc)) {
            doc = json_object_get(doc, token);
        } else if (json_is_array(doc)) {
            int64_t index;

            doc = sjson_decimal(bytes_of(token), &index) && index >= 0
                      ? json_array_get(doc, (size_t)index)
                      : NULL;
        } else {
            return NULL;
        }
        pointer = end;
    }
    return *pointer == '\0' ? doc : NULL;
}
