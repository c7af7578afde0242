/*
 * Vulnerability scans: cosign's predicate with the results of scanners that are known by their
 * form (Trivy, Grype, a plain list of findings, counts by severity), and the in-toto predicate.
 *
 * Spec:    cosign vuln/v1, in-toto attestation "vulns" v0.1 and v0.2
 * Threads: any; no shared state
 */
#ifndef POLICY_PREDICATE_SCAN_H
#define POLICY_PREDICATE_SCAN_H

#include "policy/predicate.h"

extern const struct predicate_key predicate_scan_keys[];
extern const size_t predicate_scan_key_count;

/* Which of the check's settings predicate_evaluate() weighs as an age. */
int64_t predicate_scan_max_age_s(const struct predicate_check *check);

/* Fails: PREDICATE_MALFORMED (also: a result of no known form), POLICY_DENIED (scanner),
 * VULN_THRESHOLD_EXCEEDED, VULN_SCAN_STALE (its database), COUNT_LIMIT_EXCEEDED */
GH_CHECKED bool predicate_scan_judge(const struct predicate_check *check,
                                     const struct predicate_input *input, int64_t *until_unix_s,
                                     struct gh_error *err);

#endif
