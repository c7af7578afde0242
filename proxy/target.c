#include "proxy/target.h"

#include <string.h>

#include "metrics/error.h"
#include "metrics/text.h"
#include "proxy/generation.h"
#include "proxy/route.h"

static bool target_finish(const struct generation *generation, size_t tenant, struct target *target,
                          struct gh_error *err)
{
    const struct config_upstream *upstream =
        config_tenant_upstream(&generation->config->tenants[tenant], target->ref.upstream);

    if (upstream == NULL) {
        return gh_fail(err, GH_NAME_UNKNOWN, "'%s' is not one of the configured upstreams",
                       target->ref.upstream);
    }
    target->tenant = tenant;
    target->tenant_name = generation->config->tenants[tenant].name;
    target->upstream = generation_upstream(generation, tenant, upstream->at.name);
    if (target->upstream == NULL) {
        return gh_fail(err, GH_INTERNAL_ERROR, "upstream '%s' has no client", upstream->at.name);
    }
    return true;
}

bool target_of_text(const struct generation *generation, size_t tenant, const char *text,
                    struct target *out, struct gh_error *err)
{
    struct target target = {0};

    GH_TRY(image_ref_parse(bytes_of(text), generation->config->tenants[tenant].default_upstream,
                           &target.ref, err));
    GH_TRY(target_finish(generation, tenant, &target, err));
    *out = target;
    return true;
}

bool target_of_route(const struct generation *generation, size_t tenant, const struct route *route,
                     struct target *out, struct gh_error *err)
{
    char name[2 * ROUTE_MAX_NAME + 2];
    struct target target = {0};

    if (route->ns[0] != '\0') {
        if (!image_is_upstream(bytes_of(route->ns)) ||
            config_tenant_upstream(&generation->config->tenants[tenant],
                                   image_upstream_alias(route->ns)) == NULL) {
            return gh_fail(err, GH_NAME_UNKNOWN, "'%s' is not one of the configured upstreams",
                           route->ns);
        }
        (void)TEXT_JOIN(name, route->ns, "/", route->name);
    } else {
        (void)TEXT_JOIN(name, route->name);
    }
    GH_TRY(image_ref_parse(bytes_of(name), generation->config->tenants[tenant].default_upstream,
                           &target.ref, err));
    GH_TRY(target_finish(generation, tenant, &target, err));
    memcpy(target.ref.tag, route->tag, sizeof(route->tag));
    target.ref.digest = route->digest;
    *out = target;
    return true;
}
