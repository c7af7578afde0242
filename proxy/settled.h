/*
 * Settings that a running process keeps until its next start, whatever a reload reads.
 *
 * Threads: any; pure
 */
#ifndef PROXY_SETTLED_H
#define PROXY_SETTLED_H

#include "gatehouse.h"

struct config;

typedef void (*settled_fn)(const char *name, void *arg);

/* Call FN with the name of every one of them that NOW has and STARTED, with which the process was
 * started, had otherwise. Gives: how many there were. */
size_t settled_each(const struct config *started, const struct config *now, settled_fn fn,
                    void *arg);

#endif
