/*
 * Keeps TUF roots fresh: refreshes each at the start and on a schedule, and has the configuration
 * rebuilt when one was refreshed (here or by `gatehouse trust update`) or has just become stale.
 * On a thread of its own, because fetching blocks.
 *
 * Threads: trust_refresh_new(), _wait() and _free() the main thread
 */
#ifndef PROXY_TRUST_REFRESH_H
#define PROXY_TRUST_REFRESH_H

#include "gatehouse.h"

struct config;
struct config_root;
struct gateway;
struct gh_error;
struct prom;
struct recorder;
struct text;
struct trust_refresh;

#define TRUST_REFRESH_EVERY_S 21600 /* at the latest; with up to a tenth less, by chance */
#define TRUST_REFRESH_FLOOR_S 10    /* at the earliest */
#define TRUST_REFRESH_RETRY_S 60    /* after a failure; doubles up to an hour */
#define TRUST_REFRESH_START_MS 10000

/* Puts what was fetched in force; false where that failed and nothing changed. */
typedef bool (*trust_refresh_fn)(void *context);

/* GATEWAY is borrowed. Gives: *out: new, trust_refresh_free() */
GH_CHECKED bool trust_refresh_new(struct gateway *gateway, trust_refresh_fn rebuild, void *context,
                                  struct trust_refresh **out, struct gh_error *err);
void trust_refresh_free(struct trust_refresh *refresh);

/* Wait for the first round where a root was never fetched, TRUST_REFRESH_START_MS at most: a
 * gateway that is just set up should not begin with refusals. */
void trust_refresh_wait(struct trust_refresh *refresh);

/* How long after a refresh the next one is due, without chance: every six hours, at half of what
 * the timestamp has left, at a third of max_age. Pure. */
int64_t trust_refresh_interval(int64_t now_unix_s, int64_t timestamp_ends_unix_s,
                               int64_t max_age_s);

/* Whether NEW lacks the content of a TUF root that OLD has; its name, or NULL. */
const char *trust_refresh_lost(const struct config *old, const struct config *new);
/* Audit records of the roots whose content differs. */
void trust_refresh_record(struct recorder *recorder, const struct config *old,
                          const struct config *new);
/* Set the gauges of the roots' ends and refreshes. */
void trust_refresh_show(struct prom *prom, const struct config *config);
/* What people should know about a root while everything still works; false: nothing. */
bool trust_refresh_note(const struct config_root *root, int64_t now_unix_s, struct text *out);

#endif
