/*
 * What was last fetched for TUF roots: a folder for each repository and initial root below
 * storage.path/tuf, read when a configuration is loaded, written by a refresh.
 *
 * Threads: any; memory is locked (rank GH_RANK_LIMIT), folders lock themselves
 */
#ifndef PROXY_TRUST_HELD_H
#define PROXY_TRUST_HELD_H

#include "crypto/tuf.h"
#include "gatehouse.h"
#include "policy/config.h"

struct gh_error;
struct trust_held;

/*
 * Remembers what was read, for reloads while a refresh has a folder locked. The command line does
 * without and waits.
 *
 * Gives: *out: new, trust_held_free(). Fails: INTERNAL_ERROR
 */
GH_CHECKED bool trust_held_new(struct trust_held **out, struct gh_error *err);
void trust_held_free(struct trust_held *held);

/* As config_files_tuf. CONTEXT is a struct trust_held or NULL. Never makes or changes a file. */
bool trust_held_load(void *context, const struct config_tuf_ask *ask, struct config_tuf_state *out);

/* Versions, ends and the time of the last refresh, from the folder alone. Fails: as
 * tuf_refresh_held(); TRUST_ROOT_MISSING where there is no folder. */
GH_CHECKED bool trust_held_status(const struct config_tuf_ask *ask, struct tuf_status *status,
                                  int64_t *refreshed_unix_s, struct gh_error *err);
/* Grows with every refresh, by whatever process; 0 before the first. Cheap. */
int64_t trust_held_stamp(const struct config_tuf_ask *ask);

/* What a root asks for. Everything is borrowed from CONFIG. */
void trust_held_ask(const struct config *config, const struct config_tenant *tenant,
                    const struct config_root *root, struct config_tuf_ask *out);

/*
 * Refresh now, from where `fetch.rewrite` leads. Blocks; where STOP is given it ends soon after
 * *STOP is not 0 (read atomically), and another process at the same work is not waited for.
 *
 * Fails: as tuf_refresh_run(); POLICY_DENIED where `offline` forbids it
 */
GH_CHECKED bool trust_held_update(const struct config_fetch *fetch, bool is_offline,
                                  const struct config_tuf_ask *ask, int64_t now_unix_s,
                                  const int *stop, struct tuf_status *status, struct gh_error *err);

#endif
