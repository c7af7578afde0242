/*
 * What the admin API lists: stored verdicts and recorded decisions, by filter.
 *
 *   /v1/verdicts?tenant=&image=&digest=&key=&in_force=&limit=
 *   /v1/decisions?since=&limit=
 *
 * Threads: any that may block
 */
#ifndef PROXY_LISTING_H
#define PROXY_LISTING_H

#include "crypto/digest.h"
#include "gatehouse.h"

struct gateway;
struct gh_error;
struct text;

#define LISTING_MAX_ROWS 10000
#define LISTING_MAX_NAME 512

enum listing_force { LISTING_ANY = 0, LISTING_IN_FORCE, LISTING_NOT_IN_FORCE };

struct listing_filter {
    char tenant[LISTING_MAX_NAME]; /* "": every one */
    char image[LISTING_MAX_NAME];  /* upstream/repository; "": every one */
    char digest[LISTING_MAX_NAME]; /* "": every one */
    struct digest key;             /* that the verdict rests on; DIGEST_NONE: any */
    enum listing_force force;      /* whether a requirement of today would use it */
    int64_t since_unix_ms;
    size_t limit;
};

/* Read a query. Fails: MALFORMED_JSON, naming the parameter. */
GH_CHECKED bool listing_read(struct bytes query, int64_t now_unix_s, struct listing_filter *out,
                             struct gh_error *err);
/* Write {"verdicts":[…]} and {"decisions":[…]}; "more" says whether the limit cut them. */
void listing_verdicts(struct gateway *gateway, const struct listing_filter *filter,
                      struct text *out);
void listing_decisions(struct gateway *gateway, const struct listing_filter *filter,
                       struct text *out);

#endif
