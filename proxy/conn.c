#include "proxy/conn.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "proxy/conn_state.h"
#include "proxy/tls.h"

/* What a step answers; conn_arm() alone turns it into armed events. */
enum conn_answer {
    CONN_AGAIN, /* the state changed: step again */
    CONN_WAIT,  /* for what wants_read and wants_write say, or for the handler */
    CONN_YIELD, /* more could be done, others first */
    CONN_OVER,  /* close */
};

static const char conn_continue_line[] = "HTTP/1.1 100 Continue\r\n\r\n";

#define CONN_CONTINUE_BYTES (sizeof(conn_continue_line) - 1)
#define CONN_LARGE_BUFFER_BYTES (HTTP1_MAX_HEAD_BYTES + CONN_BUFFER_BYTES)
#define CONN_AHEAD_BYTES 1024 /* room kept behind a head for chunked bodies and pipelining */

static struct exchange *conn_exchange(struct conn *conn)
{
    return &conn->block->exchange;
}

/* ---- the set's small services ---- */

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

static void conn_set_kick(struct conn_set *set)
{
    static const struct timeval at_once = {0, 0};

    /* A timer of zero fires in the next round of the loop, behind new socket events; an event made
     * active by hand would run in this one and starve them. */
    if (!set->is_ready_pending) {
        set->is_ready_pending = evtimer_add(set->ready_event, &at_once) == 0;
    }
}

static void conn_schedule(struct conn *conn)
{
    if (!conn->is_scheduled && conn->state != CONN_CLOSED) {
        conn->is_scheduled = true;
        conn->set->ready_count++;
        TAILQ_INSERT_TAIL(&conn->set->ready, conn, ready);
        conn_set_kick(conn->set);
    }
}

static void conn_unschedule(struct conn *conn)
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

/* ---- buffers ---- */

static bool conn_take_block(struct conn *conn)
{
    struct conn_set *set = conn->set;
    struct conn_block *block = set->spare;

    if (block != NULL) {
        set->spare = block->next;
        set->spare_count--;
    } else {
        block = malloc(sizeof(*block));
        if (block == NULL) {
            return false;
        }
    }
    set->counts.active++;
    conn->block = block;
    conn->in = block->in;
    conn->in_cap = CONN_BUFFER_BYTES;
    conn->in_len = 0;
    conn->in_at = 0;
    http1_head_init(&block->exchange.head);
    return true;
}

static void conn_give_block(struct conn *conn)
{
    struct conn_set *set = conn->set;
    struct conn_block *block = conn->block;

    if (block == NULL) {
        return;
    }
    if (conn->in != block->in) {
        free(conn->in);
    }
    conn->in = NULL;
    conn->block = NULL;
    set->counts.active--;
    if (set->spare_count < CONN_SPARE_BLOCKS) {
        block->next = set->spare;
        set->spare = block;
        set->spare_count++;
    } else {
        free(block);
    }
}

/* A larger buffer; only while no view into the old one is out. */
static bool conn_grow(struct conn *conn)
{
    uint8_t *in;

    if (conn->in_cap >= CONN_LARGE_BUFFER_BYTES) {
        return false;
    }
    in = malloc(CONN_LARGE_BUFFER_BYTES);
    if (in == NULL) {
        return false;
    }
    memcpy(in, conn->in, conn->in_len);
    conn->in = in;
    conn->in_cap = CONN_LARGE_BUFFER_BYTES;
    conn->block->exchange.head.base = in;
    return true;
}

/* Move what the client pipelined to the front for the next head. */
static void conn_compact(struct conn *conn)
{
    struct conn_block *block = conn->block;
    uint32_t left = conn->in_len - conn->in_at;

    if (conn->in != block->in && left <= CONN_BUFFER_BYTES) {
        memcpy(block->in, conn->in + conn->in_at, left);
        free(conn->in);
        conn->in = block->in;
        conn->in_cap = CONN_BUFFER_BYTES;
    } else {
        memmove(conn->in, conn->in + conn->in_at, left);
    }
    conn->in_len = left;
    conn->in_at = 0;
}

/* ---- reading ---- */

/* Read behind what the buffer holds. Gives what the transport does; TRANSPORT_WANT_READ when full.
 */
static ssize_t conn_read_in(struct conn *conn)
{
    ssize_t got;

    if (conn->in_len == conn->in_cap) {
        return TRANSPORT_WANT_READ;
    }
    got = conn->transport.ops->read(&conn->transport, conn->in + conn->in_len,
                                    conn->in_cap - conn->in_len);
    if (got > 0) {
        conn->in_len += (uint32_t)got;
        conn->moved += (uint64_t)got;
    }
    return got;
}

static enum conn_answer conn_wait_for(struct conn *conn, ssize_t want)
{
    conn->wants_read = want == TRANSPORT_WANT_READ;
    conn->wants_write = want == TRANSPORT_WANT_WRITE;
    return CONN_WAIT;
}

/* ---- steps ---- */

static enum conn_answer conn_do_handshake(struct conn *conn)
{
    ssize_t result;

    if (conn->is_expired) {
        return CONN_OVER;
    }
    result = conn->transport.ops->handshake(&conn->transport);
    if (result > 0) {
        conn->state = CONN_IDLE;
        conn->state_deadline_ms = worker_clock_ms() + conn->set->limits.idle_timeout_ms;
        conn->is_readable = true; /* the first request may have come with the last flight */
        return CONN_AGAIN;
    }
    if (result == TRANSPORT_WANT_READ || result == TRANSPORT_WANT_WRITE) {
        return conn_wait_for(conn, result);
    }
    return CONN_OVER;
}

static enum conn_answer conn_do_idle(struct conn *conn)
{
    if (conn->is_expired || conn->set->is_draining) {
        return CONN_OVER;
    }
    if (!conn->is_readable) {
        return conn_wait_for(conn, TRANSPORT_WANT_READ);
    }
    if (!conn_take_block(conn)) {
        return CONN_OVER;
    }
    conn->state = CONN_HEAD;
    conn->state_deadline_ms = 0;
    return CONN_AGAIN;
}

static enum conn_answer conn_refuse_head(struct conn *conn, unsigned status, const char *why)
{
    conn->state = CONN_EXCHANGE;
    conn->in_at = conn->in_len;
    exchange_start(conn_exchange(conn), conn);
    exchange_refuse(conn_exchange(conn), status, why);
    return CONN_AGAIN;
}

static enum conn_answer conn_accept_head(struct conn *conn)
{
    struct exchange *x = conn_exchange(conn);

    if (conn->in_cap - x->head.len < CONN_AHEAD_BYTES && !conn_grow(conn)) {
        return CONN_OVER;
    }
    conn->in_at = x->head.len;
    conn->state = CONN_EXCHANGE;
    conn->set->counts.requests++;
    exchange_start(x, conn);
    return CONN_AGAIN;
}

/* Nothing has arrived of a head: go (back) to sleep without a buffer. */
static enum conn_answer conn_go_idle(struct conn *conn)
{
    conn_give_block(conn);
    conn->state = CONN_IDLE;
    conn->is_readable = false;
    conn->state_deadline_ms = worker_clock_ms() + conn->set->limits.idle_timeout_ms;
    return CONN_AGAIN;
}

static enum conn_answer conn_do_head(struct conn *conn)
{
    struct http1_head *head = &conn_exchange(conn)->head;

    if (conn->is_expired) {
        return conn_refuse_head(conn, 408, "the request head did not arrive in time");
    }
    for (;;) {
        ssize_t got;

        if (conn->in_len > 0) {
            switch (http1_head_feed(head, conn->in, conn->in_len)) {
            case HTTP1_DONE:
                return conn_accept_head(conn);
            case HTTP1_BAD:
            case HTTP1_DATA:
                return conn_refuse_head(conn, head->status, head->why);
            case HTTP1_MORE:
                break;
            }
        }
        if (conn->in_len == conn->in_cap && !conn_grow(conn)) {
            return CONN_OVER;
        }
        got = conn_read_in(conn);
        if (got > 0) {
            continue;
        }
        if (got != TRANSPORT_WANT_READ && got != TRANSPORT_WANT_WRITE) {
            return CONN_OVER; /* nobody is left to read an answer to half a request */
        }
        if (conn->in_len == 0 && got == TRANSPORT_WANT_READ) {
            return conn_go_idle(conn);
        }
        if (conn->state_deadline_ms == 0) {
            conn->state_deadline_ms = worker_clock_ms() + conn->set->limits.header_timeout_ms;
        }
        return conn_wait_for(conn, got);
    }
}

/* ---- the request's body ---- */

/* What one side of an exchange says after it has done what it could. */
enum conn_pump {
    CONN_PUMP_DONE,
    CONN_PUMP_WAIT, /* wants_read or wants_write is set, or the handler must act */
    CONN_PUMP_YIELD,
    CONN_PUMP_LEFT,   /* the client is gone */
    CONN_PUMP_FAILED, /* ours failed */
};

/* False: the body is refused, and the exchange now holds the server's answer (or fails). */
static bool conn_deliver(struct conn *conn, struct bytes piece)
{
    struct exchange *x = conn_exchange(conn);

    if (x->has_begun) {
        return true; /* answered already: nobody wants it */
    }
    if (x->body_received > x->body_limit || piece.len > x->body_limit - x->body_received) {
        exchange_refuse(x, 413, "the request body is larger than the limit");
        return false;
    }
    x->body_received += piece.len;
    if (conn->role->handler->on_body != NULL && piece.len > 0) {
        conn->role->handler->on_body(x, piece);
    }
    return true;
}

static void conn_end_body(struct conn *conn)
{
    struct exchange *x = conn_exchange(conn);

    x->is_body_done = true;
    if (conn->role->handler->on_body_end != NULL && !x->has_begun) {
        conn->role->handler->on_body_end(x);
    }
}

/* One read of a body with Content-Length. Above zero: progress was made. */
static ssize_t conn_read_length(struct conn *conn)
{
    struct exchange *x = conn_exchange(conn);
    struct conn_set *set = conn->set;
    size_t held = conn->in_len - conn->in_at;
    struct bytes piece;

    if (held > 0) {
        piece = bytes_make(conn->in + conn->in_at, GH_MIN((uint64_t)held, x->body_left));
        conn->in_at += (uint32_t)piece.len;
    } else {
        size_t want = (size_t)GH_MIN((uint64_t)sizeof(set->scratch), x->body_left);
        ssize_t got = conn->transport.ops->read(&conn->transport, set->scratch, want);

        if (got <= 0) {
            return got;
        }
        conn->moved += (uint64_t)got;
        piece = bytes_make(set->scratch, (size_t)got);
    }
    x->body_left -= piece.len;
    if (conn_deliver(conn, piece) && x->body_left == 0) {
        conn_end_body(conn);
    }
    return (ssize_t)piece.len;
}

/* Decode what the buffer holds of a chunked body. */
static void conn_decode_chunks(struct conn *conn)
{
    struct exchange *x = conn_exchange(conn);

    while (conn->in_at < conn->in_len && !x->is_body_done && !x->is_failed && !x->drops_body) {
        size_t consumed;
        struct bytes piece;
        enum http1_result result = http1_chunked_next(
            &x->chunked, conn->in + conn->in_at, conn->in_len - conn->in_at, &consumed, &piece);

        conn->in_at += (uint32_t)consumed;
        switch (result) {
        case HTTP1_BAD:
            if (x->has_begun) {
                x->is_failed = true; /* one request never gets two answers */
            } else {
                exchange_refuse(x, 400, x->chunked.why);
            }
            return;
        case HTTP1_DATA:
            if (!conn_deliver(conn, piece)) {
                return;
            }
            break;
        case HTTP1_DONE:
            conn_end_body(conn);
            return;
        case HTTP1_MORE:
            break;
        }
    }
}

static ssize_t conn_read_chunked(struct conn *conn)
{
    struct exchange *x = conn_exchange(conn);
    size_t held = conn->in_len - conn->in_at;

    if (held == 0) {
        ssize_t got;

        /* Behind the head, whose views are out; what follows the body stays for the next head. */
        conn->in_len = x->head.len;
        conn->in_at = x->head.len;
        got = conn_read_in(conn);
        if (got <= 0) {
            return got;
        }
        held = (size_t)got;
    }
    conn_decode_chunks(conn);
    return (ssize_t)held;
}

static enum conn_pump conn_send_continue(struct conn *conn)
{
    struct exchange *x = conn_exchange(conn);

    if (x->wants_continue && !x->has_begun && !x->is_body_paused) {
        x->wants_continue = false;
        /* Not to a client that has begun to send already: it did not wait (RFC 9110, 10.1.1). */
        x->continue_left = conn->in_len > conn->in_at ? 0 : (uint8_t)CONN_CONTINUE_BYTES;
    }
    while (x->continue_left > 0) {
        const char *rest = conn_continue_line + CONN_CONTINUE_BYTES - x->continue_left;
        struct iovec iov = {(void *)(uintptr_t)rest, x->continue_left};
        ssize_t sent = conn->transport.ops->writev(&conn->transport, &iov, 1, false);

        if (sent == TRANSPORT_WANT_READ || sent == TRANSPORT_WANT_WRITE) {
            conn->wants_read |= sent == TRANSPORT_WANT_READ;
            conn->wants_write |= sent == TRANSPORT_WANT_WRITE;
            return CONN_PUMP_WAIT;
        }
        if (sent <= 0) {
            return CONN_PUMP_LEFT;
        }
        x->continue_left = (uint8_t)(x->continue_left - sent);
    }
    return CONN_PUMP_DONE;
}

static enum conn_pump conn_pump_body(struct conn *conn)
{
    struct exchange *x = conn_exchange(conn);
    size_t budget = CONN_TURN_BYTES;

    if (x->is_body_done) {
        return CONN_PUMP_DONE;
    }
    if (x->drops_body) {
        return CONN_PUMP_WAIT;
    }
    while (!x->is_body_done && !x->is_body_paused && !x->is_failed && !x->drops_body) {
        ssize_t got = x->head.is_chunked ? conn_read_chunked(conn) : conn_read_length(conn);

        if (got == TRANSPORT_WANT_READ || got == TRANSPORT_WANT_WRITE) {
            conn->wants_read |= got == TRANSPORT_WANT_READ;
            conn->wants_write |= got == TRANSPORT_WANT_WRITE;
            return CONN_PUMP_WAIT;
        }
        if (got <= 0) {
            return CONN_PUMP_LEFT;
        }
        budget -= GH_MIN(budget, (size_t)got);
        if (budget == 0 && !x->is_body_done) {
            return CONN_PUMP_YIELD;
        }
    }
    return x->is_body_done ? CONN_PUMP_DONE : CONN_PUMP_WAIT;
}

/* ---- the answer ---- */

static void conn_tell_drained(struct conn *conn)
{
    struct exchange *x = conn_exchange(conn);

    if (x->is_above_high && x->out.memory_bytes <= EXCHANGE_LOW_BYTES) {
        x->is_above_high = false;
        if (conn->role->handler->on_drain != NULL && !x->is_over && !x->out.is_ended) {
            conn->role->handler->on_drain(x);
        }
    }
}

static enum conn_pump conn_pump_answer(struct conn *conn)
{
    struct exchange *x = conn_exchange(conn);
    size_t budget = CONN_TURN_BYTES;
    uint64_t before = x->out.body_sent;
    enum outflow_result result = outflow_send(&x->out, &conn->transport, &budget);

    conn->moved += x->out.body_sent - before;
    conn_tell_drained(conn);
    switch (result) {
    case OUTFLOW_SENT:
        return CONN_PUMP_DONE;
    case OUTFLOW_STARVED:
        return CONN_PUMP_WAIT;
    case OUTFLOW_BLOCKED_WRITE:
        conn->wants_write = true;
        return CONN_PUMP_WAIT;
    case OUTFLOW_BLOCKED_READ:
        conn->wants_read = true;
        return CONN_PUMP_WAIT;
    case OUTFLOW_YIELD:
        return CONN_PUMP_YIELD;
    case OUTFLOW_LOST:
        return CONN_PUMP_LEFT;
    case OUTFLOW_FAILED:
        break;
    }
    return CONN_PUMP_FAILED;
}

/* While an answer is under way: take in what the client pipelines, as far as the buffer goes, and
 * learn that it left. False: it is gone. */
static bool conn_read_ahead(struct conn *conn)
{
    struct exchange *x = conn_exchange(conn);

    if (!x->is_body_done || conn->saw_end) {
        return true;
    }
    if (conn->is_readable) {
        ssize_t got = conn_read_in(conn);

        conn->is_readable = false;
        if (got == TRANSPORT_LOST) {
            return false;
        }
        if (got == TRANSPORT_END) {
            /* Half a close or a whole one: TCP does not tell. An answer under way goes on, since a
             * client that is gone shows itself at the next write; one not begun has a deadline. */
            conn->saw_end = true;
            conn->state_deadline_ms = worker_clock_ms() + conn->set->limits.half_close_ms;
        }
    }
    conn->wants_read |= !conn->saw_end && conn->in_len < conn->in_cap;
    return true;
}

static enum conn_answer conn_give_up(struct conn *conn, enum exchange_outcome outcome)
{
    exchange_finish(conn_exchange(conn), outcome);
    return CONN_OVER;
}

/* The whole answer was sent. */
static enum conn_answer conn_next_request(struct conn *conn)
{
    struct exchange *x = conn_exchange(conn);
    bool was_refused = x->is_over;
    bool has_unread = !x->is_body_done || conn->in_at < conn->in_len || was_refused;

    exchange_finish(x, EXCHANGE_SENT);
    outflow_done(&x->out);
    conn->has_window = false;
    if (x->closes || conn->set->is_draining || !x->is_body_done || conn->saw_end) {
        if (!has_unread || conn->saw_end) {
            return CONN_OVER;
        }
        /* Closing now would reset the connection over unread bytes, and the client might never see
         * the answer. */
        conn_give_block(conn);
        conn->transport.ops->shutdown(&conn->transport);
        conn->state = CONN_LINGER;
        conn->state_deadline_ms = worker_clock_ms() + conn->set->limits.linger_ms;
        return CONN_AGAIN;
    }
    if (conn->in_at == conn->in_len && !conn->transport.ops->has_pending(&conn->transport)) {
        return conn_go_idle(conn);
    }
    conn_compact(conn);
    http1_head_init(&x->head);
    conn->state = CONN_HEAD;
    conn->state_deadline_ms = 0;
    return CONN_AGAIN;
}

static bool conn_window_has_expired(struct conn *conn)
{
    if (conn->has_window && conn->moved - conn->window_moved >= conn->set->limits.progress_bytes) {
        conn->has_window = false; /* conn_arm() begins the next one */
        return false;
    }
    return true;
}

static enum conn_answer conn_check_expired(struct conn *conn)
{
    struct exchange *x = conn_exchange(conn);

    if (conn->saw_end && !x->has_begun) {
        return conn_give_up(conn, EXCHANGE_LEFT);
    }
    if (!conn->has_window || !conn_window_has_expired(conn)) {
        return CONN_WAIT;
    }
    conn->set->counts.expired++;
    return conn_give_up(conn, EXCHANGE_EXPIRED);
}

static void conn_announce(struct conn *conn)
{
    struct exchange *x = conn_exchange(conn);

    x->is_announced = true;
    conn->role->handler->on_request(x);
    if (!x->is_body_done && x->head.content_length > x->body_limit && !x->has_begun &&
        !x->is_failed) {
        exchange_refuse(x, 413, "the request body is larger than the limit");
    }
}

/* One round over both directions. CONN_WAIT: nothing more can be done now. */
static enum conn_answer conn_pump(struct conn *conn)
{
    struct exchange *x = conn_exchange(conn);
    enum conn_pump body = conn_send_continue(conn);
    enum conn_pump answer;

    if (body != CONN_PUMP_DONE) {
        return body == CONN_PUMP_WAIT ? CONN_WAIT : conn_give_up(conn, EXCHANGE_LEFT);
    }
    body = conn_pump_body(conn);
    if (x->is_failed) {
        return conn_give_up(conn, EXCHANGE_FAILED);
    }
    answer = conn_pump_answer(conn);
    if (answer == CONN_PUMP_DONE) {
        return conn_next_request(conn);
    }
    if (body == CONN_PUMP_LEFT || answer == CONN_PUMP_LEFT) {
        return conn_give_up(conn, EXCHANGE_LEFT);
    }
    if (answer == CONN_PUMP_FAILED || x->is_failed) {
        return conn_give_up(conn, EXCHANGE_FAILED);
    }
    return body == CONN_PUMP_YIELD || answer == CONN_PUMP_YIELD ? CONN_YIELD : CONN_WAIT;
}

static enum conn_answer conn_do_exchange(struct conn *conn)
{
    struct exchange *x = conn_exchange(conn);

    if (conn->is_expired) {
        enum conn_answer answer = conn_check_expired(conn);

        conn->is_expired = false;
        if (answer == CONN_OVER) {
            return answer;
        }
    }
    if (!x->is_announced && !x->is_over) {
        conn_announce(conn);
    }
    for (unsigned round = 0; round < 8; round++) {
        enum conn_answer answer;

        conn->is_touched = false;
        conn->wants_read = false;
        conn->wants_write = false;
        answer = conn_pump(conn);
        if (answer != CONN_WAIT) {
            return answer;
        }
        if (!conn->is_touched) {
            return conn_read_ahead(conn) ? CONN_WAIT : conn_give_up(conn, EXCHANGE_LEFT);
        }
    }
    return CONN_YIELD;
}

static enum conn_answer conn_do_linger(struct conn *conn)
{
    for (unsigned i = 0; i < 8; i++) {
        ssize_t got = conn->transport.ops->read(&conn->transport, conn->set->scratch,
                                                sizeof(conn->set->scratch));

        if (conn->is_expired || got == TRANSPORT_END || got == TRANSPORT_LOST) {
            return CONN_OVER;
        }
        if (got < 0) {
            return conn_wait_for(conn, got);
        }
    }
    return CONN_YIELD;
}

/* ---- the machine ---- */

typedef enum conn_answer conn_step_function(struct conn *conn);

static conn_step_function *const conn_steps[] = {
    [CONN_HANDSHAKE] = conn_do_handshake, [CONN_IDLE] = conn_do_idle,
    [CONN_HEAD] = conn_do_head,           [CONN_EXCHANGE] = conn_do_exchange,
    [CONN_LINGER] = conn_do_linger,
};

/* Only marks and unlinks; the next turn frees. */
static void conn_close(struct conn *conn)
{
    struct conn_set *set = conn->set;

    if (conn->state == CONN_CLOSED) {
        return;
    }
    if (conn->state == CONN_EXCHANGE) {
        exchange_finish(conn_exchange(conn), EXCHANGE_FAILED);
        outflow_done(&conn_exchange(conn)->out);
    }
    conn->state = CONN_CLOSED;
    conn_give_block(conn);
    (void)event_del(&conn->read_event);
    (void)event_del(&conn->write_event);
    wheel_remove(&conn->deadline);
    conn->transport.ops->close(&conn->transport);
    conn_unschedule(conn);
    TAILQ_REMOVE(&set->all, conn, all);
    TAILQ_INSERT_TAIL(&set->dead, conn, all);
    set->counts.open--;
    worker_load_add(set->worker, -1);
    if (conn->role->on_close != NULL) {
        conn->role->on_close(conn->role->on_close_arg, &conn->peer);
    }
    conn_set_kick(set);
}

/* The deadline of what the connection waits for. */
static uint64_t conn_deadline(struct conn *conn)
{
    if (conn->state != CONN_EXCHANGE) {
        return conn->state_deadline_ms;
    }
    if (conn->saw_end && !conn_exchange(conn)->has_begun) {
        return conn->state_deadline_ms;
    }
    /* The client holds us up: it owes us body bytes, or does not take ours. */
    if (conn->wants_write || (conn->wants_read && !conn_exchange(conn)->is_body_done)) {
        if (!conn->has_window) {
            conn->has_window = true;
            conn->window_moved = conn->moved;
            conn->state_deadline_ms = worker_clock_ms() + conn->set->limits.progress_window_ms;
        }
        return conn->state_deadline_ms;
    }
    conn->has_window = false;
    return 0;
}

static bool conn_arm_event(struct event *event, bool wanted, bool *is_armed)
{
    if (wanted == *is_armed) {
        return true;
    }
    *is_armed = wanted;
    return (wanted ? event_add(event, NULL) : event_del(event)) == 0;
}

/* The one place that arms events. */
static void conn_arm(struct conn *conn)
{
    uint64_t deadline_ms = conn_deadline(conn);

    if (deadline_ms != conn->deadline.deadline_ms) {
        wheel_set(&conn->set->wheel, &conn->deadline, deadline_ms);
    }
    if (!conn_arm_event(&conn->read_event, conn->wants_read, &conn->is_read_armed) ||
        !conn_arm_event(&conn->write_event, conn->wants_write, &conn->is_write_armed)) {
        conn_close(conn); /* epoll refused: out of memory or watches */
    }
}

static void conn_step(struct conn *conn)
{
    enum conn_answer answer = CONN_AGAIN;
    unsigned requests = 0;

    conn->is_stepping = true;
    while (answer == CONN_AGAIN) {
        enum conn_state before = conn->state;

        answer = conn_steps[before](conn);
        conn->is_expired = false;
        if (before == CONN_EXCHANGE && conn->state == CONN_HEAD &&
            ++requests == CONN_TURN_REQUESTS) {
            answer = CONN_YIELD;
        }
    }
    conn->is_stepping = false;
    conn->is_readable = false;
    if (answer == CONN_OVER) {
        conn_close(conn);
        return;
    }
    if (answer == CONN_YIELD) {
        conn_schedule(conn);
        conn->wants_read = conn->is_read_armed; /* as it was: it will be asked again in a moment */
        conn->wants_write = false;
    }
    conn_arm(conn);
}

static void conn_on_event(evutil_socket_t fd, short what, void *arg)
{
    struct conn *conn = arg;

    if (conn->state == CONN_CLOSED) {
        return;
    }
    conn->is_readable |= (what & EV_READ) != 0;
    conn_step(conn);
}

static void conn_on_expired(struct wheel_entry *entry, void *arg)
{
    struct conn *conn = (struct conn *)((char *)entry - offsetof(struct conn, deadline));

    conn->is_expired = true;
    conn_step(conn);
}

/* ---- the set ---- */

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

    wheel_run(&set->wheel, worker_clock_ms(), conn_on_expired, set);
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

/* ---- arrival ---- */

static void conn_arrival_drop(struct worker_mail *mail)
{
    struct conn_arrival *arrival = (struct conn_arrival *)mail;

    (void)close(arrival->fd);
    tls_context_unref(arrival->tls);
    if (arrival->role->on_close != NULL) {
        arrival->role->on_close(arrival->role->on_close_arg, &arrival->peer);
    }
    free(arrival);
}

static bool conn_open_transport(struct conn *conn, struct conn_arrival *arrival)
{
    int fd = arrival->fd;
    struct ssl_ctx_st *tls = arrival->tls;

    if (tls == NULL) {
        transport_init_plain(&conn->transport, fd);
        return true;
    }
    arrival->fd = -1;
    arrival->tls = NULL;
    return tls_init_transport(&conn->transport, tls, fd);
}

static void conn_arrive(struct worker_mail *mail, struct worker *worker)
{
    struct conn_arrival *arrival = (struct conn_arrival *)mail;
    struct conn_set *set = worker_member(worker, WORKER_SLOT_CONN);
    struct conn *conn = calloc(1, sizeof(*conn));

    if (conn == NULL || !conn_open_transport(conn, arrival)) {
        free(conn);
        worker_load_add(worker, -1);
        conn_arrival_drop(mail);
        return;
    }
    conn->set = set;
    conn->role = arrival->role;
    conn->peer = arrival->peer;
    conn->peer_port = arrival->peer_port;
    conn->id = ++set->next_id;
    conn->state = CONN_HANDSHAKE;
    conn->state_deadline_ms = worker_clock_ms() + set->limits.header_timeout_ms;
    conn->is_readable = true;
    TAILQ_INSERT_TAIL(&set->all, conn, all);
    set->counts.accepted++;
    set->counts.open++;
    (void)event_assign(&conn->read_event, worker_base(worker), conn->transport.fd,
                       EV_READ | EV_PERSIST, conn_on_event, conn);
    (void)event_assign(&conn->write_event, worker_base(worker), conn->transport.fd,
                       EV_WRITE | EV_PERSIST, conn_on_event, conn);
    free(arrival);
    conn_step(conn);
}

void conn_hand_over(struct worker *worker, struct conn_arrival *arrival)
{
    arrival->mail.run = conn_arrive;
    arrival->mail.drop = conn_arrival_drop;
    worker_load_add(worker, 1);
    worker_post(worker, &arrival->mail);
}
