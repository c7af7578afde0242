/*
 * One requirement and its evidence in, verdict out. A pure function of its arguments.
 */
#ifndef POLICY_REQUIRE_H
#define POLICY_REQUIRE_H

#include "crypto/evidence.h"
#include "crypto/signer.h"
#include "gatehouse.h"
#include "policy/verdict.h"

struct predicate_check; /* policy/predicate.h: typed check: builder, source, max_severity, … */
struct predicate_where; /* policy/predicate.h: conditions by JSON pointer */

/* Bump when verification changes so that an old verdict could be wrong. */
#define REQUIRE_VERIFIER_VERSION 2

enum require_kind { REQUIRE_SIGNATURE, REQUIRE_ATTESTATION, REQUIRE_BASE_IMAGE };
enum require_base_from { REQUIRE_BASE_ANNOTATION, REQUIRE_BASE_PROVENANCE };

struct require_pair {
    char *name;
    char *value;
};

/* A leaf of the requirement trees; equal leaves of a snapshot are one object. */
struct require {
    enum require_kind kind;
    size_t index; /* in the snapshot's table of leaves */
    char *label;  /* what `waive` and people call it: "signature:ci", "attestation:spdx:ci",
                     "base_image:vendor" */
    const struct signer *signer;
    struct digest fingerprint; /* definition, signer's fingerprint and verifier version */

    struct require_pair *annotations; /* signature: required `optional` members (cosign) */
    size_t annotation_count;
    struct require_pair *metadata; /* signature: required user metadata (notation) */
    size_t metadata_count;

    char *predicate_name;   /* attestation: as configured, "spdx" or a URI */
    char **predicate_types; /* accepted predicateType strings */
    size_t predicate_type_count;
    struct predicate_check *check; /* NULL when there is none */
    struct predicate_where *where; /* NULL when there is none */
    bool is_every;
    int64_t max_age_s; /* 0: any age */

    enum require_base_from base_from;
    const struct signer *provenance_signer; /* whose provenance may name the base; NULL: no one */
};

/* Which evidence a requirement can use at all, so that discovery fetches nothing else. */
bool require_uses(const struct require *require, enum evidence_kind kind);

/* Another subject that a requirement asks about (base images), and the answer: the verdict of a
 * signature requirement with the same signer. */
struct require_other {
    struct digest digest;
    char
        *name; /* upstream/repository; where require_verify() asks: new, caller frees with free() */
    const struct verdict *verdict;
};

struct require_input {
    const struct require *require;
    const struct evidence_subject *subject;
    const struct evidence_set *evidence;
    const struct evidence_answers *answers; /* CRLs and OCSP answers fetched so far; may be NULL */
    int64_t now_unix_s;
    size_t max_candidates;   /* of those that reach cryptography; limits.candidates */
    bool is_all_authorities; /* go on after the first good candidate (at_least, `verify`) */
    const struct require_other *others;
    size_t other_count;
};

enum require_answer {
    REQUIRE_DONE,       /* *out holds the verdict */
    REQUIRE_WANTS,      /* fetch what *wants lists, then call again */
    REQUIRE_WANTS_OTHER /* decide about *other first, then call again */
};

/* From when and until when an answer to a want is current, by its own word (INT64_MIN, INT64_MAX:
 * it does not say). False where it is not worth keeping. */
bool require_answer_life(enum evidence_want_kind kind, struct bytes answer, int64_t now_unix_s,
                         int64_t *from_unix_s, int64_t *until_unix_s);

/*
 * Verify. Candidates are ordered by key hint, then as listed; every one that fails leaves its
 * first failing step; the reason of a denial is that of the candidate that came furthest. Never
 * fails: what goes wrong inside is an undecided or denied verdict.
 *
 * Gives:   *out: new, verdict_unref(); NULL only when memory is out (callers refuse as undecided)
 * Threads: any
 */
enum require_answer require_verify(const struct require_input *input, struct verdict **out,
                                   struct evidence_wants *wants, struct require_other *other);

#endif
