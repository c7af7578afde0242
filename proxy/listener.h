/*
 * A listening socket: accepts in the main thread's loop and hands each connection to the worker
 * with the fewest. When the limit of connections or the descriptors run out it stops accepting
 * (clients wait in the kernel's queue) and resumes by itself.
 *
 * Threads: the main thread; listener_counts(): any
 */
#ifndef PROXY_LISTENER_H
#define PROXY_LISTENER_H

#include "proxy/conn.h"
#include "proxy/quota.h"
#include "proxy/tls.h"

struct event_base;
struct listener;

#define LISTENER_BACKLOG 4096
#define LISTENER_TURN_ACCEPTS 64
#define LISTENER_RESUME_MS 50 /* how long accepting pauses */

struct listener_config {
    const char *address; /* "127.0.0.1:5000", "[::]:5000", "localhost:0"; a name is resolved */
    const struct exchange_handler *handler; /* outlives the listener and its connections */
    void *role;                             /* exchange_role() */
    const char *refusal_headers;            /* conn_role; outlives the listener, or NULL */
    struct tls *tls;                        /* borrowed; NULL: plain */
    struct quota *quota;                    /* borrowed, shared at will; NULL: no limits */
    struct worker *const *workers;          /* borrowed; started or not */
    unsigned worker_count;
};

struct listener_counts {
    uint64_t accepted;
    uint64_t refused_address; /* over the limit of one address */
    uint64_t paused;          /* times accepting stopped */
};

/*
 * Bind and listen; connections queue in the kernel until listener_start().
 *
 * Takes: config: copied; what it points to as said there
 * Gives: *out: new, caller frees with listener_free()
 * Fails: INTERNAL_ERROR
 */
GH_CHECKED bool listener_new(struct event_base *base, const struct listener_config *config,
                             struct listener **out, struct gh_error *err);
/* Begin to accept; also after listener_stop(). */
void listener_start(struct listener *listener);
/* Accept no more. The port stays bound: new clients queue until listener_free(). */
void listener_stop(struct listener *listener);
/* Close the socket. Its connections must be gone: they use the listener's role. To stop listening
 * at once while they drain, use listener_close() first. */
void listener_free(struct listener *listener);
GH_DEFINE_FREEP(listener, struct listener)
/* Close the socket, keep the role for the connections that are left. */
void listener_close(struct listener *listener);

/* "127.0.0.1:41234": what was bound, with the real port. */
const char *listener_address(const struct listener *listener);
uint16_t listener_port(const struct listener *listener);
void listener_counts(const struct listener *listener, struct listener_counts *out);

#endif
