/*
 * A registry for tests: one thread per connection, on loopback, answering from a function. Keeps
 * the heads it received, so that tests can assert what reached it.
 */
#ifndef TESTS_SUPPORT_FAKE_UPSTREAM_H
#define TESTS_SUPPORT_FAKE_UPSTREAM_H

#include <stdbool.h>
#include <stddef.h>

struct fake_upstream;

/* One request. */
struct fake_call {
    struct fake_upstream *server;
    int fd;
    char head[8192]; /* request line and headers as received */
    char method[16];
    char target[2048];
    size_t serial; /* of this server, from 0 */
};

/* Answer the call. True keeps the connection. */
typedef bool (*fake_answer_fn)(void *ctx, struct fake_call *call);

struct fake_upstream *fake_upstream_start(fake_answer_fn answer, void *ctx);
void fake_upstream_stop(struct fake_upstream *server);
unsigned fake_upstream_port(const struct fake_upstream *server);
/* "http://127.0.0.1:PORT" + PATH, in a ring of buffers per thread. */
const char *fake_upstream_url(const struct fake_upstream *server, const char *path);
size_t fake_upstream_calls(struct fake_upstream *server);
/* Calls whose head holds TEXT. */
size_t fake_upstream_calls_with(struct fake_upstream *server, const char *text);

/* Write a whole answer with Content-Length; HEADERS is "" or "Name: value\r\n…". */
bool fake_reply(struct fake_call *call, int status, const char *headers, const char *body);
bool fake_reply_bytes(struct fake_call *call, int status, const char *headers, const void *body,
                      size_t len);
bool fake_send(struct fake_call *call, const void *data, size_t len);
/* The value of a request header, NULL when absent; static buffer per thread. */
const char *fake_header(const struct fake_call *call, const char *name);
/* End the connection with a reset instead of a close. */
void fake_reset(struct fake_call *call);

#endif
