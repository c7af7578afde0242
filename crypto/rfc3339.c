#include "crypto/rfc3339.h"

#include <string.h>

static bool rfc3339_digits(struct bytes *in, size_t count, int *out)
{
    int value = 0;

    if (in->len < count) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (in->data[i] < '0' || in->data[i] > '9') {
            return false;
        }
        value = value * 10 + (in->data[i] - '0');
    }
    *in = bytes_slice(*in, count, SIZE_MAX);
    *out = value;
    return true;
}

static bool rfc3339_byte(struct bytes *in, const char *accepted)
{
    if (in->len == 0 || strchr(accepted, in->data[0]) == NULL || in->data[0] == '\0') {
        return false;
    }
    *in = bytes_slice(*in, 1, SIZE_MAX);
    return true;
}

static bool rfc3339_zone(struct bytes *in, int64_t *offset_s)
{
    bool is_west;
    int hours, minutes;

    *offset_s = 0;
    if (rfc3339_byte(in, "Z")) {
        return in->len == 0;
    }
    is_west = in->len > 0 && in->data[0] == '-';
    if (!rfc3339_byte(in, "+-") || !rfc3339_digits(in, 2, &hours) || !rfc3339_byte(in, ":") ||
        !rfc3339_digits(in, 2, &minutes) || in->len != 0 || hours > 23 || minutes > 59) {
        return false;
    }
    *offset_s = (is_west ? -1 : 1) * (int64_t)(hours * 3600 + minutes * 60);
    return true;
}

static int64_t rfc3339_days(int year, int month, int day)
{
    /* days since 1970-01-01 of the proleptic Gregorian calendar, years from March on */
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = y / 400, of_era = y - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

bool rfc3339_parse(struct bytes text, int64_t *out)
{
    static const int month_days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    struct bytes in = text;
    int year, month, day, hour, minute, second, digit;
    bool is_leap;
    int64_t offset_s;

    if (!rfc3339_digits(&in, 4, &year) || !rfc3339_byte(&in, "-") ||
        !rfc3339_digits(&in, 2, &month) || !rfc3339_byte(&in, "-") ||
        !rfc3339_digits(&in, 2, &day) || !rfc3339_byte(&in, "T") ||
        !rfc3339_digits(&in, 2, &hour) || !rfc3339_byte(&in, ":") ||
        !rfc3339_digits(&in, 2, &minute) || !rfc3339_byte(&in, ":") ||
        !rfc3339_digits(&in, 2, &second)) {
        return false;
    }
    is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    if (month < 1 || month > 12 || day < 1 || day > month_days[month - 1] ||
        (month == 2 && day == 29 && !is_leap) || hour > 23 || minute > 59 || second > 59) {
        return false;
    }
    if (rfc3339_byte(&in, ".")) {
        if (!rfc3339_digits(&in, 1, &digit)) {
            return false;
        }
        while (rfc3339_digits(&in, 1, &digit)) {
        }
    }
    if (!rfc3339_zone(&in, &offset_s)) {
        return false;
    }
    *out = rfc3339_days(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset_s;
    return true;
}
