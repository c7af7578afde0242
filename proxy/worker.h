/*
 * A thread with one event_base and a mailbox. Connections, their requests and their upstream
 * handles live and die on the worker they were handed to; whatever another thread has for them
 * travels as mail, which moves ownership.
 *
 * Threads: worker_new(), worker_attach(), worker_start(), worker_drain(), worker_stop() and
 *          worker_free() belong to the main thread; worker_post() and worker_load() to any thread;
 *          the rest to the worker's own thread (and to the main thread before the start).
 */
#ifndef PROXY_WORKER_H
#define PROXY_WORKER_H

#include "gatehouse.h"
#include "metrics/error.h"

struct event_base;
struct worker;

/* Mail is embedded at will in what is sent. It is taken by worker_post(): exactly one of the two
 * callbacks is called once, and owns the mail from then on. */
struct worker_mail {
    struct worker_mail *next; /* the mailbox's */
    /* On the worker's thread. */
    void (*run)(struct worker_mail *mail, struct worker *worker);
    /* The worker has ended: free what the mail carries. On any thread, after the members have
     * stopped; NULL drops silently. */
    void (*drop)(struct worker_mail *mail);
};

/* What lives on a worker besides its loop: one per subsystem. Started in this order, stopped in
 * reverse: connections end first, so that what their requests stand on is still there. */
enum worker_slot {
    WORKER_SLOT_UPSTREAM,
    WORKER_SLOT_FILL,
    WORKER_SLOT_GATE,
    WORKER_SLOT_REQUEST,
    WORKER_SLOT_METRICS,
    WORKER_SLOT_ADMIN,
    WORKER_SLOT_CONN, /* conn_set */
    WORKER_SLOT_COUNT,
};

/* The three calls come on the worker's thread, and each may be NULL. */
struct worker_member {
    void *self;
    void (*on_start)(void *self); /* before the loop runs, in slot order */
    void (*on_drain)(void *self); /* finish what is under way, take nothing new */
    void (*on_stop)(void *self);  /* after the loop, in reverse slot order; frees self */
};

/*
 * Gives: *out: new, caller frees with worker_free()
 * Fails: INTERNAL_ERROR
 */
GH_CHECKED bool worker_new(unsigned index, struct worker **out, struct gh_error *err);
/* Before worker_start() only. A member of a worker that never starts is stopped by worker_free().
 */
void worker_attach(struct worker *worker, enum worker_slot slot,
                   const struct worker_member *member);
/* Start the thread; all signals are blocked in it. Fails: INTERNAL_ERROR. */
GH_CHECKED bool worker_start(struct worker *worker, struct gh_error *err);
/* Ask every member to drain. Returns at once; worker_load() tells when clients are gone. */
void worker_drain(struct worker *worker);
/* Ask the loop to end after what it is doing. Returns at once. */
void worker_stop(struct worker *worker);
/* Stop, and wait until the thread has ended its members and closed the mailbox. Posting to it stays
 * legal: such mail is dropped at once. Where threads post to each other, join them all before one
 * is freed. Accepts NULL. */
void worker_join(struct worker *worker);
/* As worker_join(), and free it. Accepts NULL. Nothing may post to the worker any more when its
 * memory goes: stop the threads that do so first. */
void worker_free(struct worker *worker);
GH_DEFINE_FREEP(worker, struct worker)

/*
 * Put mail into the mailbox. Order is kept for each sender.
 *
 * Takes:   mail: taken
 * Threads: any; no lock (one atomic exchange, and one write to an eventfd when the box was empty)
 */
void worker_post(struct worker *worker, struct worker_mail *mail);

struct event_base *worker_base(const struct worker *worker);
unsigned worker_index(const struct worker *worker);
/* The member's self, NULL when none was attached. */
void *worker_member(const struct worker *worker, enum worker_slot slot);

/* Connections handed over and not closed yet. Threads: any. */
unsigned worker_load(const struct worker *worker);
void worker_load_add(struct worker *worker, int count);

/* Milliseconds of the monotonic clock, a few behind at most (never ahead). Threads: any. */
uint64_t worker_clock_ms(void);

#endif
