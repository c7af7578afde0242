/*
 * Asking the admin API of a running gateway, from the command line. Blocks; the caller has run
 * curl_global_init().
 *
 * Threads: any; no shared state
 */
#ifndef PROXY_REMOTE_H
#define PROXY_REMOTE_H

#include "gatehouse.h"

struct gh_error;
struct text;

#define REMOTE_TIMEOUT_MS 120000
#define REMOTE_MAX_ANSWER (16u * 1024 * 1024)

/*
 * POST /v1/verify about one image.
 *
 * Takes: url: of the admin API, http or https; token: NULL for none
 * Gives: *answer: the body, appended
 * Fails: UPSTREAM_UNAVAILABLE, POLICY_DENIED (no URL)
 */
GH_CHECKED bool remote_verify(const char *url, const char *token, const char *image,
                              struct text *answer, struct gh_error *err);

#endif
