#include "tests/support/fake_upstream.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define FAKE_MAX_CALLS 4096
#define FAKE_MAX_THREADS 512

struct fake_upstream {
    int listen_fd;
    unsigned port;
    fake_answer_fn answer;
    void *ctx;
    pthread_t acceptor;
    pthread_mutex_t lock;
    char *heads[FAKE_MAX_CALLS];
    size_t calls;
    pthread_t threads[FAKE_MAX_THREADS];
    int fds[FAKE_MAX_THREADS];
    size_t thread_count;
    bool is_stopping;
};

struct fake_connection {
    struct fake_upstream *server;
    int fd;
    size_t slot;
};

static bool fake_read_head(struct fake_call *call)
{
    size_t used = 0;

    while (used + 1 < sizeof(call->head)) {
        ssize_t got = recv(call->fd, call->head + used, 1, 0);

        if (got <= 0) {
            return false;
        }
        used += (size_t)got;
        call->head[used] = '\0';
        if (used >= 4 && strcmp(call->head + used - 4, "\r\n\r\n") == 0) {
            const char *length = fake_header(call, "Content-Length");
            char sink[1024];

            for (long left = length != NULL ? atol(length) : 0; left > 0;) {
                got = recv(call->fd, sink,
                           (size_t)left < sizeof(sink) ? (size_t)left : sizeof(sink), 0);
                if (got <= 0) {
                    return false;
                }
                left -= got;
            }
            return sscanf(call->head, "%15s %2047s", call->method, call->target) == 2;
        }
    }
    return false;
}

static void *fake_serve(void *arg)
{
    struct fake_connection *connection = arg;
    struct fake_upstream *server = connection->server;
    struct fake_call *call = calloc(1, sizeof(*call));

    call->server = server;
    call->fd = connection->fd;
    while (fake_read_head(call)) {
        (void)pthread_mutex_lock(&server->lock);
        call->serial = server->calls;
        if (server->calls < FAKE_MAX_CALLS) {
            server->heads[server->calls++] = strdup(call->head);
        }
        (void)pthread_mutex_unlock(&server->lock);
        if (!server->answer(server->ctx, call)) {
            break;
        }
    }
    (void)pthread_mutex_lock(&server->lock);
    server->fds[connection->slot] = -1;
    (void)pthread_mutex_unlock(&server->lock);
    (void)close(call->fd);
    free(call);
    free(connection);
    return NULL;
}

static void *fake_accept(void *arg)
{
    struct fake_upstream *server = arg;

    for (;;) {
        int fd = accept(server->listen_fd, NULL, NULL);
        struct fake_connection *connection;

        (void)pthread_mutex_lock(&server->lock);
        if (fd < 0 || server->is_stopping || server->thread_count == FAKE_MAX_THREADS) {
            (void)pthread_mutex_unlock(&server->lock);
            if (fd >= 0) {
                (void)close(fd);
            }
            return NULL;
        }
        connection = calloc(1, sizeof(*connection));
        *connection =
            (struct fake_connection){.server = server, .fd = fd, .slot = server->thread_count};
        server->fds[server->thread_count] = fd;
        (void)pthread_create(&server->threads[server->thread_count], NULL, fake_serve, connection);
        server->thread_count++;
        (void)pthread_mutex_unlock(&server->lock);
    }
}

struct fake_upstream *fake_upstream_start(fake_answer_fn answer, void *ctx)
{
    struct fake_upstream *server = calloc(1, sizeof(*server));
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t len = sizeof(address);

    server->answer = answer;
    server->ctx = ctx;
    (void)pthread_mutex_init(&server->lock, NULL);
    server->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(server->listen_fd, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(server->listen_fd, 256) != 0 ||
        getsockname(server->listen_fd, (struct sockaddr *)&address, &len) != 0) {
        abort();
    }
    server->port = ntohs(address.sin_port);
    (void)pthread_create(&server->acceptor, NULL, fake_accept, server);
    return server;
}

void fake_upstream_stop(struct fake_upstream *server)
{
    (void)pthread_mutex_lock(&server->lock);
    server->is_stopping = true;
    for (size_t i = 0; i < server->thread_count; i++) {
        if (server->fds[i] >= 0) {
            (void)shutdown(server->fds[i], SHUT_RDWR);
        }
    }
    (void)pthread_mutex_unlock(&server->lock);
    (void)shutdown(server->listen_fd, SHUT_RDWR);
    (void)pthread_join(server->acceptor, NULL);
    for (size_t i = 0; i < server->thread_count; i++) {
        (void)pthread_join(server->threads[i], NULL);
    }
    (void)close(server->listen_fd);
    for (size_t i = 0; i < server->calls; i++) {
        free(server->heads[i]);
    }
    (void)pthread_mutex_destroy(&server->lock);
    free(server);
}

unsigned fake_upstream_port(const struct fake_upstream *server)
{
    return server->port;
}

const char *fake_upstream_url(const struct fake_upstream *server, const char *path)
{
    static _Thread_local char ring[8][512];
    static _Thread_local size_t next;
    char *url = ring[next++ % 8];

    (void)snprintf(url, sizeof(ring[0]), "http://127.0.0.1:%u%s", server->port, path);
    return url;
}

size_t fake_upstream_calls_with(struct fake_upstream *server, const char *text)
{
    size_t count = 0;

    (void)pthread_mutex_lock(&server->lock);
    for (size_t i = 0; i < server->calls; i++) {
        count += strstr(server->heads[i], text) != NULL;
    }
    (void)pthread_mutex_unlock(&server->lock);
    return count;
}

size_t fake_upstream_calls(struct fake_upstream *server)
{
    return fake_upstream_calls_with(server, "");
}

bool fake_send(struct fake_call *call, const void *data, size_t len)
{
    const char *at = data;

    while (len > 0) {
        ssize_t sent = send(call->fd, at, len, MSG_NOSIGNAL);

        if (sent <= 0) {
            return false;
        }
        at += sent;
        len -= (size_t)sent;
    }
    return true;
}

bool fake_reply_bytes(struct fake_call *call, int status, const char *headers, const void *body,
                      size_t len)
{
    char head[4096];
    int used = snprintf(head, sizeof(head), "HTTP/1.1 %d Test\r\nContent-Length: %zu\r\n%s\r\n",
                        status, len, headers);

    return fake_send(call, head, (size_t)used) &&
           (strcmp(call->method, "HEAD") == 0 || fake_send(call, body, len));
}

bool fake_reply(struct fake_call *call, int status, const char *headers, const char *body)
{
    return fake_reply_bytes(call, status, headers, body, strlen(body));
}

const char *fake_header(const struct fake_call *call, const char *name)
{
    static _Thread_local char value[4096];
    size_t len = strlen(name);

    for (const char *line = strstr(call->head, "\r\n"); line != NULL;
         line = strstr(line + 2, "\r\n")) {
        if (strncasecmp(line + 2, name, len) == 0 && line[2 + len] == ':') {
            (void)snprintf(value, sizeof(value), "%s", line + 2 + len + 1 + 1);
            value[strcspn(value, "\r")] = '\0';
            return value;
        }
    }
    return NULL;
}

void fake_reset(struct fake_call *call)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};

    (void)setsockopt(call->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
}
