/*
 * The running gateway: stores, threads, listeners, reload, and its orderly end.
 *
 * Threads: serving_run() is the main thread's; serving_reload() any but workers
 */
#ifndef PROXY_SERVING_H
#define PROXY_SERVING_H

#include "gatehouse.h"

struct gateway;
struct generation;
struct gh_error;
struct reevaluation;
struct serving;
struct text;

/* Load FILE and run until SIGTERM or SIGINT. Gives the exit status: 0, or 2 where it could not
 * start. */
int serving_run(const char *file);

struct gateway *serving_gateway(struct serving *serving);
struct reevaluation *serving_reevaluation(struct serving *serving);

/*
 * Load the configuration again and put it in force. On failure nothing changes.
 *
 * Gives: JSON members about what happened in OUT: `"ok":true,"fingerprint":…` or the problems
 */
bool serving_reload(struct serving *serving, struct text *out);

/* What /readyz says: true when policy and stores stand; OUT gets JSON members. */
bool serving_is_ready(struct serving *serving, struct text *out);

#endif
