/*
 * Work that several requests wait for is done once: the first to ask leads, the others take a seat,
 * and all get the same result by mail on their own worker. A waiter that leaves stops nothing.
 *
 * Threads: flight_join() and flight_leave() on the waiter's worker, flight_finish() on any thread.
 *          One lock of rank GH_RANK_GATE; no callback runs under it.
 */
#ifndef PROXY_FLIGHT_H
#define PROXY_FLIGHT_H

#include "crypto/bytes.h"
#include "gatehouse.h"

struct flight;
struct flight_seat;
struct flights;
struct gh_error;
struct worker;

/* First member of what a flight brings; counted, shared by all who waited. */
struct flight_result {
    int references; /* atomic; 1 when made */
    void (*destroy)(struct flight_result *result);
};
struct flight_result *flight_result_ref(struct flight_result *result);
void flight_result_unref(struct flight_result *result);

/* Called once on the waiter's worker, unless it left. RESULT is borrowed for the call; NULL when
 * the leader could not even make a result (no memory). */
typedef void (*flight_fn)(void *ctx, struct flight_result *result);

GH_CHECKED bool flights_new(struct flights **out, struct gh_error *err);
/* Nothing may be under way. */
void flights_free(struct flights *flights);
GH_DEFINE_FREEP(flights, struct flights)

/*
 * Wait for the work called KEY.
 *
 * Gives: *seat: for flight_leave(); it is gone once FN was called
 *        *lead: not NULL when nobody does the work yet: the caller must start it, and
 *        flight_finish() must be called exactly once
 * Fails: INTERNAL_ERROR
 */
GH_CHECKED bool flight_join(struct flights *flights, struct bytes key, struct worker *worker,
                            flight_fn fn, void *ctx, struct flight_seat **seat,
                            struct flight **lead, struct gh_error *err);
/* FN will not be called. NULL is fine. */
void flight_leave(struct flight_seat *seat);
/* RESULT is taken (may be NULL). Who joins from now on starts anew. */
void flight_finish(struct flight *flight, struct flight_result *result);

#endif
