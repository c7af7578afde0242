/*
 * One request and its answer, as a handler sees them. The server parses, frames, waits and closes;
 * the handler decides. Nothing here blocks, and no call runs a callback: every exchange_*() call
 * only changes state, the connection moves on after the handler has returned to the loop. So a
 * handler may call anything at any time on its worker, and is never re-entered.
 *
 * The life of an exchange:
 *   on_request    the head is complete; a body, if any, has not been read
 *   on_body*      pieces of the request body; on_body_end when it was complete
 *   on_drain*     the memory queued for the answer fell below the low mark again
 *   on_done       exactly once, last, whatever happened. The exchange and every view of its head
 * are gone when it returns; free the handler's context here, not before. A handler may answer from
 * on_request, or keep the exchange and answer later from any callback on the same worker (mail, a
 * transfer, a timer). When the client leaves in between, on_done comes at once: from then on the
 * handler must not touch the exchange.
 *
 * Answering:
 *   exchange_header(x, "Content-Type", type);       as often as needed
 *   exchange_begin(x, 200, length);                 or EXCHANGE_CHUNKED
 *   exchange_put(x, data, len, release, arg);       any number of pieces, in order
 *   exchange_put_file(...), exchange_put_source(...)
 *   exchange_end(x);                                nothing follows
 * An answer begun before the request's body is complete ends that body: nothing more of it is
 * delivered, and unless the rest was in the buffer already the connection closes behind the answer.
 * The head leaves with the first turn of the loop after exchange_begin(), together with the pieces
 * that are there. For HEAD the same calls are made; the server drops the pieces. Date, Connection,
 * Content-Length and Transfer-Encoding are the server's: never set them with exchange_header().
 *
 * Threads: the worker the exchange lives on
 */
#ifndef PROXY_EXCHANGE_H
#define PROXY_EXCHANGE_H

#include "proxy/http1.h"

struct exchange;
struct worker;
struct x509_st;

#define EXCHANGE_CHUNKED INT64_C(-1)         /* length not known */
#define EXCHANGE_MAX_HEAD_BYTES (64u * 1024) /* of an answer */
#define EXCHANGE_MAX_PIECES 256u             /* queued at a time */
#define EXCHANGE_HIGH_BYTES (1024u * 1024)   /* of memory queued: exchange_put() answers false */
#define EXCHANGE_LOW_BYTES (256u * 1024)     /* then on_drain is called */
#define EXCHANGE_MAX_BODY_PIECE (64u * 1024) /* may still arrive after exchange_pause_body() */
#define EXCHANGE_PEER_TEXT_BYTES 48

/* How an exchange ended. Zero is the bad case. */
enum exchange_outcome {
    EXCHANGE_FAILED = 0, /* the source or the handler failed, or the worker stopped: closed short */
    EXCHANGE_SENT,       /* the whole answer was given to the kernel */
    EXCHANGE_LEFT,       /* the client closed or reset the connection */
    EXCHANGE_EXPIRED,    /* the client made too little progress */
    EXCHANGE_REFUSED, /* the server answered in the handler's place: malformed or too large body */
};

/* For logs and metrics; handed to on_done. */
struct exchange_record {
    enum exchange_outcome outcome;
    unsigned status;        /* 0: no answer was begun */
    uint64_t body_sent;     /* bytes of content given to the kernel, framing not counted */
    uint64_t body_received; /* bytes of the request's content */
    uint64_t duration_us;   /* from the complete head to the last byte */
    uint64_t first_byte_us; /* from the complete head to exchange_begin(); 0 without an answer */
};

/* A request that never became an exchange: its head was refused. */
struct exchange_refusal {
    unsigned status;
    const char *why;  /* static sentence */
    const char *peer; /* address as text */
};

struct exchange_handler {
    void (*on_request)(struct exchange *x);                  /* must be set */
    void (*on_body)(struct exchange *x, struct bytes piece); /* NULL: bodies are read and dropped */
    void (*on_body_end)(struct exchange *x);                 /* NULL allowed */
    void (*on_drain)(struct exchange *x);                    /* NULL allowed */
    void (*on_done)(struct exchange *x, const struct exchange_record *record); /* must be set */
    /* NULL allowed. Threads: any worker, role is the listener's. */
    void (*on_refusal)(void *role, const struct exchange_refusal *refusal);
};

/* ---- the request ---- */

const struct http1_head *exchange_head(const struct exchange *x);
/* The listener's role: what it was opened with. */
void *exchange_role(const struct exchange *x);
struct worker *exchange_worker(const struct exchange *x);
/* The handler's own pointer; NULL at on_request. */
void *exchange_context(const struct exchange *x);
void exchange_set_context(struct exchange *x, void *context);
/* "192.0.2.1" or "2001:db8::1", without the port. Takes: out: EXCHANGE_PEER_TEXT_BYTES. Gives: out.
 */
const char *exchange_peer(const struct exchange *x, char *out);
uint16_t exchange_peer_port(const struct exchange *x);
bool exchange_is_tls(const struct exchange *x);
/* The client's certificate, verified against the listener's client_ca; NULL without. Borrowed. */
struct x509_st *exchange_peer_certificate(const struct exchange *x);
/* The server name the client asked for in TLS, NULL without. Borrowed. */
const char *exchange_server_name(const struct exchange *x);
/* A number that no other exchange or connection of this worker has, for logs. */
uint64_t exchange_id(const struct exchange *x);
uint64_t exchange_connection_id(const struct exchange *x);

/* ---- the request's body ---- */

/* Change the cap (default: conn_limits.body_limit_bytes). In on_request: a larger body is refused
 * with 413, unless the handler has begun an answer. */
void exchange_limit_body(struct exchange *x, uint64_t limit_bytes);
/* Stop and resume reading the body. What was read already may still arrive
 * (EXCHANGE_MAX_BODY_PIECE), on_body_end included. Paused in on_request, no 100 (Continue) is sent
 * until resumed. */
void exchange_pause_body(struct exchange *x);
void exchange_resume_body(struct exchange *x);

/* ---- the answer ---- */

/* Add a field. Control characters in the value become spaces (RFC 9110 section 5.5), so that
 * nothing upstream says can split the head. */
void exchange_header(struct exchange *x, const char *name, const char *value);
void exchange_header_bytes(struct exchange *x, const char *name, struct bytes value);
void exchange_header_number(struct exchange *x, const char *name, uint64_t value);
/* Add ready-made lines, each ending in CRLF: for answers that are sent often. */
void exchange_header_lines(struct exchange *x, struct bytes lines);
/* Forget the fields added so far. */
void exchange_header_clear(struct exchange *x);

/*
 * Fix status and length. Once; a second call is a programming mistake.
 *
 * Takes: length: bytes of content (for HEAD and 304: what GET would have), or EXCHANGE_CHUNKED
 */
void exchange_begin(struct exchange *x, unsigned status, int64_t length);
bool exchange_has_begun(const struct exchange *x);
/* Close the connection behind this answer. Before exchange_begin(). */
void exchange_close_after(struct exchange *x);

/*
 * Queue memory. RELEASE(ARG) is called once when the bytes are no longer needed, from the loop or
 * at once (HEAD, an answer that is over); NULL: the bytes outlive the exchange.
 *
 * Gives: false: above the high mark (the piece was taken all the same): wait for on_drain
 */
bool exchange_put(struct exchange *x, const void *data, size_t len, void (*release)(void *arg),
                  void *arg);
/* Queue a copy. */
bool exchange_put_copy(struct exchange *x, const void *data, size_t len);
/*
 * Queue a region of a file: sendfile on plain connections, pread on TLS.
 * Takes: fd: taken and closed when RELEASE is NULL, else borrowed until RELEASE(ARG)
 */
void exchange_put_file(struct exchange *x, int fd, uint64_t offset, uint64_t len,
                       void (*release)(void *arg), void *arg);

enum exchange_supply {
    EXCHANGE_SUPPLY_FAILED = 0, /* close the connection short */
    EXCHANGE_SUPPLY_GROWING,    /* bytes below *limit may leave; more may follow */
    EXCHANGE_SUPPLY_COMPLETE,   /* bytes below *limit may leave; nothing follows */
};

/* A file that is still being written. */
struct exchange_source {
    int fd;          /* borrowed until release */
    uint64_t offset; /* of the first byte to send */
    /* How far may be sent: *limit is an absolute offset in the file. Called often; must be cheap
     * and must not call exchange_*(). Bytes past the announced length are not sent. */
    enum exchange_supply (*poll)(void *arg, uint64_t *limit);
    void (*release)(void *arg); /* once */
    void *arg;
};

/* Queue a growing source, always the last piece. When it has nothing to give the connection waits
 * for exchange_wake(). Takes: source: copied. */
void exchange_put_source(struct exchange *x, const struct exchange_source *source);
/* The source may have more, or has failed. */
void exchange_wake(struct exchange *x);

/* Nothing follows. Fewer bytes than announced close the connection short. */
void exchange_end(struct exchange *x);
/* Give up: the connection is closed short (or without any answer, when none was begun). */
void exchange_fail(struct exchange *x);

/* A whole small answer: copies the content; CONTENT_TYPE may be NULL. */
void exchange_answer(struct exchange *x, unsigned status, const char *content_type,
                     const void *content, size_t len);

#endif
