#include "metrics/lock.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#ifndef NDEBUG
/* What this thread holds. Debugging state alone: nothing in the program reads it. */
static _Thread_local struct {
    int ranks[LOCK_MAX_HELD];
    int count;
} lock_mine;

static void lock_check(int rank)
{
    for (int i = 0; i < lock_mine.count; i++) {
        if (lock_mine.ranks[i] >= rank) {
            (void)fprintf(stderr, "lock order: rank %d taken while holding rank %d\n", rank,
                          lock_mine.ranks[i]);
            abort();
        }
    }
    if (lock_mine.count == LOCK_MAX_HELD) {
        (void)fprintf(stderr, "lock order: more than %d locks held\n", LOCK_MAX_HELD);
        abort();
    }
}

static void lock_note(int rank)
{
    lock_mine.ranks[lock_mine.count++] = rank;
}

static void lock_forget(int rank)
{
    for (int i = lock_mine.count - 1; i >= 0; i--) {
        if (lock_mine.ranks[i] == rank) {
            lock_mine.ranks[i] = lock_mine.ranks[--lock_mine.count];
            return;
        }
    }
    (void)fprintf(stderr, "lock order: rank %d released but not held\n", rank);
    abort();
}
#else
#define lock_check(rank) ((void)(rank))
#define lock_note(rank) ((void)(rank))
#define lock_forget(rank) ((void)(rank))
#endif

/* These calls fail only where the program is wrong (a lock destroyed, or released by another). */
static void lock_must(int result)
{
    if (result != 0) {
        (void)fprintf(stderr, "lock: error %d\n", result);
        abort();
    }
}

void lock_init(struct lock *lock, int rank)
{
    lock_must(pthread_mutex_init(&lock->mutex, NULL));
    lock->rank = rank;
}

void lock_done(struct lock *lock)
{
    lock_must(pthread_mutex_destroy(&lock->mutex));
}

void lock_acquire(struct lock *lock)
{
    lock_check(lock->rank);
    lock_must(pthread_mutex_lock(&lock->mutex));
    lock_note(lock->rank);
}

bool lock_try(struct lock *lock)
{
    int result;

    lock_check(lock->rank);
    result = pthread_mutex_trylock(&lock->mutex);
    if (result == EBUSY) {
        return false;
    }
    lock_must(result);
    lock_note(lock->rank);
    return true;
}

void lock_release(struct lock *lock)
{
    lock_forget(lock->rank);
    lock_must(pthread_mutex_unlock(&lock->mutex));
}

void lock_cond_init(struct lock_cond *cond)
{
    pthread_condattr_t attr;

    lock_must(pthread_condattr_init(&attr));
    lock_must(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC));
    lock_must(pthread_cond_init(&cond->cond, &attr));
    lock_must(pthread_condattr_destroy(&attr));
}

void lock_cond_done(struct lock_cond *cond)
{
    lock_must(pthread_cond_destroy(&cond->cond));
}

void lock_cond_wait(struct lock_cond *cond, struct lock *lock)
{
    lock_must(pthread_cond_wait(&cond->cond, &lock->mutex));
}

bool lock_cond_wait_ms(struct lock_cond *cond, struct lock *lock, unsigned wait_ms)
{
    struct timespec until;
    int result;

    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += wait_ms / 1000;
    until.tv_nsec += (long)(wait_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    result = pthread_cond_timedwait(&cond->cond, &lock->mutex, &until);
    if (result == ETIMEDOUT) {
        return false;
    }
    lock_must(result);
    return true;
}

void lock_cond_signal(struct lock_cond *cond)
{
    lock_must(pthread_cond_signal(&cond->cond));
}

void lock_cond_broadcast(struct lock_cond *cond)
{
    lock_must(pthread_cond_broadcast(&cond->cond));
}
