/* A path and a query, on two lines: what is read from them keeps the rules for names, so that it
 * may stand in a path of our own and in a key. */
#include <stdlib.h>
#include <string.h>

#include "proxy/route.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes query = bytes_make(data, size);
    struct bytes path;
    struct route route;
    struct digest digest;

    if (!bytes_split(&query, '\n', &path)) {
        path = query;
        query = bytes_make("", 0);
    }
    (void)route_evidence_tag(path, &digest);
    memset(&route, 0, sizeof(route));
    if (route_parse(path, query, &route) != ROUTE_OK) {
        return 0;
    }
    if (route.kind != ROUTE_VERSION && route.kind != ROUTE_CATALOG &&
        (!route_name_is_valid(bytes_of(route.name), true) || strstr(route.name, "..") != NULL)) {
        abort();
    }
    if (route.kind == ROUTE_MANIFEST && !route.is_digest &&
        !route_tag_is_valid(bytes_of(route.tag))) {
        abort();
    }
    if ((route.kind == ROUTE_BLOB || route.kind == ROUTE_REFERRERS) &&
        (!route.is_digest || digest_alg_len(route.digest.alg) == 0)) {
        abort();
    }
    if (route.is_digest && route.tag[0] != '\0') {
        abort();
    }
    return 0;
}
