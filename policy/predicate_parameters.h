/*
 * The parameters a build was given from outside: each must be one that policy expects. Whoever may
 * start a build chooses them, so a parameter that nobody thought of is not harmless.
 *
 * Spec:    SLSA v1 "verifying artifacts", expectations; verification.md section 5.3 step 8
 * Threads: any; no shared state
 */
#ifndef POLICY_PREDICATE_PARAMETERS_H
#define POLICY_PREDICATE_PARAMETERS_H

#include "policy/predicate_setting.h"

/* A parameter that is judged elsewhere: expected as long as it has the value that was read. */
struct predicate_parameter {
    const char *pointer;
    struct bytes value;
};

/*
 * Go through PARAMETERS (an object; NULL: none were given): every scalar in it must be KNOWN, have
 * a value that EXPECTED gives for its pointer, or lie at or below a pointer that IGNORED names; and
 * every pointer of EXPECTED must be matched. Null, {} and [] say nothing and pass.
 *
 * Fails:  PARAMETERS_UNEXPECTED, COUNT_LIMIT_EXCEEDED, INTERNAL_ERROR
 * Limits: PREDICATE_MAX_ELEMENTS, PREDICATE_MAX_PATH_BYTES
 */
GH_CHECKED bool predicate_parameters_judge(const json_t *parameters,
                                           const struct predicate_setting *expected,
                                           const struct predicate_setting *ignored,
                                           const struct predicate_parameter *known,
                                           size_t known_count, struct gh_error *err);

#endif
