/* The connections of a worker: their timers, their turns, their end. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proxy/conn_state.h"

uint64_t conn_clock_us(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

struct bytes conn_date_line(struct conn_set *set)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_REALTIME_COARSE, &ts);
    if (ts.tv_sec != set->date_unix_s) {
        set->date_unix_s = ts.tv_sec;
        memcpy(set->date_line, "Date: ", 6);
        semantics_date(ts.tv_sec, set->date_line + 6);
        memcpy(set->date_line + 6 + SEMANTICS_DATE_BYTES, "\r\n", 2);
    }
    return bytes_make(set->date_line, 6 + SEMANTICS_DATE_BYTES + 2);
}

void conn_set_kick(struct conn_set *set)
{
    static const struct timeval at_once = {0, 0};

    /* A timer of zero fires in the next round of the loop, behind new socket events; an event made
     * active by hand would run in this one and starve them. */
    if (!set->is_ready_pending) {
        set->is_ready_pending = evtimer_add(set->ready_event, &at_once) == 0;
    }
}

void conn_schedule(struct conn *conn)
{
    if (!conn->is_scheduled && conn->state != CONN_CLOSED) {
        conn->is_scheduled = true;
        conn->set->ready_count++;
        TAILQ_INSERT_TAIL(&conn->set->ready, conn, ready);
        conn_set_kick(conn->set);
    }
}

void conn_unschedule(struct conn *conn)
{
    if (conn->is_scheduled) {
        conn->is_scheduled = false;
        conn->set->ready_count--;
        TAILQ_REMOVE(&conn->set->ready, conn, ready);
    }
}

void conn_touch(struct conn *conn)
{
    conn->is_touched = true;
    if (!conn->is_stepping) {
        conn_schedule(conn);
    }
}

static void conn_set_on_expired(struct wheel_entry *entry, void *arg)
{
    struct conn *conn = (struct conn *)((char *)entry - offsetof(struct conn, deadline));

    conn->is_expired = true;
    conn_step(conn);
}

void conn_limits_default(struct conn_limits *limits)
{
    *limits = (struct conn_limits){
        .header_timeout_ms = 10000,
        .idle_timeout_ms = 60000,
        .progress_window_ms = 15000,
        .progress_bytes = 4096,
        .half_close_ms = 5000,
        .linger_ms = 2000,
        .body_limit_bytes = 4u * 1024 * 1024,
    };
}

static void conn_set_bury(struct conn_set *set)
{
    struct conn *conn;

    while ((conn = TAILQ_FIRST(&set->dead)) != NULL) {
        TAILQ_REMOVE(&set->dead, conn, all);
        free(conn);
    }
}

static void conn_set_on_ready(evutil_socket_t fd, short what, void *arg)
{
    struct conn_set *set = arg;

    set->is_ready_pending = false;
    conn_set_bury(set);
    /* Only those that are ready now: who yields again comes in the next round. */
    for (unsigned count = set->ready_count; count > 0; count--) {
        struct conn *conn = TAILQ_FIRST(&set->ready);

        if (conn == NULL) {
            break;
        }
        conn_unschedule(conn);
        conn_step(conn);
    }
    if (!TAILQ_EMPTY(&set->ready)) {
        conn_set_kick(set);
    }
}

static void conn_set_on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct conn_set *set = arg;

    wheel_run(&set->wheel, worker_clock_ms(), conn_set_on_expired, set);
}

static void conn_set_drain(void *self)
{
    struct conn_set *set = self;
    struct conn *conn;
    struct conn *next;

    set->is_draining = true;
    for (conn = TAILQ_FIRST(&set->all); conn != NULL; conn = next) {
        next = TAILQ_NEXT(conn, all);
        if (conn->state == CONN_IDLE || (conn->state == CONN_HEAD && conn->in_len == 0)) {
            conn_close(conn);
        }
    }
}

static void conn_set_stop(void *self)
{
    struct conn_set *set = self;
    struct conn *conn;

    while ((conn = TAILQ_FIRST(&set->all)) != NULL) {
        conn_close(conn);
    }
    conn_set_bury(set);
    while (set->spare != NULL) {
        struct conn_block *block = set->spare;

        set->spare = block->next;
        free(block);
    }
    if (set->ready_event != NULL) {
        event_free(set->ready_event);
    }
    if (set->tick_event != NULL) {
        event_free(set->tick_event);
    }
    free(set);
}

static unsigned conn_set_tick_ms(const struct conn_limits *limits)
{
    unsigned shortest = GH_MIN(limits->header_timeout_ms, limits->idle_timeout_ms);

    shortest = GH_MIN(shortest, limits->progress_window_ms);
    shortest = GH_MIN(shortest, limits->linger_ms);
    shortest = GH_MIN(shortest, limits->half_close_ms);
    return GH_MAX(5u, GH_MIN(shortest / 4, 250u));
}

bool conn_set_new(struct worker *worker, const struct conn_limits *limits, struct gh_error *err)
{
    struct conn_set *set = calloc(1, sizeof(*set));
    struct worker_member member = {
        .self = set, .on_drain = conn_set_drain, .on_stop = conn_set_stop};
    unsigned tick_ms = conn_set_tick_ms(limits);
    struct timeval tick = {tick_ms / 1000, (suseconds_t)(tick_ms % 1000) * 1000};

    if (set == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for connections");
    }
    set->worker = worker;
    set->limits = *limits;
    TAILQ_INIT(&set->all);
    TAILQ_INIT(&set->ready);
    TAILQ_INIT(&set->dead);
    wheel_init(&set->wheel, tick_ms, worker_clock_ms());
    set->ready_event = evtimer_new(worker_base(worker), conn_set_on_ready, set);
    set->tick_event = event_new(worker_base(worker), -1, EV_PERSIST, conn_set_on_tick, set);
    if (set->ready_event == NULL || set->tick_event == NULL ||
        event_add(set->tick_event, &tick) != 0) {
        conn_set_stop(set);
        return gh_fail(err, GH_INTERNAL_ERROR, "no timers for connections");
    }
    worker_attach(worker, WORKER_SLOT_CONN, &member);
    return true;
}

void conn_set_counts(const struct worker *worker, struct conn_counts *out)
{
    const struct conn_set *set = worker_member(worker, WORKER_SLOT_CONN);

    *out = set->counts;
}
