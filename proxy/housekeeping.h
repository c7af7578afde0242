/*
 * What must happen now and then, on a thread of its own: log buffers, audit syncs, notes of use,
 * gauges, the store's clean-up after an unclean stop.
 *
 * Threads: housekeeping_new() and _free() the main thread; housekeeping_notes() any
 */
#ifndef PROXY_HOUSEKEEPING_H
#define PROXY_HOUSEKEEPING_H

#include "gatehouse.h"

struct gateway;
struct generation;
struct gh_error;
struct housekeeping;
struct prom;
struct text;

/* GATEWAY is borrowed and outlives it. Gives: *out: new, housekeeping_free() */
GH_CHECKED bool housekeeping_new(struct gateway *gateway, struct housekeeping **out,
                                 struct gh_error *err);
void housekeeping_free(struct housekeeping *housekeeping);

/* Add what people should know while everything still works to a JSON array of texts that is open.
 */
void housekeeping_notes(struct housekeeping *housekeeping, struct text *out);

/* Set the gauges that follow from the configuration: ends of keys, exceptions. */
void housekeeping_show_keys(struct prom *prom, const struct generation *generation);

#endif
