#include "proxy/outflow.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OUTFLOW_MAX_IOV 16

void outflow_init(struct outflow *out)
{
    memset(out, 0, offsetof(struct outflow, frame));
    out->head = out->head_inline;
    out->head_cap = sizeof(out->head_inline);
    out->pieces = out->inline_pieces;
    out->piece_cap = OUTFLOW_INLINE_PIECES;
}

static void outflow_release(struct outflow_piece *piece)
{
    if (piece->release != NULL) {
        piece->release(piece->arg);
    } else if (piece->kind == OUTFLOW_FILE && piece->fd >= 0) {
        (void)close(piece->fd);
    }
    piece->release = NULL;
    piece->fd = -1;
}

/* The first piece has been sent or is not wanted. */
static void outflow_pop(struct outflow *out)
{
    struct outflow_piece *piece = &out->pieces[out->piece_first];

    outflow_release(piece);
    out->piece_first++;
    out->piece_count--;
    if (out->piece_count == 0) {
        out->piece_first = 0;
    }
}

void outflow_done(struct outflow *out)
{
    while (out->piece_count > 0) {
        outflow_pop(out);
    }
    out->memory_bytes = 0;
    if (out->pieces != out->inline_pieces) {
        free(out->pieces);
        out->pieces = out->inline_pieces;
        out->piece_cap = OUTFLOW_INLINE_PIECES;
    }
    if (out->head != out->head_inline) {
        free(out->head);
        out->head = out->head_inline;
        out->head_cap = sizeof(out->head_inline);
    }
}

static bool outflow_head_reserve(struct outflow *out, size_t len)
{
    size_t cap = out->head_cap;
    char *head;

    if (len > EXCHANGE_MAX_HEAD_BYTES - out->head_len) {
        return false;
    }
    while (cap - out->head_len < len) {
        cap *= 2;
    }
    if (out->head == out->head_inline) {
        head = malloc(cap);
        if (head != NULL) {
            memcpy(head, out->head_inline, out->head_len);
        }
    } else {
        head = realloc(out->head, cap);
    }
    if (head == NULL) {
        return false;
    }
    out->head = head;
    out->head_cap = (uint32_t)cap;
    return true;
}

char *outflow_head_room(struct outflow *out, size_t len)
{
    char *at;

    if (len > out->head_cap - out->head_len && !outflow_head_reserve(out, len)) {
        out->has_failed = true;
        return NULL;
    }
    at = out->head + out->head_len;
    out->head_len += (uint32_t)len;
    return at;
}

void outflow_head_put(struct outflow *out, const void *data, size_t len)
{
    char *at = outflow_head_room(out, len);

    if (at != NULL) {
        memcpy(at, data, len);
    }
}

static bool outflow_piece_reserve(struct outflow *out)
{
    uint32_t cap = out->piece_cap * 2;
    struct outflow_piece *pieces;

    if (out->piece_first > 0) { /* room in front */
        memmove(out->pieces, out->pieces + out->piece_first,
                out->piece_count * sizeof(*out->pieces));
        out->piece_first = 0;
        return true;
    }
    if (cap > EXCHANGE_MAX_PIECES) {
        return false;
    }
    pieces = calloc(cap, sizeof(*pieces));
    if (pieces == NULL) {
        return false;
    }
    memcpy(pieces, out->pieces, out->piece_count * sizeof(*pieces));
    if (out->pieces != out->inline_pieces) {
        free(out->pieces);
    }
    out->pieces = pieces;
    out->piece_cap = cap;
    return true;
}

void outflow_put(struct outflow *out, const struct outflow_piece *piece)
{
    struct outflow_piece copy = *piece;

    if (out->is_ended || out->has_failed || (out->is_open && out->framing == OUTFLOW_NO_BODY) ||
        (piece->kind != OUTFLOW_SOURCE && piece->left == 0)) {
        outflow_release(&copy);
        return;
    }
    if (out->piece_first + out->piece_count == out->piece_cap && !outflow_piece_reserve(out)) {
        out->has_failed = true;
        outflow_release(&copy);
        return;
    }
    out->pieces[out->piece_first + out->piece_count] = copy;
    out->piece_count++;
    if (piece->kind == OUTFLOW_MEMORY) {
        out->memory_bytes += piece->left;
    }
}

/* ---- sending ---- */

/* How many bytes of a piece may leave now. */
struct outflow_ready {
    uint64_t len;
    bool is_last; /* the piece ends with them */
};

/* False: the source has failed. */
static bool outflow_poll(struct outflow *out, struct outflow_piece *piece,
                         struct outflow_ready *ready)
{
    uint64_t limit = 0;
    enum exchange_supply supply;

    if (piece->kind != OUTFLOW_SOURCE) {
        ready->len = piece->left;
        ready->is_last = true;
        return true;
    }
    supply = piece->poll(piece->arg, &limit);
    if (supply == EXCHANGE_SUPPLY_FAILED) {
        return false;
    }
    ready->len = limit > piece->offset ? limit - piece->offset : 0;
    ready->is_last = supply == EXCHANGE_SUPPLY_COMPLETE;
    return true;
}

static enum outflow_result outflow_of_transport(ssize_t code)
{
    switch (code) {
    case TRANSPORT_WANT_READ:
        return OUTFLOW_BLOCKED_READ;
    case TRANSPORT_WANT_WRITE:
        return OUTFLOW_BLOCKED_WRITE;
    case TRANSPORT_LOST:
        return OUTFLOW_LOST;
    default:
        return OUTFLOW_FAILED; /* a file that ended early or cannot be read */
    }
}

/* Account for LEN content bytes of the first piece. */
static void outflow_advance_piece(struct outflow *out, uint64_t len)
{
    struct outflow_piece *piece = &out->pieces[out->piece_first];

    out->body_sent += len;
    if (out->framing == OUTFLOW_LENGTH) {
        out->left -= len;
    } else if (out->framing == OUTFLOW_CHUNKED) {
        out->chunk_left -= len;
    }
    switch (piece->kind) {
    case OUTFLOW_MEMORY:
        piece->data += len;
        piece->left -= len;
        out->memory_bytes -= len;
        break;
    case OUTFLOW_FILE:
        piece->offset += len;
        piece->left -= len;
        break;
    case OUTFLOW_SOURCE:
        piece->offset += len;
        return; /* its end is learnt from the next poll */
    }
    if (piece->left == 0) {
        outflow_pop(out);
    }
}

/* What was written: head first, then framing, then memory pieces. */
static void outflow_advance(struct outflow *out, size_t sent)
{
    size_t part = GH_MIN(sent, (size_t)(out->head_len - out->head_sent));

    out->head_sent += (uint32_t)part;
    sent -= part;
    part = GH_MIN(sent, (size_t)(out->frame_len - out->frame_sent));
    out->frame_sent = (uint8_t)(out->frame_sent + part);
    sent -= part;
    while (sent > 0 && out->piece_count > 0) {
        uint64_t len = GH_MIN((uint64_t)sent, out->pieces[out->piece_first].left);

        outflow_advance_piece(out, len);
        sent -= (size_t)len;
    }
}

static void outflow_set_frame(struct outflow *out, uint64_t len)
{
    int written;

    if (len > 0) {
        written = snprintf(out->frame, sizeof(out->frame), "%s%llx\r\n",
                           out->has_chunks ? "\r\n" : "", (unsigned long long)len);
    } else {
        written =
            snprintf(out->frame, sizeof(out->frame), "%s0\r\n\r\n", out->has_chunks ? "\r\n" : "");
        out->has_last_frame = true;
    }
    out->frame_len = (uint8_t)written;
    out->frame_sent = 0;
    out->has_chunks = true;
    out->chunk_left = len;
}

/* Memory behind the head and the frame, as far as length or chunk allow. */
static int outflow_gather(const struct outflow *out, struct iovec *iov, uint64_t *gathered,
                          uint32_t *pieces)
{
    uint64_t room = UINT64_MAX;
    int count = 0;

    if (out->framing == OUTFLOW_LENGTH) {
        room = out->left;
    } else if (out->framing == OUTFLOW_CHUNKED) {
        room = out->chunk_left;
    }
    *gathered = 0;
    *pieces = 0;
    if (out->head_sent < out->head_len) {
        iov[count].iov_base = out->head + out->head_sent;
        iov[count++].iov_len = out->head_len - out->head_sent;
    }
    if (out->frame_sent < out->frame_len) {
        iov[count].iov_base = (char *)(uintptr_t)out->frame + out->frame_sent;
        iov[count++].iov_len = (size_t)(out->frame_len - out->frame_sent);
    }
    for (uint32_t i = 0; i < out->piece_count && count < OUTFLOW_MAX_IOV && room > 0; i++) {
        const struct outflow_piece *piece = &out->pieces[out->piece_first + i];
        uint64_t len = GH_MIN(piece->left, room);

        if (piece->kind != OUTFLOW_MEMORY || len == 0) {
            break;
        }
        iov[count].iov_base = (void *)(uintptr_t)piece->data;
        iov[count++].iov_len = (size_t)len;
        room -= len;
        *gathered += len;
        (*pieces)++;
    }
    return count;
}

/* Is the answer complete once everything up to here has left? */
static bool outflow_is_over(const struct outflow *out)
{
    switch (out->framing) {
    case OUTFLOW_NO_BODY:
        return true;
    case OUTFLOW_LENGTH:
        return out->left == 0;
    case OUTFLOW_CHUNKED:
        return out->has_last_frame;
    case OUTFLOW_UNTIL_CLOSE:
        return out->is_ended && out->piece_count == 0;
    }
    return false;
}

/*
 * Look at the first piece and prepare its framing. OUTFLOW_SENT: go on and write.
 */
static enum outflow_result outflow_prepare(struct outflow *out, struct outflow_ready *ready)
{
    *ready = (struct outflow_ready){0};
    for (;;) {
        struct outflow_piece *piece;

        if (outflow_is_over(out)) {
            return OUTFLOW_SENT;
        }
        if (out->framing == OUTFLOW_CHUNKED && out->chunk_left > 0) {
            ready->len = out->chunk_left; /* announced already */
            return OUTFLOW_SENT;
        }
        if (out->piece_count == 0) {
            if (!out->is_ended) {
                return OUTFLOW_STARVED;
            }
            if (out->framing != OUTFLOW_CHUNKED) {
                return OUTFLOW_FAILED; /* less than announced */
            }
            if (out->frame_sent == out->frame_len) {
                outflow_set_frame(out, 0);
            }
            return OUTFLOW_SENT;
        }
        piece = &out->pieces[out->piece_first];
        if (!outflow_poll(out, piece, ready)) {
            return OUTFLOW_FAILED;
        }
        if (ready->len > 0) {
            break;
        }
        if (!ready->is_last) {
            return OUTFLOW_STARVED;
        }
        outflow_pop(out);
    }
    if (out->framing == OUTFLOW_LENGTH) {
        ready->len = GH_MIN(ready->len, out->left);
    } else if (out->framing == OUTFLOW_CHUNKED) {
        ready->len = GH_MIN(ready->len, (uint64_t)TRANSPORT_SENDFILE_BYTES);
        outflow_set_frame(out, ready->len);
    }
    return OUTFLOW_SENT;
}

/* The first piece is a file with READY bytes. */
static ssize_t outflow_send_file(struct outflow *out, struct transport *transport, uint64_t ready)
{
    struct outflow_piece *piece = &out->pieces[out->piece_first];
    size_t len = (size_t)GH_MIN(ready, (uint64_t)TRANSPORT_SENDFILE_BYTES);
    ssize_t sent = transport->ops->sendfile(transport, piece->fd, piece->offset, len, false);

    if (sent > 0) {
        outflow_advance_piece(out, (uint64_t)sent);
    }
    return sent;
}

/* Does more follow at once: a file behind the head, further memory, the last frame? A source that
 * has nothing yet does not count: what waits for it would wait in the kernel. */
static bool outflow_has_more(const struct outflow *out, bool is_cut, uint32_t pieces)
{
    if (is_cut) {
        return true;
    }
    if (out->piece_count > pieces) {
        return out->pieces[out->piece_first + pieces].kind != OUTFLOW_SOURCE;
    }
    return out->framing == OUTFLOW_CHUNKED && out->is_ended && !out->has_last_frame;
}

static ssize_t outflow_send_memory(struct outflow *out, struct transport *transport, uint64_t ready)
{
    struct iovec iov[OUTFLOW_MAX_IOV];
    uint64_t gathered;
    uint32_t pieces;
    int count = outflow_gather(out, iov, &gathered, &pieces);
    bool more = outflow_has_more(out, ready > gathered, pieces);
    ssize_t sent = transport->ops->writev(transport, iov, count, more);

    if (sent > 0) {
        outflow_advance(out, (size_t)sent);
    }
    return sent;
}

enum outflow_result outflow_send(struct outflow *out, struct transport *transport, size_t *budget)
{
    for (;;) {
        struct outflow_ready ready;
        enum outflow_result prepared;
        bool has_framing;
        ssize_t sent;

        if (out->has_failed) {
            return OUTFLOW_FAILED;
        }
        if (!out->is_open) {
            return OUTFLOW_STARVED;
        }
        if (*budget == 0) {
            return OUTFLOW_YIELD;
        }
        prepared = outflow_prepare(out, &ready);
        has_framing = out->head_sent < out->head_len || out->frame_sent < out->frame_len;
        if (prepared == OUTFLOW_FAILED && out->head_sent == 0) {
            return OUTFLOW_FAILED;
        }
        if (!has_framing) {
            if (prepared != OUTFLOW_SENT) {
                return prepared;
            }
            if (outflow_is_over(out)) {
                /* The handler may still call: the exchange lives until it says so. */
                return out->is_ended ? OUTFLOW_SENT : OUTFLOW_STARVED;
            }
        }
        if (!has_framing && out->pieces[out->piece_first].kind != OUTFLOW_MEMORY) {
            sent = outflow_send_file(out, transport, ready.len);
        } else {
            sent = outflow_send_memory(out, transport, ready.len);
        }
        if (sent <= 0) {
            return outflow_of_transport(sent);
        }
        *budget -= GH_MIN(*budget, (size_t)sent);
    }
}
