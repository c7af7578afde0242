/*
 * The grammars of single values: durations, sizes, times, nearest words.
 */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "policy/config_schema.h"

#define CONFIG_MAX_DIGITS 15
#define CONFIG_NEAR_MAX 64

struct config_unit {
    const char *name;
    int64_t factor;
};

/* Digits at the front of *text; false when there are none or too many. */
static bool config_digits(const char **text, int64_t *out)
{
    size_t len = strspn(*text, "0123456789");
    int64_t value = 0;

    if (len == 0 || len > CONFIG_MAX_DIGITS) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        value = value * 10 + ((*text)[i] - '0');
    }
    *text += len;
    *out = value;
    return true;
}

static bool config_scaled(const char *text, const struct config_unit *units, size_t count,
                          int64_t *out)
{
    int64_t value = 0;

    if (!config_digits(&text, &value)) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (strcmp(text, units[i].name) == 0 && value <= INT64_MAX / units[i].factor) {
            *out = value * units[i].factor;
            return true;
        }
    }
    return false;
}

bool config_parse_duration(const char *text, int64_t *out_s)
{
    static const struct config_unit units[] = {
        {"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}, {"w", 7 * 86400}};

    return config_scaled(text, units, GH_COUNT(units), out_s);
}

bool config_parse_size(const char *text, int64_t *out_bytes)
{
    static const struct config_unit units[] = {{"", 1},
                                               {"B", 1},
                                               {"KiB", INT64_C(1) << 10},
                                               {"MiB", INT64_C(1) << 20},
                                               {"GiB", INT64_C(1) << 30},
                                               {"TiB", INT64_C(1) << 40}};

    return config_scaled(text, units, GH_COUNT(units), out_bytes);
}

static bool config_is_leap(int64_t year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* Days since 1970-01-01 of the proleptic Gregorian calendar. */
static int64_t config_days(int64_t year, int64_t month, int64_t day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = y / 400;
    int64_t of_era = y - era * 400;
    int64_t of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;

    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

/* COUNT digits, then SEPARATOR (0: none). */
static bool config_part(const char **text, size_t count, char separator, int64_t *out)
{
    int64_t value = 0;

    for (size_t i = 0; i < count; i++) {
        if ((*text)[i] < '0' || (*text)[i] > '9') {
            return false;
        }
        value = value * 10 + ((*text)[i] - '0');
    }
    *text += count;
    if (separator != '\0') {
        if (**text != separator) {
            return false;
        }
        ++*text;
    }
    *out = value;
    return true;
}

bool config_parse_time(const char *text, enum config_type type, int64_t *out_unix_s)
{
    static const int month_days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int64_t year, month, day, hour, minute, second;
    int64_t days;

    if (!config_part(&text, 4, '-', &year) || !config_part(&text, 2, '-', &month) ||
        !config_part(&text, 2, '\0', &day) || year < 1970 || month < 1 || month > 12 || day < 1 ||
        day > month_days[month - 1] + (month == 2 && config_is_leap(year) ? 1 : 0)) {
        return false;
    }
    days = config_days(year, month, day);
    if (*text == '\0') {
        *out_unix_s = days * 86400;
        if (type == CONFIG_LAST) {
            *out_unix_s += 86399;
        } else if (type == CONFIG_END) {
            *out_unix_s += 86400;
        }
        return true;
    }
    if (*text++ != 'T' || !config_part(&text, 2, ':', &hour) ||
        !config_part(&text, 2, ':', &minute) || !config_part(&text, 2, '\0', &second) ||
        hour > 23 || minute > 59 || second > 59) {
        return false;
    }
    if (*text == '.') { /* fractions of a second say nothing here */
        size_t len = strspn(text + 1, "0123456789");

        if (len == 0 || len > 9) {
            return false;
        }
        text += 1 + len;
    }
    if (strcmp(text, "Z") != 0) {
        return false;
    }
    *out_unix_s = days * 86400 + hour * 3600 + minute * 60 + second;
    return true;
}

/* Edits (insert, delete, replace, swap of neighbours) from A to B. */
static unsigned config_distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
    unsigned rows[3][CONFIG_NEAR_MAX + 1];
    unsigned *before = rows[0];
    unsigned *last = rows[1];
    unsigned *row = rows[2];

    if (a_len > CONFIG_NEAR_MAX || b_len > CONFIG_NEAR_MAX) {
        return UINT_MAX;
    }
    for (size_t j = 0; j <= b_len; j++) {
        last[j] = (unsigned)j;
        before[j] = 0;
    }
    for (size_t i = 1; i <= a_len; i++) {
        unsigned *free_row = before;

        row[0] = (unsigned)i;
        for (size_t j = 1; j <= b_len; j++) {
            unsigned best = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);

            best = GH_MIN(best, last[j] + 1);
            best = GH_MIN(best, row[j - 1] + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                best = GH_MIN(best, before[j - 2] + 1);
            }
            row[j] = best;
        }
        before = last;
        last = row;
        row = free_row;
    }
    return last[b_len];
}

const char *config_nearest(const char *text, const char *words, char *out, size_t size)
{
    size_t len = strlen(text);
    unsigned best = len <= 3 ? 2 : (unsigned)GH_MIN(len / 3 + 2, 5);
    bool is_found = false;

    while (words != NULL && *words != '\0') {
        size_t word = strcspn(words, "|");
        unsigned distance = config_distance(text, len, words, word);

        if (distance < best && word < size) {
            best = distance;
            memcpy(out, words, word);
            out[word] = '\0';
            is_found = true;
        }
        words += word + (words[word] == '|' ? 1 : 0);
    }
    return is_found ? out : NULL;
}
