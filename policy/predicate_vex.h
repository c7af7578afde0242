/*
 * OpenVEX documents: no vulnerability may affect the image, but for those that are accepted.
 *
 * Spec:    OpenVEX 0.2.0
 * Threads: any; no shared state
 */
#ifndef POLICY_PREDICATE_VEX_H
#define POLICY_PREDICATE_VEX_H

#include "policy/predicate.h"

extern const struct predicate_key predicate_vex_keys[];
extern const size_t predicate_vex_key_count;

#define PREDICATE_MAX_VEX_STATEMENTS 4096
#define PREDICATE_MAX_VEX_PRODUCTS 1024 /* of one statement */

/*
 * A statement about the image that says `affected`, or `under_investigation` unless that is
 * allowed, refuses it, unless the vulnerability is accepted or a newer statement about the same
 * products says `not_affected` or `fixed`. A statement is about the image unless every product of
 * it names another digest.
 *
 * Fails: VEX_INVALID, VULN_THRESHOLD_EXCEEDED, COUNT_LIMIT_EXCEEDED
 */
GH_CHECKED bool predicate_vex_judge(const struct predicate_check *check,
                                    const struct predicate_input *input, struct gh_error *err);

#endif
