/*
 * SLSA provenance 0.2 and 1: who built it, from what, and to which level that is proved.
 *
 * Spec:    SLSA provenance v0.2 and v1
 * Threads: any; no shared state
 */
#ifndef POLICY_PREDICATE_PROVENANCE_H
#define POLICY_PREDICATE_PROVENANCE_H

#include "policy/predicate.h"

extern const struct predicate_key predicate_provenance_keys[10];

#define PREDICATE_TYPE_SLSA_V02 "https://slsa.dev/provenance/v0.2"
#define PREDICATE_TYPE_SLSA_V1 "https://slsa.dev/provenance/v1"

/* Fails: PREDICATE_MALFORMED, BUILDER_MISMATCH, BUILD_TYPE_MISMATCH, SOURCE_MISMATCH,
 * SOURCE_REF_MISMATCH, WORKFLOW_MISMATCH, SLSA_LEVEL_INSUFFICIENT, PROVENANCE_SIGNER_MISMATCH */
GH_CHECKED bool predicate_provenance_judge(const struct predicate_check *check,
                                           const struct predicate_input *input,
                                           struct gh_error *err);

#endif
