#include "proxy/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

struct listener {
    struct listener_config config;
    struct conn_role role;
    struct event *accept_event;
    struct event *resume_event;
    int fd;
    int reserve_fd; /* given up for a moment when descriptors run out */
    uint16_t port;
    bool is_started;
    unsigned next_worker;
    atomic_uint_fast64_t accepted;
    atomic_uint_fast64_t refused_address;
    atomic_uint_fast64_t paused;
    char address[80];
};

static void listener_on_conn_close(void *arg, const struct in6_addr *peer)
{
    struct listener *listener = arg;

    if (listener->config.quota != NULL) {
        quota_leave(listener->config.quota, peer);
    }
}

/* ---- addresses ---- */

struct listener_name {
    char host[256];
    char port[8];
};

static bool listener_split(const char *address, struct listener_name *out, struct gh_error *err)
{
    const char *colon = strrchr(address, ':');
    const char *host = address;
    size_t host_len;
    char *end;

    if (colon == NULL || colon[1] < '0' || colon[1] > '9' || strlen(colon + 1) > 5 ||
        strtoul(colon + 1, &end, 10) > 65535 || *end != '\0') {
        return gh_fail(err, GH_INTERNAL_ERROR, "\"%s\" is not host:port", address);
    }
    host_len = (size_t)(colon - address);
    if (host_len >= 2 && host[0] == '[' && host[host_len - 1] == ']') {
        host++;
        host_len -= 2;
    } else if (memchr(host, ':', host_len) != NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "\"%s\" needs brackets around its IPv6 address",
                       address);
    }
    if (host_len >= sizeof(out->host)) {
        return gh_fail(err, GH_INTERNAL_ERROR, "the host in \"%s\" is too long", address);
    }
    memcpy(out->host, host, host_len);
    out->host[host_len] = '\0';
    (void)snprintf(out->port, sizeof(out->port), "%s", colon + 1);
    return true;
}

static bool listener_bind_one(struct listener *listener, const struct addrinfo *info)
{
    const int one = 1;
    const int zero = 0;
    bool is_any6 = info->ai_family == AF_INET6 &&
                   IN6_IS_ADDR_UNSPECIFIED(
                       &((const struct sockaddr_in6 *)(const void *)info->ai_addr)->sin6_addr);

    listener->fd = socket(info->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listener->fd < 0) {
        return false;
    }
    (void)setsockopt(listener->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    /* Inherited by accepted sockets; answers are corked with MSG_MORE instead. */
    (void)setsockopt(listener->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (info->ai_family == AF_INET6) {
        (void)setsockopt(listener->fd, IPPROTO_IPV6, IPV6_V6ONLY, is_any6 ? &zero : &one,
                         sizeof(one));
    }
    return bind(listener->fd, info->ai_addr, info->ai_addrlen) == 0 &&
           listen(listener->fd, LISTENER_BACKLOG) == 0;
}

static void listener_note_address(struct listener *listener)
{
    struct sockaddr_storage bound;
    socklen_t len = sizeof(bound);
    char host[64] = "";
    char port[8] = "";

    if (getsockname(listener->fd, (struct sockaddr *)&bound, &len) == 0) {
        (void)getnameinfo((struct sockaddr *)&bound, len, host, sizeof(host), port, sizeof(port),
                          NI_NUMERICHOST | NI_NUMERICSERV);
    }
    listener->port = (uint16_t)strtoul(port, NULL, 10);
    (void)snprintf(listener->address, sizeof(listener->address),
                   strchr(host, ':') != NULL ? "[%s]:%s" : "%s:%s", host, port);
}

static bool listener_bind(struct listener *listener, const char *address, struct gh_error *err)
{
    struct listener_name name;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    int failed;
    int saved = 0;

    GH_TRY(listener_split(address, &name, err));
    failed = getaddrinfo(name.host[0] != '\0' ? name.host : NULL, name.port, &hints, &list);
    if (failed != 0) {
        return gh_fail(err, GH_INTERNAL_ERROR, "cannot listen on %s: %s", address,
                       gai_strerror(failed));
    }
    for (const struct addrinfo *info = list; info != NULL; info = info->ai_next) {
        if (listener_bind_one(listener, info)) {
            freeaddrinfo(list);
            listener_note_address(listener);
            return true;
        }
        saved = errno;
        if (listener->fd >= 0) {
            (void)close(listener->fd);
            listener->fd = -1;
        }
    }
    freeaddrinfo(list);
    errno = saved;
    return gh_fail(err, GH_INTERNAL_ERROR, "cannot listen on %s: %m", address);
}

/* ---- accepting ---- */

static void listener_pause(struct listener *listener)
{
    static const struct timeval wait = {0, LISTENER_RESUME_MS * 1000};

    (void)event_del(listener->accept_event);
    (void)event_add(listener->resume_event, &wait);
    (void)atomic_fetch_add_explicit(&listener->paused, 1, memory_order_relaxed);
}

static void listener_on_resume(evutil_socket_t fd, short what, void *arg)
{
    struct listener *listener = arg;

    if (listener->reserve_fd < 0) {
        listener->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    }
    if (listener->is_started) {
        (void)event_add(listener->accept_event, NULL);
    }
}

/* The worker with the fewest connections; ties go round. */
static struct worker *listener_choose(struct listener *listener)
{
    unsigned count = listener->config.worker_count;
    unsigned start = listener->next_worker++ % count;
    struct worker *best = listener->config.workers[start];
    unsigned best_load = worker_load(best);

    for (unsigned i = 1; i < count; i++) {
        struct worker *worker = listener->config.workers[(start + i) % count];
        unsigned load = worker_load(worker);

        if (load < best_load) {
            best = worker;
            best_load = load;
        }
    }
    return best;
}

static void listener_note_peer(const struct sockaddr_storage *from, struct conn_arrival *arrival)
{
    if (from->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const void *)from;

        arrival->peer = in6->sin6_addr;
        arrival->peer_port = ntohs(in6->sin6_port);
    } else if (from->ss_family == AF_INET) {
        const struct sockaddr_in *in4 = (const void *)from;

        arrival->peer.s6_addr[10] = 0xff;
        arrival->peer.s6_addr[11] = 0xff;
        memcpy(&arrival->peer.s6_addr[12], &in4->sin_addr, 4);
        arrival->peer_port = ntohs(in4->sin_port);
    }
}

/* Takes: fd: taken. False: the total limit is reached. */
static bool listener_admit(struct listener *listener, int fd, const struct sockaddr_storage *from)
{
    struct conn_arrival *arrival = calloc(1, sizeof(*arrival));
    enum quota_answer answer = QUOTA_ENTERED;

    if (arrival == NULL) {
        (void)close(fd);
        return true;
    }
    arrival->fd = fd;
    arrival->role = &listener->role;
    listener_note_peer(from, arrival);
    if (listener->config.quota != NULL) {
        answer = quota_enter(listener->config.quota, &arrival->peer);
    }
    if (answer != QUOTA_ENTERED) {
        if (answer == QUOTA_REFUSED_ADDRESS) {
            (void)atomic_fetch_add_explicit(&listener->refused_address, 1, memory_order_relaxed);
        }
        (void)close(fd);
        free(arrival);
        return answer == QUOTA_REFUSED_ADDRESS;
    }
    if (listener->config.tls != NULL) {
        arrival->tls = tls_context(listener->config.tls);
        if (arrival->tls == NULL) { /* never serve in the clear what was to be TLS */
            listener_on_conn_close(listener, &arrival->peer);
            (void)close(fd);
            free(arrival);
            return true;
        }
    }
    (void)atomic_fetch_add_explicit(&listener->accepted, 1, memory_order_relaxed);
    conn_hand_over(listener_choose(listener), arrival);
    return true;
}

/* No descriptor is left: with the reserve one client can at least be told, by closing. */
static void listener_shed(struct listener *listener)
{
    if (listener->reserve_fd >= 0) {
        int fd;

        (void)close(listener->reserve_fd);
        fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0) {
            (void)close(fd);
        }
        listener->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    }
    listener_pause(listener);
}

static void listener_on_accept(evutil_socket_t socket_fd, short what, void *arg)
{
    struct listener *listener = arg;

    for (unsigned i = 0; i < LISTENER_TURN_ACCEPTS; i++) {
        struct sockaddr_storage from = {0};
        socklen_t len = sizeof(from);
        int fd;

        if (listener->config.quota != NULL && quota_is_full(listener->config.quota)) {
            listener_pause(listener);
            return;
        }
        fd = accept4(socket_fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
                listener_shed(listener);
            }
            return; /* nothing left, or a client that left the queue */
        }
        if (!listener_admit(listener, fd, &from)) {
            listener_pause(listener);
            return;
        }
    }
}

/* ---- life ---- */

bool listener_new(struct event_base *base, const struct listener_config *config,
                  struct listener **out, struct gh_error *err)
{
    GH_OWN(listener_freep) struct listener *listener = calloc(1, sizeof(*listener));

    if (listener == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for a listener");
    }
    listener->fd = -1;
    listener->reserve_fd = -1;
    listener->config = *config;
    listener->role = (struct conn_role){
        .handler = config->handler,
        .role = config->role,
        .refusal_headers = config->refusal_headers,
        .on_close = listener_on_conn_close,
        .on_close_arg = listener,
    };
    GH_TRY(listener_bind(listener, config->address, err));
    listener->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    listener->accept_event =
        event_new(base, listener->fd, EV_READ | EV_PERSIST, listener_on_accept, listener);
    listener->resume_event = evtimer_new(base, listener_on_resume, listener);
    if (listener->accept_event == NULL || listener->resume_event == NULL ||
        listener->reserve_fd < 0) {
        return gh_fail(err, GH_INTERNAL_ERROR, "cannot watch %s", listener->address);
    }
    listener->config.address = listener->address;
    *out = GH_TAKE(listener);
    return true;
}

void listener_start(struct listener *listener)
{
    if (!listener->is_started && listener->fd >= 0) {
        listener->is_started = true;
        (void)event_add(listener->accept_event, NULL);
    }
}

void listener_stop(struct listener *listener)
{
    listener->is_started = false;
    if (listener->accept_event != NULL) {
        (void)event_del(listener->accept_event);
    }
    if (listener->resume_event != NULL) {
        (void)event_del(listener->resume_event);
    }
}

void listener_close(struct listener *listener)
{
    listener_stop(listener);
    if (listener->fd >= 0) {
        (void)close(listener->fd);
        listener->fd = -1;
    }
}

void listener_free(struct listener *listener)
{
    if (listener == NULL) {
        return;
    }
    listener_close(listener);
    if (listener->accept_event != NULL) {
        event_free(listener->accept_event);
    }
    if (listener->resume_event != NULL) {
        event_free(listener->resume_event);
    }
    if (listener->reserve_fd >= 0) {
        (void)close(listener->reserve_fd);
    }
    free(listener);
}

const char *listener_address(const struct listener *listener)
{
    return listener->address;
}

uint16_t listener_port(const struct listener *listener)
{
    return listener->port;
}

void listener_counts(const struct listener *listener, struct listener_counts *out)
{
    struct listener *l = (struct listener *)(uintptr_t)listener;

    out->accepted = atomic_load_explicit(&l->accepted, memory_order_relaxed);
    out->refused_address = atomic_load_explicit(&l->refused_address, memory_order_relaxed);
    out->paused = atomic_load_explicit(&l->paused, memory_order_relaxed);
}
