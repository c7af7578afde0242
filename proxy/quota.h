/*
 * How many connections there are, in total and for each client address. IPv6 addresses count by
 * their /64, because a client owns all of it.
 *
 * Threads: any; one lock of rank GH_RANK_LIMIT
 */
#ifndef PROXY_QUOTA_H
#define PROXY_QUOTA_H

#include <netinet/in.h>

#include "gatehouse.h"
#include "metrics/error.h"

struct quota;

enum quota_answer { QUOTA_REFUSED_TOTAL = 0, QUOTA_REFUSED_ADDRESS, QUOTA_ENTERED };

/* Gives: *out: new, caller frees with quota_free() when no connection is left. Fails:
 * INTERNAL_ERROR */
GH_CHECKED bool quota_new(unsigned total, unsigned per_address, struct quota **out,
                          struct gh_error *err);
void quota_free(struct quota *quota);
GH_DEFINE_FREEP(quota, struct quota)
/* New limits; connections over them stay. */
void quota_set(struct quota *quota, unsigned total, unsigned per_address);

/* Takes: peer: IPv4 mapped into IPv6 */
GH_CHECKED enum quota_answer quota_enter(struct quota *quota, const struct in6_addr *peer);
/* Undo one quota_enter(). */
void quota_leave(struct quota *quota, const struct in6_addr *peer);
bool quota_is_full(struct quota *quota);
unsigned quota_count(struct quota *quota);

#endif
