/*
 * Decimal numbers as they are written: compared by value, without rounding.
 *
 * Threads: any; no shared state
 */
#ifndef POLICY_PREDICATE_DECIMAL_H
#define POLICY_PREDICATE_DECIMAL_H

#include <jansson.h>

#include "crypto/bytes.h"
#include "gatehouse.h"

#define PREDICATE_MAX_DIGITS 400 /* significant digits of one number */

/* 0.d1d2d3… × 10^point; no digits: zero. */
struct predicate_decimal {
    bool is_negative;
    int64_t point;
    size_t count;
    char digits[PREDICATE_MAX_DIGITS];
};

/* Read a JSON number's text. False (an answer) where TEXT is no such number, or too long. */
bool predicate_decimal_parse(struct bytes text, struct predicate_decimal *out);

/* The number a parsed document holds: integers exactly; a fraction as the shortest decimal that
 * reads back as the same double, which is the text it came from up to 15 digits. */
bool predicate_decimal_of(const json_t *number, struct predicate_decimal *out);

/* Less than, equal to, or greater than zero. */
int predicate_decimal_compare(const struct predicate_decimal *a, const struct predicate_decimal *b);

#endif
