/*
 * A second place for audit records. The log itself is the queue: a thread follows it and delivers
 * what is new, and a small file says how far that came, so nothing is lost by a restart. What lies
 * further behind than the queue allows is passed over, counted and recorded as a gap. Decisions
 * never wait for any of it.
 *
 *   STORAGE/audit-sink.cursor   number of the last record that was delivered
 *
 * Threads: its own
 */
#ifndef PROXY_AUDIT_SINK_H
#define PROXY_AUDIT_SINK_H

#include "gatehouse.h"

struct audit_sink;
struct config;
struct config_audit_sink;
struct gateway;
struct gh_error;

/*
 * Start delivering the log of CONFIG to where SETTINGS (of another configuration, after a reload)
 * says. HEAD: the number of the log's last record; the first time only what follows is delivered.
 *
 * Takes: gateway: borrowed, with its recorder
 * Gives: *out: new, audit_sink_free(); NULL where SETTINGS is NULL
 * Fails: INTERNAL_ERROR
 */
GH_CHECKED bool audit_sink_new(struct gateway *gateway, const struct config *config,
                               const struct config_audit_sink *settings, uint64_t head,
                               struct audit_sink **out, struct gh_error *err);
/* Whether a sink of the one delivers as one of the other would. NULL: none. */
bool audit_sink_is_same(const struct config_audit_sink *a, const struct config_audit_sink *b);
/* Try once more to deliver what there is, then end. Accepts NULL. */
void audit_sink_free(struct audit_sink *sink);

#endif
