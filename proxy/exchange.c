#include "proxy/exchange.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/conn_state.h"
#include "proxy/tls.h"

/* ---- for conn.c ---- */

void exchange_start(struct exchange *x, struct conn *conn)
{
    memset(x, 0, offsetof(struct exchange, chunked));
    x->conn = conn;
    x->id = ++conn->set->next_id;
    x->started_us = conn_clock_us();
    x->body_limit = conn->set->limits.body_limit_bytes;
    x->body_left = x->head.content_length;
    x->is_body_done = !http1_head_has_body(&x->head);
    x->wants_continue = x->head.expects_continue && !x->is_body_done;
    x->closes = !x->head.is_keep_alive;
    if (x->head.is_chunked) {
        http1_chunked_init(&x->chunked);
    }
    outflow_init(&x->out);
}

void exchange_finish(struct exchange *x, enum exchange_outcome outcome)
{
    struct exchange_record record = {
        .outcome = outcome,
        .status = x->status,
        .body_sent = x->out.body_sent,
        .body_received = x->body_received,
    };

    if (x->is_over) {
        return;
    }
    x->is_over = true;
    if (!x->is_announced) {
        return;
    }
    record.duration_us = conn_clock_us() - x->started_us;
    record.first_byte_us = x->has_begun ? x->begun_us - x->started_us : 0;
    x->conn->role->handler->on_done(x, &record);
}

/* ---- the request ---- */

const struct http1_head *exchange_head(const struct exchange *x)
{
    return &x->head;
}

void *exchange_role(const struct exchange *x)
{
    return x->conn->role->role;
}

struct worker *exchange_worker(const struct exchange *x)
{
    return x->conn->set->worker;
}

void *exchange_context(const struct exchange *x)
{
    return x->context;
}

void exchange_set_context(struct exchange *x, void *context)
{
    x->context = context;
}

/* Every decision names its client, and inet_ntop() is sprintf(). */
static void exchange_peer_v4(const uint8_t address[4], char *out)
{
    for (int i = 0; i < 4; i++) {
        uint8_t part = address[i];

        if (part >= 100) {
            *out++ = (char)('0' + part / 100);
        }
        if (part >= 10) {
            *out++ = (char)('0' + part / 10 % 10);
        }
        *out++ = (char)('0' + part % 10);
        *out++ = i < 3 ? '.' : '\0';
    }
}

const char *exchange_peer(const struct exchange *x, char *out)
{
    const struct in6_addr *peer = &x->conn->peer;

    if (IN6_IS_ADDR_V4MAPPED(peer)) {
        exchange_peer_v4(&peer->s6_addr[12], out);
    } else if (inet_ntop(AF_INET6, peer, out, EXCHANGE_PEER_TEXT_BYTES) == NULL) {
        out[0] = '\0';
    }
    return out;
}

uint16_t exchange_peer_port(const struct exchange *x)
{
    return x->conn->peer_port;
}

bool exchange_is_tls(const struct exchange *x)
{
    return x->conn->transport.ssl != NULL;
}

struct x509_st *exchange_peer_certificate(const struct exchange *x)
{
    return tls_peer_certificate(&x->conn->transport);
}

const char *exchange_server_name(const struct exchange *x)
{
    return tls_server_name(&x->conn->transport);
}

uint64_t exchange_id(const struct exchange *x)
{
    return x->id;
}

uint64_t exchange_connection_id(const struct exchange *x)
{
    return x->conn->id;
}

void exchange_limit_body(struct exchange *x, uint64_t limit_bytes)
{
    x->body_limit = limit_bytes;
}

void exchange_pause_body(struct exchange *x)
{
    x->is_body_paused = true;
}

void exchange_resume_body(struct exchange *x)
{
    if (x->is_body_paused && !x->is_over) {
        x->is_body_paused = false;
        conn_touch(x->conn);
    }
}

/* ---- the answer's head ---- */

/* Until exchange_begin() the fields alone stand in the head buffer, behind room for the status
 * line. */
#define EXCHANGE_STATUS_ROOM 64

static bool exchange_may_head(struct exchange *x)
{
    if (x->is_over || x->has_begun) {
        assert(x->is_over); /* a field behind the head would be lost */
        return false;
    }
    if (x->out.head_len == 0) {
        x->out.head_len = EXCHANGE_STATUS_ROOM;
        x->out.head_sent = EXCHANGE_STATUS_ROOM;
    }
    return true;
}

/* What may not stand in a field becomes a space. Eight printable bytes are seen at once: nearly all
 * are that, and an answer has hundreds. */
static void exchange_clean_value(char *data, size_t len)
{
    size_t i = 0;

    while (i < len) {
        uint64_t word;

        if (len - i >= sizeof(word)) {
            memcpy(&word, data + i, sizeof(word));
            /* No byte has its high bit set, is below 0x20 or is 0x7f. */
            if (((word | (word - 0x2020202020202020u) | (word + 0x0101010101010101u)) &
                 0x8080808080808080u) == 0) {
                i += sizeof(word);
                continue;
            }
        }
        if (!http1_byte_is((uint8_t)data[i], HTTP1_VALUE)) {
            data[i] = ' ';
        }
        i++;
    }
}

void exchange_header_bytes(struct exchange *x, const char *name, struct bytes value)
{
    struct outflow *out = &x->out;
    size_t name_len = strlen(name);
    char *at;

    if (!exchange_may_head(x)) {
        return;
    }
    at = outflow_head_room(out, name_len + value.len + 4);
    if (at == NULL) {
        return;
    }
    memcpy(at, name, name_len);
    at += name_len;
    *at++ = ':';
    *at++ = ' ';
    if (value.len > 0) {
        memcpy(at, value.data, value.len);
        exchange_clean_value(at, value.len);
    }
    at += value.len;
    *at++ = '\r';
    *at = '\n';
}

void exchange_header(struct exchange *x, const char *name, const char *value)
{
    exchange_header_bytes(x, name, bytes_of(value));
}

/* Decimal digits, without the cost of printf. Gives: where they start in DIGITS. */
static size_t exchange_digits(uint64_t value, char digits[20])
{
    size_t at = 20;

    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    return at;
}

void exchange_header_number(struct exchange *x, const char *name, uint64_t value)
{
    char digits[20];
    size_t at = exchange_digits(value, digits);

    exchange_header_bytes(x, name, bytes_make(digits + at, sizeof(digits) - at));
}

void exchange_header_lines(struct exchange *x, struct bytes lines)
{
    if (exchange_may_head(x)) {
        outflow_head_put(&x->out, lines.data, lines.len);
    }
}

void exchange_header_clear(struct exchange *x)
{
    if (!x->is_over && !x->has_begun) {
        x->out.head_len = 0;
        x->out.head_sent = 0;
    }
}

void exchange_close_after(struct exchange *x)
{
    x->closes = true;
}

bool exchange_has_begun(const struct exchange *x)
{
    return x->has_begun;
}

static enum outflow_framing exchange_framing(const struct exchange *x, int64_t length)
{
    if (x->head.method == HTTP1_METHOD_HEAD || x->status == 204 || x->status == 304) {
        return OUTFLOW_NO_BODY;
    }
    if (length >= 0) {
        return OUTFLOW_LENGTH;
    }
    return x->head.minor_version == 1 ? OUTFLOW_CHUNKED : OUTFLOW_UNTIL_CLOSE;
}

/* Put the status line into the room left for it, right in front of the fields. */
static void exchange_status_line(struct exchange *x)
{
    char line[EXCHANGE_STATUS_ROOM];
    const char *text = semantics_status_text(x->status);
    size_t text_len = strlen(text);
    size_t len = 0;

    memcpy(line, "HTTP/1.1 ", 9);
    len = 9;
    line[len++] = (char)('0' + x->status / 100 % 10);
    line[len++] = (char)('0' + x->status / 10 % 10);
    line[len++] = (char)('0' + x->status % 10);
    line[len++] = ' ';
    text_len = GH_MIN(text_len, sizeof(line) - len - 2);
    memcpy(line + len, text, text_len);
    len += text_len;
    line[len++] = '\r';
    line[len++] = '\n';
    x->out.head_sent = (uint32_t)(EXCHANGE_STATUS_ROOM - len);
    memcpy(x->out.head + x->out.head_sent, line, len);
}

/* A body the client has not sent yet would have to be read for nothing: close behind the answer,
 * unless what is missing lies in the buffer already. */
static bool exchange_body_is_at_hand(const struct exchange *x)
{
    if (x->is_body_done) {
        return true;
    }
    return !x->head.is_chunked && !x->wants_continue &&
           x->conn->in_len - x->conn->in_at >= x->body_left;
}

void exchange_begin(struct exchange *x, unsigned status, int64_t length)
{
    struct outflow *out = &x->out;
    struct bytes date;

    assert(!x->has_begun);
    if (x->is_over || x->has_begun || !exchange_may_head(x)) {
        return;
    }
    x->has_begun = true;
    x->status = status;
    x->begun_us = conn_clock_us();
    out->framing = exchange_framing(x, length);
    out->left = length >= 0 ? (uint64_t)length : 0;
    date = conn_date_line(x->conn->set);
    outflow_head_put(out, date.data, date.len);
    x->drops_body = !exchange_body_is_at_hand(x);
    if (out->framing == OUTFLOW_UNTIL_CLOSE || x->conn->set->is_draining || x->conn->saw_end ||
        x->drops_body) {
        x->closes = true;
    }
    if (out->framing == OUTFLOW_CHUNKED) {
        outflow_head_put(out, "Transfer-Encoding: chunked\r\n", 28);
    } else if (length >= 0 && status != 204) {
        char digits[20];
        size_t at = exchange_digits((uint64_t)length, digits);

        outflow_head_put(out, "Content-Length: ", 16);
        outflow_head_put(out, digits + at, sizeof(digits) - at);
        outflow_head_put(out, "\r\n", 2);
    }
    if (x->closes) {
        outflow_head_put(out, "Connection: close\r\n", 19);
    }
    outflow_head_put(out, "\r\n", 2);
    exchange_status_line(x);
    out->is_open = true;
    conn_touch(x->conn);
}

/* ---- the answer's pieces ---- */

static void exchange_put_piece(struct exchange *x, const struct outflow_piece *piece)
{
    if (x->is_over) {
        struct outflow dropped = {.is_ended = true};

        outflow_put(&dropped, piece); /* releases it */
        return;
    }
    outflow_put(&x->out, piece);
    conn_touch(x->conn);
}

bool exchange_put(struct exchange *x, const void *data, size_t len, void (*release)(void *arg),
                  void *arg)
{
    struct outflow_piece piece = {.kind = OUTFLOW_MEMORY,
                                  .fd = -1,
                                  .data = data,
                                  .left = len,
                                  .release = release,
                                  .arg = arg};

    exchange_put_piece(x, &piece);
    if (!x->is_over && x->out.memory_bytes > EXCHANGE_HIGH_BYTES) {
        x->is_above_high = true;
        return false;
    }
    return true;
}

bool exchange_put_copy(struct exchange *x, const void *data, size_t len)
{
    void *copy;

    if (len == 0 || x->is_over) {
        return true;
    }
    copy = malloc(len);
    if (copy == NULL) {
        exchange_fail(x);
        return true;
    }
    memcpy(copy, data, len);
    return exchange_put(x, copy, len, free, copy);
}

void exchange_put_file(struct exchange *x, int fd, uint64_t offset, uint64_t len,
                       void (*release)(void *arg), void *arg)
{
    struct outflow_piece piece = {.kind = OUTFLOW_FILE,
                                  .fd = fd,
                                  .offset = offset,
                                  .left = len,
                                  .release = release,
                                  .arg = arg};

    exchange_put_piece(x, &piece);
}

void exchange_put_source(struct exchange *x, const struct exchange_source *source)
{
    struct outflow_piece piece = {.kind = OUTFLOW_SOURCE,
                                  .fd = source->fd,
                                  .offset = source->offset,
                                  .poll = source->poll,
                                  .release = source->release,
                                  .arg = source->arg};

    exchange_put_piece(x, &piece);
}

void exchange_wake(struct exchange *x)
{
    if (!x->is_over) {
        conn_touch(x->conn);
    }
}

void exchange_end(struct exchange *x)
{
    if (!x->is_over) {
        x->out.is_ended = true;
        conn_touch(x->conn);
    }
}

void exchange_fail(struct exchange *x)
{
    if (!x->is_over) {
        x->is_failed = true;
        conn_touch(x->conn);
    }
}

void exchange_answer(struct exchange *x, unsigned status, const char *content_type,
                     const void *content, size_t len)
{
    if (x->is_over || x->has_begun) {
        return;
    }
    if (content_type != NULL) {
        exchange_header(x, "Content-Type", content_type);
    }
    exchange_begin(x, status, (int64_t)len);
    (void)exchange_put_copy(x, content, len);
    exchange_end(x);
}

static const char *exchange_refusal_code(unsigned status)
{
    return status == 413 ? "SIZE_INVALID" : "UNSUPPORTED";
}

void exchange_refuse(struct exchange *x, unsigned status, const char *why)
{
    const struct conn_role *role = x->conn->role;
    char peer[EXCHANGE_PEER_TEXT_BYTES];
    char text[512];
    int len;

    x->conn->set->counts.refused++;
    if (role->handler->on_refusal != NULL) {
        struct exchange_refusal refusal = {
            .status = status, .why = why, .peer = exchange_peer(x, peer)};

        role->handler->on_refusal(role->role, &refusal);
    }
    x->status = status;
    exchange_finish(x, EXCHANGE_REFUSED);
    outflow_done(&x->out);
    outflow_init(&x->out);
    /* Ours from here on: the handler has been told, so the calls below must not look at is_over. */
    x->is_over = false;
    x->is_announced = false;
    x->has_begun = false;
    x->is_body_done = true;
    x->continue_left = 0;
    x->closes = true;
    len = snprintf(text, sizeof(text), "{\"errors\":[{\"code\":\"%s\",\"message\":\"%s\"}]}\n",
                   exchange_refusal_code(status), why);
    if (role->refusal_headers != NULL) {
        exchange_header_lines(x, bytes_of(role->refusal_headers));
    }
    exchange_answer(x, status, "application/json", text, (size_t)GH_MIN(len, 511));
    x->is_over = true;
}
