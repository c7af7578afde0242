/*
 * What a tenant may use of the gateway: requests a second, requests at a time, bytes a day (UTC).
 * The counts outlive reloads, the limits come with each question; a restart begins anew.
 *
 * Threads: any; lock-free
 */
#ifndef PROXY_ALLOWANCE_H
#define PROXY_ALLOWANCE_H

#include "gatehouse.h"

struct allowance;
struct config_quota;

enum allowance_answer {
    ALLOWANCE_SPENT_REQUESTS = 0,
    ALLOWANCE_SPENT_CONCURRENT,
    ALLOWANCE_SPENT_BYTES,
    ALLOWANCE_ENTERED
};
/* "requests", "concurrent", "bytes". */
const char *allowance_label(enum allowance_answer answer);

/* NULL when memory is out. */
struct allowance *allowance_new(void);
struct allowance *allowance_ref(struct allowance *allowance);
void allowance_unref(struct allowance *allowance);

/*
 * Begin a request. QUOTA NULL: no limits, and it counts all the same.
 *
 * Takes: now_us: the monotonic clock, microseconds; now_unix_s: wall clock
 * Gives: where it is refused, *retry_after_s: when to try again, at least 1
 */
GH_CHECKED enum allowance_answer allowance_enter(struct allowance *allowance,
                                                 const struct config_quota *quota, int64_t now_us,
                                                 int64_t now_unix_s, unsigned *retry_after_s);
/* End a request that entered. */
void allowance_leave(struct allowance *allowance, uint64_t sent_bytes, int64_t now_unix_s);

#endif
