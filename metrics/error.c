#include "metrics/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct reason_row {
    const char *label;
    const char *sentence;
    const char *help;
};

struct cause_row {
    const char *label;
    enum gh_reason reason;
    const char *sentence;
};

static const struct reason_row reason_rows[GH_REASON_COUNT] = {
    [GH_REASON_NONE] = {"", "", ""},
#define GH_REASON(name, label, sentence, help) [GH_REASON_##name] = {label, sentence, help},
#define GH_CAUSE(name, label, reason, sentence)
#include "metrics/reason.def"
#undef GH_REASON
#undef GH_CAUSE
};

static const struct cause_row cause_rows[GH_CAUSE_COUNT] = {
    [GH_CAUSE_NONE] = {"", GH_REASON_NONE, ""},
#define GH_REASON(name, label, sentence, help)
#define GH_CAUSE(name, label, reason, sentence) [GH_##name] = {label, GH_REASON_##reason, sentence},
#include "metrics/reason.def"
#undef GH_REASON
#undef GH_CAUSE
};

/* Outside data reaches terminals and logs through error texts: only printable ASCII stays. */
static void error_escape(char *out, size_t size, const char *in)
{
    static const char hex[] = "0123456789abcdef";
    size_t used = 0;

    for (; *in != '\0' && used + 1 < size; in++) {
        unsigned char c = (unsigned char)*in;

        if (c >= 0x20 && c < 0x7f) {
            out[used++] = (char)c;
        } else if (used + 4 < size) {
            out[used++] = '\\';
            out[used++] = 'x';
            out[used++] = hex[c >> 4];
            out[used++] = hex[c & 15];
        } else {
            break;
        }
    }
    out[used] = '\0';
}

void gh_error_record(struct gh_error *err, enum gh_cause cause, const char *format, ...)
{
    char raw[GH_ERROR_MAX_TEXT];
    va_list args;

    if (err == NULL || err->cause != GH_CAUSE_NONE) {
        return;
    }
    va_start(args, format);
    (void)vsnprintf(raw, sizeof(raw), format, args);
    va_end(args);
    error_escape(err->text, sizeof(err->text), raw);
    err->cause = cause;
}

void gh_error_at(struct gh_error *err, const char *format, ...)
{
    char raw[GH_ERROR_MAX_PLACE];
    char front[GH_ERROR_MAX_PLACE];
    char joined[2 * GH_ERROR_MAX_PLACE + 2];
    va_list args;

    if (err == NULL) {
        return;
    }
    va_start(args, format);
    (void)vsnprintf(raw, sizeof(raw), format, args);
    va_end(args);
    error_escape(front, sizeof(front), raw);
    (void)snprintf(joined, sizeof(joined), "%s%s%s", front, err->place[0] != '\0' ? ", " : "",
                   err->place);
    (void)snprintf(err->place, sizeof(err->place), "%.*s", (int)sizeof(err->place) - 1, joined);
}

void gh_error_recast(struct gh_error *err, enum gh_cause cause)
{
    if (err != NULL && (err->cause == GH_SIG_MALFORMED || err->cause == GH_MALFORMED_JSON ||
                        err->cause == GH_DUPLICATE_JSON_KEY)) {
        err->cause = cause;
    }
}

void gh_error_clear(struct gh_error *err)
{
    if (err != NULL) {
        memset(err, 0, sizeof(*err));
    }
}

static enum gh_cause cause_in_range(enum gh_cause cause)
{
    return (unsigned)cause < GH_CAUSE_COUNT ? cause : GH_INTERNAL_ERROR;
}

static enum gh_reason reason_in_range(enum gh_reason reason)
{
    return (unsigned)reason < GH_REASON_COUNT ? reason : GH_REASON_INTERNAL;
}

const char *gh_cause_label(enum gh_cause cause)
{
    return cause_rows[cause_in_range(cause)].label;
}

const char *gh_cause_sentence(enum gh_cause cause)
{
    return cause_rows[cause_in_range(cause)].sentence;
}

enum gh_reason gh_cause_reason(enum gh_cause cause)
{
    return cause_rows[cause_in_range(cause)].reason;
}

const char *gh_reason_label(enum gh_reason reason)
{
    return reason_rows[reason_in_range(reason)].label;
}

const char *gh_reason_help(enum gh_reason reason)
{
    return reason_rows[reason_in_range(reason)].help;
}

enum gh_cause gh_cause_by_label(const char *label)
{
    for (int i = 1; i < GH_CAUSE_COUNT; i++) {
        if (strcmp(cause_rows[i].label, label) == 0) {
            return (enum gh_cause)i;
        }
    }
    return GH_CAUSE_NONE;
}
