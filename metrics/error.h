/*
 * Errors, reasons and causes. A cause is exact, for people and audits; it belongs to one coarse
 * reason, for metrics. Both come from reason.def alone.
 */
#ifndef METRICS_ERROR_H
#define METRICS_ERROR_H

#include "gatehouse.h"

enum gh_reason {
    GH_REASON_NONE = 0,
#define GH_REASON(name, label, sentence, help) GH_REASON_##name,
#define GH_CAUSE(name, label, reason, sentence)
#include "metrics/reason.def"
#undef GH_REASON
#undef GH_CAUSE
    GH_REASON_COUNT
};

enum gh_cause {
    GH_CAUSE_NONE = 0,
#define GH_REASON(name, label, sentence, help)
#define GH_CAUSE(name, label, reason, sentence) GH_##name,
#include "metrics/reason.def"
#undef GH_REASON
#undef GH_CAUSE
    GH_CAUSE_COUNT
};

#define GH_ERROR_MAX_TEXT 240
#define GH_ERROR_MAX_PLACE 96

struct gh_error {
    enum gh_cause cause;            /* GH_CAUSE_NONE while nothing has failed */
    char text[GH_ERROR_MAX_TEXT];   /* one sentence: wanted, found; never a secret */
    char place[GH_ERROR_MAX_PLACE]; /* "bundle 2, certificate 0" or "policy.yaml:14:7" */
};

/*
 * Record a failure, unless ERR already holds one: the first failure stands. Bytes outside
 * printable ASCII are escaped in the text.
 *
 * Takes:   err: may be NULL
 * Gives:   always false, so that callers can return it
 * Threads: any
 */
void gh_error_record(struct gh_error *err, enum gh_cause cause, const char *format, ...)
    GH_PRINTF(3, 4);
/* A macro, so that compilers and analysers see that what follows a failure is not reached. */
#define gh_fail(...)                                                                               \
    ({                                                                                             \
        gh_error_record(__VA_ARGS__);                                                              \
        false;                                                                                     \
    })

/* Put a place in front of the place already recorded. Threads: any. */
void gh_error_at(struct gh_error *err, const char *format, ...) GH_PRINTF(2, 3);

/*
 * Give a failure of a ground reader (bytes, der, cbor, sjson) the cause of the format that called
 * it; text and place stay. Failures of memory and limits keep their own cause.
 *
 * Gives:   always false, so that callers can return it
 */
void gh_error_recast(struct gh_error *err, enum gh_cause cause);
#define gh_recast(err, cause)                                                                      \
    ({                                                                                             \
        gh_error_recast(err, cause);                                                               \
        false;                                                                                     \
    })

/* Forget what was recorded, so that the next candidate starts clean. Threads: any. */
void gh_error_clear(struct gh_error *err);

/* Labels and sentences; static strings, never NULL. Out-of-range values give "internal". */
const char *gh_cause_label(enum gh_cause cause);
const char *gh_cause_sentence(enum gh_cause cause);
enum gh_reason gh_cause_reason(enum gh_cause cause);
const char *gh_reason_label(enum gh_reason reason);
const char *gh_reason_help(enum gh_reason reason);

/* GH_CAUSE_NONE when LABEL names no cause. Threads: any. */
enum gh_cause gh_cause_by_label(const char *label);

#endif
