#include "metrics/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "metrics/error.h"
#include "metrics/lock.h"
#include "metrics/text.h"

#define LOG_SITES 128 /* call sites whose repeats are told apart; others share a slot */
#define LOG_BUFFER_BYTES (64u * 1024)
#define LOG_MAX_LINE (16u * 1024)

struct log_site {
    const char *format; /* NULL while the slot is free */
    enum log_level level;
    char reason[48];
    int64_t window_unix_ms; /* start */
    uint64_t written;
    uint64_t held_back;
};

struct log {
    struct lock lock;
    char *path;
    char *access_path;
    int fd;        /* STDERR_FILENO when path is NULL */
    int access_fd; /* -1 when there is no access log */
    atomic_bool has_access;
    enum log_level level;
    struct text line;
    struct text access;
    uint64_t lost;
    struct log_site sites[LOG_SITES];
};

static int64_t log_now_unix_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static const char *log_level_name(enum log_level level)
{
    switch (level) {
    case LOG_ERROR:
        return "error";
    case LOG_WARN:
        return "warn";
    case LOG_INFO:
        return "info";
    case LOG_DEBUG:
        return "debug";
    }
    return "error";
}

static bool log_open_file(const char *path, int *out, struct gh_error *err)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);

    if (fd < 0) {
        return gh_fail(err, GH_INTERNAL_ERROR, "the log file %s cannot be opened: %s", path,
                       strerror(errno));
    }
    *out = fd;
    return true;
}

bool log_new(const struct log_config *config, struct log **out, struct gh_error *err)
{
    GH_OWN(log_freep) struct log *log = calloc(1, sizeof(*log));

    if (log == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
    }
    lock_init(&log->lock, GH_RANK_LOG);
    log->fd = STDERR_FILENO;
    log->access_fd = -1;
    log->level = config->level;
    text_init(&log->line, LOG_MAX_LINE);
    text_init(&log->access, LOG_BUFFER_BYTES + LOG_MAX_LINE);
    if (config->path != NULL) {
        log->path = strdup(config->path);
        if (log->path == NULL) {
            return gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
        }
        GH_TRY(log_open_file(log->path, &log->fd, err));
    }
    if (config->access_path != NULL) {
        log->access_path = strdup(config->access_path);
        if (log->access_path == NULL) {
            return gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
        }
        GH_TRY(log_open_file(log->access_path, &log->access_fd, err));
        atomic_store(&log->has_access, true);
    }
    *out = GH_TAKE(log);
    return true;
}

/* One write per call, so that lines of several processes on one file do not mix. */
static void log_emit(struct log *log, int fd, const struct text *text)
{
    size_t done = 0;

    if (!text_ok(text)) {
        log->lost++;
        return;
    }
    while (done < text->len) {
        ssize_t n = write(fd, text->data + done, text->len - done);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            log->lost++;
            return;
        }
        done += (size_t)n;
    }
}

/* `"key":"value"`, cut at LIMIT bytes but never inside a UTF-8 sequence. */
static void log_put_text(struct text *line, const char *key, const char *value, size_t limit)
{
    size_t len;

    if (value == NULL) {
        return;
    }
    len = strlen(value);
    text_put_key(line, key);
    if (len <= limit) {
        text_put_json_bytes(line, value, len);
        return;
    }
    len = limit - 3;
    while (len > 0 && ((unsigned char)value[len] & 0xc0) == 0x80) {
        len--;
    }
    text_put_json_bytes(line, value, len);
    line->len--; /* over the closing quote, to mark the cut inside it */
    text_put(line, "...\"");
}

static void log_put_number(struct text *line, const char *key, uint64_t value)
{
    if (value != 0) {
        text_put_key(line, key);
        text_printf(line, "%llu", (unsigned long long)value);
    }
}

static void log_begin(struct text *line, int64_t unix_ms)
{
    text_put(line, "{\"time\":\"");
    text_put_time_ms(line, unix_ms);
    text_put_char(line, '"');
}

static void log_line(struct log *log, const struct log_event *event, int64_t unix_ms,
                     const char *message, uint64_t repeated)
{
    struct text *line = &log->line;

    text_clear(line);
    log_begin(line, unix_ms);
    log_put_text(line, "level", log_level_name(event->level), LOG_MAX_FIELD);
    log_put_number(line, "worker", event->worker > 0 ? (uint64_t)event->worker : 0);
    log_put_number(line, "connection", event->connection);
    log_put_number(line, "request", event->request);
    log_put_text(line, "digest", event->digest, LOG_MAX_FIELD);
    log_put_text(line, "reason", event->reason, LOG_MAX_FIELD);
    log_put_text(line, "cause", event->cause, LOG_MAX_FIELD);
    log_put_text(line, "decision", event->decision, LOG_MAX_FIELD);
    log_put_text(line, "message", message, LOG_MAX_MESSAGE);
    log_put_number(line, "repeated", repeated);
    text_put(line, "}\n");
    log_emit(log, log->fd, line);
}

/* Say how often a call site was held back, and begin its window anew. */
static void log_close_window(struct log *log, struct log_site *site, int64_t unix_ms)
{
    if (site->held_back > 0) {
        struct log_event event = {.level = site->level,
                                  .reason = site->reason[0] != '\0' ? site->reason : NULL};

        /* The format is ours, a literal: it says which message without outside text in it. */
        log_line(log, &event, unix_ms, site->format, site->held_back);
    }
    site->window_unix_ms = unix_ms;
    site->written = 0;
    site->held_back = 0;
}

static struct log_site *log_find_site(struct log *log, const struct log_event *event,
                                      const char *format, int64_t unix_ms)
{
    const char *reason = event->reason != NULL ? event->reason : "";
    uintptr_t hash = (uintptr_t)format >> 3;
    struct log_site *site;

    for (const char *c = reason; *c != '\0'; c++) {
        hash = hash * 31 + (unsigned char)*c;
    }
    site = &log->sites[hash % LOG_SITES];
    if (site->format != format || strncmp(site->reason, reason, sizeof(site->reason) - 1) != 0) {
        if (site->format != NULL) {
            log_close_window(log, site, unix_ms);
        }
        memset(site, 0, sizeof(*site));
        site->format = format;
        (void)snprintf(site->reason, sizeof(site->reason), "%s", reason);
        site->window_unix_ms = unix_ms;
    } else if (unix_ms - site->window_unix_ms >= LOG_WINDOW_MS || unix_ms < site->window_unix_ms) {
        log_close_window(log, site, unix_ms);
    }
    site->level = event->level;
    return site;
}

void log_write(struct log *log, const struct log_event *event, const char *format, ...)
{
    char message[2 * LOG_MAX_MESSAGE];
    struct log_site *site;
    int64_t unix_ms;
    va_list args;

    if (log == NULL) {
        return;
    }
    va_start(args, format);
    (void)vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    unix_ms = log_now_unix_ms();
    LOCK_HOLD(&log->lock);
    if (event->level > log->level) {
        return;
    }
    site = log_find_site(log, event, format, unix_ms);
    if (site->written >= LOG_BURST) {
        site->held_back++;
        return;
    }
    site->written++;
    log_line(log, event, unix_ms, message, 0);
}

static void log_flush_access(struct log *log)
{
    if (log->access.len > 0) {
        log_emit(log, log->access_fd, &log->access);
    }
    text_clear(&log->access);
}

void log_access(struct log *log, const struct log_access *access)
{
    struct text *line;

    if (log == NULL) {
        return;
    }
    LOCK_HOLD(&log->lock);
    if (log->access_fd < 0) {
        return;
    }
    line = &log->access;
    log_begin(line, access->time_unix_ms != 0 ? access->time_unix_ms : log_now_unix_ms());
    log_put_number(line, "worker", access->worker > 0 ? (uint64_t)access->worker : 0);
    log_put_number(line, "connection", access->connection);
    log_put_number(line, "request", access->request);
    log_put_text(line, "client", access->client, LOG_MAX_FIELD);
    log_put_text(line, "principal", access->principal, LOG_MAX_FIELD);
    log_put_text(line, "tenant", access->tenant, LOG_MAX_FIELD);
    log_put_text(line, "route", access->route, LOG_MAX_FIELD);
    log_put_text(line, "method", access->method, LOG_MAX_FIELD);
    log_put_text(line, "target", access->target, LOG_MAX_TARGET);
    text_printf(line, ",\"status\":%d,\"bytes\":%llu,\"duration_us\":%llu", access->status,
                (unsigned long long)access->sent_bytes, (unsigned long long)access->duration_us);
    log_put_text(line, "source", access->source, LOG_MAX_FIELD);
    log_put_text(line, "decision", access->decision, LOG_MAX_FIELD);
    log_put_text(line, "reason", access->reason, LOG_MAX_FIELD);
    log_put_text(line, "user_agent", access->user_agent, LOG_MAX_FIELD);
    text_put(line, "}\n");
    if (!text_ok(line)) {
        log->lost++;
        text_clear(line); /* no memory: the buffer is given up rather than half a line written */
    } else if (line->len >= LOG_BUFFER_BYTES) {
        log_flush_access(log);
    }
}

void log_tick(struct log *log)
{
    int64_t unix_ms = log_now_unix_ms();

    if (log == NULL) {
        return;
    }
    LOCK_HOLD(&log->lock);
    log_flush_access(log);
    for (size_t i = 0; i < LOG_SITES; i++) {
        struct log_site *site = &log->sites[i];

        if (site->held_back > 0 && unix_ms - site->window_unix_ms >= LOG_WINDOW_MS) {
            log_close_window(log, site, unix_ms);
        }
    }
}

static void log_close_fd(int *fd)
{
    if (*fd >= 0 && *fd != STDERR_FILENO) {
        (void)close(*fd);
    }
    *fd = -1;
}

bool log_reopen(struct log *log, struct gh_error *err)
{
    int fd = -1;
    int access_fd = -1;

    LOCK_HOLD(&log->lock);
    if (log->path != NULL) {
        GH_TRY(log_open_file(log->path, &fd, err));
    }
    if (log->access_path != NULL && !log_open_file(log->access_path, &access_fd, err)) {
        log_close_fd(&fd);
        return false;
    }
    if (log->access_path != NULL) {
        log_flush_access(log);
        log_close_fd(&log->access_fd);
        log->access_fd = access_fd;
    }
    if (log->path != NULL) {
        log_close_fd(&log->fd);
        log->fd = fd;
    }
    return true;
}

bool log_set_access(struct log *log, const char *path, struct gh_error *err)
{
    char *copy = NULL;
    int fd = -1;

    LOCK_HOLD(&log->lock);
    if (path == NULL ? log->access_path == NULL
                     : log->access_path != NULL && strcmp(path, log->access_path) == 0) {
        return true;
    }
    if (path != NULL) {
        GH_TRY(log_open_file(path, &fd, err));
        copy = strdup(path);
        if (copy == NULL) {
            log_close_fd(&fd);
            return gh_fail(err, GH_INTERNAL_ERROR, "out of memory");
        }
    }
    log_flush_access(log);
    log_close_fd(&log->access_fd);
    free(log->access_path);
    log->access_path = copy;
    log->access_fd = fd;
    atomic_store(&log->has_access, fd >= 0);
    return true;
}

bool log_has_access(const struct log *log)
{
    return log != NULL && atomic_load_explicit(&log->has_access, memory_order_relaxed);
}

void log_set_level(struct log *log, enum log_level level)
{
    LOCK_HOLD(&log->lock);
    log->level = level;
}

uint64_t log_lost(struct log *log)
{
    LOCK_HOLD(&log->lock);
    return log->lost;
}

void log_free(struct log *log)
{
    if (log == NULL) {
        return;
    }
    log_flush_access(log);
    for (size_t i = 0; i < LOG_SITES; i++) {
        if (log->sites[i].held_back > 0) {
            log_close_window(log, &log->sites[i], log_now_unix_ms());
        }
    }
    log_close_fd(&log->fd);
    log_close_fd(&log->access_fd);
    text_done(&log->line);
    text_done(&log->access);
    lock_done(&log->lock);
    free(log->path);
    free(log->access_path);
    free(log);
}
