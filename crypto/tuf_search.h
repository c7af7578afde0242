/*
 * The search for one target through the delegations: a stack of roles to visit, in pre-order.
 *
 * Spec:    TUF 1.0 section 5.6.7
 * Threads: a search belongs to one thread at a time
 */
#ifndef CRYPTO_TUF_SEARCH_H
#define CRYPTO_TUF_SEARCH_H

#include "crypto/tuf_metadata.h"
#include "gatehouse.h"
#include "metrics/error.h"

#define TUF_MAX_VISITED_ROLES 32 /* in the search for one target */

/* A role still to be visited: by whom it is delegated matters as much as its name. */
struct tuf_visit {
    const struct tuf_metadata *delegator;
    const struct tuf_role *role;
    char *name; /* owned */
};

struct tuf_search {
    char *path;                /* owned; NULL when there is no search */
    struct tuf_visit *pending; /* a stack */
    size_t pending_count;
    struct tuf_visit at; /* being read or fetched */
    char *visited[TUF_MAX_VISITED_ROLES];
    size_t visited_count;
    struct tuf_metadata *roles[TUF_MAX_VISITED_ROLES]; /* verified; delegators point here */
    size_t role_count;
    struct tuf_file target;
};

/* Free what it holds; it is empty afterwards. Accepts a zeroed struct. */
void tuf_search_done(struct tuf_search *search);

/*
 * Put the roles that DELEGATOR trusts with the path on the stack, the first on top. A terminating
 * one ends the search behind it, everywhere.
 *
 * Takes: delegator: borrowed until tuf_search_done()
 * Fails: INTERNAL_ERROR
 */
GH_CHECKED bool tuf_search_push(struct tuf_search *search, const struct tuf_metadata *delegator,
                                struct gh_error *err);

/*
 * Make the next role that was not visited yet `at`, and count it as visited. *found is false where
 * none is left.
 *
 * Fails: TUF_LIMIT_EXCEEDED (TUF_MAX_VISITED_ROLES), INTERNAL_ERROR
 */
GH_CHECKED bool tuf_search_next(struct tuf_search *search, bool *found, struct gh_error *err);

/* A verified role joins the search, which owns it from now on. */
void tuf_search_keep(struct tuf_search *search, struct tuf_metadata *role);

#endif
