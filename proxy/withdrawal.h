/*
 * Keys that a change of configuration no longer trusts: which images were allowed on them, and who
 * pulled those. Told in the log and the audit record `revocation`; the verdicts stay listed in
 * /v1/verdicts until they end, and nothing is served by them any more.
 *
 * Threads: any that may block
 */
#ifndef PROXY_WITHDRAWAL_H
#define PROXY_WITHDRAWAL_H

#include "gatehouse.h"

struct config;
struct gateway;

#define WITHDRAWAL_MAX_IMAGES 200 /* named one by one, for each key */

/* Gives: how many keys were withdrawn. */
size_t withdrawal_report(struct gateway *gateway, const struct config *before,
                         const struct config *after);

#endif
