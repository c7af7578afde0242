/*
 * How much one registry is asked: concurrent requests, requests a second, the hold a registry asks
 * for with Retry-After, and the breaker. Plain state and arithmetic over a given time; whoever
 * shares it holds a lock (rank GH_RANK_UPSTREAM).
 */
#ifndef PROXY_UPSTREAM_LIMIT_H
#define PROXY_UPSTREAM_LIMIT_H

#include "gatehouse.h"

struct gh_error;

#define UPSTREAM_LIMIT_MAX_HOLD_MS 60000

struct upstream_limit {
    unsigned concurrency;
    unsigned active;
    int64_t interval_us; /* between two requests; 0: no rate limit */
    int64_t burst_us;    /* how far ahead of the rate a burst may run */
    int64_t arrival_us;  /* when the next request is due at the steady rate */
    unsigned failures_to_open;
    unsigned failures; /* in a row */
    int64_t first_hold_ms;
    int64_t hold_ms;       /* of the breaker, next time */
    int64_t open_until_ms; /* breaker; 0: closed */
    bool is_probing;       /* one request finds out whether the registry is back */
    int64_t held_until_ms; /* Retry-After */
};

enum upstream_limit_answer { UPSTREAM_LIMIT_REFUSED = 0, UPSTREAM_LIMIT_WAIT, UPSTREAM_LIMIT_GO };

enum upstream_limit_result {
    UPSTREAM_LIMIT_NEUTRAL = 0, /* given up by us: says nothing of the registry */
    UPSTREAM_LIMIT_GOOD,        /* it answered, whatever it said */
    UPSTREAM_LIMIT_BAD          /* not reached, broken off, too slow, 5xx */
};

void upstream_limit_init(struct upstream_limit *limit, unsigned concurrency,
                         unsigned requests_per_second, unsigned breaker_failures,
                         unsigned breaker_hold_ms);

/*
 * Ask for a slot.
 *
 * Gives: GO: the slot is taken, upstream_limit_leave() gives it back. WAIT: *wait_ms: ask again
 *        then, or earlier when somebody left (-1: only then). REFUSED: the breaker is open, *err
 *        and *wait_ms say how long.
 * Fails: UPSTREAM_UNAVAILABLE
 */
enum upstream_limit_answer upstream_limit_enter(struct upstream_limit *limit, int64_t now_ms,
                                                int64_t *wait_ms, struct gh_error *err);
/* Give a slot back. JITTER is 0…255 and spreads the probes of several gateways. */
void upstream_limit_leave(struct upstream_limit *limit, enum upstream_limit_result result,
                          int64_t now_ms, unsigned jitter);
/* The registry asked for quiet. */
void upstream_limit_hold(struct upstream_limit *limit, int64_t until_ms);
bool upstream_limit_is_open(const struct upstream_limit *limit, int64_t now_ms);

#endif
