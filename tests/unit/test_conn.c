/* Connections: pipelining, framing, deadlines, memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/support/conn_scene.h"

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

static void assert_source_followed(const char *request, bool is_chunked)
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
    assert_source_followed("GET /grow HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", false);
    assert_source_followed("GET /grow-chunked HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
                           true);
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
    };

    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
