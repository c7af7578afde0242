#include "crypto/cbor.h"

#include <assert.h>
#include <cbor/streaming.h> /* <cbor.h> would find our own header first */

#include "metrics/error.h"

/* What the callbacks of one decoding step found. */
struct cbor_step {
    struct cbor_head head;
    bool is_indefinite; /* of any kind, and the stray break */
};

static void cbor_set(void *context, enum cbor_kind kind, uint64_t value)
{
    struct cbor_step *step = context;

    step->head.kind = kind;
    step->head.value = value;
}

static void cbor_on_uint8(void *context, uint8_t value)
{
    cbor_set(context, CBOR_KIND_UNSIGNED, value);
}

static void cbor_on_uint16(void *context, uint16_t value)
{
    cbor_set(context, CBOR_KIND_UNSIGNED, value);
}

static void cbor_on_uint32(void *context, uint32_t value)
{
    cbor_set(context, CBOR_KIND_UNSIGNED, value);
}

static void cbor_on_uint64(void *context, uint64_t value)
{
    cbor_set(context, CBOR_KIND_UNSIGNED, value);
}

static void cbor_on_negint8(void *context, uint8_t value)
{
    cbor_set(context, CBOR_KIND_NEGATIVE, value);
}

static void cbor_on_negint16(void *context, uint16_t value)
{
    cbor_set(context, CBOR_KIND_NEGATIVE, value);
}

static void cbor_on_negint32(void *context, uint32_t value)
{
    cbor_set(context, CBOR_KIND_NEGATIVE, value);
}

static void cbor_on_negint64(void *context, uint64_t value)
{
    cbor_set(context, CBOR_KIND_NEGATIVE, value);
}

static void cbor_on_bytes(void *context, cbor_data data, size_t len)
{
    cbor_set(context, CBOR_KIND_BYTES, len);
    ((struct cbor_step *)context)->head.content = bytes_make(data, len);
}

static void cbor_on_text(void *context, cbor_data data, size_t len)
{
    cbor_set(context, CBOR_KIND_TEXT, len);
    ((struct cbor_step *)context)->head.content = bytes_make(data, len);
}

static void cbor_on_array(void *context, size_t count)
{
    cbor_set(context, CBOR_KIND_ARRAY, count);
}

static void cbor_on_map(void *context, size_t count)
{
    cbor_set(context, CBOR_KIND_MAP, count);
}

static void cbor_on_tag(void *context, uint64_t value)
{
    cbor_set(context, CBOR_KIND_TAG, value);
}

static void cbor_on_float(void *context, float value)
{
    (void)value;
    cbor_set(context, CBOR_KIND_FLOAT, 0);
}

static void cbor_on_double(void *context, double value)
{
    (void)value;
    cbor_set(context, CBOR_KIND_FLOAT, 0);
}

static void cbor_on_undefined(void *context)
{
    cbor_set(context, CBOR_KIND_UNDEFINED, 0);
}

static void cbor_on_null(void *context)
{
    cbor_set(context, CBOR_KIND_NULL, 0);
}

static void cbor_on_bool(void *context, bool value)
{
    cbor_set(context, CBOR_KIND_BOOL, value);
}

static void cbor_on_indefinite(void *context)
{
    ((struct cbor_step *)context)->is_indefinite = true;
}

static const struct cbor_callbacks cbor_steps = {
    .uint8 = cbor_on_uint8,
    .uint16 = cbor_on_uint16,
    .uint32 = cbor_on_uint32,
    .uint64 = cbor_on_uint64,
    .negint64 = cbor_on_negint64,
    .negint32 = cbor_on_negint32,
    .negint16 = cbor_on_negint16,
    .negint8 = cbor_on_negint8,
    .byte_string_start = cbor_on_indefinite,
    .byte_string = cbor_on_bytes,
    .string = cbor_on_text,
    .string_start = cbor_on_indefinite,
    .indef_array_start = cbor_on_indefinite,
    .array_start = cbor_on_array,
    .indef_map_start = cbor_on_indefinite,
    .map_start = cbor_on_map,
    .tag = cbor_on_tag,
    .float2 = cbor_on_float,
    .float4 = cbor_on_float,
    .float8 = cbor_on_double,
    .undefined = cbor_on_undefined,
    .null = cbor_on_null,
    .boolean = cbor_on_bool,
    .indef_break = cbor_on_indefinite,
};

/* Length of the shortest head for VALUE. */
static size_t cbor_head_len(uint64_t value)
{
    if (value < 24) {
        return 1;
    }
    if (value <= UINT8_MAX) {
        return 2;
    }
    if (value <= UINT16_MAX) {
        return 3;
    }
    return value <= UINT32_MAX ? 5 : 9;
}

/* The head's value must not have been written longer than needed, and what it announces must be
 * within the limits before anybody acts on it. */
static bool cbor_check_head(const struct cbor_step *step, size_t read, struct gh_error *err)
{
    const struct cbor_head *head = &step->head;
    size_t head_len = read - head->content.len;

    switch (head->kind) {
    case CBOR_KIND_BYTES:
    case CBOR_KIND_TEXT:
        if (head->content.len > CBOR_MAX_STRING_BYTES) {
            return gh_fail(err, GH_SIZE_LIMIT_EXCEEDED, "a CBOR string is longer than %u bytes",
                           CBOR_MAX_STRING_BYTES);
        }
        if (head->kind == CBOR_KIND_TEXT && !bytes_is_utf8(head->content)) {
            return gh_fail(err, GH_SIG_MALFORMED, "a CBOR text string is not UTF-8");
        }
        break;
    case CBOR_KIND_ARRAY:
    case CBOR_KIND_MAP:
        if (head->value > CBOR_MAX_ENTRIES) {
            return gh_fail(err, GH_COUNT_LIMIT_EXCEEDED,
                           "a CBOR array or map has more than %d entries", CBOR_MAX_ENTRIES);
        }
        break;
    case CBOR_KIND_FLOAT:
    case CBOR_KIND_BOOL:
    case CBOR_KIND_NULL:
    case CBOR_KIND_UNDEFINED:
        return true;
    case CBOR_KIND_UNSIGNED:
    case CBOR_KIND_NEGATIVE:
    case CBOR_KIND_TAG:
        break;
    }
    if (head_len != cbor_head_len(head->value)) {
        return gh_fail(err, GH_SIG_MALFORMED, "a CBOR head is not in its shortest form");
    }
    return true;
}

/* libcbor before 0.9 refuses the tags 6 to 20, COSE_Sign1's 18 among them, so tags are read here.
 */
static bool cbor_next_tag(struct bytes *in, struct cbor_head *out, struct gh_error *err)
{
    struct bytes rest = *in;
    struct bytes argument;
    uint8_t first;
    uint64_t value = 0;

    GH_TRY(bytes_u8(&rest, &first, err));
    first &= 0x1f;
    if (first >= 28) {
        return gh_fail(err, GH_SIG_MALFORMED, "a CBOR tag of a reserved form");
    }
    GH_TRY(bytes_take(&rest, first < 24 ? 0 : (size_t)1 << (first - 24), &argument, err));
    value = first < 24 ? first : 0;
    for (size_t i = 0; i < argument.len; i++) {
        value = value << 8 | argument.data[i];
    }
    if (in->len - rest.len != cbor_head_len(value)) {
        return gh_fail(err, GH_SIG_MALFORMED, "a CBOR head is not in its shortest form");
    }
    *in = rest;
    *out = (struct cbor_head){.kind = CBOR_KIND_TAG, .value = value};
    return true;
}

bool cbor_next(struct bytes *in, struct cbor_head *out, struct gh_error *err)
{
    struct cbor_step step = {0};
    struct cbor_decoder_result result;

    if (in->len == 0) {
        return gh_fail(err, GH_SIG_MALFORMED, "CBOR ends where an item should begin");
    }
    if (in->data[0] >> 5 == 6) {
        return cbor_next_tag(in, out, err);
    }
    result = cbor_stream_decode(in->data, in->len, &cbor_steps, &step);
    if (result.status != CBOR_DECODER_FINISHED || result.read == 0 || result.read > in->len) {
        return gh_fail(err, GH_SIG_MALFORMED, "CBOR is cut short or of a reserved form");
    }
    if (step.is_indefinite) {
        return gh_fail(err, GH_SIG_MALFORMED, "CBOR of indefinite length");
    }
    GH_TRY(cbor_check_head(&step, result.read, err));
    *in = (struct bytes){in->data + result.read, in->len - result.read};
    *out = step.head;
    return true;
}

bool cbor_take(struct bytes *in, enum cbor_kind kind, struct cbor_head *out, struct gh_error *err)
{
    static const char *const names[] = {
        [CBOR_KIND_UNSIGNED] = "an unsigned integer",
        [CBOR_KIND_NEGATIVE] = "a negative integer",
        [CBOR_KIND_BYTES] = "a byte string",
        [CBOR_KIND_TEXT] = "a text string",
        [CBOR_KIND_ARRAY] = "an array",
        [CBOR_KIND_MAP] = "a map",
        [CBOR_KIND_TAG] = "a tag",
        [CBOR_KIND_FLOAT] = "a float",
        [CBOR_KIND_BOOL] = "a boolean",
        [CBOR_KIND_NULL] = "null",
        [CBOR_KIND_UNDEFINED] = "undefined",
    };
    struct bytes rest = *in;
    struct cbor_head head;

    GH_TRY(cbor_next(&rest, &head, err));
    if (head.kind != kind) {
        return gh_fail(err, GH_SIG_MALFORMED, "CBOR: wanted %s, found %s", names[kind],
                       names[head.kind]);
    }
    *in = rest;
    *out = head;
    return true;
}

bool cbor_bytes(struct bytes *in, struct bytes *out, struct gh_error *err)
{
    struct cbor_head head;

    GH_TRY(cbor_take(in, CBOR_KIND_BYTES, &head, err));
    *out = head.content;
    return true;
}

bool cbor_text(struct bytes *in, struct bytes *out, struct gh_error *err)
{
    struct cbor_head head;

    GH_TRY(cbor_take(in, CBOR_KIND_TEXT, &head, err));
    *out = head.content;
    return true;
}

bool cbor_head_int64(const struct cbor_head *head, int64_t *out, struct gh_error *err)
{
    if (head->kind != CBOR_KIND_UNSIGNED && head->kind != CBOR_KIND_NEGATIVE) {
        return gh_fail(err, GH_SIG_MALFORMED, "CBOR: wanted an integer");
    }
    if (head->value > INT64_MAX) {
        return gh_fail(err, GH_SIG_MALFORMED, "a CBOR integer is out of range");
    }
    *out = head->kind == CBOR_KIND_UNSIGNED ? (int64_t)head->value : -1 - (int64_t)head->value;
    return true;
}

bool cbor_int64(struct bytes *in, int64_t *out, struct gh_error *err)
{
    struct bytes rest = *in;
    struct cbor_head head;

    GH_TRY(cbor_next(&rest, &head, err));
    GH_TRY(cbor_head_int64(&head, out, err));
    *in = rest;
    return true;
}

static bool cbor_walk(struct bytes *in, unsigned depth, struct gh_error *err);

/* Shortest heads make equal keys equal bytes, so comparing them as they stand is enough. */
static bool cbor_walk_map(struct bytes *in, uint64_t count, unsigned depth, struct gh_error *err)
{
    struct bytes keys[CBOR_MAX_ENTRIES];

    assert(count <= CBOR_MAX_ENTRIES);
    for (uint64_t i = 0; i < count; i++) {
        const uint8_t *start = in->data;

        GH_TRY(cbor_walk(in, depth, err));
        keys[i] = bytes_make(start, (size_t)(in->data - start));
        if (keys[i].len > CBOR_MAX_KEY_BYTES) {
            /* Maps as keys of maps, all of one length, would cost their square at every level. */
            return gh_fail(err, GH_SIZE_LIMIT_EXCEEDED,
                           "a key of a CBOR map has more than %d bytes", CBOR_MAX_KEY_BYTES);
        }
        for (uint64_t k = 0; k < i; k++) {
            if (bytes_equal(keys[k], keys[i])) {
                return gh_fail(err, GH_SIG_MALFORMED, "a CBOR map has the same key twice");
            }
        }
        GH_TRY(cbor_walk(in, depth, err));
    }
    return true;
}

static bool cbor_walk(struct bytes *in, unsigned depth, struct gh_error *err)
{
    struct cbor_head head;

    if (depth == 0) {
        return gh_fail(err, GH_SIG_MALFORMED, "CBOR is nested too deeply");
    }
    GH_TRY(cbor_next(in, &head, err));
    if (head.kind == CBOR_KIND_TAG) {
        if (head.value != CBOR_TAG_EPOCH) {
            return gh_fail(err, GH_SIG_MALFORMED, "CBOR tag %llu is not accepted",
                           (unsigned long long)head.value);
        }
        return cbor_walk(in, depth - 1, err);
    }
    if (head.kind == CBOR_KIND_MAP) {
        return cbor_walk_map(in, head.value, depth - 1, err);
    }
    if (head.kind == CBOR_KIND_ARRAY) {
        for (uint64_t i = 0; i < head.value; i++) {
            GH_TRY(cbor_walk(in, depth - 1, err));
        }
    }
    return true;
}

bool cbor_skip(struct bytes *in, unsigned depth, struct bytes *whole, struct gh_error *err)
{
    struct bytes rest = *in;

    GH_TRY(cbor_walk(&rest, GH_MIN(depth, CBOR_MAX_DEPTH), err));
    *whole = bytes_slice(*in, 0, in->len - rest.len);
    *in = rest;
    return true;
}

size_t cbor_put_head(enum cbor_kind kind, uint64_t value, uint8_t out[CBOR_MAX_HEAD])
{
    static const uint8_t majors[] = {
        [CBOR_KIND_UNSIGNED] = 0x00, [CBOR_KIND_NEGATIVE] = 0x20, [CBOR_KIND_BYTES] = 0x40,
        [CBOR_KIND_TEXT] = 0x60,     [CBOR_KIND_ARRAY] = 0x80,    [CBOR_KIND_MAP] = 0xa0,
        [CBOR_KIND_TAG] = 0xc0,
    };
    size_t len = cbor_head_len(value);
    size_t argument = len - 1;

    assert(kind <= CBOR_KIND_TAG);
    if (argument == 0) {
        out[0] = (uint8_t)(majors[kind] | value);
        return 1;
    }
    out[0] = (uint8_t)(majors[kind] | (argument == 1   ? 24
                                       : argument == 2 ? 25
                                       : argument == 4 ? 26
                                                       : 27));
    for (size_t i = 0; i < argument; i++) {
        out[1 + i] = (uint8_t)(value >> (8 * (argument - 1 - i)));
    }
    return len;
}
