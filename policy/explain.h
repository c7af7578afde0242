/*
 * What policies ask of an image, for people and programs.
 *
 * Threads: any.
 */
#ifndef POLICY_EXPLAIN_H
#define POLICY_EXPLAIN_H

#include "gatehouse.h"
#include "policy/decide.h"

struct text;

void explain_put_text(struct text *out, const struct decide_plan *plan, int64_t now_unix_s);
void explain_put_json(struct text *out, const struct decide_plan *plan, int64_t now_unix_s);
/* "signature:ci" with what it adds, or "any of (…)", on one line. */
void explain_put_expr(struct text *out, const struct policy_expr *expr);

#endif
