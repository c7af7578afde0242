#include "metrics/lock.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "gatehouse.h"

/* Takes two locks in a child and says whether it was aborted. */
static bool lock_pair_aborts(int first, int second)
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        struct rlimit none = {0, 0};
        struct lock a;
        struct lock b;

        (void)setrlimit(RLIMIT_CORE, &none);
        (void)signal(SIGABRT, SIG_DFL);
        (void)close(STDERR_FILENO);
        lock_init(&a, first);
        lock_init(&b, second);
        lock_acquire(&a);
        lock_acquire(&b);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void lock_acquire_rising_rank_passes(void **state)
{
    assert_false(lock_pair_aborts(GH_RANK_GATE, GH_RANK_LOG));
}

static void lock_acquire_lower_rank_aborts(void **state)
{
#ifdef NDEBUG
    skip();
#endif
    assert_true(lock_pair_aborts(GH_RANK_LOG, GH_RANK_GATE));
    assert_true(lock_pair_aborts(GH_RANK_GATE, GH_RANK_GATE));
}

static void lock_hold_end_of_block_releases(void **state)
{
    struct lock lock;

    lock_init(&lock, GH_RANK_STORE);
    {
        LOCK_HOLD(&lock);
    }
    assert_true(lock_try(&lock));
    lock_release(&lock);
    lock_done(&lock);
}

static void lock_cond_wait_ms_nobody_signals_times_out(void **state)
{
    struct lock_cond cond;
    struct lock lock;

    lock_init(&lock, GH_RANK_STORE);
    lock_cond_init(&cond);
    lock_acquire(&lock);
    assert_false(lock_cond_wait_ms(&cond, &lock, 5));
    lock_release(&lock);
    lock_cond_done(&cond);
    lock_done(&lock);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lock_acquire_rising_rank_passes),
        cmocka_unit_test(lock_acquire_lower_rank_aborts),
        cmocka_unit_test(lock_hold_end_of_block_releases),
        cmocka_unit_test(lock_cond_wait_ms_nobody_signals_times_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
