#include "crypto/tuf_canonical.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "metrics/text.h"

static bool canonical_value(const json_t *value, unsigned depth, struct text *out,
                            struct gh_error *err);

static void canonical_string(const char *string, size_t len, struct text *out)
{
    size_t start = 0;

    text_put_char(out, '"');
    for (size_t i = 0; i < len; i++) {
        if (string[i] == '"' || string[i] == '\\') {
            text_put_bytes(out, string + start, i - start);
            text_put_char(out, '\\');
            start = i;
        }
    }
    text_put_bytes(out, string + start, len - start);
    text_put_char(out, '"');
}

static int canonical_order(const void *a, const void *b)
{
    /* UTF-8 sorts bytewise as its code points do; jansson's keys hold no NUL */
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void canonical_free(const char ***keys)
{
    free((void *)*keys);
}

static bool canonical_object(const json_t *object, unsigned depth, struct text *out,
                             struct gh_error *err)
{
    size_t count = json_object_size(object);
    GH_OWN(canonical_free) const char **keys = calloc(count + 1, sizeof(*keys));
    size_t used = 0;
    const char *key;
    json_t *value;

    if (keys == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
    }
    json_object_foreach ((json_t *)object, key, value) {
        keys[used++] = key;
    }
    qsort((void *)keys, count, sizeof(*keys), canonical_order);
    text_put_char(out, '{');
    for (size_t i = 0; i < count; i++) {
        if (i > 0) {
            text_put_char(out, ',');
        }
        canonical_string(keys[i], strlen(keys[i]), out);
        text_put_char(out, ':');
        GH_TRY(canonical_value(json_object_get(object, keys[i]), depth + 1, out, err));
    }
    text_put_char(out, '}');
    return true;
}

static bool canonical_array(const json_t *array, unsigned depth, struct text *out,
                            struct gh_error *err)
{
    text_put_char(out, '[');
    for (size_t i = 0; i < json_array_size(array); i++) {
        if (i > 0) {
            text_put_char(out, ',');
        }
        GH_TRY(canonical_value(json_array_get(array, i), depth + 1, out, err));
    }
    text_put_char(out, ']');
    return true;
}

static bool canonical_value(const json_t *value, unsigned depth, struct text *out,
                            struct gh_error *err)
{
    if (depth > TUF_CANONICAL_MAX_DEPTH) {
        return gh_fail(err, GH_TUF_LIMIT_EXCEEDED, "TUF metadata nests deeper than %d",
                       TUF_CANONICAL_MAX_DEPTH);
    }
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return canonical_object(value, depth, out, err);
    case JSON_ARRAY:
        return canonical_array(value, depth, out, err);
    case JSON_STRING:
        canonical_string(json_string_value(value), json_string_length(value), out);
        return true;
    case JSON_INTEGER:
        text_printf(out, "%" PRId64, (int64_t)json_integer_value(value));
        return true;
    case JSON_REAL:
        return gh_fail(err, GH_TRUST_ROOT_MALFORMED,
                       "signed TUF metadata holds a number that is no integer");
    case JSON_TRUE:
        text_put(out, "true");
        return true;
    case JSON_FALSE:
        text_put(out, "false");
        return true;
    case JSON_NULL:
        text_put(out, "null");
        return true;
    }
    return gh_fail(err, GH_INTERNAL_ERROR, "a JSON value of no known type");
}

bool tuf_canonical_encode(const json_t *value, struct bytes_buf *out, struct gh_error *err)
{
    GH_OWN(text_done) struct text text = {0};
    size_t len;

    text_init(&text, TUF_CANONICAL_MAX_BYTES);
    GH_TRY(canonical_value(value, 0, &text, err));
    if (!text_ok(&text)) {
        return gh_fail(err, GH_TUF_LIMIT_EXCEEDED, "TUF metadata is larger than %u bytes",
                       TUF_CANONICAL_MAX_BYTES);
    }
    len = text.len;
    out->data = (uint8_t *)text_take(&text);
    out->len = len;
    return true;
}
