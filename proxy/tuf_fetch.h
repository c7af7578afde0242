/*
 * Fetches what crypto/tuf asks for, from an http(s) or file:// repository, and keeps its state.
 * Everything here blocks: call it from the command line or the housekeeping thread. The caller has
 * run curl_global_init().
 *
 * Requests carry no cookies and no credentials; redirects are followed within one origin only. An
 * answer longer than the core's limit is cut one byte past it, and the core refuses it.
 *
 * Threads: a fetcher belongs to one thread at a time
 */
#ifndef PROXY_TUF_FETCH_H
#define PROXY_TUF_FETCH_H

#include "crypto/bytes.h"
#include "crypto/tuf.h"
#include "gatehouse.h"
#include "metrics/error.h"
#include "proxy/tuf_state.h"

#define TUF_FETCH_MAX_URL_BYTES 8192
#define TUF_FETCH_MAX_REDIRECTS 5
#define TUF_FETCH_CONNECT_TIMEOUT_MS 10000
#define TUF_FETCH_TIMEOUT_MS 120000

struct tuf_fetch;

/*
 * Gives: *out: new, tuf_fetch_free()
 * Fails: POLICY_DENIED (a URL that is no http, https or file URL, or holds credentials),
 *        INTERNAL_ERROR
 */
GH_CHECKED bool tuf_fetch_new(const char *metadata_url, const char *targets_url,
                              struct tuf_fetch **out, struct gh_error *err);
void tuf_fetch_free(struct tuf_fetch *fetch);
/* Transfers end within a second once *STOP (read atomically, borrowed; NULL: never) is not 0. */
void tuf_fetch_watch(struct tuf_fetch *fetch, const int *stop);
GH_DEFINE_FREEP(tuf_fetch, struct tuf_fetch)

/*
 * Drive the client until it asks for nothing more.
 *
 * Takes: held: content of the target had before, or NULL; it is used where it is the target
 * Gives: *target: new (bytes_buf_done()) and *is_fetched true when a target was fetched; both are
 *        otherwise untouched, and may be NULL during a refresh
 * Fails: as tuf_client_answer(), UPSTREAM_UNAVAILABLE
 */
GH_CHECKED bool tuf_fetch_drive(struct tuf_fetch *fetch, struct tuf_state *state,
                                struct tuf_client *client, const struct bytes *held,
                                struct bytes_buf *target, bool *is_fetched, struct gh_error *err);

#endif
