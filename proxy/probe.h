/*
 * Watches the transparency logs and repositories of trust roots that ask for it (`probe`): whether
 * they answer, how far the logs have grown, and whether each log only ever grows. A log that shows
 * a tree which does not continue the one it showed before raises an alarm: metrics, a line in the
 * log, an audit record, a note in /readyz. No verdict ever depends on any of it.
 *
 * On a thread of its own with its own loop and registry client: workers take no part.
 *
 * Threads: probe_new() and probe_free() the main thread; probe_notes() any
 */
#ifndef PROXY_PROBE_H
#define PROXY_PROBE_H

#include "gatehouse.h"

struct gateway;
struct gh_error;
struct probe;
struct text;

#define PROBE_SILENT_ROUNDS 3 /* failures in a row before people are told */

/* GATEWAY is borrowed and outlives it. Gives: *out: new, probe_free(). Fails: INTERNAL_ERROR */
GH_CHECKED bool probe_new(struct gateway *gateway, struct probe **out, struct gh_error *err);
void probe_free(struct probe *probe);

/* Add what people should know to a JSON array of texts that is open; PROBE may be NULL. */
void probe_notes(struct probe *probe, struct text *out);

#endif
