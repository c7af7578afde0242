/*
 * Addresses of an exchange: origins, redirects, and which hosts the configuration names. Parsing is
 * libcurl's own, so that what is checked and what is connected to cannot be read differently.
 *
 * Threads: any; no shared state
 */
#ifndef PROXY_UPSTREAM_REDIRECT_H
#define PROXY_UPSTREAM_REDIRECT_H

#include "gatehouse.h"
#include "proxy/address.h"

struct gh_error;
struct upstream_config;

struct upstream_origin {
    bool is_https;
    char host[ADDRESS_MAX_HOST]; /* lower case */
    unsigned port;
};

/*
 * Read the origin of an absolute URL. User names in URLs, other schemes and what libcurl cannot
 * parse are refused.
 *
 * Fails: UPSTREAM_ADDRESS_REFUSED
 */
GH_CHECKED bool upstream_redirect_origin(const char *url, struct upstream_origin *out,
                                         struct gh_error *err);
bool upstream_redirect_same_origin(const struct upstream_origin *a,
                                   const struct upstream_origin *b);

/*
 * Resolve a Location (or Link) against the URL it came from.
 *
 * Gives: *out: new, free()
 * Fails: UPSTREAM_ADDRESS_REFUSED: from https to http, no http(s), user names, too long
 */
GH_CHECKED bool upstream_redirect_resolve(const char *base, const char *location, char **out,
                                          struct gh_error *err);

/* Whether the configuration, whose url has the origin OWN, names the host: that lifts the rule
 * about private addresses. */
bool upstream_redirect_is_named(const struct upstream_config *config,
                                const struct upstream_origin *own,
                                const struct upstream_origin *origin);

/*
 * Whether a token service may be asked there, with our credentials: the upstream's own origin or
 * one of its auth_hosts, over https; plain http only where the upstream itself is plain http and
 * the host is the upstream's or loopback.
 *
 * Fails: UPSTREAM_ADDRESS_REFUSED
 */
GH_CHECKED bool upstream_redirect_check_realm(const struct upstream_config *config,
                                              const char *realm, struct gh_error *err);

#endif
