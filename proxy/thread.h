/*
 * Threads of the gateway: signals belong to the main thread, so every other one begins with all of
 * them blocked.
 */
#ifndef GATEHOUSE_PROXY_THREAD_H
#define GATEHOUSE_PROXY_THREAD_H

#include <pthread.h>
#include <stdbool.h>

#include "gatehouse.h"

/*
 * Run MAIN(ARG) on a new thread, which the caller joins. The caller's own mask is as before on
 * return. Any thread may call it.
 *
 * Gives false where the system has no thread for it; *OUT is then undefined.
 */
GH_CHECKED bool thread_start(pthread_t *out, void *(*main)(void *arg), void *arg);

#endif
