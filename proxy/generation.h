/*
 * One loaded configuration with what the shell makes of it: registry clients, users. A reload makes
 * a new generation; requests hold the one they began with, and decide again where it was replaced
 * before their answer began.
 *
 * Threads: immutable once made, reference counted with atomics.
 */
#ifndef PROXY_GENERATION_H
#define PROXY_GENERATION_H

#include "crypto/bytes.h"
#include "gatehouse.h"
#include "policy/config.h"

struct gh_error;
struct htpasswd;
struct upstream;

struct generation_tenant {
    const struct config_tenant *config;
    struct upstream **upstreams; /* parallel to config->upstreams */
    struct htpasswd *htpasswd;   /* NULL: none */
    struct allowance *allowance; /* that of the tenant in the generation before */
    bool has_token_key;          /* configured; else the process's own is used */
    uint8_t token_key[32];
};

struct generation {
    int references;
    uint64_t number; /* grows with every load */
    struct config *config;
    struct generation_tenant *tenants;
    size_t tenant_count;
    struct upstream *outside; /* the world beyond the registries: CRLs, OCSP */
};

/*
 * Make a generation. Upstreams that PREVIOUS has with the same definition are kept, with their
 * connections, tokens and breakers.
 *
 * Takes:   config: taken; previous: may be NULL
 * Gives:   *out: new, generation_unref()
 * Fails:   INTERNAL_ERROR, POLICY_DENIED (a file that cannot be used)
 */
GH_CHECKED bool generation_new(struct config *config, uint64_t number,
                               const struct generation *previous, struct generation **out,
                               struct gh_error *err);
struct generation *generation_ref(struct generation *generation);
void generation_unref(struct generation *generation);
GH_UNUSED static inline void generation_unrefp(struct generation **generation)
{
    generation_unref(*generation);
    *generation = NULL;
}

/*
 * A registry as the tenant has it configured, with another credential.
 *
 * Gives: *out: new, upstream_unref()
 * Fails: NAME_UNKNOWN, INTERNAL_ERROR
 */
GH_CHECKED bool generation_upstream_as(const struct generation *generation, size_t tenant,
                                       const char *name, const char *user, const char *password,
                                       struct upstream **out, struct gh_error *err);
/* The registry object of that tenant and upstream name; NULL where there is none. Borrowed. */
struct upstream *generation_upstream(const struct generation *generation, size_t tenant,
                                     const char *name);

#endif
