/*
 * Whether something may leave because an allowed manifest leads to it: a child of an index, a
 * config, a layer. Edges of the same tenant, upstream and repository are followed upwards until an
 * allowed subject is found; verdicts that lapsed are made anew, and manifests that were evicted are
 * fetched again. Edges never answer for a tag.
 *
 * Threads: the calling worker; callbacks come on it
 */
#ifndef PROXY_REACH_H
#define PROXY_REACH_H

#include "crypto/digest.h"
#include "gatehouse.h"
#include "proxy/gate.h"

struct content;
struct gateway;
struct generation;
struct target;
struct worker;

#define REACH_MAX_SUBJECTS 320 /* looked at for one request: more than edges to one digest */
#define REACH_MAX_DEPTH 3      /* layer, manifest, index, index of indexes */
#define REACH_MAX_VERIFIED 8   /* subjects verified anew for one request */

struct reach_ask {
    struct generation *generation;
    const struct target *target;
    struct digest digest;
    struct content *self; /* set: a manifest, which may be allowed by itself */
    const char *principal;
};

/* What was found. */
struct reach_answer {
    const struct decision
        *decision; /* allowed, or a refusal, the nearest; NULL when nothing was decided */
    const struct decide_plan *plan; /* with a decision */
    const struct content *subject;  /* the manifest decided about; NULL without a decision */
    /* Set, and no allow: something that leads here could not be judged, so nothing is denied. */
    const struct gh_error *undecided;
    bool is_evidence; /* no allow, but readable evidence leads here: no decision is needed */
    bool has_size;
    uint64_t size_bytes; /* as the descriptor on the way to the subject says */
};

typedef void (*reach_fn)(void *ctx, const struct reach_answer *answer);

struct reach;

/*
 * FN may be called from within this call (stored verdicts were enough): then NULL is given and
 * *is_over is set. NULL with *is_over unset: memory is out, FN is not called.
 */
struct reach *reach_start(struct gateway *gateway, struct worker *worker,
                          const struct reach_ask *ask, reach_fn fn, void *ctx, bool *is_over);
/* FN will not be called. NULL is fine. */
void reach_leave(struct reach *reach);

#endif
