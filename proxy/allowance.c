#include "proxy/allowance.h"

#include <stdlib.h>

#include "policy/config.h"

#define ALLOWANCE_DAY_S 86400
#define ALLOWANCE_SECOND_US 1000000

struct allowance {
    int references; /* atomic, as all that follows */
    int64_t due_us; /* when all requests so far would be through at the tenant's rate */
    int64_t under_way;
    int64_t day; /* that the bytes are of */
    uint64_t sent_bytes;
};

const char *allowance_label(enum allowance_answer answer)
{
    switch (answer) {
    case ALLOWANCE_SPENT_REQUESTS:
        return "requests";
    case ALLOWANCE_SPENT_CONCURRENT:
        return "concurrent";
    case ALLOWANCE_SPENT_BYTES:
        return "bytes";
    case ALLOWANCE_ENTERED:
        break;
    }
    return "";
}

struct allowance *allowance_new(void)
{
    struct allowance *allowance = calloc(1, sizeof(*allowance));

    if (allowance != NULL) {
        allowance->references = 1;
    }
    return allowance;
}

struct allowance *allowance_ref(struct allowance *allowance)
{
    (void)__atomic_add_fetch(&allowance->references, 1, __ATOMIC_RELAXED);
    return allowance;
}

void allowance_unref(struct allowance *allowance)
{
    if (allowance != NULL && __atomic_sub_fetch(&allowance->references, 1, __ATOMIC_ACQ_REL) == 0) {
        free(allowance);
    }
}

/* The bytes of today. The first of a new day forgets those of the old one. */
static uint64_t allowance_today(struct allowance *allowance, int64_t now_unix_s)
{
    int64_t today = now_unix_s / ALLOWANCE_DAY_S;
    int64_t day = __atomic_load_n(&allowance->day, __ATOMIC_ACQUIRE);

    if (day != today && __atomic_compare_exchange_n(&allowance->day, &day, today, false,
                                                    __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
        __atomic_store_n(&allowance->sent_bytes, 0, __ATOMIC_RELEASE);
    }
    return __atomic_load_n(&allowance->sent_bytes, __ATOMIC_RELAXED);
}

/* Each request takes its share of a second; as many as the rate may come at once. */
static bool allowance_take(struct allowance *allowance, int64_t rate, int64_t now_us,
                           unsigned *retry_after_s)
{
    int64_t share_us = GH_MAX(ALLOWANCE_SECOND_US / rate, 1);
    int64_t due_us = __atomic_load_n(&allowance->due_us, __ATOMIC_RELAXED);
    int64_t next_us;

    do {
        next_us = GH_MAX(due_us, now_us) + share_us;
        if (next_us - now_us > GH_MAX(ALLOWANCE_SECOND_US, share_us)) {
            *retry_after_s =
                (unsigned)((next_us - now_us - 1) / ALLOWANCE_SECOND_US); /* at least 1 */
            return false;
        }
    } while (!__atomic_compare_exchange_n(&allowance->due_us, &due_us, next_us, true,
                                          __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    return true;
}

enum allowance_answer allowance_enter(struct allowance *allowance, const struct config_quota *quota,
                                      int64_t now_us, int64_t now_unix_s, unsigned *retry_after_s)
{
    int64_t under_way = __atomic_add_fetch(&allowance->under_way, 1, __ATOMIC_RELAXED);
    enum allowance_answer answer = ALLOWANCE_ENTERED;

    *retry_after_s = 1;
    if (quota == NULL) {
        return ALLOWANCE_ENTERED;
    }
    if (quota->concurrent_requests > 0 && under_way > quota->concurrent_requests) {
        answer = ALLOWANCE_SPENT_CONCURRENT;
    } else if (quota->bytes_per_day > 0 &&
               allowance_today(allowance, now_unix_s) >= (uint64_t)quota->bytes_per_day) {
        answer = ALLOWANCE_SPENT_BYTES;
        *retry_after_s = (unsigned)(ALLOWANCE_DAY_S - now_unix_s % ALLOWANCE_DAY_S);
    } else if (quota->requests_per_second > 0 &&
               !allowance_take(allowance, quota->requests_per_second, now_us, retry_after_s)) {
        answer = ALLOWANCE_SPENT_REQUESTS;
    }
    if (answer != ALLOWANCE_ENTERED) {
        (void)__atomic_sub_fetch(&allowance->under_way, 1, __ATOMIC_RELAXED);
    }
    return answer;
}

void allowance_leave(struct allowance *allowance, uint64_t sent_bytes, int64_t now_unix_s)
{
    (void)allowance_today(allowance, now_unix_s);
    (void)__atomic_add_fetch(&allowance->sent_bytes, sent_bytes, __ATOMIC_RELAXED);
    (void)__atomic_sub_fetch(&allowance->under_way, 1, __ATOMIC_RELAXED);
}
