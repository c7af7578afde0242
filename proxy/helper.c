#include "proxy/helper.h"

#include <pthread.h>
#include <stdlib.h>

#include "metrics/error.h"
#include "metrics/lock.h"
#include "proxy/thread.h"

struct helper_pool {
    struct lock lock;
    struct lock_cond has_work;
    struct helper_job *first;
    struct helper_job **last;
    size_t queued;
    bool is_stopping;
    pthread_t threads[HELPER_MAX_THREADS];
    unsigned thread_count;
};

static void helper_on_mail(struct worker_mail *mail, struct worker *worker)
{
    struct helper_job *job =
        (struct helper_job *)((char *)mail - offsetof(struct helper_job, mail));

    job->done(job, worker);
}

static void helper_on_drop(struct worker_mail *mail)
{
    struct helper_job *job =
        (struct helper_job *)((char *)mail - offsetof(struct helper_job, mail));

    if (job->drop != NULL) {
        job->drop(job);
    }
}

static struct helper_job *helper_take(struct helper_pool *pool)
{
    struct helper_job *job;
    LOCK_HOLD(&pool->lock);

    while (pool->first == NULL && !pool->is_stopping) {
        lock_cond_wait(&pool->has_work, &pool->lock);
    }
    job = pool->first;
    if (job != NULL) {
        pool->first = job->next;
        if (pool->first == NULL) {
            pool->last = &pool->first;
        }
        pool->queued--;
    }
    return job;
}

static void *helper_main(void *arg)
{
    struct helper_pool *pool = arg;
    struct helper_job *job;

    while ((job = helper_take(pool)) != NULL) {
        struct worker *worker = job->worker;

        job->run(job);
        if (worker != NULL) {
            job->mail.run = helper_on_mail;
            job->mail.drop = helper_on_drop;
            worker_post(worker, &job->mail);
        }
    }
    return NULL;
}

bool helper_pool_new(unsigned threads, struct helper_pool **out, struct gh_error *err)
{
    struct helper_pool *pool = calloc(1, sizeof(*pool));

    if (pool == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "no memory for helper threads");
    }
    lock_init(&pool->lock, GH_RANK_HELPER);
    lock_cond_init(&pool->has_work);
    pool->last = &pool->first;
    while (pool->thread_count < GH_MIN(GH_MAX(threads, 1u), (unsigned)HELPER_MAX_THREADS) &&
           thread_start(&pool->threads[pool->thread_count], helper_main, pool)) {
        pool->thread_count++;
    }
    if (pool->thread_count == 0) {
        helper_pool_free(pool);
        return gh_fail(err, GH_INTERNAL_ERROR, "helper threads cannot be started");
    }
    *out = pool;
    return true;
}

void helper_pool_free(struct helper_pool *pool)
{
    if (pool == NULL) {
        return;
    }
    lock_acquire(&pool->lock);
    pool->is_stopping = true;
    lock_cond_broadcast(&pool->has_work);
    lock_release(&pool->lock);
    for (unsigned i = 0; i < pool->thread_count; i++) {
        (void)pthread_join(pool->threads[i], NULL);
    }
    lock_cond_done(&pool->has_work);
    lock_done(&pool->lock);
    free(pool);
}

static bool helper_queue(struct helper_pool *pool, struct helper_job *job, size_t limit)
{
    LOCK_HOLD(&pool->lock);

    if (pool->queued >= limit) {
        return false;
    }
    job->next = NULL;
    *pool->last = job;
    pool->last = &job->next;
    pool->queued++;
    lock_cond_signal(&pool->has_work);
    return true;
}

bool helper_submit(struct helper_pool *pool, struct helper_job *job)
{
    return helper_queue(pool, job, HELPER_MAX_QUEUE);
}

void helper_continue(struct helper_pool *pool, struct helper_job *job)
{
    (void)helper_queue(pool, job, SIZE_MAX);
}
