/*
 * What a verifier thread works on: the pure core over one subject's evidence. Carries everything it
 * needs; the worker does not touch it while a verifier has it.
 *
 * Threads: one at a time
 */
#ifndef PROXY_VERIFICATION_JOB_H
#define PROXY_VERIFICATION_JOB_H

#include "gatehouse.h"
#include "policy/decide.h"
#include "policy/require.h"
#include "proxy/helper.h"
#include "proxy/wanted.h"

struct prom;
struct text;
struct verification_ask;
struct verification_result;

#define VERIFICATION_JOB_MAX_OTHERS 8

struct verification_job {
    struct helper_job helper; /* first */

    /* in */
    struct decide_leaf *leaves;
    size_t leaf_count;
    struct evidence_subject subject;
    const struct evidence_set *evidence;
    struct wanted_answers fetched;
    const struct evidence_answers *answers;
    struct require_other others[VERIFICATION_JOB_MAX_OTHERS]; /* verdicts and names owned */
    size_t other_count;
    int64_t now_unix_s;
    size_t max_candidates;
    bool is_explaining;
    struct prom *prom;   /* borrowed; may be NULL */
    bool is_listing_old; /* the evidence was listed some time ago: what asks about every statement
                            there is, is not judged by it */

    /* out */
    struct verdict **verdicts; /* parallel to leaves; NULL: not yet */
    uint64_t *spent_us;        /* parallel to leaves: time in the core */
    struct evidence_wants wants;
    bool has_wanted_other;
    struct require_other wanted_other; /* name owned until it becomes one of others */
    const struct require *wanted_other_of;
};

/* Copy the leaves. False when memory is out. */
GH_CHECKED bool verification_job_leaves(struct verification_job *job,
                                        const struct decide_leaf *leaves, size_t count);
/* Judge every leaf that has no verdict yet, until one asks for a base image. */
void verification_job_run(struct verification_job *job);
void verification_job_done(struct verification_job *job);

/* Whoever asks the same about the same subject joins. The tag counts, since requirements that read
 * it may. */
void verification_key(struct text *key, const struct verification_ask *ask);

/* A leaf that got no verdict in time is undecided; its reason is what stopped the rest. NULL when
 * memory is out. */
struct verdict *verification_undecided(const struct gh_error *error, int64_t now);
/* New: the verdicts there are, and for the rest one that says ERROR. While a verifier still works,
 * what it writes may not be read: then none IS_READABLE. NULL when memory is out. */
struct verification_result *verification_collect(const struct verification_job *job,
                                                 bool is_readable, const struct gh_error *error);

#endif
