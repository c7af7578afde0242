#include "crypto/der.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "metrics/error.h"

static bool der_refuse(struct gh_error *err, const char *why)
{
    return gh_fail(err, GH_SIG_MALFORMED, "not strict DER: %s", why);
}

static bool der_read_length(struct bytes *in, size_t *out, struct gh_error *err)
{
    uint8_t first;
    size_t len = 0;

    GH_TRY(bytes_u8(in, &first, err));
    if (first < 0x80) {
        *out = first;
        return true;
    }
    if (first == 0x80) {
        return der_refuse(err, "a length is indefinite");
    }
    first &= 0x7f;
    if (first > 4) {
        return der_refuse(err, "a length has more than four octets");
    }
    for (unsigned i = 0; i < first; i++) {
        uint8_t octet;

        GH_TRY(bytes_u8(in, &octet, err));
        if (i == 0 && octet == 0) {
            return der_refuse(err, "a length has leading zeros");
        }
        len = len << 8 | octet;
    }
    if (len < 0x80) {
        return der_refuse(err, "a short length is written in the long form");
    }
    *out = len;
    return true;
}

bool der_next(struct bytes *in, struct der_item *out, struct gh_error *err)
{
    struct der_item item = {0};
    struct bytes rest = *in;
    size_t len = 0;

    GH_TRY(bytes_u8(&rest, &item.tag, err));
    if ((item.tag & 0x1f) == 0x1f) {
        return der_refuse(err, "a tag has more than one octet");
    }
    GH_TRY(der_read_length(&rest, &len, err));
    if (len > DER_MAX_ITEM_BYTES) {
        return gh_fail(err, GH_SIZE_LIMIT_EXCEEDED, "a DER item has %zu bytes, at most %u are read",
                       len, DER_MAX_ITEM_BYTES);
    }
    if (len > rest.len) {
        return der_refuse(err, "an item is longer than what contains it");
    }
    GH_TRY(bytes_take(&rest, len, &item.content, err));
    item.whole = bytes_slice(*in, 0, in->len - rest.len);
    *in = rest;
    *out = item;
    return true;
}

bool der_is_next(struct bytes in, uint8_t tag)
{
    return in.len > 0 && in.data[0] == tag;
}

static bool der_next_tagged(struct bytes *in, uint8_t tag, struct der_item *out,
                            struct gh_error *err)
{
    if (in->len == 0) {
        return gh_fail(err, GH_SIG_MALFORMED, "not strict DER: tag 0x%02x is missing", tag);
    }
    if (in->data[0] != tag) {
        return gh_fail(err, GH_SIG_MALFORMED, "not strict DER: tag 0x%02x stands where 0x%02x must",
                       in->data[0], tag);
    }
    return der_next(in, out, err);
}

bool der_take(struct bytes *in, uint8_t tag, struct bytes *content, struct gh_error *err)
{
    struct der_item item;

    GH_TRY(der_next_tagged(in, tag, &item, err));
    *content = item.content;
    return true;
}

bool der_take_whole(struct bytes *in, uint8_t tag, struct bytes *whole, struct gh_error *err)
{
    struct der_item item;

    GH_TRY(der_next_tagged(in, tag, &item, err));
    *whole = item.whole;
    return true;
}

bool der_opt(struct bytes *in, uint8_t tag, struct bytes *content, struct gh_error *err)
{
    if (!der_is_next(*in, tag)) {
        *content = bytes_make(NULL, 0);
        return true;
    }
    return der_take(in, tag, content, err);
}

bool der_end(const struct bytes *in, struct gh_error *err)
{
    if (in->len != 0) {
        return gh_fail(err, GH_SIG_MALFORMED, "not strict DER: %zu bytes are left over", in->len);
    }
    return true;
}

bool der_only(struct bytes in, uint8_t tag, struct bytes *content, struct gh_error *err)
{
    struct bytes inner;

    GH_TRY(der_take(&in, tag, &inner, err));
    GH_TRY(der_end(&in, err));
    *content = inner;
    return true;
}

static bool der_check_items(struct bytes in, unsigned depth, struct gh_error *err)
{
    while (in.len > 0) {
        struct der_item item;

        GH_TRY(der_next(&in, &item, err));
        if ((item.tag & 0x20) == 0) {
            continue;
        }
        if (depth == 0) {
            return gh_fail(err, GH_COUNT_LIMIT_EXCEEDED, "DER is nested too deeply");
        }
        GH_TRY(der_check_items(item.content, depth - 1, err));
    }
    return true;
}

bool der_check(struct bytes in, unsigned depth, struct gh_error *err)
{
    struct bytes rest = in;
    struct der_item item;

    GH_TRY(der_next(&rest, &item, err));
    GH_TRY(der_end(&rest, err));
    return der_check_items(in, GH_MIN(depth, (unsigned)DER_MAX_DEPTH), err);
}

bool der_bool(struct bytes *in, bool *out, struct gh_error *err)
{
    struct bytes rest = *in;
    struct bytes content;

    GH_TRY(der_take(&rest, DER_BOOLEAN, &content, err));
    if (content.len != 1 || (content.data[0] != 0 && content.data[0] != 0xff)) {
        return der_refuse(err, "a BOOLEAN is neither 00 nor FF");
    }
    *in = rest;
    *out = content.data[0] == 0xff;
    return true;
}

bool der_opt_bool(struct bytes *in, bool *out, struct gh_error *err)
{
    if (!der_is_next(*in, DER_BOOLEAN)) {
        *out = false;
        return true;
    }
    return der_bool(in, out, err);
}

static bool der_check_integer(struct bytes content, struct gh_error *err)
{
    if (content.len == 0) {
        return der_refuse(err, "an INTEGER is empty");
    }
    if (content.len > 1 && ((content.data[0] == 0 && (content.data[1] & 0x80) == 0) ||
                            (content.data[0] == 0xff && (content.data[1] & 0x80) != 0))) {
        return der_refuse(err, "an INTEGER is not minimal");
    }
    return true;
}

bool der_integer(struct bytes *in, struct bytes *out, struct gh_error *err)
{
    struct bytes rest = *in;
    struct bytes content;

    GH_TRY(der_take(&rest, DER_INTEGER, &content, err));
    GH_TRY(der_check_integer(content, err));
    *in = rest;
    *out = content;
    return true;
}

bool der_int64_content(struct bytes content, int64_t *out, struct gh_error *err)
{
    uint64_t value;

    GH_TRY(der_check_integer(content, err));
    if (content.len > 8) {
        return der_refuse(err, "an INTEGER is too large here");
    }
    value = (content.data[0] & 0x80) != 0 ? UINT64_MAX : 0;
    for (size_t i = 0; i < content.len; i++) {
        value = value << 8 | content.data[i];
    }
    *out = (int64_t)value;
    return true;
}

bool der_int64(struct bytes *in, int64_t *out, struct gh_error *err)
{
    struct bytes rest = *in;
    struct bytes content;

    GH_TRY(der_take(&rest, DER_INTEGER, &content, err));
    GH_TRY(der_int64_content(content, out, err));
    *in = rest;
    return true;
}

bool der_oid(struct bytes *in, struct bytes *out, struct gh_error *err)
{
    struct bytes rest = *in;
    struct bytes content;
    bool is_start = true;

    GH_TRY(der_take(&rest, DER_OID, &content, err));
    if (content.len == 0 || content.len > DER_MAX_OID_BYTES) {
        return der_refuse(err, "an OBJECT IDENTIFIER is empty or too long");
    }
    for (size_t i = 0; i < content.len; i++) {
        if (is_start && content.data[i] == 0x80) {
            return der_refuse(err, "an OBJECT IDENTIFIER has an arc with leading zeros");
        }
        is_start = (content.data[i] & 0x80) == 0;
    }
    if (!is_start) {
        return der_refuse(err, "an OBJECT IDENTIFIER ends within an arc");
    }
    *in = rest;
    *out = content;
    return true;
}

bool der_octets(struct bytes *in, struct bytes *out, struct gh_error *err)
{
    return der_take(in, DER_OCTET_STRING, out, err);
}

bool der_bits(struct bytes *in, struct bytes *out, struct gh_error *err)
{
    struct bytes rest = *in;
    struct bytes content;

    GH_TRY(der_take(&rest, DER_BIT_STRING, &content, err));
    if (content.len == 0 || content.data[0] != 0) {
        return der_refuse(err, "a BIT STRING does not hold whole octets");
    }
    *in = rest;
    *out = bytes_slice(content, 1, content.len - 1);
    return true;
}

bool der_named_bits(struct bytes *in, uint16_t *out, struct gh_error *err)
{
    struct bytes rest = *in;
    struct bytes content;
    uint16_t bits = 0;
    uint8_t unused;

    GH_TRY(der_take(&rest, DER_BIT_STRING, &content, err));
    if (content.len == 0 || content.len > 3) {
        return der_refuse(err, "a BIT STRING of flags is empty or too long");
    }
    unused = content.data[0];
    if (unused > 7 || (content.len == 1 && unused != 0)) {
        return der_refuse(err, "a BIT STRING has an impossible count of unused bits");
    }
    if (content.len > 1) {
        uint8_t last = content.data[content.len - 1];

        if ((last & ((1u << unused) - 1)) != 0) {
            return der_refuse(err, "a BIT STRING sets unused bits");
        }
        if ((last >> unused & 1) == 0) {
            return der_refuse(err, "a BIT STRING of flags has trailing zeros");
        }
    }
    for (size_t i = 1; i < content.len; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            if ((content.data[i] & (0x80u >> bit)) != 0) {
                bits = (uint16_t)(bits | 1u << ((i - 1) * 8 + bit));
            }
        }
    }
    *in = rest;
    *out = bits;
    return true;
}

bool der_null(struct bytes *in, struct gh_error *err)
{
    struct bytes rest = *in;
    struct bytes content;

    GH_TRY(der_take(&rest, DER_NULL, &content, err));
    if (content.len != 0) {
        return der_refuse(err, "a NULL has content");
    }
    *in = rest;
    return true;
}

static bool der_digits(struct bytes *in, unsigned count, int *out, struct gh_error *err)
{
    int value = 0;

    for (unsigned i = 0; i < count; i++) {
        uint8_t c;

        GH_TRY(bytes_u8(in, &c, err));
        if (c < '0' || c > '9') {
            return der_refuse(err, "a time has a character that is no digit");
        }
        value = value * 10 + (c - '0');
    }
    *out = value;
    return true;
}

static int64_t der_days_from_civil(int year, int month, int day)
{
    int64_t y = year - (month <= 2 ? 1 : 0);
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t year_of_era = y - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

    return era * 146097 + day_of_era - 719468;
}

static int der_month_days(int year, int month)
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return month == 2 && is_leap ? 29 : days[month - 1];
}

/* Month to second, behind a year already read. */
static bool der_read_moment(struct bytes *in, int year, int64_t *unix_s, struct gh_error *err)
{
    int month = 0;
    int day = 0;
    int hour = 0;
    int minute = 0;
    int second = 0;

    GH_TRY(der_digits(in, 2, &month, err));
    GH_TRY(der_digits(in, 2, &day, err));
    GH_TRY(der_digits(in, 2, &hour, err));
    GH_TRY(der_digits(in, 2, &minute, err));
    GH_TRY(der_digits(in, 2, &second, err));
    if (month < 1 || month > 12 || day < 1 || day > der_month_days(year, month) || hour > 23 ||
        minute > 59 || second > 59) {
        return der_refuse(err, "a time names no moment of the calendar");
    }
    *unix_s = der_days_from_civil(year, month, day) * 86400 + hour * 3600 + minute * 60 + second;
    return true;
}

static bool der_read_zulu(struct bytes *in, struct gh_error *err)
{
    uint8_t c;

    GH_TRY(bytes_u8(in, &c, err));
    if (c != 'Z') {
        return der_refuse(err, "a time does not end in Z");
    }
    return der_end(in, err);
}

bool der_time(struct bytes *in, int64_t *unix_s, struct gh_error *err)
{
    struct bytes rest = *in;
    struct der_item item;
    int64_t seconds = 0;
    int year = 0;

    GH_TRY(der_next(&rest, &item, err));
    if (item.tag == DER_UTC_TIME) {
        GH_TRY(der_digits(&item.content, 2, &year, err));
        year += year < 50 ? 2000 : 1900;
    } else if (item.tag == DER_GENERALIZED_TIME) {
        GH_TRY(der_digits(&item.content, 4, &year, err));
    } else {
        return der_refuse(err, "a time is neither UTCTime nor GeneralizedTime");
    }
    GH_TRY(der_read_moment(&item.content, year, &seconds, err));
    GH_TRY(der_read_zulu(&item.content, err));
    *in = rest;
    *unix_s = seconds;
    return true;
}

static bool der_read_fraction(struct bytes *in, uint32_t *nanos, struct gh_error *err)
{
    uint32_t value = 0;
    uint8_t last = 0;
    unsigned count = 0;

    while (in->len > 0 && in->data[0] >= '0' && in->data[0] <= '9') {
        GH_TRY(bytes_u8(in, &last, err));
        if (++count > 9) {
            return der_refuse(err, "a time has more than nine digits of fraction");
        }
        value = value * 10 + (uint32_t)(last - '0');
    }
    if (count == 0 || last == '0') {
        return der_refuse(err, "a fraction of a second is empty or ends in 0");
    }
    for (; count < 9; count++) {
        value *= 10;
    }
    *nanos = value;
    return true;
}

bool der_generalized_time(struct bytes *in, struct der_time *out, struct gh_error *err)
{
    struct bytes rest = *in;
    struct der_time moment = {0};
    struct bytes content;
    int year = 0;

    GH_TRY(der_take(&rest, DER_GENERALIZED_TIME, &content, err));
    GH_TRY(der_digits(&content, 4, &year, err));
    GH_TRY(der_read_moment(&content, year, &moment.unix_s, err));
    if (der_is_next(content, '.')) {
        content = bytes_slice(content, 1, content.len - 1);
        GH_TRY(der_read_fraction(&content, &moment.nanos, err));
    }
    GH_TRY(der_read_zulu(&content, err));
    *in = rest;
    *out = moment;
    return true;
}

bool der_oid_text(struct bytes oid, char out[DER_MAX_OID_TEXT], struct gh_error *err)
{
    char text[DER_MAX_OID_TEXT] = "";
    size_t used = 0;
    uint64_t arc = 0;
    bool is_first = true;

    for (size_t i = 0; i < oid.len; i++) {
        int wrote;

        if (arc > UINT64_MAX >> 7) {
            return der_refuse(err, "an OBJECT IDENTIFIER has an arc past 64 bits");
        }
        arc = arc << 7 | (oid.data[i] & 0x7f);
        if ((oid.data[i] & 0x80) != 0) {
            continue;
        }
        if (is_first) {
            unsigned root = arc < 40 ? 0 : arc < 80 ? 1 : 2;

            wrote = snprintf(text, sizeof(text), "%u.%" PRIu64, root, arc - root * 40);
        } else {
            wrote = snprintf(text + used, sizeof(text) - used, ".%" PRIu64, arc);
        }
        if (wrote < 0 || (size_t)wrote >= sizeof(text) - used) {
            return der_refuse(err, "an OBJECT IDENTIFIER is too long");
        }
        used += (size_t)wrote;
        is_first = false;
        arc = 0;
    }
    memcpy(out, text, sizeof(text));
    return true;
}

size_t der_put_header(uint8_t tag, size_t len, uint8_t out[DER_MAX_HEADER])
{
    unsigned octets = 0;

    assert(len <= UINT32_MAX);
    out[0] = tag;
    if (len < 0x80) {
        out[1] = (uint8_t)len;
        return 2;
    }
    for (size_t rest = len; rest > 0; rest >>= 8) {
        octets++;
    }
    out[1] = (uint8_t)(0x80 | octets);
    for (unsigned i = 0; i < octets; i++) {
        out[2 + i] = (uint8_t)(len >> (8 * (octets - 1 - i)));
    }
    return 2 + octets;
}
