/*
 * Which tenant, upstream and repository a request means.
 *
 * Threads: any; no shared state
 */
#ifndef PROXY_TARGET_H
#define PROXY_TARGET_H

#include "gatehouse.h"
#include "policy/image.h"

struct generation;
struct gh_error;
struct route;
struct upstream;

struct target {
    size_t tenant; /* index in the generation */
    const char *tenant_name;
    struct upstream *upstream; /* borrowed from the generation */
    struct image_ref ref;      /* name, upstream, repository; tag and digest as asked */
};

/*
 * Resolve a routed request. With `ns=` the name is the repository and the upstream is the
 * namespace; otherwise a first component that is a configured upstream, or has a dot or a colon,
 * names the upstream, and other names belong to `default_upstream`.
 *
 * Gives: *out; its upstream lives as long as GENERATION
 * Fails: NAME_UNKNOWN
 */
GH_CHECKED bool target_of_route(const struct generation *generation, size_t tenant,
                                const struct route *route, struct target *out,
                                struct gh_error *err);
/* Resolve "upstream/repository[:tag][@digest]" as people write it. */
GH_CHECKED bool target_of_text(const struct generation *generation, size_t tenant, const char *text,
                               struct target *out, struct gh_error *err);

#endif
