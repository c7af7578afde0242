/* Workers, listeners and connections over real loopback sockets, with short deadlines. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <event2/event.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

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
    _Atomic(struct exchange *) held;
    _Atomic(struct worker *) held_worker;
};

static struct fixture *role_of(struct exchange *x)
{
    return exchange_role(x);
}

static void on_release(void *arg)
{
    (void)atomic_fetch_add(&((struct fixture *)arg)->released, 1);
}

static enum exchange_supply on_poll(void *arg, uint64_t *limit)
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

static void edge_value(size_t edge, size_t at, char value[10])
{
    memcpy(value, "abcdefghi", 10);
    value[at] = (char)edge_bytes[edge];
}

static void put_every_byte(struct exchange *x)
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

static void put_source(struct exchange *x, int64_t length)
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

static void on_request(struct exchange *x)
{
    struct fixture *f = role_of(x);
    const struct http1_head *head = exchange_head(x);
    struct bytes path = http1_head_path(head);

    (void)atomic_fetch_add(&f->requests, 1);
    if (bytes_equal_cstr(path, "/hold")) {
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

static void on_body_end(struct exchange *x)
{
    exchange_answer(x, 201, "text/plain", "stored", 6);
}

static void on_drain(struct exchange *x)
{
    struct fixture *f = role_of(x);

    (void)atomic_fetch_add(&f->drained, 1);
    exchange_end(x);
}

static void on_done(struct exchange *x, const struct exchange_record *record)
{
    struct fixture *f = role_of(x);
    struct exchange *self = x;

    (void)atomic_compare_exchange_strong(&f->held, &self, NULL);
    (void)atomic_fetch_add(&f->outcomes[record->outcome], 1);
}

static void on_refusal(void *role, const struct exchange_refusal *refusal)
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

static void on_main_tick(evutil_socket_t fd, short what, void *arg)
{
    struct fixture *f = arg;

    if (atomic_load(&f->is_stopping)) {
        (void)event_base_loopbreak(f->base);
    }
}

static void *main_loop(void *arg)
{
    (void)event_base_loop(((struct fixture *)arg)->base, EVLOOP_NO_EXIT_ON_EMPTY);
    return NULL;
}

static void fill_blob(struct fixture *f)
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

static struct event *fixture_tick(struct fixture *f)
{
    static const struct timeval tick = {0, 10000};
    struct event *event = event_new(f->base, -1, EV_PERSIST, on_main_tick, f);

    assert_non_null(event);
    assert_int_equal(event_add(event, &tick), 0);
    return event;
}

static void fixture_start(struct fixture *f, struct tls *tls, unsigned per_address)
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

static void fixture_stop_main(struct fixture *f)
{
    if (f->thread != 0) {
        atomic_store(&f->is_stopping, true);
        (void)pthread_join(f->thread, NULL);
        f->thread = 0;
    }
}

static void fixture_stop(struct fixture *f)
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

static int client_connect(const struct fixture *f)
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

static void client_send(int fd, const char *text)
{
    size_t len = strlen(text);

    assert_int_equal(send(fd, text, len, MSG_NOSIGNAL), len);
}

/* Read until the peer closes, the buffer is full or UNTIL was seen. */
static size_t client_read(int fd, char *out, size_t cap, const char *until)
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

static unsigned count_of(const char *text, const char *what)
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

static unsigned open_connections(const struct fixture *f)
{
    return worker_load(f->workers[0]) + worker_load(f->workers[1]);
}

static unsigned outcome_of(struct fixture *f, enum exchange_outcome outcome)
{
    return atomic_load(&f->outcomes[outcome]);
}

/* ---- cases ---- */

static void conn_pipelined_requests_answered_in_order(void **state)
{
    struct fixture f;
    char text[65536];
    int fd;

    fixture_start(&f, NULL, 100);
    fd = client_connect(&f);
    client_send(fd,
                "GET /a HTTP/1.1\r\nHost: h\r\n\r\nPOST /b HTTP/1.1\r\nHost: h\r\n"
                "Content-Length: 3\r\n\r\nabcHEAD /c HTTP/1.1\r\nHost: h\r\n\r\n"
                "PUT /d HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
                "3\r\nabc\r\n0\r\n\r\nGET /last HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    (void)client_read(fd, text, sizeof(text), NULL);
    assert_int_equal(count_of(text, "HTTP/1.1 200 OK"), 3);
    assert_int_equal(count_of(text, "HTTP/1.1 201 Created"), 2);
    assert_true(strstr(text, "\r\n\r\n/a") < strstr(text, "stored"));
    assert_non_null(strstr(text, "\r\n\r\n/last"));
    assert_int_equal(count_of(text, "Connection: close"), 1);
    assert_int_equal(count_of(text, "Date: "), 5);
    (void)close(fd);
    WAIT_UNTIL(open_connections(&f) == 0);
    assert_int_equal(outcome_of(&f, EXCHANGE_SENT), 5);
    fixture_stop(&f);
}

static void conn_many_pipelined_requests_all_answered(void **state)
{
    struct fixture f;
    char *text = malloc(1 << 20);
    int fd;

    fixture_start(&f, NULL, 100);
    fd = client_connect(&f);
    for (unsigned i = 0; i < 500; i++) { /* more than one buffer and many turns */
        client_send(fd, "GET /pipelined/request HTTP/1.1\r\nHost: h\r\n\r\n");
    }
    client_send(fd, "GET /last HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    (void)client_read(fd, text, 1 << 20, NULL);
    assert_int_equal(count_of(text, "HTTP/1.1 200 OK"), 501);
    (void)close(fd);
    free(text);
    fixture_stop(&f);
}

static void conn_ambiguous_request_one_answer_and_closed(void **state)
{
    static const char *const requests[] = {
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
        "0\r\n\r\nGET /two HTTP/1.1\r\nHost: h\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n"
        "GET /two HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h:port\r\n\r\nGET /two HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100001\r\n\r\n",
    };
    struct fixture f;

    fixture_start(&f, NULL, 100);
    for (size_t i = 0; i < GH_COUNT(requests); i++) {
        char text[4096];
        int fd = client_connect(&f);

        client_send(fd, requests[i]);
        (void)client_read(fd, text, sizeof(text), NULL);
        assert_int_equal(count_of(text, "HTTP/1.1 "), 1);
        assert_int_equal(strncmp(text, "HTTP/1.1 4", 10), 0);
        assert_non_null(strstr(text, "Connection: close"));
        assert_non_null(strstr(text, "{\"errors\":[{"));
        (void)close(fd);
    }
    assert_int_equal(atomic_load(&f.refusals), GH_COUNT(requests));
    WAIT_UNTIL(outcome_of(&f, EXCHANGE_REFUSED) == 2); /* the two that had been announced */
    fixture_stop(&f);
}

static void conn_body_over_limit_in_chunks_refused(void **state)
{
    struct fixture f;
    char text[4096];
    char *big = malloc(200001);
    int fd;

    fixture_start(&f, NULL, 100);
    fd = client_connect(&f);
    memset(big, 'a', 200000);
    big[200000] = '\0';
    client_send(fd, "PUT / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n30d40\r\n");
    client_send(fd, big);
    (void)client_read(fd, text, sizeof(text), NULL);
    assert_int_equal(strncmp(text, "HTTP/1.1 413 ", 13), 0);
    (void)close(fd);
    free(big);
    fixture_stop(&f);
}

static void conn_expect_continue_sent_once(void **state)
{
    struct fixture f;
    char text[4096];
    int fd;

    fixture_start(&f, NULL, 100);
    fd = client_connect(&f);
    client_send(fd,
                "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    (void)client_read(fd, text, sizeof(text), "\r\n\r\n");
    assert_string_equal(text, "HTTP/1.1 100 Continue\r\n\r\n");
    client_send(fd, "abc");
    (void)client_read(fd, text, sizeof(text), "stored");
    assert_int_equal(strncmp(text, "HTTP/1.1 201 ", 13), 0);
    /* Answered without the body: no 100, and the connection cannot be used again. */
    client_send(fd, "DELETE / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n"
                    "Expect: 100-continue\r\n\r\n");
    (void)client_read(fd, text, sizeof(text), NULL);
    assert_int_equal(strncmp(text, "HTTP/1.1 405 ", 13), 0);
    assert_non_null(strstr(text, "Connection: close"));
    (void)close(fd);
    fixture_stop(&f);
}

static void conn_file_and_chunked_bodies_exact(void **state)
{
    struct fixture f;
    char *text = malloc(BLOB_BYTES + 65536);
    const char *body;
    size_t len;
    int fd;

    fixture_start(&f, NULL, 100);
    fd = client_connect(&f);
    client_send(fd, "GET /file HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    len = client_read(fd, text, BLOB_BYTES + 65536, NULL);
    body = strstr(text, "\r\n\r\n") + 4;
    assert_int_equal(len - (size_t)(body - text), BLOB_BYTES);
    assert_memory_equal(body, f.blob, BLOB_BYTES);
    (void)close(fd);
    fd = client_connect(&f);
    client_send(fd, "GET /chunked HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    len = client_read(fd, text, BLOB_BYTES, NULL);
    body = strstr(text, "\r\n\r\n") + 4;
    assert_int_equal(strncmp(body, "6\r\nhello \r\n5\r\nworld\r\n40000\r\n", 28), 0);
    assert_memory_equal(body + 28, f.blob, 262144);
    assert_string_equal(text + len - 7, "\r\n0\r\n\r\n");
    (void)close(fd);
    /* HTTP/1.0 knows no chunks: the close ends the body. */
    fd = client_connect(&f);
    client_send(fd, "GET /chunked HTTP/1.0\r\n\r\n");
    len = client_read(fd, text, BLOB_BYTES, NULL);
    body = strstr(text, "\r\n\r\n") + 4;
    assert_int_equal(len - (size_t)(body - text), 11 + 300000);
    (void)close(fd);
    WAIT_UNTIL(atomic_load(&f.released) == 5);
    free(text);
    fixture_stop(&f);
}

struct wake_mail {
    struct worker_mail mail;
    struct fixture *fixture;
};

static void run_wake(struct worker_mail *mail, struct worker *worker)
{
    struct fixture *f = ((struct wake_mail *)mail)->fixture;
    struct exchange *x = atomic_load(&f->held);

    if (x != NULL) {
        exchange_wake(x);
    }
    free(mail);
}

static void run_answer(struct worker_mail *mail, struct worker *worker)
{
    struct fixture *f = ((struct wake_mail *)mail)->fixture;
    struct exchange *x = atomic_load(&f->held);

    if (x != NULL) {
        exchange_answer(x, 200, NULL, "late", 4);
    }
    free(mail);
}

static void drop_mail(struct worker_mail *mail)
{
    free(mail);
}

static void post(struct fixture *f, void (*run)(struct worker_mail *, struct worker *))
{
    struct wake_mail *mail = calloc(1, sizeof(*mail));

    assert_non_null(mail);
    mail->mail.run = run;
    mail->mail.drop = drop_mail;
    mail->fixture = f;
    worker_post(atomic_load(&f->held_worker), &mail->mail);
}

static void grow_case(const char *request, bool is_chunked)
{
    struct fixture f;
    char *text = malloc(BLOB_BYTES + 65536);
    size_t len = 0;
    int fd;

    fixture_start(&f, NULL, 100);
    fd = client_connect(&f);
    client_send(fd, request);
    WAIT_UNTIL(atomic_load(&f.held) != NULL);
    for (uint64_t grown = 1; grown <= BLOB_BYTES; grown = grown * 7 + 1) {
        atomic_store(&f.grown, grown);
        post(&f, run_wake);
        (void)usleep(2000);
    }
    atomic_store(&f.grown, BLOB_BYTES);
    post(&f, run_wake);
    len = client_read(fd, text, BLOB_BYTES + 65536, NULL);
    if (is_chunked) {
        assert_string_equal(text + len - 7, "\r\n0\r\n\r\n");
    } else {
        const char *body = strstr(text, "\r\n\r\n") + 4;

        assert_int_equal(len - (size_t)(body - text), BLOB_BYTES);
        assert_memory_equal(body, f.blob, BLOB_BYTES);
    }
    (void)close(fd);
    WAIT_UNTIL(outcome_of(&f, EXCHANGE_SENT) == 1);
    assert_int_equal(atomic_load(&f.released), 1);
    free(text);
    fixture_stop(&f);
}

static void conn_growing_source_followed_to_its_end(void **state)
{
    grow_case("GET /grow HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", false);
    grow_case("GET /grow-chunked HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", true);
}

static void conn_failed_source_closed_short(void **state)
{
    struct fixture f;
    char text[65536];
    int fd;

    fixture_start(&f, NULL, 100);
    fd = client_connect(&f);
    atomic_store(&f.grown, 100);
    client_send(fd, "GET /grow-chunked HTTP/1.1\r\nHost: h\r\n\r\n");
    (void)client_read(fd, text, sizeof(text), "\r\n\r\n");
    atomic_store(&f.source_fails, true);
    post(&f, run_wake);
    (void)client_read(fd, text, sizeof(text), NULL);
    assert_null(strstr(text, "0\r\n\r\n"));
    (void)close(fd);
    WAIT_UNTIL(outcome_of(&f, EXCHANGE_FAILED) == 1);
    fd = client_connect(&f);
    client_send(fd, "GET /short HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_true(client_read(fd, text, sizeof(text), NULL) > 0);
    assert_non_null(strstr(text, "\r\n\r\n12345"));
    (void)close(fd);
    fd = client_connect(&f);
    client_send(fd, "GET /fail HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_int_equal(client_read(fd, text, sizeof(text), NULL), 0);
    (void)close(fd);
    WAIT_UNTIL(outcome_of(&f, EXCHANGE_FAILED) == 3);
    assert_int_equal(atomic_load(&f.released), 1);
    fixture_stop(&f);
}

static void conn_client_leaves_handler_told_once(void **state)
{
    static const struct linger reset = {1, 0};
    struct fixture f;
    int fd;

    fixture_start(&f, NULL, 100);
    fd = client_connect(&f);
    client_send(fd, "GET /hold HTTP/1.1\r\nHost: h\r\n\r\n");
    WAIT_UNTIL(atomic_load(&f.held) != NULL);
    (void)close(fd); /* a FIN: told after the grace of a half close */
    WAIT_UNTIL(outcome_of(&f, EXCHANGE_LEFT) == 1);
    assert_null(atomic_load(&f.held));
    fd = client_connect(&f);
    client_send(fd, "GET /hold HTTP/1.1\r\nHost: h\r\n\r\n");
    WAIT_UNTIL(atomic_load(&f.held) != NULL);
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    (void)close(fd); /* a reset: at once */
    WAIT_UNTIL(outcome_of(&f, EXCHANGE_LEFT) == 2);
    fd = client_connect(&f);
    client_send(fd, "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc");
    WAIT_UNTIL(atomic_load(&f.requests) == 3);
    (void)close(fd);
    WAIT_UNTIL(outcome_of(&f, EXCHANGE_LEFT) == 3);
    WAIT_UNTIL(open_connections(&f) == 0);
    fixture_stop(&f);
}

static void conn_half_closed_client_gets_answer(void **state)
{
    struct fixture f;
    char text[4096];
    int fd;

    fixture_start(&f, NULL, 100);
    fd = client_connect(&f);
    client_send(fd, "GET /hold HTTP/1.1\r\nHost: h\r\n\r\n");
    (void)shutdown(fd, SHUT_WR);
    WAIT_UNTIL(atomic_load(&f.held) != NULL);
    post(&f, run_answer);
    (void)client_read(fd, text, sizeof(text), NULL);
    assert_non_null(strstr(text, "\r\n\r\nlate"));
    (void)close(fd);
    fixture_stop(&f);
}

static void conn_deadlines_end_slow_clients(void **state)
{
    struct fixture f;
    char text[4096];
    int small = 4096;
    int fds[4];

    fixture_start(&f, NULL, 100);
    for (unsigned i = 0; i < 4; i++) {
        fds[i] = client_connect(&f);
    }
    client_send(fds[1], "GET / HTTP/1.1\r\nHo"); /* head stalls */
    client_send(fds[2],
                "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nab"); /* body stalls */
    (void)setsockopt(fds[3], SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    client_send(fds[3], "GET /slow HTTP/1.1\r\nHost: h\r\n\r\n"); /* never reads */
    (void)client_read(fds[1], text, sizeof(text), NULL);
    assert_int_equal(strncmp(text, "HTTP/1.1 408 ", 13), 0);
    (void)client_read(fds[0], text, sizeof(text), NULL); /* idle: closed without a word */
    assert_string_equal(text, "");
    WAIT_UNTIL(outcome_of(&f, EXCHANGE_EXPIRED) == 2);
    for (unsigned i = 0; i < 4; i++) {
        (void)close(fds[i]);
    }
    WAIT_UNTIL(open_connections(&f) == 0);
    assert_int_equal(atomic_load(&f.released), 8);
    fixture_stop(&f);
}

static void conn_memory_above_high_mark_drained(void **state)
{
    struct fixture f;
    char *text = malloc(4u << 20);
    int fd;

    fixture_start(&f, NULL, 100);
    fd = client_connect(&f);
    client_send(fd, "GET /many HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    (void)client_read(fd, text, 4u << 20, NULL);
    (void)close(fd);
    free(text);
    WAIT_UNTIL(outcome_of(&f, EXCHANGE_SENT) == 1);
    assert_int_equal(atomic_load(&f.drained), 1);
    assert_int_equal(atomic_load(&f.released), 17);
    fixture_stop(&f);
}

static void conn_header_value_cannot_split_head(void **state)
{
    struct fixture f;
    char text[8192];
    int fd;

    fixture_start(&f, NULL, 100);
    fd = client_connect(&f);
    client_send(fd, "GET /split HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    (void)client_read(fd, text, sizeof(text), NULL);
    assert_non_null(strstr(text, "X-Bad: a  Set-Cookie: b\r\n"));
    for (size_t edge = 0; edge < GH_COUNT(edge_bytes); edge++) {
        uint8_t byte = edge_bytes[edge];
        bool is_kept = byte == '\t' || (byte >= 0x20 && byte != 0x7f);

        for (size_t at = 0; at < 9; at++) {
            char value[10];
            char line[32];

            edge_value(edge, at, value);
            value[at] = is_kept ? value[at] : ' ';
            (void)snprintf(line, sizeof(line), "X%zu-%zu: %s\r\n", edge, at, value);
            assert_non_null(strstr(text, line));
        }
    }
    (void)close(fd);
    fixture_stop(&f);
}

static void listener_address_limit_closes_the_excess(void **state)
{
    struct fixture f;
    struct listener_counts counts;
    char text[64];
    int first;
    int second;

    fixture_start(&f, NULL, 1);
    first = client_connect(&f);
    WAIT_UNTIL(quota_count(f.quota) == 1);
    second = client_connect(&f);
    assert_int_equal(client_read(second, text, sizeof(text), NULL), 0);
    listener_counts(f.listener, &counts);
    assert_int_equal(counts.refused_address, 1);
    (void)close(first);
    (void)close(second);
    WAIT_UNTIL(quota_count(f.quota) == 0);
    second = client_connect(&f);
    client_send(second, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    assert_true(client_read(second, text, sizeof(text), NULL) > 0);
    (void)close(second);
    fixture_stop(&f);
}

static void listener_total_limit_pauses_and_resumes(void **state)
{
    struct fixture f;
    struct listener_counts counts;
    char text[256];
    int first;
    int second;

    fixture_start(&f, NULL, 100);
    quota_set(f.quota, 1, 100);
    first = client_connect(&f);
    WAIT_UNTIL(quota_count(f.quota) == 1);
    second = client_connect(&f);
    client_send(second, "GET /waited HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    WAIT_UNTIL((listener_counts(f.listener, &counts), counts.paused > 0));
    assert_int_equal(atomic_load(&f.requests), 0);
    (void)close(first);
    (void)client_read(second, text, sizeof(text), NULL);
    assert_non_null(strstr(text, " 200 OK"));
    (void)close(second);
    fixture_stop(&f);
}

static void worker_drain_finishes_answers_closes_idle(void **state)
{
    struct fixture f;
    char text[4096];
    int idle;
    int busy;

    fixture_start(&f, NULL, 100);
    idle = client_connect(&f);
    busy = client_connect(&f);
    client_send(busy, "GET /hold HTTP/1.1\r\nHost: h\r\n\r\n");
    WAIT_UNTIL(atomic_load(&f.held) != NULL && open_connections(&f) == 2);
    worker_drain(f.workers[0]);
    worker_drain(f.workers[1]);
    assert_int_equal(client_read(idle, text, sizeof(text), NULL), 0);
    WAIT_UNTIL(open_connections(&f) == 1);
    post(&f, run_answer);
    (void)client_read(busy, text, sizeof(text), NULL);
    assert_non_null(strstr(text, "Connection: close"));
    assert_non_null(strstr(text, "late"));
    WAIT_UNTIL(open_connections(&f) == 0);
    (void)close(idle);
    (void)close(busy);
    fixture_stop(&f);
}

static void worker_stop_tells_held_exchanges(void **state)
{
    struct fixture f;
    int fd;

    fixture_start(&f, NULL, 100);
    fd = client_connect(&f);
    client_send(fd, "GET /hold HTTP/1.1\r\nHost: h\r\n\r\n");
    WAIT_UNTIL(atomic_load(&f.held) != NULL);
    fixture_stop(&f);
    assert_int_equal(outcome_of(&f, EXCHANGE_FAILED), 1);
    (void)close(fd);
}

/* ---- mailbox under fire ---- */

#define SENDERS 3
#define LETTERS 5000

struct letter {
    struct worker_mail mail;
    unsigned sender;
    unsigned number;
    struct office *office;
};

struct office {
    struct worker *worker;
    unsigned next[SENDERS]; /* the worker's own */
    unsigned misordered;
    atomic_uint run;
    atomic_uint dropped;
};

static void letter_run(struct worker_mail *mail, struct worker *worker)
{
    struct letter *letter = (struct letter *)mail;
    struct office *office = letter->office;

    office->misordered += office->next[letter->sender] == letter->number ? 0 : 1;
    office->next[letter->sender] = letter->number + 1;
    (void)atomic_fetch_add(&office->run, 1);
    free(letter);
}

static void letter_drop(struct worker_mail *mail)
{
    struct letter *letter = (struct letter *)mail;

    (void)atomic_fetch_add(&letter->office->dropped, 1);
    free(letter);
}

struct sender {
    struct office *office;
    unsigned number;
};

static void *send_letters(void *arg)
{
    struct sender *sender = arg;

    for (unsigned i = 0; i < LETTERS; i++) {
        struct letter *letter = calloc(1, sizeof(*letter));

        letter->mail.run = letter_run;
        letter->mail.drop = letter_drop;
        letter->sender = sender->number;
        letter->number = i;
        letter->office = sender->office;
        worker_post(sender->office->worker, &letter->mail);
    }
    return NULL;
}

static void worker_post_many_senders_each_in_order(void **state)
{
    struct office office = {0};
    struct gh_error err = {0};
    pthread_t threads[SENDERS];
    struct sender senders[SENDERS];

    assert_true(worker_new(0, &office.worker, &err));
    assert_true(worker_start(office.worker, &err));
    for (unsigned i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender){&office, i};
        assert_int_equal(pthread_create(&threads[i], NULL, send_letters, &senders[i]), 0);
    }
    for (unsigned i = 0; i < SENDERS; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    WAIT_UNTIL(atomic_load(&office.run) == SENDERS * LETTERS);
    worker_free(office.worker);
    assert_int_equal(office.misordered, 0);
    assert_int_equal(atomic_load(&office.dropped), 0);
}

static void worker_post_stopping_worker_runs_or_drops_each(void **state)
{
    struct office office = {0};
    struct gh_error err = {0};
    pthread_t thread;
    struct sender sender = {&office, 0};

    assert_true(worker_new(0, &office.worker, &err));
    assert_true(worker_start(office.worker, &err));
    assert_int_equal(pthread_create(&thread, NULL, send_letters, &sender), 0);
    WAIT_UNTIL(atomic_load(&office.run) > 10);
    worker_stop(office.worker);
    (void)pthread_join(thread, NULL);
    worker_free(office.worker);
    assert_int_equal(atomic_load(&office.run) + atomic_load(&office.dropped), LETTERS);
}

/* ---- TLS ---- */

static void make_certificate(struct bytes_buf *certificate_pem, struct bytes_buf *key_pem)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x509 = X509_new();
    BIO *bio = BIO_new(BIO_s_mem());
    char *data;
    struct gh_error err = {0};

    assert_non_null(key);
    assert_int_equal(X509_set_version(x509, 2), 1);
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(x509), 7), 1);
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(x509), -3600));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(x509), 3600));
    assert_int_equal(X509_NAME_add_entry_by_txt(X509_get_subject_name(x509), "CN", MBSTRING_ASC,
                                                (const unsigned char *)"client", -1, -1, 0),
                     1);
    assert_int_equal(X509_set_issuer_name(x509, X509_get_subject_name(x509)), 1);
    assert_int_equal(X509_set_pubkey(x509, key), 1);
    assert_true(X509_sign(x509, key, EVP_sha256()) > 0);
    assert_int_equal(PEM_write_bio_X509(bio, x509), 1);
    assert_true(
        bytes_dup(bytes_make(data, (size_t)BIO_get_mem_data(bio, &data)), certificate_pem, &err));
    (void)BIO_reset(bio);
    assert_int_equal(PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 1);
    assert_true(bytes_dup(bytes_make(data, (size_t)BIO_get_mem_data(bio, &data)), key_pem, &err));
    BIO_free(bio);
    X509_free(x509);
    EVP_PKEY_free(key);
}

static struct tls *make_tls(bool with_client_ca, struct bytes_buf *certificate,
                            struct bytes_buf *key)
{
    struct gh_error err = {0};
    struct tls *tls = NULL;
    struct tls_config config;

    make_certificate(certificate, key);
    config = (struct tls_config){.certificate = bytes_view(certificate),
                                 .key = bytes_view(key),
                                 .client_ca =
                                     with_client_ca ? bytes_view(certificate) : (struct bytes){0}};
    assert_true(tls_new(&config, &tls, &err));
    return tls;
}

static size_t tls_read_all(SSL *ssl, char *out, size_t cap)
{
    size_t len = 0;
    int got;

    while (len < cap && (got = SSL_read(ssl, out + len, (int)(cap - len))) > 0) {
        len += (size_t)got;
    }
    return len;
}

static void conn_tls_file_exact_and_head_answered(void **state)
{
    struct bytes_buf certificate = {0};
    struct bytes_buf key = {0};
    struct fixture f;
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    char *text = malloc(BLOB_BYTES + 65536);

    fixture_start(&f, make_tls(false, &certificate, &key), 100);
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        int fd = client_connect(&f);
        SSL *ssl = SSL_new(context);
        const char *body;
        size_t len;
        int first;

        assert_int_equal(SSL_set_max_proto_version(ssl, version), 1);
        assert_int_equal(SSL_set_fd(ssl, fd), 1);
        assert_int_equal(SSL_connect(ssl), 1);
        assert_int_equal(SSL_version(ssl), version);
        assert_true(SSL_write(ssl, "HEAD /a HTTP/1.1\r\nHost: h\r\n\r\n", 29) > 0);
        first = SSL_read(ssl, text, 4096);
        assert_true(first > 0);
        text[first] = '\0';
        assert_non_null(strstr(text, "Content-Length: 2\r\n"));
        assert_true(
            SSL_write(ssl, "GET /file HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", 50) > 0);
        len = tls_read_all(ssl, text, BLOB_BYTES + 65536);
        body = memmem(text, len, "\r\n\r\n", 4);
        assert_non_null(body);
        body += 4;
        assert_int_equal(len - (size_t)(body - text), BLOB_BYTES);
        assert_memory_equal(body, f.blob, BLOB_BYTES);
        SSL_free(ssl);
        (void)close(fd);
    }
    SSL_CTX_free(context);
    free(text);
    fixture_stop(&f);
    bytes_buf_done(&certificate);
    bytes_buf_done(&key);
}

/* One request over TLS with or without a client certificate; empty where the handshake failed. */
static void ask_who(const struct fixture *f, const struct bytes_buf *certificate,
                    const struct bytes_buf *key, char *text, size_t cap)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(context);
    int fd = client_connect(f);
    size_t len = 0;

    if (certificate != NULL) {
        BIO *certificate_bio = BIO_new_mem_buf(certificate->data, (int)certificate->len);
        BIO *key_bio = BIO_new_mem_buf(key->data, (int)key->len);
        X509 *x509 = PEM_read_bio_X509(certificate_bio, NULL, NULL, NULL);
        EVP_PKEY *pkey = PEM_read_bio_PrivateKey(key_bio, NULL, NULL, NULL);

        assert_int_equal(SSL_use_certificate(ssl, x509), 1);
        assert_int_equal(SSL_use_PrivateKey(ssl, pkey), 1);
        X509_free(x509);
        EVP_PKEY_free(pkey);
        BIO_free(certificate_bio);
        BIO_free(key_bio);
    }
    assert_int_equal(SSL_set_tlsext_host_name(ssl, "registry.test"), 1);
    assert_int_equal(SSL_set_fd(ssl, fd), 1);
    if (SSL_connect(ssl) == 1 &&
        SSL_write(ssl, "GET /who HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", 49) > 0) {
        len = tls_read_all(ssl, text, cap - 1);
    }
    text[len] = '\0';
    SSL_free(ssl);
    SSL_CTX_free(context);
    (void)close(fd);
}

static void conn_tls_client_certificate_known_to_handler(void **state)
{
    struct bytes_buf certificate = {0};
    struct bytes_buf key = {0};
    struct bytes_buf stranger = {0};
    struct bytes_buf stranger_key = {0};
    struct fixture f;
    char text[4096];

    fixture_start(&f, make_tls(true, &certificate, &key), 100);
    make_certificate(&stranger, &stranger_key);
    ask_who(&f, &certificate, &key, text, sizeof(text));
    assert_non_null(strstr(text, "/CN=client"));
    assert_non_null(strstr(text, "X-Server: registry.test\r\n"));
    ask_who(&f, NULL, NULL, text, sizeof(text)); /* optional: served, as nobody */
    assert_non_null(strstr(text, "nobody"));
    ask_who(&f, &stranger, &stranger_key, text, sizeof(text));
    assert_string_equal(text, "");
    fixture_stop(&f);
    bytes_buf_done(&certificate);
    bytes_buf_done(&key);
    bytes_buf_done(&stranger);
    bytes_buf_done(&stranger_key);
}

static void tls_old_version_refused(void **state)
{
    struct bytes_buf certificate = {0};
    struct bytes_buf key = {0};
    struct fixture f;
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(context);
    int fd;

    fixture_start(&f, make_tls(false, &certificate, &key), 100);
    fd = client_connect(&f);
    SSL_set_security_level(ssl, 0);
    assert_int_equal(SSL_set_min_proto_version(ssl, TLS1_VERSION), 1);
    assert_int_equal(SSL_set_max_proto_version(ssl, TLS1_1_VERSION), 1);
    assert_int_equal(SSL_set_fd(ssl, fd), 1);
    assert_int_not_equal(SSL_connect(ssl), 1);
    SSL_free(ssl);
    SSL_CTX_free(context);
    (void)close(fd);
    fixture_stop(&f);
    bytes_buf_done(&certificate);
    bytes_buf_done(&key);
}

static void tls_new_wrong_key_refused(void **state)
{
    struct bytes_buf certificate = {0};
    struct bytes_buf key = {0};
    struct bytes_buf other_certificate = {0};
    struct bytes_buf other_key = {0};
    struct gh_error err = {0};
    struct tls *tls = make_tls(false, &certificate, &key);
    struct tls_config config;

    make_certificate(&other_certificate, &other_key);
    config =
        (struct tls_config){.certificate = bytes_view(&certificate), .key = bytes_view(&other_key)};
    assert_false(tls_reload(tls, &config, &err)); /* and the old one stays */
    assert_int_equal(err.cause, GH_INTERNAL_ERROR);
    gh_error_clear(&err);
    config.certificate = bytes_view(&other_certificate);
    assert_true(tls_reload(tls, &config, &err));
    gh_error_clear(&err);
    config.certificate = BYTES_LITERAL("not a certificate");
    assert_false(tls_reload(tls, &config, &err));
    gh_error_clear(&err);
    config = (struct tls_config){
        .certificate = bytes_view(&certificate), .key = bytes_view(&key), .requires_client = true};
    assert_false(tls_reload(tls, &config, &err));
    tls_free(tls);
    bytes_buf_done(&certificate);
    bytes_buf_done(&key);
    bytes_buf_done(&other_certificate);
    bytes_buf_done(&other_key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conn_pipelined_requests_answered_in_order),
        cmocka_unit_test(conn_many_pipelined_requests_all_answered),
        cmocka_unit_test(conn_ambiguous_request_one_answer_and_closed),
        cmocka_unit_test(conn_body_over_limit_in_chunks_refused),
        cmocka_unit_test(conn_expect_continue_sent_once),
        cmocka_unit_test(conn_file_and_chunked_bodies_exact),
        cmocka_unit_test(conn_growing_source_followed_to_its_end),
        cmocka_unit_test(conn_failed_source_closed_short),
        cmocka_unit_test(conn_client_leaves_handler_told_once),
        cmocka_unit_test(conn_half_closed_client_gets_answer),
        cmocka_unit_test(conn_deadlines_end_slow_clients),
        cmocka_unit_test(conn_memory_above_high_mark_drained),
        cmocka_unit_test(conn_header_value_cannot_split_head),
        cmocka_unit_test(listener_address_limit_closes_the_excess),
        cmocka_unit_test(listener_total_limit_pauses_and_resumes),
        cmocka_unit_test(worker_drain_finishes_answers_closes_idle),
        cmocka_unit_test(worker_stop_tells_held_exchanges),
        cmocka_unit_test(worker_post_many_senders_each_in_order),
        cmocka_unit_test(worker_post_stopping_worker_runs_or_drops_each),
        cmocka_unit_test(conn_tls_file_exact_and_head_answered),
        cmocka_unit_test(conn_tls_client_certificate_known_to_handler),
        cmocka_unit_test(tls_old_version_refused),
        cmocka_unit_test(tls_new_wrong_key_refused),
    };

    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
