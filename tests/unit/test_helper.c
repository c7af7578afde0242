/* Jobs run on a helper and come back on the worker that sent them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proxy/helper.h"

struct task {
    struct helper_job job; /* first, so that one is the other */
    pthread_t ran_on;
    pthread_t done_on;
    atomic_int *finished;
};

static void task_run(struct helper_job *job)
{
    ((struct task *)job)->ran_on = pthread_self();
}

static void task_done(struct helper_job *job, struct worker *worker)
{
    struct task *task = (struct task *)job;

    task->done_on = pthread_self();
    atomic_fetch_add(task->finished, 1);
}

static void task_run_alone(struct helper_job *job)
{
    atomic_fetch_add(((struct task *)job)->finished, 1);
}

static void submit_jobs_come_back_to_worker(void **state)
{
    static struct task tasks[200];
    struct helper_pool *pool = NULL;
    struct worker *worker = NULL;
    struct gh_error err = {0};
    atomic_int finished = 0;

    assert_true(helper_pool_new(3, &pool, &err));
    assert_true(worker_new(0, &worker, &err));
    assert_true(worker_start(worker, &err));
    for (size_t i = 0; i < GH_COUNT(tasks); i++) {
        tasks[i] = (struct task){.job = {.worker = worker, .run = task_run, .done = task_done},
                                 .finished = &finished};
        assert_true(helper_submit(pool, &tasks[i].job));
    }
    for (int i = 0; i < 2000 && atomic_load(&finished) < (int)GH_COUNT(tasks); i++) {
        (void)usleep(2000);
    }
    assert_int_equal(atomic_load(&finished), GH_COUNT(tasks));
    for (size_t i = 0; i < GH_COUNT(tasks); i++) {
        assert_true(pthread_equal(tasks[i].done_on, tasks[0].done_on));
        assert_false(pthread_equal(tasks[i].ran_on, tasks[i].done_on));
    }
    worker_free(worker);
    helper_pool_free(pool);
}

static void free_runs_what_is_queued(void **state)
{
    static struct task tasks[50];
    struct helper_pool *pool = NULL;
    struct gh_error err = {0};
    atomic_int finished = 0;

    assert_true(helper_pool_new(1, &pool, &err));
    for (size_t i = 0; i < GH_COUNT(tasks); i++) {
        tasks[i] = (struct task){.job = {.run = task_run_alone}, .finished = &finished};
        assert_true(helper_submit(pool, &tasks[i].job));
    }
    helper_pool_free(pool);
    assert_int_equal(atomic_load(&finished), GH_COUNT(tasks));
}

static atomic_int gate_is_open;

static void task_wait(struct helper_job *job)
{
    while (atomic_load(&gate_is_open) == 0) {
        (void)usleep(1000);
    }
    task_run_alone(job);
}

static void submit_full_queue_refused(void **state)
{
    struct task *tasks = calloc(HELPER_MAX_QUEUE + 3, sizeof(*tasks));
    struct helper_pool *pool = NULL;
    struct gh_error err = {0};
    atomic_int finished = 0;
    size_t taken = 0;

    assert_true(helper_pool_new(1, &pool, &err));
    for (; taken < HELPER_MAX_QUEUE + 3; taken++) {
        tasks[taken] = (struct task){.job = {.run = task_wait}, .finished = &finished};
        if (!helper_submit(pool, &tasks[taken].job)) {
            break;
        }
    }
    /* The one that runs may have left the queue already. */
    assert_true(taken == HELPER_MAX_QUEUE || taken == HELPER_MAX_QUEUE + 1);
    helper_continue(pool, &tasks[taken].job);
    atomic_store(&gate_is_open, 1);
    helper_pool_free(pool);
    assert_int_equal(atomic_load(&finished), taken + 1);
    free(tasks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(submit_jobs_come_back_to_worker),
        cmocka_unit_test(free_runs_what_is_queued),
        cmocka_unit_test(submit_full_queue_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
