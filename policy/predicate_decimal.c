#include "policy/predicate_decimal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DECIMAL_MAX_EXPONENT 1000000

struct decimal_reader {
    struct bytes rest;
    struct predicate_decimal value;
    bool has_digits;
};

static bool decimal_is_digit(struct bytes in)
{
    return in.len > 0 && in.data[0] >= '0' && in.data[0] <= '9';
}

static bool decimal_skip(struct bytes *in, const char *accepted)
{
    if (in->len == 0 || in->data[0] == '\0' || strchr(accepted, in->data[0]) == NULL) {
        return false;
    }
    *in = bytes_slice(*in, 1, SIZE_MAX);
    return true;
}

/* Digits of either side of the point; leading zeros only move it. */
static bool decimal_digits(struct decimal_reader *reader, bool is_fraction)
{
    struct predicate_decimal *value = &reader->value;

    while (decimal_is_digit(reader->rest)) {
        char digit = (char)reader->rest.data[0];

        reader->has_digits = true;
        reader->rest = bytes_slice(reader->rest, 1, SIZE_MAX);
        if (value->count > 0 || digit != '0') {
            if (value->count == PREDICATE_MAX_DIGITS) {
                return false;
            }
            value->digits[value->count++] = digit;
            value->point += is_fraction ? 0 : 1;
        } else if (is_fraction) {
            value->point--;
        }
    }
    return true;
}

static bool decimal_exponent(struct decimal_reader *reader)
{
    bool is_negative;
    int64_t exponent = 0;

    if (!decimal_skip(&reader->rest, "eE")) {
        return true;
    }
    is_negative = reader->rest.len > 0 && reader->rest.data[0] == '-';
    (void)decimal_skip(&reader->rest, "+-");
    if (!decimal_is_digit(reader->rest)) {
        return false;
    }
    while (decimal_is_digit(reader->rest)) {
        exponent = exponent * 10 + (reader->rest.data[0] - '0');
        if (exponent > DECIMAL_MAX_EXPONENT) {
            return false;
        }
        reader->rest = bytes_slice(reader->rest, 1, SIZE_MAX);
    }
    reader->value.point += is_negative ? -exponent : exponent;
    return true;
}

bool predicate_decimal_parse(struct bytes text, struct predicate_decimal *out)
{
    struct decimal_reader reader = {.rest = text};

    reader.value.is_negative = decimal_skip(&reader.rest, "-");
    if (!decimal_digits(&reader, false) || !reader.has_digits) {
        return false;
    }
    if (decimal_skip(&reader.rest, ".")) {
        reader.has_digits = false;
        if (!decimal_digits(&reader, true) || !reader.has_digits) {
            return false;
        }
    }
    if (!decimal_exponent(&reader) || reader.rest.len > 0) {
        return false;
    }
    while (reader.value.count > 0 && reader.value.digits[reader.value.count - 1] == '0') {
        reader.value.count--;
    }
    if (reader.value.count == 0) {
        reader.value.point = 0;
        reader.value.is_negative = false; /* there is one zero */
    }
    *out = reader.value;
    return true;
}

bool predicate_decimal_of(const json_t *number, struct predicate_decimal *out)
{
    char text[64];

    if (json_is_integer(number)) {
        (void)snprintf(text, sizeof(text), "%" PRId64, (int64_t)json_integer_value(number));
        return predicate_decimal_parse(bytes_of(text), out);
    }
    if (!json_is_real(number)) {
        return false;
    }
    for (int digits = 15; digits <= 17; digits++) {
        (void)snprintf(text, sizeof(text), "%.*g", digits, json_real_value(number));
        if (strtod(text, NULL) == json_real_value(number)) {
            break;
        }
    }
    return predicate_decimal_parse(bytes_of(text), out);
}

/* Of absolute values. */
static int decimal_compare_size(const struct predicate_decimal *a,
                                const struct predicate_decimal *b)
{
    if (a->count == 0 || b->count == 0) {
        return (a->count > 0) - (b->count > 0);
    }
    if (a->point != b->point) {
        return a->point < b->point ? -1 : 1;
    }
    return bytes_compare(bytes_make(a->digits, a->count), bytes_make(b->digits, b->count));
}

int predicate_decimal_compare(const struct predicate_decimal *a, const struct predicate_decimal *b)
{
    if (a->is_negative != b->is_negative) {
        return a->is_negative ? -1 : 1;
    }
    return a->is_negative ? decimal_compare_size(b, a) : decimal_compare_size(a, b);
}
