/*
 * The bytes of one answer on their way out: its head, its pieces (memory, files, a growing file)
 * and the chunked framing around them.
 *
 * Threads: one at a time; no shared state
 */
#ifndef PROXY_OUTFLOW_H
#define PROXY_OUTFLOW_H

#include "proxy/exchange.h"
#include "proxy/transport.h"

#define OUTFLOW_INLINE_HEAD 1024
#define OUTFLOW_INLINE_PIECES 3

enum outflow_kind { OUTFLOW_MEMORY, OUTFLOW_FILE, OUTFLOW_SOURCE };

struct outflow_piece {
    enum outflow_kind kind;
    int fd;              /* file, source */
    const uint8_t *data; /* memory */
    uint64_t offset;     /* file, source: of the next byte */
    uint64_t left;       /* memory, file: bytes not sent yet */
    enum exchange_supply (*poll)(void *arg, uint64_t *limit);
    void (*release)(void *arg);
    void *arg;
};

enum outflow_framing {
    OUTFLOW_NO_BODY = 0, /* HEAD, 204, 304: pieces are dropped */
    OUTFLOW_LENGTH,
    OUTFLOW_CHUNKED,
    OUTFLOW_UNTIL_CLOSE, /* HTTP/1.0 with an unknown length */
};

struct outflow {
    char *head; /* head_inline, or heap */
    uint32_t head_len;
    uint32_t head_cap;
    uint32_t head_sent;
    uint32_t piece_first;
    uint32_t piece_count;
    uint32_t piece_cap;
    struct outflow_piece *pieces; /* inline_pieces, or heap */
    uint64_t left;                /* of the announced length */
    uint64_t chunk_left;
    uint64_t body_sent;
    size_t memory_bytes; /* queued */
    enum outflow_framing framing;
    uint8_t frame_len;
    uint8_t frame_sent;
    bool has_chunks;
    bool has_last_frame;
    bool is_open;  /* head complete: may be sent */
    bool is_ended; /* no piece follows */
    bool has_failed;
    char frame[24]; /* "\r\n" size "\r\n" */
    struct outflow_piece inline_pieces[OUTFLOW_INLINE_PIECES];
    char head_inline[OUTFLOW_INLINE_HEAD];
};

enum outflow_result {
    OUTFLOW_FAILED = 0, /* source failed, file short, more or less than announced, no memory */
    OUTFLOW_SENT,       /* everything is with the kernel */
    OUTFLOW_STARVED,    /* nothing to send now: wait for the handler */
    OUTFLOW_BLOCKED_WRITE,
    OUTFLOW_BLOCKED_READ, /* TLS wants to read first */
    OUTFLOW_YIELD,        /* the turn's budget is used up */
    OUTFLOW_LOST,         /* the peer is gone */
};

void outflow_init(struct outflow *out);
/* Release every piece. */
void outflow_done(struct outflow *out);

/* Room for LEN bytes at the head's end, to be written at once. NULL: the answer has failed. */
char *outflow_head_room(struct outflow *out, size_t len);
/* Append raw bytes to the head. */
void outflow_head_put(struct outflow *out, const void *data, size_t len);

/* Queue a piece; its release is called once, at once where the piece is dropped. */
void outflow_put(struct outflow *out, const struct outflow_piece *piece);

/*
 * Send until done, blocked, starved or *budget bytes have left.
 * Gives: *budget: what is left of it
 */
GH_CHECKED enum outflow_result outflow_send(struct outflow *out, struct transport *transport,
                                            size_t *budget);

#endif
