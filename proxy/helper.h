/*
 * Threads for what blocks: writing and hashing fills, fsync, password hashes, PKCS#11. A job runs
 * on one of them and then goes back, by mail, to the worker that sent it.
 *
 * Threads: helper_submit() from any; pools are made and freed by the main thread.
 */
#ifndef PROXY_HELPER_H
#define PROXY_HELPER_H

#include "gatehouse.h"
#include "proxy/worker.h"

struct helper_pool;
struct gh_error;

#define HELPER_MAX_QUEUE 8192
#define HELPER_MAX_THREADS 64

/* Embedded at will in what is worked on; the caller sets the four members below `mail`. */
struct helper_job {
    struct helper_job *next;
    struct worker_mail mail;
    struct worker *worker; /* who gets `done`; NULL: nobody, and `run` frees the job itself */
    void (*run)(struct helper_job *job);                         /* on a helper thread */
    void (*done)(struct helper_job *job, struct worker *worker); /* on the worker */
    void (*drop)(struct helper_job *job); /* the worker has ended, or the pool; on any thread */
};

/*
 * Gives: *out: new, helper_pool_free(), which runs what is queued first
 * Fails: INTERNAL_ERROR
 */
GH_CHECKED bool helper_pool_new(unsigned threads, struct helper_pool **out, struct gh_error *err);
void helper_pool_free(struct helper_pool *pool);
GH_DEFINE_FREEP(helper_pool, struct helper_pool)

/* Queue a job (taken). False where the queue is full: the job stays the caller's. */
GH_CHECKED bool helper_submit(struct helper_pool *pool, struct helper_job *job);
/* As helper_submit(), past the limit: for what continues work that was admitted before. */
void helper_continue(struct helper_pool *pool, struct helper_job *job);

#endif
