#include "proxy/semantics.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

const char *semantics_status_text(unsigned status)
{
    static const struct {
        unsigned status;
        const char *text;
    } rows[] = {
        {200, "OK"},
        {404, "Not Found"},
        {403, "Forbidden"},
        {206, "Partial Content"},
        {304, "Not Modified"},
        {307, "Temporary Redirect"},
        {401, "Unauthorized"},
        {503, "Service Unavailable"},
        {100, "Continue"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No Content"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {303, "See Other"},
        {308, "Permanent Redirect"},
        {400, "Bad Request"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {411, "Length Required"},
        {412, "Precondition Failed"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {416, "Range Not Satisfiable"},
        {417, "Expectation Failed"},
        {421, "Misdirected Request"},
        {422, "Unprocessable Content"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
        {507, "Insufficient Storage"},
    };

    for (size_t i = 0; i < GH_COUNT(rows); i++) {
        if (rows[i].status == status) {
            return rows[i].text;
        }
    }
    return "Unknown";
}

void semantics_date(int64_t unix_s, char *out)
{
    static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t when = (time_t)unix_s;
    struct tm tm;

    /* Own names: those of strftime() follow the locale. */
    if (gmtime_r(&when, &tm) == NULL || tm.tm_year < -1900 || tm.tm_year > 8099) {
        memcpy(out, "Thu, 01 Jan 1970 00:00:00 GMT", SEMANTICS_DATE_BYTES + 1);
        return;
    }
    (void)snprintf(out, SEMANTICS_DATE_BYTES + 1, "%s, %02u %s %04u %02u:%02u:%02u GMT",
                   days[tm.tm_wday % 7], (unsigned)tm.tm_mday % 100, months[tm.tm_mon % 12],
                   (unsigned)(tm.tm_year + 1900) % 10000, (unsigned)tm.tm_hour % 100,
                   (unsigned)tm.tm_min % 100, (unsigned)tm.tm_sec % 100);
}

/* Digits off the front of *in; false where there are none or they overflow. */
static bool semantics_number(struct bytes *in, uint64_t *out)
{
    uint64_t value = 0;
    size_t digits = 0;

    while (digits < in->len && in->data[digits] >= '0' && in->data[digits] <= '9') {
        if (digits == 18) {
            return false;
        }
        value = value * 10 + (uint64_t)(in->data[digits] - '0');
        digits++;
    }
    if (digits == 0) {
        return false;
    }
    *in = bytes_slice(*in, digits, SIZE_MAX);
    *out = value;
    return true;
}

static bool semantics_range_unit(struct bytes *value)
{
    if (value->len < 6 || strncasecmp((const char *)value->data, "bytes=", 6) != 0) {
        return false;
    }
    *value = bytes_slice(*value, 6, SIZE_MAX);
    return true;
}

bool semantics_range_read(struct bytes value, uint64_t *first, uint64_t *last)
{
    uint64_t from = 0;
    uint64_t to = UINT64_MAX;

    if (!semantics_range_unit(&value) || !semantics_number(&value, &from) || value.len == 0 ||
        value.data[0] != '-') {
        return false;
    }
    value = bytes_slice(value, 1, SIZE_MAX);
    if (value.len > 0 && (!semantics_number(&value, &to) || value.len > 0 || to < from)) {
        return false;
    }
    *first = from;
    *last = to;
    return true;
}

enum semantics_range semantics_range_decide(struct bytes value, uint64_t total, uint64_t *first,
                                            uint64_t *last)
{
    struct bytes rest = value;
    uint64_t from;
    uint64_t to;

    if (semantics_range_read(value, &from, &to)) {
        if (from >= total) {
            return SEMANTICS_RANGE_UNSATISFIABLE;
        }
        *first = from;
        *last = GH_MIN(to, total - 1);
        return SEMANTICS_RANGE_PART;
    }
    if (!semantics_range_unit(&rest) || rest.len < 2 || rest.data[0] != '-') {
        return SEMANTICS_RANGE_ALL;
    }
    rest = bytes_slice(rest, 1, SIZE_MAX);
    if (!semantics_number(&rest, &to) || rest.len > 0) {
        return SEMANTICS_RANGE_ALL;
    }
    if (to == 0 || total == 0) {
        return SEMANTICS_RANGE_UNSATISFIABLE;
    }
    *first = to >= total ? 0 : total - to;
    *last = total - 1;
    return SEMANTICS_RANGE_PART;
}

static struct bytes semantics_trim(struct bytes in)
{
    while (in.len > 0 && (in.data[0] == ' ' || in.data[0] == '\t')) {
        in = bytes_slice(in, 1, SIZE_MAX);
    }
    while (in.len > 0 && (in.data[in.len - 1] == ' ' || in.data[in.len - 1] == '\t')) {
        in = bytes_slice(in, 0, in.len - 1);
    }
    return in;
}

bool semantics_etag_matches(struct bytes list, struct bytes etag)
{
    bool more = true;

    if (bytes_starts_with(etag, BYTES_LITERAL("W/"))) {
        etag = bytes_slice(etag, 2, SIZE_MAX);
    }
    /* A digest's entity tag holds no comma, so a comma inside quotes splits only tags that could
     * not match anyway. */
    while (more) {
        struct bytes item;

        more = bytes_split(&list, ',', &item);
        item = semantics_trim(more ? item : list);
        if (bytes_equal_cstr(item, "*")) {
            return true;
        }
        if (bytes_starts_with(item, BYTES_LITERAL("W/"))) {
            item = bytes_slice(item, 2, SIZE_MAX);
        }
        if (item.len >= 2 && bytes_equal(item, etag)) {
            return true;
        }
    }
    return false;
}

bool semantics_if_range_matches(struct bytes value, struct bytes etag)
{
    value = semantics_trim(value);
    return value.len >= 2 && value.data[0] == '"' && bytes_equal(value, etag);
}
