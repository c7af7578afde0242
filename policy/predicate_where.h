/*
 * Conditions on a predicate by JSON pointer, evaluated. They are made by predicate_where_new().
 *
 * Spec:    RFC 6901, with the token `*` for every element
 * Threads: any; no shared state
 */
#ifndef POLICY_PREDICATE_WHERE_H
#define POLICY_PREDICATE_WHERE_H

#include "policy/predicate.h"

/*
 * Whether every condition holds. Zero elements, or an element where a member is missing, make a
 * condition false (but for `exists: false`, which then is true).
 *
 * Takes: predicate: NULL where there is none
 * Fails: POLICY_DENIED naming the path, COUNT_LIMIT_EXCEEDED
 */
GH_CHECKED bool predicate_where_judge(const struct predicate_where *where, const json_t *predicate,
                                      struct gh_error *err);

#endif
