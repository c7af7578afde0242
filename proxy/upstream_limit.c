#include "proxy/upstream_limit.h"

#include <string.h>

#include "metrics/error.h"

void upstream_limit_init(struct upstream_limit *limit, unsigned concurrency,
                         unsigned requests_per_second, unsigned breaker_failures,
                         unsigned breaker_hold_ms)
{
    memset(limit, 0, sizeof(*limit));
    limit->concurrency = GH_MAX(concurrency, 1u);
    limit->failures_to_open = GH_MAX(breaker_failures, 1u);
    limit->first_hold_ms = GH_MAX(breaker_hold_ms, 1u);
    limit->hold_ms = limit->first_hold_ms;
    if (requests_per_second > 0) {
        limit->interval_us = GH_MAX(1000000 / (int64_t)requests_per_second, 1);
        /* A second's worth may come at once: a first pull is a burst by nature. */
        limit->burst_us = limit->interval_us * (int64_t)(requests_per_second - 1);
    }
}

static enum upstream_limit_answer limit_enter_breaker(struct upstream_limit *limit, int64_t now_ms,
                                                      int64_t *wait_ms, struct gh_error *err)
{
    if (limit->open_until_ms == 0) {
        return UPSTREAM_LIMIT_GO;
    }
    if (now_ms >= limit->open_until_ms && !limit->is_probing) {
        return UPSTREAM_LIMIT_GO; /* this one becomes the probe */
    }
    *wait_ms = GH_MAX(limit->open_until_ms - now_ms, 0) + 1;
    (void)gh_fail(err, GH_UPSTREAM_UNAVAILABLE,
                  "the registry failed %u times in a row and is left alone for %lld ms more",
                  limit->failures, (long long)*wait_ms);
    return UPSTREAM_LIMIT_REFUSED;
}

enum upstream_limit_answer upstream_limit_enter(struct upstream_limit *limit, int64_t now_ms,
                                                int64_t *wait_ms, struct gh_error *err)
{
    int64_t now_us = now_ms * 1000;
    int64_t due_us = limit->arrival_us - limit->burst_us;

    *wait_ms = 0;
    if (limit_enter_breaker(limit, now_ms, wait_ms, err) != UPSTREAM_LIMIT_GO) {
        return UPSTREAM_LIMIT_REFUSED;
    }
    if (now_ms < limit->held_until_ms) {
        *wait_ms = limit->held_until_ms - now_ms;
        return UPSTREAM_LIMIT_WAIT;
    }
    if (limit->active >= limit->concurrency) {
        *wait_ms = -1;
        return UPSTREAM_LIMIT_WAIT;
    }
    if (limit->interval_us > 0 && now_us < due_us) {
        *wait_ms = (due_us - now_us + 999) / 1000;
        return UPSTREAM_LIMIT_WAIT;
    }
    limit->arrival_us = GH_MAX(limit->arrival_us, now_us) + limit->interval_us;
    limit->active++;
    if (limit->open_until_ms != 0) {
        limit->is_probing = true;
    }
    return UPSTREAM_LIMIT_GO;
}

void upstream_limit_leave(struct upstream_limit *limit, enum upstream_limit_result result,
                          int64_t now_ms, unsigned jitter)
{
    if (limit->active > 0) {
        limit->active--;
    }
    switch (result) {
    case UPSTREAM_LIMIT_GOOD:
        limit->failures = 0;
        limit->open_until_ms = 0;
        limit->is_probing = false;
        limit->hold_ms = limit->first_hold_ms;
        return;
    case UPSTREAM_LIMIT_BAD:
        limit->failures++;
        if (limit->failures < limit->failures_to_open) {
            return;
        }
        /* Requests that began before it opened fail late: only the probe prolongs the hold. */
        if (limit->open_until_ms == 0 || limit->is_probing) {
            limit->open_until_ms = now_ms + limit->hold_ms + limit->hold_ms * (jitter & 255) / 1024;
            limit->hold_ms = GH_MIN(limit->hold_ms * 2, UPSTREAM_LIMIT_MAX_HOLD_MS);
        }
        limit->is_probing = false;
        return;
    case UPSTREAM_LIMIT_NEUTRAL:
        limit->is_probing = false;
        return;
    }
}

void upstream_limit_hold(struct upstream_limit *limit, int64_t until_ms)
{
    limit->held_until_ms = GH_MAX(limit->held_until_ms, until_ms);
}

bool upstream_limit_is_open(const struct upstream_limit *limit, int64_t now_ms)
{
    return limit->open_until_ms != 0 && (now_ms < limit->open_until_ms || limit->is_probing);
}
