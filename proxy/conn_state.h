/* What conn.c, conn_body.c, conn_set.c and exchange.c share; nobody else includes it. */
#ifndef PROXY_CONN_STATE_H
#define PROXY_CONN_STATE_H

#include <sys/queue.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "proxy/conn.h"
#include "proxy/http1_chunked.h"
#include "proxy/outflow.h"
#include "proxy/semantics.h"
#include "proxy/transport.h"
#include "proxy/wheel.h"

struct conn;

struct exchange {
    struct conn *conn;
    void *context;
    uint64_t id;
    uint64_t started_us;
    uint64_t begun_us;
    uint64_t body_left; /* of a Content-Length */
    uint64_t body_received;
    uint64_t body_limit;
    unsigned status;
    uint8_t continue_left; /* bytes of "100 Continue" to send */
    bool is_announced;     /* on_request was called */
    bool is_over;          /* on_done was called, or there is no handler to tell */
    bool has_begun;
    bool wants_continue;
    bool is_body_paused;
    bool is_body_done;
    bool drops_body; /* answered before it was complete: not read any more */
    bool closes;     /* the connection, behind this answer */
    bool is_failed;
    bool is_above_high;
    struct http1_chunked chunked;
    struct outflow out;
    struct http1_head head; /* last: its fields are the long part */
};

/* What an active connection holds. */
struct conn_block {
    struct conn_block *next; /* spare list */
    struct exchange exchange;
    uint8_t in[CONN_BUFFER_BYTES];
};

enum conn_state {
    CONN_HANDSHAKE,
    CONN_IDLE,
    CONN_HEAD,
    CONN_EXCHANGE,
    CONN_LINGER,
    CONN_CLOSED,
};

struct conn {
    struct transport transport;
    struct conn_set *set;
    const struct conn_role *role;
    struct conn_block *block; /* NULL while idle */
    uint8_t *in;              /* block->in, or a larger buffer */
    uint32_t in_cap;
    uint32_t in_len; /* bytes received */
    uint32_t in_at;  /* bytes consumed */
    enum conn_state state;
    struct wheel_entry deadline;
    uint64_t state_deadline_ms; /* idle, head, linger */
    uint64_t moved;             /* bytes, both ways, of the exchange under way */
    uint64_t window_moved;      /* moved when the progress window began */
    uint64_t id;
    TAILQ_ENTRY(conn) all;
    TAILQ_ENTRY(conn) ready;
    struct in6_addr peer;
    uint16_t peer_port;
    bool wants_read;
    bool wants_write;
    bool is_read_armed;
    bool is_write_armed;
    bool is_readable; /* the loop said so in this turn */
    bool is_scheduled;
    bool is_stepping;
    bool is_touched; /* the handler called something while stepping */
    bool is_expired;
    bool saw_end; /* the client sent FIN */
    bool has_window;
    struct event read_event;
    struct event write_event;
};

TAILQ_HEAD(conn_list, conn);

struct conn_set {
    struct worker *worker;
    struct conn_limits limits;
    struct conn_list all;
    struct conn_list ready;
    struct conn_list dead; /* freed by the next turn */
    struct conn_block *spare;
    unsigned spare_count;
    struct event *ready_event;
    struct event *tick_event;
    struct wheel wheel;
    struct conn_counts counts;
    uint64_t next_id;
    unsigned ready_count;
    int64_t date_unix_s;
    bool is_ready_pending;
    bool is_draining;
    char date_line[64]; /* "Date: ...\r\n" */
    uint8_t scratch[EXCHANGE_MAX_BODY_PIECE];
};

/* Let the connection move on: in this step when it is stepping, else in the next turn. */
void conn_touch(struct conn *conn);
uint64_t conn_clock_us(void);
/* "Date: ...\r\n", made anew once a second. */
struct bytes conn_date_line(struct conn_set *set);

/* What one side of an exchange says after it has done what it could. */
enum conn_pump {
    CONN_PUMP_DONE,
    CONN_PUMP_WAIT, /* wants_read or wants_write is set, or the handler must act */
    CONN_PUMP_YIELD,
    CONN_PUMP_LEFT,   /* the client is gone */
    CONN_PUMP_FAILED, /* ours failed */
};

/* conn_body.c: read and deliver the request's body as far as it goes now. */
enum conn_pump conn_body_pump(struct conn *conn);
/* conn_body.c: send 100 (Continue) where it is due. */
enum conn_pump conn_body_continue(struct conn *conn);
/* Read behind what the buffer holds. Gives what the transport does; TRANSPORT_WANT_READ when full.
 */
ssize_t conn_read_in(struct conn *conn);

/* conn_set.c: what a set does for its connections. */
void conn_set_kick(struct conn_set *set);
void conn_schedule(struct conn *conn);
void conn_unschedule(struct conn *conn);
/* conn.c: run the machine until it waits. */
void conn_step(struct conn *conn);
/* Marks and unlinks; the next turn frees. */
void conn_close(struct conn *conn);

static inline struct exchange *conn_exchange(struct conn *conn)
{
    return &conn->block->exchange;
}

/* The server answers in the handler's place. Whatever had been queued is dropped. */
void exchange_refuse(struct exchange *x, unsigned status, const char *why);
/* Prepare for the request whose head is complete. */
void exchange_start(struct exchange *x, struct conn *conn);
/* Tell the handler that it is over, once. */
void exchange_finish(struct exchange *x, enum exchange_outcome outcome);

#endif
