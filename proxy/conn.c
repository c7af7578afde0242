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

#define CONN_LARGE_BUFFER_BYTES (HTTP1_MAX_HEAD_BYTES + CONN_BUFFER_BYTES)
#define CONN_AHEAD_BYTES 1024 /* room kept behind a head for chunked bodies and pipelining */

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

ssize_t conn_read_in(struct conn *conn)
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
    enum conn_pump body = conn_body_continue(conn);
    enum conn_pump answer;

    if (body != CONN_PUMP_DONE) {
        return body == CONN_PUMP_WAIT ? CONN_WAIT : conn_give_up(conn, EXCHANGE_LEFT);
    }
    body = conn_body_pump(conn);
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

void conn_close(struct conn *conn)
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

void conn_step(struct conn *conn)
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
