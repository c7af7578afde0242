/*
 * Bills of materials: SPDX 2 and 3, CycloneDX. Packages and licences, judged by lists.
 *
 * Spec:    SPDX 2.3 and 3.0, CycloneDX 1.x (JSON forms); licence expressions: SPDX 2.3 annex D
 * Threads: any; no shared state
 */
#ifndef POLICY_PREDICATE_SBOM_H
#define POLICY_PREDICATE_SBOM_H

#include "policy/predicate.h"

extern const struct predicate_key predicate_sbom_keys[];
extern const size_t predicate_sbom_key_count;

#define PREDICATE_MAX_SBOM_DEPTH 32
#define PREDICATE_MAX_SBOM_BYTES (16u * 1024 * 1024) /* of a document held in a string */
#define PREDICATE_MAX_LICENCE_DEPTH 32

/* Fails: SBOM_MALFORMED, POLICY_DENIED (format, package, licence), COUNT_LIMIT_EXCEEDED */
GH_CHECKED bool predicate_sbom_judge(const struct predicate_check *check,
                                     const struct predicate_input *input, struct gh_error *err);

#endif
