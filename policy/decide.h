/*
 * The decision: which policies cover an image, what they need to know, and what follows from it.
 * Made anew for every answer; a pure function of the snapshot, the verdicts and the moment.
 *
 *     decide_plan()  ->  the leaves to look up or verify  ->  decide()
 *
 * Threads: any; a plan and a decision belong to one thread. The snapshot must outlive both.
 */
#ifndef POLICY_DECIDE_H
#define POLICY_DECIDE_H

#include "crypto/digest.h"
#include "gatehouse.h"
#include "metrics/error.h"
#include "policy/snapshot.h"
#include "policy/verdict.h"

#define DECIDE_ID_BYTES 20 /* Crockford base 32, 100 bits */
#define DECIDE_MAX_MESSAGE 1024

enum decide_outcome { DECIDE_DENY = 0, DECIDE_UNDECIDED, DECIDE_ALLOW };
/* "allow", "deny", "error": as metrics and `verify` call it. */
const char *decide_outcome_label(enum decide_outcome outcome);

struct decide_image {
    const char *name; /* upstream/repository */
    const char *tag;  /* NULL where it was asked for by digest */
    struct digest digest;
    /* Of the same bytes by the other algorithm, where decide_wants_twin(): a pattern with either is
     * about them. */
    struct digest twin;
};

/* A leaf that the covering policies need a verdict for. */
struct decide_leaf {
    const struct require *require;
    bool is_all_authorities; /* at_least needs every authority: require_input.is_all_authorities */
    bool is_each;            /* needed for every child of an index, too */
    bool is_blocking;        /* at least one policy in `deny` mode asks for it */
};

#define DECIDE_INLINE_POLICIES 16
#define DECIDE_INLINE_LEAVES 32

struct decide_plan {
    const struct snapshot *snapshot;
    struct decide_image image;      /* strings borrowed */
    bool is_covered;                /* by at least one policy that is no baseline */
    bool is_each;                   /* a policy wants every child of an index signed itself */
    const struct policy **policies; /* covering and baseline ones, sorted by name */
    size_t policy_count;
    struct decide_leaf *leaves; /* sorted by require->index */
    size_t leaf_count;
    const struct exception **exceptions; /* that match image and a policy, in force or expired */
    size_t exception_count;

    const struct policy *inline_policies[DECIDE_INLINE_POLICIES];
    struct decide_leaf inline_leaves[DECIDE_INLINE_LEAVES];
    const struct exception *inline_exceptions[DECIDE_INLINE_POLICIES];
};

/* The algorithm by which patterns of SNAPSHOT name content, and DIGEST does not; DIGEST_NONE: they
 * need no other digest. */
enum digest_alg decide_wants_twin(const struct snapshot *snapshot, const struct digest *digest);

/*
 * Find what an image needs. NOW decides which mode a rollout is in (is_blocking).
 *
 * Gives: *plan: decide_plan_done(); it points into itself, so it must not be moved
 * Fails: INTERNAL_ERROR
 */
GH_CHECKED bool decide_plan(const struct snapshot *snapshot, const struct decide_image *image,
                            int64_t now_unix_s, struct decide_plan *plan, struct gh_error *err);
void decide_plan_done(struct decide_plan *plan);

/* A child of an index, for policies with `platforms: each`. */
struct decide_child {
    struct digest digest;
    const struct verdict *const *verdicts; /* parallel to plan->leaves; NULL: not known */
};

struct decide_input {
    const struct verdict *const *verdicts; /* parallel to plan->leaves; NULL: not known */
    const struct decide_child *children;   /* runnable children only; none when no index */
    size_t child_count;
    const struct gh_error *integrity; /* cause set: the subject's own bytes are broken */
    bool is_explaining;               /* fill decision.requirements */
};

/* One leaf of one policy, for `verify`. */
struct decide_requirement {
    const struct policy *policy;
    const struct require *require;
    const struct verdict *verdict;    /* borrowed from the input; NULL when not known */
    const struct decide_child *child; /* NULL: the subject itself */
    const struct exception *waived_by;
};

struct decide_failure {
    const struct policy *policy;
    enum policy_mode mode;
    bool is_undecided;
    struct gh_error error;
};

struct decide_use {
    const struct exception *exception;
    int64_t days_left;
};

/* How an image got past what policy asks for. */
enum decide_bypass {
    DECIDE_BYPASS_EXCEPTION = 1,
    DECIDE_BYPASS_WARN = 2,
    DECIDE_BYPASS_AUDIT = 4,
    DECIDE_BYPASS_EMERGENCY = 8
};

struct decision {
    enum decide_outcome outcome;
    bool is_subject_broken;      /* answered 502 */
    struct gh_error error;       /* cause, text, place; cause zero when allowed */
    const struct policy *policy; /* whose reason is shown; NULL when none failed or covers */
    char id[DECIDE_ID_BYTES + 1];
    const char *fingerprint; /* of the snapshot */
    char *message;           /* one line with everything a person needs; NULL when allowed */

    struct decide_failure *failures; /* by policy name; of observing modes too */
    size_t failure_count;
    struct decide_use *uses;
    size_t use_count;
    char **warnings; /* texts for `Warning: 299` */
    size_t warning_count;
    unsigned bypasses; /* enum decide_bypass, ored */
    /* Leaves (indexes into plan->leaves) without a verdict that could still matter, of the subject
     * or of a child. While there are any, a denial is not final. */
    size_t *missing;
    size_t missing_count;
    struct decide_requirement *requirements; /* only when explaining */
    size_t requirement_count;
    int64_t until_unix_s; /* the next moment the outcome may change by the clock alone */
};

/*
 * Decide. Undecided when a verdict that matters is not known.
 *
 * Gives: *out: decision_done(). On failure *out is a denial with INTERNAL_ERROR as undecided.
 * Fails: INTERNAL_ERROR
 */
GH_CHECKED bool decide(const struct decide_plan *plan, const struct decide_input *input,
                       int64_t now_unix_s, struct decision *out, struct gh_error *err);
void decision_done(struct decision *decision);
/* The form of ids: Crockford's base 32 of the first 100 bits of a hash. */
void decide_name_id(const uint8_t hash[16], char out[DECIDE_ID_BYTES + 1]);

#endif
