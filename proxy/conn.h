/*
 * One client connection: a state machine over a transport that reads heads, hands exchanges to the
 * handler and sends answers. A connection that waits for its next request holds no buffer.
 *
 * The process must ignore SIGPIPE.
 *
 * Threads: conn_hand_over() and conn_limits_default(): any; everything else: the worker's own
 */
#ifndef PROXY_CONN_H
#define PROXY_CONN_H

#include <netinet/in.h>

#include "proxy/exchange.h"
#include "proxy/worker.h"

struct ssl_ctx_st;
struct conn_set;

#define CONN_TURN_BYTES (512u * 1024) /* moved for one connection before others get their turn */
#define CONN_TURN_REQUESTS 16         /* pipelined requests answered in one turn */
#define CONN_BUFFER_BYTES 8192        /* first buffer of a head; also bounds pipelined requests */
#define CONN_SPARE_BLOCKS 64          /* buffers kept for the next active connections of a worker */

struct conn_limits {
    unsigned header_timeout_ms;  /* first byte of a head to its end; also a TLS handshake */
    unsigned idle_timeout_ms;    /* between requests, and before the first */
    unsigned progress_window_ms; /* a client that owes bytes, or holds up ours, must move ... */
    unsigned progress_bytes;     /* ... this many in every window */
    unsigned half_close_ms;      /* a client that sent FIN gets its answer begun within this */
    unsigned linger_ms;          /* reading what a refused client still sends */
    uint64_t body_limit_bytes;   /* request bodies; exchange_limit_body() changes it */
};

/* The defaults of design/interface.md. */
void conn_limits_default(struct conn_limits *limits);

/* What a listener gives its connections; outlives them. */
struct conn_role {
    const struct exchange_handler *handler;
    void *role; /* exchange_role() */
    const char
        *refusal_headers; /* lines ending in CRLF, added to the server's own answers; or NULL */
    /* The connection has closed; on its worker. NULL allowed. */
    void (*on_close)(void *arg, const struct in6_addr *peer);
    void *on_close_arg;
};

/* An accepted socket on its way to a worker. */
struct conn_arrival {
    struct worker_mail mail;
    const struct conn_role *role;
    struct ssl_ctx_st *tls; /* owned reference; NULL: plain */
    struct in6_addr peer;   /* IPv4 mapped into IPv6 */
    uint16_t peer_port;
    int fd; /* owned, non-blocking */
};

/* Counters of a worker's connections. */
struct conn_counts {
    uint64_t accepted;
    uint64_t requests;
    uint64_t refused; /* heads and bodies */
    uint64_t expired;
    uint32_t open;
    uint32_t active; /* with a request under way or arriving */
};

/*
 * Create the connections' home on a worker and attach it (WORKER_SLOT_CONN); the worker frees it.
 *
 * Takes: limits: copied
 * Fails: INTERNAL_ERROR
 */
GH_CHECKED bool conn_set_new(struct worker *worker, const struct conn_limits *limits,
                             struct gh_error *err);
void conn_set_counts(const struct worker *worker, struct conn_counts *out);

/* Hand a socket to a worker and count it in its load. Takes: arrival: taken (from malloc). */
void conn_hand_over(struct worker *worker, struct conn_arrival *arrival);

#endif
