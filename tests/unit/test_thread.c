#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>

#include "proxy/thread.h"

static void *read_mask(void *arg)
{
    (void)pthread_sigmask(SIG_SETMASK, NULL, arg);
    return arg;
}

/* A signal that another thread took would interrupt its work, and the main one would wait for it.
 */
static void thread_start_blocks_signals_of_the_new_thread_alone(void **state)
{
    static const int signals[] = {SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGCHLD, SIGPIPE};
    sigset_t own;
    sigset_t seen;
    pthread_t thread;
    void *given = NULL;

    (void)sigemptyset(&seen);
    assert_true(thread_start(&thread, read_mask, &seen));
    assert_int_equal(pthread_join(thread, &given), 0);
    assert_ptr_equal(given, &seen);
    assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, &own), 0);
    for (size_t i = 0; i < GH_COUNT(signals); i++) {
        assert_int_equal(sigismember(&seen, signals[i]), 1);
        assert_int_equal(sigismember(&own, signals[i]), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(thread_start_blocks_signals_of_the_new_thread_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
