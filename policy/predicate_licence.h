/*
 * Licence expressions against lists of what is allowed and denied.
 *
 * Spec:    SPDX 2.3 annex D: identifiers joined by AND, OR, WITH, and parentheses
 * Threads: any; no shared state
 */
#ifndef POLICY_PREDICATE_LICENCE_H
#define POLICY_PREDICATE_LICENCE_H

#include "policy/predicate_setting.h"

/*
 * Whether the expression can be satisfied with licences that ALLOWED lists (everything, where it
 * is not set) and DENIED does not. `A OR B` leaves the choice, `A AND B` needs both. What is no
 * expression is taken as the name of one licence.
 */
bool predicate_licence_accepts(struct bytes expression, const struct predicate_setting *allowed,
                               const struct predicate_setting *denied);

#endif
