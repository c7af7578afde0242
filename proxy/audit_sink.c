#include "proxy/audit_sink.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "metrics/audit_record.h"
#include "metrics/audit_tail.h"
#include "metrics/lock.h"
#include "metrics/log.h"
#include "metrics/text.h"
#include "policy/config.h"
#include "proxy/audit_carrier.h"
#include "proxy/gateway.h"
#include "proxy/recorder.h"
#include "proxy/thread.h"

#define AUDIT_SINK_POLL_MS 200
#define AUDIT_SINK_FIRST_WAIT_MS 500
#define AUDIT_SINK_LAST_WAIT_MS 30000
#define AUDIT_SINK_BATCH 256
#define AUDIT_SINK_BATCH_BYTES (512u * 1024)
#define AUDIT_SINK_CURSOR "audit-sink.cursor"

struct audit_sink {
    struct gateway *gateway;
    struct audit_carrier *carrier;
    struct audit_tail *tail;
    char cursor[PATH_MAX];
    uint64_t queue_bytes;
    pthread_t thread;

    /* the thread's own */
    struct text batch; /* read from the log, not delivered yet */
    uint64_t batch_seq;
    unsigned batch_count;
    uint64_t lost_from; /* 0: nothing was lost that is not recorded */
    uint64_t lost_to;
    unsigned wait_ms; /* 0 while deliveries succeed */

    struct lock lock; /* rank GH_RANK_LIMIT: is_stopping */
    struct lock_cond wake;
    bool is_stopping;
};

/* ---- how far it came ---- */

static bool audit_sink_read_cursor(const struct audit_sink *sink, uint64_t *seq)
{
    FILE *file = fopen(sink->cursor, "re");
    char line[32];
    char *end = line;
    bool is_read;

    if (file == NULL) {
        return false;
    }
    is_read = fgets(line, sizeof(line), file) != NULL;
    (void)fclose(file);
    if (!is_read || line[0] < '0' || line[0] > '9') { /* strtoull() would take signs and blanks */
        return false;
    }
    errno = 0;
    *seq = strtoull(line, &end, 10);
    return errno == 0 && (*end == '\n' || *end == '\0');
}

/* Not synced: what a power loss takes back is delivered twice. */
static void audit_sink_write_cursor(struct audit_sink *sink, uint64_t seq)
{
    char fresh[PATH_MAX + 8];
    FILE *file;
    bool is_ok;

    (void)snprintf(fresh, sizeof(fresh), "%s.new", sink->cursor);
    file = fopen(fresh, "we");
    if (file == NULL) {
        return;
    }
    is_ok = fprintf(file, "%llu\n", (unsigned long long)seq) > 0;
    if (fclose(file) == 0 && is_ok) {
        (void)rename(fresh, sink->cursor);
    }
}

/* ---- loss ---- */

static void audit_sink_lose(struct audit_sink *sink, uint64_t from, uint64_t to)
{
    prom_add(sink->gateway->prom, PROM_AUDIT_SINK_RECORDS, PROM_LABELS("lost"), to - from + 1);
    sink->lost_from = sink->lost_from == 0 ? from : sink->lost_from;
    sink->lost_to = to;
}

/* The gap goes into the log, and so to the sink, too, as soon as it takes records again. */
static void audit_sink_tell_loss(struct audit_sink *sink)
{
    const unsigned long long from = sink->lost_from;
    const unsigned long long to = sink->lost_to;
    char members[128];

    if (from == 0) {
        return;
    }
    (void)snprintf(members, sizeof(members), "\"from\":%llu,\"to\":%llu,\"lost\":%llu", from, to,
                   to - from + 1);
    if (!recorder_event(sink->gateway->recorder, "sink_gap", members)) {
        return;
    }
    if (sink->batch_count == 0) {
        audit_sink_write_cursor(sink, sink->lost_to); /* a restart does not lose it again */
    }
    sink->lost_from = 0;
}

/* ---- the batch ---- */

static void audit_sink_fill(struct audit_sink *sink)
{
    struct audit_tail_record record;

    while (sink->batch_count < AUDIT_SINK_BATCH &&
           sink->batch.len + AUDIT_MAX_LINE < AUDIT_SINK_BATCH_BYTES) {
        switch (audit_tail_next(sink->tail, &record)) {
        case AUDIT_TAIL_NONE:
            return;
        case AUDIT_TAIL_LOST:
            audit_sink_lose(sink, record.from, record.seq);
            break;
        case AUDIT_TAIL_LINE:
            text_put_bytes(&sink->batch, record.line, record.len);
            text_put_char(&sink->batch, '\n');
            sink->batch_seq = record.seq;
            sink->batch_count++;
            break;
        }
    }
}

static void audit_sink_empty(struct audit_sink *sink)
{
    text_clear(&sink->batch);
    sink->batch_count = 0;
}

/* Too far behind: what waits longest is passed over, with room to spare. */
static void audit_sink_bound(struct audit_sink *sink)
{
    struct audit_tail_record record;
    uint64_t behind = audit_tail_behind(sink->tail) + sink->batch.len;

    prom_set(sink->gateway->prom, PROM_AUDIT_SINK_BEHIND, NULL, (double)behind);
    if (behind <= sink->queue_bytes) {
        return;
    }
    if (sink->batch_count > 0) {
        audit_sink_lose(sink, sink->batch_seq - sink->batch_count + 1, sink->batch_seq);
        behind -= GH_MIN(behind, (uint64_t)sink->batch.len);
        audit_sink_empty(sink);
    }
    while (behind > sink->queue_bytes / 2) {
        enum audit_tail_result result = audit_tail_next(sink->tail, &record);

        if (result == AUDIT_TAIL_NONE) {
            return;
        }
        audit_sink_lose(sink, result == AUDIT_TAIL_LOST ? record.from : record.seq, record.seq);
        behind -= result == AUDIT_TAIL_LINE ? GH_MIN(behind, (uint64_t)record.len + 1) : 0;
    }
}

static void audit_sink_failed(struct audit_sink *sink, const struct gh_error *error)
{
    if (sink->wait_ms == 0) {
        log_write(sink->gateway->log,
                  &(struct log_event){.level = LOG_WARN, .reason = "audit_sink"},
                  "audit records are not delivered, they wait in the log: %s", error->text);
    }
    sink->wait_ms = sink->wait_ms == 0
                        ? AUDIT_SINK_FIRST_WAIT_MS
                        : GH_MIN(sink->wait_ms * 2, (unsigned)AUDIT_SINK_LAST_WAIT_MS);
}

/* Deliver until there is nothing new, or it fails. */
static void audit_sink_deliver(struct audit_sink *sink)
{
    struct gh_error error = {0};

    for (;;) {
        audit_sink_fill(sink);
        if (sink->batch_count == 0) {
            return;
        }
        if (!text_ok(&sink->batch)) {
            audit_sink_lose(sink, sink->batch_seq - sink->batch_count + 1, sink->batch_seq);
            text_done(&sink->batch);
            sink->batch_count = 0;
            return;
        }
        if (!audit_carrier_send(sink->carrier, sink->batch.data, sink->batch.len, &error)) {
            audit_sink_failed(sink, &error);
            return;
        }
        if (sink->wait_ms != 0) {
            log_write(sink->gateway->log, &(struct log_event){.level = LOG_INFO},
                      "audit records are delivered again");
            sink->wait_ms = 0;
        }
        prom_add(sink->gateway->prom, PROM_AUDIT_SINK_RECORDS, PROM_LABELS("sent"),
                 sink->batch_count);
        audit_sink_write_cursor(sink, sink->batch_seq);
        audit_sink_empty(sink);
    }
}

/* ---- the thread ---- */

static bool audit_sink_wait(struct audit_sink *sink)
{
    unsigned wait_ms = GH_MAX(sink->wait_ms, (unsigned)AUDIT_SINK_POLL_MS);

    LOCK_HOLD(&sink->lock);
    if (!sink->is_stopping) {
        (void)lock_cond_wait_ms(&sink->wake, &sink->lock, wait_ms);
    }
    return !sink->is_stopping;
}

static void *audit_sink_run(void *arg)
{
    struct audit_sink *sink = arg;

    while (audit_sink_wait(sink)) {
        audit_sink_deliver(sink);
        audit_sink_bound(sink);
        audit_sink_tell_loss(sink);
    }
    audit_sink_deliver(sink);
    return NULL;
}

static bool audit_sink_start(struct audit_sink *sink, struct gh_error *err)
{
    return thread_start(&sink->thread, audit_sink_run, sink) ||
           gh_fail(err, GH_INTERNAL_ERROR, "no thread for the audit sink");
}

static void audit_sink_destroy(struct audit_sink *sink)
{
    audit_tail_free(sink->tail);
    audit_carrier_free(sink->carrier);
    text_done(&sink->batch);
    lock_cond_done(&sink->wake);
    lock_done(&sink->lock);
    free(sink);
}

static bool audit_sink_texts_equal(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

bool audit_sink_is_same(const struct config_audit_sink *a, const struct config_audit_sink *b)
{
    if (a == NULL || b == NULL) {
        return a == b;
    }
    return strcmp(a->url, b->url) == 0 && audit_sink_texts_equal(a->ca, b->ca) &&
           audit_sink_texts_equal(a->token, b->token) && a->queue_bytes == b->queue_bytes;
}

bool audit_sink_new(struct gateway *gateway, const struct config *config,
                    const struct config_audit_sink *settings, uint64_t head,
                    struct audit_sink **out, struct gh_error *err)
{
    struct audit_carrier_config carrier;
    struct audit_sink *sink;
    uint64_t from;

    *out = NULL;
    if (settings == NULL) {
        return true;
    }
    sink = calloc(1, sizeof(*sink));
    if (sink == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for the audit sink");
    }
    carrier = (struct audit_carrier_config){
        .url = settings->url, .ca = settings->ca, .token = settings->token};
    sink->gateway = gateway;
    sink->queue_bytes = (uint64_t)settings->queue_bytes;
    lock_init(&sink->lock, GH_RANK_LIMIT);
    lock_cond_init(&sink->wake);
    text_init(&sink->batch, AUDIT_SINK_BATCH_BYTES);
    (void)snprintf(sink->cursor, sizeof(sink->cursor), "%s/" AUDIT_SINK_CURSOR,
                   config->storage.path);
    /* A cursor past the head is that of another log: this one is delivered from its beginning. */
    if (!audit_sink_read_cursor(sink, &from)) {
        from = head;
    } else if (from > head) {
        from = 0;
    }
    audit_sink_write_cursor(sink, from);
    if (!audit_carrier_new(&carrier, &sink->carrier, err) ||
        !audit_tail_new(config->audit.path, from, &sink->tail, err) ||
        !audit_sink_start(sink, err)) {
        audit_sink_destroy(sink);
        return false;
    }
    *out = sink;
    return true;
}

void audit_sink_free(struct audit_sink *sink)
{
    if (sink == NULL) {
        return;
    }
    lock_acquire(&sink->lock);
    sink->is_stopping = true;
    lock_cond_broadcast(&sink->wake);
    lock_release(&sink->lock);
    (void)pthread_join(sink->thread, NULL);
    audit_sink_destroy(sink);
}
