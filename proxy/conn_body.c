/* The request's body of a connection: reading, decoding, handing on. */
#include "proxy/conn_state.h"

static const char conn_body_continue_line[] = "HTTP/1.1 100 Continue\r\n\r\n";

#define CONN_BODY_CONTINUE_BYTES (sizeof(conn_body_continue_line) - 1)

/* False: the body is refused, and the exchange now holds the server's answer (or fails). */
static bool conn_body_deliver(struct conn *conn, struct bytes piece)
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

static void conn_body_end(struct conn *conn)
{
    struct exchange *x = conn_exchange(conn);

    x->is_body_done = true;
    if (conn->role->handler->on_body_end != NULL && !x->has_begun) {
        conn->role->handler->on_body_end(x);
    }
}

/* One read of a body with Content-Length. Above zero: progress was made. */
static ssize_t conn_body_read_length(struct conn *conn)
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
    if (conn_body_deliver(conn, piece) && x->body_left == 0) {
        conn_body_end(conn);
    }
    return (ssize_t)piece.len;
}

/* Decode what the buffer holds of a chunked body. */
static void conn_body_decode_chunks(struct conn *conn)
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
            if (!conn_body_deliver(conn, piece)) {
                return;
            }
            break;
        case HTTP1_DONE:
            conn_body_end(conn);
            return;
        case HTTP1_MORE:
            break;
        }
    }
}

static ssize_t conn_body_read_chunked(struct conn *conn)
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
    conn_body_decode_chunks(conn);
    return (ssize_t)held;
}

enum conn_pump conn_body_continue(struct conn *conn)
{
    struct exchange *x = conn_exchange(conn);

    if (x->wants_continue && !x->has_begun && !x->is_body_paused) {
        x->wants_continue = false;
        /* Not to a client that has begun to send already: it did not wait (RFC 9110, 10.1.1). */
        x->continue_left = conn->in_len > conn->in_at ? 0 : (uint8_t)CONN_BODY_CONTINUE_BYTES;
    }
    while (x->continue_left > 0) {
        const char *rest = conn_body_continue_line + CONN_BODY_CONTINUE_BYTES - x->continue_left;
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

enum conn_pump conn_body_pump(struct conn *conn)
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
        ssize_t got =
            x->head.is_chunked ? conn_body_read_chunked(conn) : conn_body_read_length(conn);

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
