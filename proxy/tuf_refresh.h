/*
 * A trust root kept up to date from a TUF repository: refreshed on a schedule, and read back
 * without the network. Blocks: call it from the command line or the housekeeping thread. The caller
 * has run curl_global_init().
 *
 * Threads: any; the folder is locked while it is in use
 */
#ifndef PROXY_TUF_REFRESH_H
#define PROXY_TUF_REFRESH_H

#include "crypto/bytes.h"
#include "crypto/tuf.h"
#include "gatehouse.h"
#include "metrics/error.h"

/* The file of the folder that is written last: when the refresh succeeded, unix seconds in text. */
#define TUF_REFRESH_TIME_NAME "refreshed"

/* One scheduled refresh of a root: metadata at URL, targets at URL + "/targets". */
struct tuf_refresh {
    const char *folder; /* of this repository and this initial root alone */
    const char *url;
    struct bytes initial_root; /* used until the folder holds a root */
    const char *target;        /* "trusted_root.json" */
    int64_t now_unix_s;
    const int *stop; /* as tuf_fetch_watch(); may be NULL */
};

/*
 * Refresh and give the target, verified. What the folder holds of the target is used where it is
 * still current. On failure the folder keeps the last good state; nothing is undone.
 *
 * Gives: *out: new, bytes_buf_done(); *status: versions and ends of the metadata
 * Fails: as tuf_client_answer(), UPSTREAM_UNAVAILABLE, POLICY_DENIED
 */
GH_CHECKED bool tuf_refresh_run(const struct tuf_refresh *refresh, struct bytes_buf *out,
                                struct tuf_status *status, struct gh_error *err);

/*
 * Without any request: the target that an earlier refresh left in the folder, checked again against
 * the metadata kept with it. Ends are not judged (the caller weighs `max_age`), signatures are.
 *
 * Gives: *out: new, bytes_buf_done(); *status; *refreshed_unix_s: when tuf_refresh_run() last
 *        succeeded, 0 where that is not known
 * Fails: as tuf_client_answer(); TRUST_ROOT_MISSING where nothing was kept
 */
GH_CHECKED bool tuf_refresh_held(const struct tuf_refresh *refresh, struct bytes_buf *out,
                                 struct tuf_status *status, int64_t *refreshed_unix_s,
                                 struct gh_error *err);

#endif
