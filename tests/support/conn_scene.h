/*
 * A server over real loopback sockets, for cmocka cases: workers with short deadlines, a listener,
 * a handler that answers by path, and a client. Include cmocka.h first.
 */
#ifndef TESTS_SUPPORT_CONN_SCENE_H
#define TESTS_SUPPORT_CONN_SCENE_H

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <event2/event.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "gatehouse.h"
#include "proxy/listener.h"

#define WORKERS 2
#define BLOB_BYTES (3u * 1024 * 1024 + 17)

/* The gateway around the server: a main loop on its own thread and two workers. */
struct fixture {
    struct event_base *base;
    struct event *tick;
    pthread_t thread;
    struct worker *workers[WORKERS];
    struct listener *listener;
    struct quota *quota;
    struct tls *tls;
    int blob_fd;
    uint8_t *blob;
    atomic_uint requests;
    atomic_uint outcomes[5];
    atomic_uint refusals;
    atomic_uint released;
    atomic_uint drained;
    atomic_uint_fast64_t grown; /* how far the growing source may be sent */
    atomic_bool source_fails;
    atomic_bool is_stopping;
    void (*answer)(struct exchange *x, const struct http1_head *head); /* of /case; set first */
    _Atomic(struct exchange *) held;
    _Atomic(struct worker *) held_worker;
};

GH_UNUSED static struct fixture *role_of(struct exchange *x)
{
    return exchange_role(x);
}

GH_UNUSED static void on_release(void *arg)
{
    (void)atomic_fetch_add(&((struct fixture *)arg)->released, 1);
}

GH_UNUSED static enum exchange_supply on_poll(void *arg, uint64_t *limit)
{
    struct fixture *f = arg;

    *limit = atomic_load(&f->grown);
    if (atomic_load(&f->source_fails)) {
        return EXCHANGE_SUPPLY_FAILED;
    }
    return *limit == BLOB_BYTES ? EXCHANGE_SUPPLY_COMPLETE : EXCHANGE_SUPPLY_GROWING;
}

/* Bytes at the edges of what a field may hold, at each place of a group of eight. */
static const uint8_t edge_bytes[] = {0, 8, 9, 10, 13, 31, 32, 126, 127, 128, 255};

GH_UNUSED static void edge_value(size_t edge, size_t at, char value[10])
{
    memcpy(value, "abcdefghi", 10);
    value[at] = (char)edge_bytes[edge];
}

GH_UNUSED static void put_every_byte(struct exchange *x)
{
    for (size_t edge = 0; edge < GH_COUNT(edge_bytes); edge++) {
        for (size_t at = 0; at < 9; at++) {
            char name[8];
            char value[10];

            (void)snprintf(name, sizeof(name), "X%zu-%zu", edge, at);
            edge_value(edge, at, value);
            exchange_header_bytes(x, name, bytes_make(value, 9));
        }
    }
}

GH_UNUSED static void put_source(struct exchange *x, int64_t length)
{
    struct fixture *f = role_of(x);
    struct exchange_source source = {
        .fd = f->blob_fd, .poll = on_poll, .release = on_release, .arg = f};

    exchange_begin(x, 200, length);
    exchange_put_source(x, &source);
    exchange_end(x);
    atomic_store(&f->held_worker, exchange_worker(x));
    atomic_store(&f->held, x);
}

GH_UNUSED static void on_request(struct exchange *x)
{
    struct fixture *f = role_of(x);
    const struct http1_head *head = exchange_head(x);
    struct bytes path = http1_head_path(head);

    (void)atomic_fetch_add(&f->requests, 1);
    if (bytes_equal_cstr(path, "/case")) {
        f->answer(x, head);
    } else if (bytes_equal_cstr(path, "/hold")) {
        atomic_store(&f->held_worker, exchange_worker(x));
        atomic_store(&f->held, x);
    } else if (bytes_equal_cstr(path, "/file")) {
        exchange_begin(x, 200, BLOB_BYTES);
        exchange_put_file(x, f->blob_fd, 0, BLOB_BYTES, on_release, f);
        exchange_end(x);
    } else if (bytes_equal_cstr(path, "/slow")) { /* more than the kernel takes in */
        exchange_begin(x, 200, INT64_C(8) * BLOB_BYTES);
        for (unsigned i = 0; i < 8; i++) {
            exchange_put_file(x, f->blob_fd, 0, BLOB_BYTES, on_release, f);
        }
        exchange_end(x);
    } else if (bytes_equal_cstr(path, "/chunked")) {
        exchange_begin(x, 200, EXCHANGE_CHUNKED);
        (void)exchange_put(x, "hello ", 6, on_release, f);
        (void)exchange_put_copy(x, "world", 5);
        exchange_put_file(x, f->blob_fd, 0, 300000, on_release, f);
        exchange_end(x);
    } else if (bytes_equal_cstr(path, "/grow")) {
        put_source(x, BLOB_BYTES);
    } else if (bytes_equal_cstr(path, "/grow-chunked")) {
        put_source(x, EXCHANGE_CHUNKED);
    } else if (bytes_equal_cstr(path, "/short")) {
        exchange_begin(x, 200, 10);
        (void)exchange_put_copy(x, "12345", 5);
        exchange_end(x);
    } else if (bytes_equal_cstr(path, "/fail")) {
        exchange_fail(x);
    } else if (bytes_equal_cstr(path, "/many")) {
        exchange_begin(x, 200, EXCHANGE_CHUNKED);
        while (exchange_put(x, f->blob, 65536, on_release, f)) {
        }
    } else if (bytes_equal_cstr(path, "/split")) {
        exchange_header(x, "X-Bad", "a\r\nSet-Cookie: b");
        put_every_byte(x);
        exchange_answer(x, 200, NULL, "", 0);
    } else if (bytes_equal_cstr(path, "/who")) {
        X509 *peer = exchange_peer_certificate(x);
        const char *server = exchange_server_name(x);
        char name[256] = "nobody";

        if (peer != NULL) {
            (void)X509_NAME_oneline(X509_get_subject_name(peer), name, sizeof(name));
        }
        exchange_header(x, "X-Server", server != NULL ? server : "none");
        exchange_answer(x, 200, "text/plain", name, strlen(name));
    } else if (head->method == HTTP1_METHOD_DELETE) {
        exchange_answer(x, 405, "text/plain", "no", 2);
    } else if (!http1_head_has_body(head)) {
        exchange_answer(x, 200, "text/plain", path.data, path.len);
    }
}

GH_UNUSED static void on_body_end(struct exchange *x)
{
    exchange_answer(x, 201, "text/plain", "stored", 6);
}

GH_UNUSED static void on_drain(struct exchange *x)
{
    struct fixture *f = role_of(x);

    (void)atomic_fetch_add(&f->drained, 1);
    exchange_end(x);
}

GH_UNUSED static void on_done(struct exchange *x, const struct exchange_record *record)
{
    struct fixture *f = role_of(x);
    struct exchange *self = x;

    (void)atomic_compare_exchange_strong(&f->held, &self, NULL);
    (void)atomic_fetch_add(&f->outcomes[record->outcome], 1);
}

GH_UNUSED static void on_refusal(void *role, const struct exchange_refusal *refusal)
{
    (void)atomic_fetch_add(&((struct fixture *)role)->refusals, 1);
}

static const struct exchange_handler handler = {
    .on_request = on_request,
    .on_body_end = on_body_end,
    .on_drain = on_drain,
    .on_done = on_done,
    .on_refusal = on_refusal,
};

GH_UNUSED static void on_main_tick(evutil_socket_t fd, short what, void *arg)
{
    struct fixture *f = arg;

    if (atomic_load(&f->is_stopping)) {
        (void)event_base_loopbreak(f->base);
    }
}

GH_UNUSED static void *main_loop(void *arg)
{
    (void)event_base_loop(((struct fixture *)arg)->base, EVLOOP_NO_EXIT_ON_EMPTY);
    return NULL;
}

GH_UNUSED static void fill_blob(struct fixture *f)
{
    f->blob = malloc(BLOB_BYTES);
    assert_non_null(f->blob);
    for (uint32_t i = 0; i < BLOB_BYTES; i++) {
        f->blob[i] = (uint8_t)(i * 2654435761u >> 13);
    }
    f->blob_fd = memfd_create("blob", MFD_CLOEXEC);
    assert_true(f->blob_fd >= 0);
    assert_int_equal(write(f->blob_fd, f->blob, BLOB_BYTES), BLOB_BYTES);
}

GH_UNUSED static struct event *fixture_tick(struct fixture *f)
{
    static const struct timeval tick = {0, 10000};
    struct event *event = event_new(f->base, -1, EV_PERSIST, on_main_tick, f);

    assert_non_null(event);
    assert_int_equal(event_add(event, &tick), 0);
    return event;
}

GH_UNUSED static void fixture_start(struct fixture *f, struct tls *tls, unsigned per_address)
{
    struct conn_limits limits = {.header_timeout_ms = 200,
                                 .idle_timeout_ms = 300,
                                 .progress_window_ms = 300,
                                 .progress_bytes = 1000,
                                 .half_close_ms = 100,
                                 .linger_ms = 200,
                                 .body_limit_bytes = 100000};
    struct gh_error err = {0};
    struct listener_config config = {.address = "127.0.0.1:0",
                                     .handler = &handler,
                                     .role = f,
                                     .tls = tls,
                                     .worker_count = WORKERS};

    memset(f, 0, sizeof(*f));
    fill_blob(f);
    f->tls = tls;
    f->base = event_base_new();
    assert_non_null(f->base);
    assert_true(quota_new(200, per_address, &f->quota, &err));
    for (unsigned i = 0; i < WORKERS; i++) {
        assert_true(worker_new(i, &f->workers[i], &err));
        assert_true(conn_set_new(f->workers[i], &limits, &err));
        assert_true(worker_start(f->workers[i], &err));
    }
    config.workers = f->workers;
    config.quota = f->quota;
    assert_true(listener_new(f->base, &config, &f->listener, &err));
    listener_start(f->listener);
    f->tick = fixture_tick(f);
    assert_int_equal(pthread_create(&f->thread, NULL, main_loop, f), 0);
}

GH_UNUSED static void fixture_stop_main(struct fixture *f)
{
    if (f->thread != 0) {
        atomic_store(&f->is_stopping, true);
        (void)pthread_join(f->thread, NULL);
        f->thread = 0;
    }
}

GH_UNUSED static void fixture_stop(struct fixture *f)
{
    fixture_stop_main(f);
    listener_close(f->listener);
    for (unsigned i = 0; i < WORKERS; i++) {
        worker_free(f->workers[i]);
    }
    assert_int_equal(quota_count(f->quota), 0);
    listener_free(f->listener);
    quota_free(f->quota);
    tls_free(f->tls);
    event_free(f->tick);
    event_base_free(f->base);
    (void)close(f->blob_fd);
    free(f->blob);
}

/* ---- a client ---- */

GH_UNUSED static int client_connect(const struct fixture *f)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(listener_port(f->listener)),
                             .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct timeval patience = {5, 0};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    return fd;
}

GH_UNUSED static void client_send(int fd, const char *text)
{
    size_t len = strlen(text);

    assert_int_equal(send(fd, text, len, MSG_NOSIGNAL), len);
}

/* Read until the peer closes, the buffer is full or UNTIL was seen. */
GH_UNUSED static size_t client_read(int fd, char *out, size_t cap, const char *until)
{
    size_t len = 0;

    out[0] = '\0';
    while (len < cap - 1) {
        ssize_t got = recv(fd, out + len, cap - 1 - len, 0);

        if (got <= 0) {
            assert_true(got == 0 || errno == ECONNRESET);
            break;
        }
        len += (size_t)got;
        out[len] = '\0';
        if (until != NULL && memmem(out, len, until, strlen(until)) != NULL) {
            break;
        }
    }
    return len;
}

GH_UNUSED static unsigned count_of(const char *text, const char *what)
{
    unsigned count = 0;

    for (const char *at = text; (at = strstr(at, what)) != NULL; at += strlen(what)) {
        count++;
    }
    return count;
}

/* Wait for something another thread does; two seconds at most. */
#define WAIT_UNTIL(condition)                                                                      \
    do {                                                                                           \
        for (unsigned tries = 0; !(condition) && tries < 2000; tries++) {                          \
            (void)usleep(1000);                                                                    \
        }                                                                                          \
        assert_true(condition);                                                                    \
    } while (0)

GH_UNUSED static unsigned open_connections(const struct fixture *f)
{
    return worker_load(f->workers[0]) + worker_load(f->workers[1]);
}

GH_UNUSED static unsigned outcome_of(struct fixture *f, enum exchange_outcome outcome)
{
    return atomic_load(&f->outcomes[outcome]);
}

/* ---- mail to whoever holds an exchange ---- */

struct wake_mail {
    struct worker_mail mail;
    struct fixture *fixture;
};

GH_UNUSED static void run_wake(struct worker_mail *mail, struct worker *worker)
{
    struct fixture *f = ((struct wake_mail *)mail)->fixture;
    struct exchange *x = atomic_load(&f->held);

    if (x != NULL) {
        exchange_wake(x);
    }
    free(mail);
}

GH_UNUSED static void run_answer(struct worker_mail *mail, struct worker *worker)
{
    struct fixture *f = ((struct wake_mail *)mail)->fixture;
    struct exchange *x = atomic_load(&f->held);

    if (x != NULL) {
        exchange_answer(x, 200, NULL, "late", 4);
    }
    free(mail);
}

GH_UNUSED static void drop_mail(struct worker_mail *mail)
{
    free(mail);
}

GH_UNUSED static void post(struct fixture *f, void (*run)(struct worker_mail *, struct worker *))
{
    struct wake_mail *mail = calloc(1, sizeof(*mail));

    assert_non_null(mail);
    mail->mail.run = run;
    mail->mail.drop = drop_mail;
    mail->fixture = f;
    worker_post(atomic_load(&f->held_worker), &mail->mail);
}

#endif
