/*
 * The operator log and the access log: one JSON object per line, members in fixed order, outside
 * text escaped and cut. Log lines are not evidence; that is metrics/audit.
 *
 * Repeats: events of one call site (its format string) and reason are written LOG_BURST times per
 * LOG_WINDOW_MS; what comes after is counted, and the count is written when the window is over.
 *
 * Threads: any. One lock of rank GH_RANK_LOG.
 */
#ifndef METRICS_LOG_H
#define METRICS_LOG_H

#include "gatehouse.h"

struct gh_error;

enum log_level {
    LOG_ERROR, /* someone must act */
    LOG_WARN,  /* degraded; the message says how */
    LOG_INFO,  /* start, stop, reload, refusals */
    LOG_DEBUG  /* off unless asked for */
};

#define LOG_MAX_MESSAGE 512 /* bytes of a message before it is cut */
#define LOG_MAX_FIELD 256   /* bytes of any other outside text */
#define LOG_MAX_TARGET 1024 /* bytes of a request target in the access log */
#define LOG_BURST 5
#define LOG_WINDOW_MS 10000

struct log;

struct log_config {
    const char *path;        /* operator log; NULL for stderr */
    const char *access_path; /* access log; NULL for none */
    enum log_level level;    /* what is above it is dropped */
};

/* Where an event belongs. Zero and NULL members are left out of the line. */
struct log_event {
    enum log_level level;
    int worker; /* counted from 1 */
    uint64_t connection;
    uint64_t request;
    const char *digest;
    const char *reason; /* a reason's label; it is part of what repeats are told apart by */
    const char *cause;  /* a cause's label */
    const char *decision;
};

/* One answered request. NULL members are left out. */
struct log_access {
    int64_t time_unix_ms; /* 0: now */
    int worker;
    uint64_t connection;
    uint64_t request;
    const char *client; /* address */
    const char *principal;
    const char *tenant;
    const char *route;
    const char *method;
    const char *target;
    int status;
    uint64_t sent_bytes;
    uint64_t duration_us;
    const char *source; /* where the bytes came from: cache, fill, upstream */
    const char *decision;
    const char *reason;
    const char *user_agent;
};

/* Open the sinks. Gives: *out: new, log_free(). Fails: INTERNAL_ERROR naming the file. */
GH_CHECKED bool log_new(const struct log_config *config, struct log **out, struct gh_error *err);
/* Writes what is still counted or buffered, and closes. Accepts NULL. */
void log_free(struct log *log);
GH_DEFINE_FREEP(log, struct log)

/* Open the files again (after SIGUSR1). On failure the old ones stay in use. */
GH_CHECKED bool log_reopen(struct log *log, struct gh_error *err);
void log_set_level(struct log *log, enum log_level level);
/* Write the access log to PATH from now on; NULL: none. On failure nothing changes. Fails:
 * INTERNAL_ERROR naming the file. */
GH_CHECKED bool log_set_access(struct log *log, const char *path, struct gh_error *err);
/* Whether log_access() writes anything; lock-free, so that callers need not gather what nobody
 * reads. LOG may be NULL. */
bool log_has_access(const struct log *log);

/* Write one event; LOG may be NULL (nothing happens). Never fails towards the caller: what cannot
 * be written is counted (log_lost()). FORMAT must be a literal: its address names the call site. */
void log_write(struct log *log, const struct log_event *event, const char *format, ...)
    GH_PRINTF(3, 4);
/* Add a line to the access log; it reaches the file when 64 KiB are full or at log_tick(). */
void log_access(struct log *log, const struct log_access *access);
/* Once a second: write the access buffer and the counts of windows that are over. */
void log_tick(struct log *log);
/* Lines that could not be written. */
uint64_t log_lost(struct log *log);

#endif
