#include "proxy/thread.h"

#include <signal.h>

bool thread_start(pthread_t *out, void *(*main)(void *arg), void *arg)
{
    sigset_t all;
    sigset_t before;
    int failed;

    /* Around the start, since a new thread inherits the mask: no moment is left unguarded. */
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    failed = pthread_create(out, NULL, main, arg);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failed == 0;
}
