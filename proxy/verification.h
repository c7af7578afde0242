/*
 * Verifying a subject: its evidence is found (stored, or searched in the registry), the pure core
 * judges it on a verifier thread, what the core lacks is fetched, and the verdicts are stored. One
 * verification runs for a subject and its requirements however many wait; nobody who leaves stops
 * it.
 *
 * Threads: the calling worker; callbacks come on it
 */
#ifndef PROXY_VERIFICATION_H
#define PROXY_VERIFICATION_H

#include "gatehouse.h"
#include "policy/decide.h"
#include "proxy/flight.h"

struct content;
struct gateway;
struct generation;
struct target;
struct worker;

#define VERIFICATION_MAX_LEAVES 256
#define VERIFICATION_MAX_ROUNDS 12 /* of fetching what the core lacks */
#define VERIFICATION_MAX_OTHERS 8

struct verification_ask {
    struct generation *generation;
    const struct target *target;
    const char *tag; /* as the client asked; NULL: by digest */
    struct content *subject;
    const struct decide_leaf *leaves;
    size_t leaf_count;
    bool is_explaining; /* every candidate is tried; stored evidence is not enough */
    int64_t at_unix_s;  /* 0: now; another time is never stored */
    unsigned depth;     /* 0; 1 for a base image */
};

struct verification_result {
    struct flight_result base; /* first */
    size_t count;
    struct digest *fingerprints; /* of the requirements, parallel to verdicts */
    struct verdict **verdicts;   /* none is NULL */
};

/* RESULT is borrowed for the call; NULL when memory was out. */
typedef void (*verification_fn)(void *ctx, const struct verification_result *result);

struct verification_seat;

/* Give a new worker its place for verifications (WORKER_SLOT_GATE): they end when it stops. */
GH_CHECKED bool verification_attach(struct worker *worker, struct gh_error *err);

/*
 * Join or start. FN comes later, never from within this call. NULL when memory is out.
 *
 * Takes: ask: copied; generation and subject are referenced. The plan's leaves belong to the
 *        generation's snapshot and stay.
 */
struct verification_seat *verification_join(struct gateway *gateway, struct worker *worker,
                                            const struct verification_ask *ask, verification_fn fn,
                                            void *ctx);
/* FN will not be called. NULL is fine. */
void verification_leave(struct verification_seat *seat);

/* The verdict of RESULT about REQUIRE, or NULL. Borrowed. By fingerprint: who joined may have asked
 * by another object than who led, and the leader's may be gone. */
struct verdict *verification_find(const struct verification_result *result,
                                  const struct require *require);

#endif
