/*
 * Mutexes with a rank. A thread may only take a lock whose rank is higher than any it holds; where
 * NDEBUG is not defined, breaking that order aborts with both ranks on stderr. The ranks are in
 * gatehouse.h.
 *
 * Threads: any; that is what it is for.
 */
#ifndef METRICS_LOCK_H
#define METRICS_LOCK_H

#include <pthread.h>

#include "gatehouse.h"

struct lock {
    pthread_mutex_t mutex;
    int rank;
};

/* A condition on the monotonic clock. */
struct lock_cond {
    pthread_cond_t cond;
};

#define LOCK_MAX_HELD 16 /* locks one thread may hold at once */

void lock_init(struct lock *lock, int rank);
void lock_done(struct lock *lock);
void lock_acquire(struct lock *lock);
/* False where another thread holds it; the rank order holds for it as well. */
GH_CHECKED bool lock_try(struct lock *lock);
void lock_release(struct lock *lock);

/* Hold LOCK until the end of the block. */
#define LOCK_HOLD(held)                                                                            \
    GH_OWN(lock_releasep) GH_UNUSED struct lock *LOCK_NAME_(__LINE__) = lock_held_(held)
#define LOCK_NAME_(line) LOCK_JOIN_(lock_held_here_, line)
#define LOCK_JOIN_(a, b) LOCK_JOIN2_(a, b)
#define LOCK_JOIN2_(a, b) a##b

GH_UNUSED static inline struct lock *lock_held_(struct lock *lock)
{
    lock_acquire(lock);
    return lock;
}

GH_UNUSED static inline void lock_releasep(struct lock **lock)
{
    lock_release(*lock);
}

void lock_cond_init(struct lock_cond *cond);
void lock_cond_done(struct lock_cond *cond);
/* Wait with LOCK held; it is held again on return. May wake without cause. */
void lock_cond_wait(struct lock_cond *cond, struct lock *lock);
/* As lock_cond_wait(), for at most WAIT_MS. False when the time is over. */
bool lock_cond_wait_ms(struct lock_cond *cond, struct lock *lock, unsigned wait_ms);
void lock_cond_signal(struct lock_cond *cond);
void lock_cond_broadcast(struct lock_cond *cond);

#endif
