/*
 * Edges: which manifests of a scope lead to a digest. A child manifest or a blob leaves only where
 * an edge leads to it from an allowed subject, so what is stored here is authenticated with the
 * host's key. Edges outlive verdicts.
 *
 * Threads: any.
 */
#ifndef CACHE_EDGES_H
#define CACHE_EDGES_H

#include "cache/scope.h"
#include "gatehouse.h"

#define EDGES_MAX_PARENTS 256   /* per child; those named longest ago make room */
#define EDGES_MAX_CHILDREN 8192 /* per manifest */
#define EDGES_MAX_TYPE 255

enum edge_kind {
    EDGE_MANIFEST = 1, /* an index leads to a manifest */
    EDGE_CONFIG,
    EDGE_LAYER,
    EDGE_EVIDENCE /* a referrer or attestation child of the parent */
};

struct edge_child {
    struct digest digest;
    enum edge_kind kind;
    uint64_t size_bytes;
    struct bytes media_type; /* as the parent's descriptor says */
};

struct edge_parent {
    struct digest digest;
    char media_type[EDGES_MAX_TYPE + 1];
    enum edge_kind kind;                       /* of the edge */
    uint64_t size_bytes;                       /* of the child, as this parent says */
    char child_media_type[EDGES_MAX_TYPE + 1]; /* likewise */
};

struct edge_list {
    struct edge_parent *parents; /* named last comes first */
    size_t count;
};
void edge_list_done(struct edge_list *list);

struct edges;
GH_CHECKED bool edges_new(struct store *store, struct edges **out, struct gh_error *err);
void edges_free(struct edges *edges);
GH_DEFINE_FREEP(edges, struct edges)

/*
 * Record every child of a manifest, in one transaction; readers see them at once. To be called when
 * a manifest is served: what is known and named lately costs a look-up per child and no write.
 *
 * Fails: COUNT_LIMIT_EXCEEDED (children), SIZE_LIMIT_EXCEEDED (media type), INTERNAL_ERROR
 */
GH_CHECKED bool edges_put(struct edges *edges, const struct cache_scope *scope,
                          const struct digest *parent, struct bytes parent_media_type,
                          const struct edge_child *children, size_t count, int64_t now_unix_s,
                          struct gh_error *err);
/* *out: edge_list_done(). False when nothing leads there, or what is stored is not ours. */
bool edges_get(struct edges *edges, const struct cache_scope *scope, const struct digest *child,
               int64_t now_unix_s, struct edge_list *out);

#endif
