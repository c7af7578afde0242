#include "proxy/gateway.h"

#include <time.h>

#include "proxy/generation.h"

struct generation *gateway_generation(struct gateway *gateway)
{
    LOCK_HOLD(&gateway->lock);
    return generation_ref(gateway->generation);
}

bool gateway_is_current(const struct gateway *gateway, const struct generation *generation)
{
    return __atomic_load_n(&gateway->generation_number, __ATOMIC_ACQUIRE) == generation->number;
}

void gateway_adopt(struct gateway *gateway, struct generation *generation)
{
    struct generation *old;

    lock_acquire(&gateway->lock);
    old = gateway->generation;
    gateway->generation = generation;
    __atomic_store_n(&gateway->generation_number, generation->number, __ATOMIC_RELEASE);
    lock_release(&gateway->lock);
    generation_unref(old);
}

int64_t gateway_now(void)
{
    struct timespec now;

    /* What time() reads, too: a tick behind at most, and asked several times for each request. */
    (void)clock_gettime(CLOCK_REALTIME_COARSE, &now);
    return now.tv_sec;
}

int64_t gateway_use_time(const struct gateway *gateway)
{
    return gateway->is_background ? 0 : gateway_now();
}
